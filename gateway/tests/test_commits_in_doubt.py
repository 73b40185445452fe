"""
F7: the connection is cut at a COMMIT, and nobody knows whether it happened; both are tried.
"""

import asyncio
from collections.abc import AsyncIterator
from uuid import uuid4

import pytest
from counterfoil.network.message import Fields
from counterfoil.network.outcome import Outcome
from counterfoil.payments import movements
from counterfoil.payments.acknowledge import refuse
from counterfoil.payments.authorize import Taken, take_payment
from counterfoil.payments.lifecycle import Kind, State
from counterfoil.payments.order import Order
from counterfoil.payments.payment import Payment
from counterfoil.payments.recovery import sweep
from counterfoil.payments.refusals import NothingWritten, OutcomeNotStored
from counterfoil.store.database import Database, DatabaseAway
from counterfoil.store.refused_refunds import Decision, RefusedRefundStore
from database_proxy import Cut, DatabaseProxy, proxied
from payment_stage import ACTOR, Stage, until
from scripted_link import approve, not_sent, says

HOWS: list[Cut] = ["committed", "not committed"]


@pytest.fixture
async def cut_off(parameters: dict[str, str]) -> AsyncIterator[tuple[Stage, DatabaseProxy]]:
    """A merchant's road whose database is behind a proxy that cuts."""
    async with proxied(parameters) as (proxy, through):
        database = await Database.open(**through)
        try:
            yield await Stage.set_up(database), proxy
        finally:
            await database.close()


async def messages(stage: Stage, payment: Payment, direction: str = "sent") -> list[str]:
    rows = await stage.sql(
        "SELECT mti FROM network_messages WHERE merchant_id = $1 AND payment_id = $2"
        " AND direction = $3 ORDER BY message_id",
        payment.merchant_id,
        payment.payment_id,
        direction,
    )
    return [row["mti"] for row in rows]


@pytest.mark.parametrize("how", HOWS)
async def test_f07_an_intent_cut_at_its_commit_is_sent_once(
    cut_off: tuple[Stage, DatabaseProxy], how: Cut
) -> None:
    """One payment, one message, one history, whichever it was."""
    stage, proxy = cut_off
    await stage.take()
    proxy.cut_at("intend", how)

    payment = await stage.take()

    assert proxy.cuts == 1
    assert payment.state is State.APPROVED
    assert [each.fields[37] for each in stage.link.asked].count(payment.rrn) == 1
    assert await messages(stage, payment) == ["0200"]
    assert await stage.causes(payment) == ["requested", "issuer_approved"]
    assert await stage.count("payments") == 2


@pytest.mark.parametrize("how", HOWS)
async def test_f07_a_second_try_cut_at_its_commit_is_sent_once(
    cut_off: tuple[Stage, DatabaseProxy], how: Cut
) -> None:
    """What was not sent is tried again under its key, and the doubt does not make it twice."""
    stage, proxy = cut_off
    stage.link.script.append(not_sent)
    order = stage.order()
    with pytest.raises(NothingWritten):
        await take_payment(order, stage.road)
    proxy.cut_at("intend_again", how)

    taken = await take_payment(order, stage.road)

    assert proxy.cuts == 1
    assert taken.payment.state is State.APPROVED
    assert len(stage.link.asked) == 2
    assert await stage.causes(taken.payment) == [
        "requested",
        "nothing_written",
        "tried_again",
        "issuer_approved",
    ]


@pytest.mark.parametrize("how", HOWS)
async def test_f07_an_outcome_cut_at_its_commit_is_told_once(
    cut_off: tuple[Stage, DatabaseProxy], how: Cut
) -> None:
    """The approval is durable before it is told, and held once."""
    stage, proxy = cut_off
    proxy.cut_at("conclude", how)

    payment = await stage.take()

    assert proxy.cuts == 1
    assert payment.state is State.APPROVED
    assert await stage.transfers() == [("held", "issuer", 4200)]
    assert await messages(stage, payment, "received") == ["0210"]


@pytest.mark.parametrize("how", HOWS)
async def test_f07_an_acknowledgment_cut_at_its_commit_has_one_number(
    cut_off: tuple[Stage, DatabaseProxy], how: Cut
) -> None:
    """One confirmation number, one capture, one pair of mails."""
    stage, proxy = cut_off
    payment = await stage.take()
    proxy.cut_at("acknowledge", how)

    claimed = await stage.acknowledge(payment)

    assert proxy.cuts == 1
    assert claimed.confirmation_number == (await stage.read(payment)).confirmation_number
    assert claimed.state is State.CAPTURED
    assert await stage.count("outbox") == 2
    assert await stage.count("movements") == 1


@pytest.mark.parametrize("how", HOWS)
async def test_f07_a_reversal_cut_at_its_commit_is_owed_once(
    cut_off: tuple[Stage, DatabaseProxy], how: Cut
) -> None:
    """Refused by the merchant, or found by the sweep: one advice."""
    stage, proxy = cut_off
    refused, unclaimed = await stage.take(), await stage.take()

    proxy.cut_at("reverse", how)
    told = await refuse(stage.merchant, refused.payment_id, actor=ACTOR, road=stage.road)
    stage.clock.move(181)
    proxy.cut_at("reverse", how)
    await sweep(stage.road)

    assert proxy.cuts == 2
    assert told.state is State.REVERSING
    assert (await stage.read(unclaimed)).state is State.REVERSING
    assert len(await stage.advices()) == 2


@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize("step", ["try_advice", "advice_answered"])
async def test_f07_an_advice_cut_at_its_commit_ends_once(
    cut_off: tuple[Stage, DatabaseProxy], step: str, how: Cut
) -> None:
    """Its try and the acquirer's last word count once; a doubt costs a repeat at most."""
    stage, proxy = cut_off
    payment = await stage.take()
    await refuse(stage.merchant, payment.payment_id, actor=ACTOR, road=stage.road)
    forwarder = stage.forwarder()
    proxy.cut_at(step, how)
    await forwarder.forward()

    async def reversed_() -> bool:
        await forwarder.forward()
        return (await stage.read(payment)).state is State.REVERSED

    for _ in range(3):
        if await reversed_():
            break
        await asyncio.sleep(0.3)  # The doubt is being settled on another connection.
        stage.clock.move(61)

    assert proxy.cuts == 1
    assert (await stage.read(payment)).state is State.REVERSED
    assert [each.mti[:3] for each in stage.link.asked[1:]] in (["042"], ["042", "042"])
    assert len({each.fields[11] for each in stage.link.asked[1:]}) == 1
    assert await stage.transfers() == [("held", "issuer", 4200), ("released", "held", 4200)]


@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize("act", ["capture", "refund", "void"])
async def test_f07_a_movement_cut_at_its_commit_is_made_once(
    cut_off: tuple[Stage, DatabaseProxy], act: str, how: Cut
) -> None:
    """Who was told "in doubt" asks again under the key: one movement, one advice."""
    stage, proxy = cut_off
    kind = Kind.AUTHORIZATION if act == "capture" else Kind.SALE
    payment = await stage.paid(kind=kind)
    before = (await stage.count("movements"), len(await stage.advices()))
    command = stage.command(payment, key=f"{act}-{uuid4()}")
    proxy.cut_at(act, how)

    for _ in range(2):
        try:
            await getattr(movements, act)(command, stage.road)
            break
        except DatabaseAway:
            continue

    assert proxy.cuts == 1
    await getattr(movements, act)(command, stage.road)
    after = (await stage.count("movements"), len(await stage.advices()))
    assert after == (before[0] + 1, before[1] + 1)


@pytest.mark.parametrize("how", HOWS)
async def test_f07_an_undo_of_an_approval_cut_at_its_commit_is_done_once(
    cut_off: tuple[Stage, DatabaseProxy], how: Cut
) -> None:
    """Its key and its reversal are one commit: one advice, and a repeat finds its own."""
    stage, proxy = cut_off
    payment = await stage.take()
    command = stage.command(payment, key=f"undo-{uuid4()}")
    proxy.cut_at("undo_approval", how)

    done = await movements.undo(command, stage.road)
    again = await movements.undo(command, stage.road)

    assert proxy.cuts == 1
    assert (done.payment.state, again.payment.state) == (State.REVERSING, State.REVERSING)
    assert (done.first, again.first) == (how == "not committed", False)
    assert len(await stage.advices()) == 1


async def test_f07_a_cut_at_every_other_commit_of_a_busy_till_leaves_one_story(
    cut_off: tuple[Stage, DatabaseProxy],
) -> None:
    """Forty sales under way while commits are cut both ways: each is charged and claimed once."""
    stage, proxy = cut_off
    for number in range(12):
        step = ("intend", "conclude", "acknowledge")[number % 3]
        proxy.cut_at(step, HOWS[number // 3 % 2])

    paid = await asyncio.gather(*(stage.paid() for _ in range(40)))

    assert proxy.cuts >= 3
    assert {each.state for each in paid} == {State.CAPTURED}
    assert len({each.confirmation_number for each in paid}) == 40
    assert len(stage.link.asked) == 40
    assert await stage.count("movements") == 40
    assert await stage.count("outbox") == 80


async def approved_into_an_outage(
    stage: Stage, proxy: DatabaseProxy
) -> tuple[Order, asyncio.Task[Taken]]:
    """Let the database go away while the host says yes, and return what waits for it."""

    def approved_and_gone(mti: str, fields: Fields) -> Outcome:
        proxy.go_away()
        return approve(mti, fields)

    await stage.take()
    stage.link.script.append(approved_and_gone)
    order = stage.order()
    taking = asyncio.create_task(take_payment(order, stage.road))
    await until(lambda: len(stage.link.asked) == 2)
    await asyncio.sleep(0.3)
    return order, taking


async def test_f07_half_a_minute_without_a_database_after_the_approval_is_waited_out(
    cut_off: tuple[Stage, DatabaseProxy],
) -> None:
    """The row is written when the database is back, and only then is anybody told."""
    stage, proxy = cut_off
    _, taking = await approved_into_an_outage(stage, proxy)

    stage.clock.move(30)
    await asyncio.sleep(0.3)
    told_early = taking.done()
    proxy.come_back()
    payment = (await taking).payment

    assert not told_early
    assert payment.state is State.APPROVED
    assert await stage.causes(payment) == ["requested", "issuer_approved"]


async def test_f07_an_approval_that_no_database_took_is_reversed(
    cut_off: tuple[Stage, DatabaseProxy],
) -> None:
    """Gone for longer: nobody is told anything, and the sweep takes back what the host holds."""
    stage, proxy = cut_off
    order, taking = await approved_into_an_outage(stage, proxy)
    stage.clock.move(46)
    with pytest.raises(OutcomeNotStored):
        await taking
    proxy.come_back()

    under_way = (await take_payment(order, stage.road)).payment
    stage.clock.move(61)
    await sweep(stage.road)
    await stage.forwarder().forward()

    assert under_way.state is State.PROCESSING
    payment = (await take_payment(order, stage.road)).payment
    assert payment.state is State.REVERSED
    assert await stage.causes(payment) == ["requested", "process_ended", "host_accepted"]
    assert [each.mti for each in stage.link.asked] == ["0200", "0200", "0420"]


@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize("outside", [False, True])
async def test_f07_a_persons_decision_cut_at_its_commit_is_done_once(
    cut_off: tuple[Stage, DatabaseProxy], outside: bool, how: Cut
) -> None:
    """A refused refund is asked again, or recorded as returned: the same again changes nothing."""
    stage, proxy = cut_off
    payment = await stage.paid()
    await movements.void(stage.command(payment), stage.road)
    stage.link.script += [says("40"), says("57")]
    stage.clock.move(1)
    while await stage.forwarder().forward():
        pass
    (found,) = await stage.sql("SELECT * FROM findings WHERE merchant_id = $1", payment.merchant_id)
    before = len(await stage.transfers())
    store = RefusedRefundStore(stage.database, stage.road.ids.new)
    decision = Decision(actor=ACTOR, note="why", outside=outside)
    asked = (payment.merchant_id, found["finding_id"], stage.clock.now(), decision)
    proxy.cut_at("end_refused_refund", how)

    with pytest.raises(DatabaseAway):
        await store.end(*asked)

    assert await store.end(*asked) is (how == "not committed")
    assert proxy.cuts == 1
    assert (await stage.read(payment)).refunded_minor == 4200
    assert len(await stage.transfers()) == before + 1
