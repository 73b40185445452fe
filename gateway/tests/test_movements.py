"""
Capture, void and refund: idempotent commands, and never more than there is.
"""

import asyncio
from typing import Any

import asyncpg
import msgspec
import pytest
from counterfoil.payments import movements
from counterfoil.payments.lifecycle import Kind, State
from counterfoil.payments.payment import Payment
from counterfoil.payments.refusals import (
    AmountTooLarge,
    KeyFenced,
    KeyReused,
    NothingWritten,
    NotNow,
    PaymentUnknown,
)
from counterfoil.payments.resolve import resolve
from counterfoil.store.database import Database, DatabaseAway
from payment_stage import Stage, batch_key
from scripted_link import says

HELD = ("held", "issuer", 4200)
TAKEN = ("open", "held", 4200)


async def authorized(stage: Stage, **changes: Any) -> Payment:
    return await stage.paid(kind=Kind.AUTHORIZATION, **changes)


async def captured(stage: Stage, payment: Payment) -> Payment:
    return (await movements.capture(stage.command(payment), stage.road)).payment


async def voided(stage: Stage, payment: Payment) -> Payment:
    return (await movements.void(stage.command(payment), stage.road)).payment


async def refunded(stage: Stage, payment: Payment) -> Payment:
    return (await movements.refund(stage.command(payment), stage.road)).payment


async def close_batch(stage: Stage) -> None:
    """Close the stage's open batch and open the next."""
    await stage.sql(
        "UPDATE batches SET state = 'closed' WHERE merchant_id = $1 AND state = 'open'",
        stage.merchant.merchant_id,
    )
    await stage.sql(
        "INSERT INTO batches (merchant_id, acquirer, terminal_id, currency, batch_number, state, "
        "opened_at) VALUES ($1, $2, $3, $4, 2, 'open', now())",
        *batch_key(stage),
    )
    stage.road.batches.forget(*batch_key(stage))


async def test_a_capture_takes_what_is_held(stage: Stage) -> None:
    """One commit: state, movement in the open batch, books, and the 0220 that is owed."""
    payment = await captured(stage, await authorized(stage))

    (movement,) = await stage.road.store.movements(payment)
    (owed,) = await stage.advices()
    assert (payment.state, payment.captured_minor) == (State.CAPTURED, 4200)
    assert (movement.kind, movement.state, movement.rrn) == ("capture", "pending", payment.rrn)
    assert await stage.transfers() == [HELD, TAKEN]
    assert (owed["kind"], owed["amount_minor"], owed["state"]) == ("capture", 4200, "owed")
    assert owed["movement_id"] == movement.movement_id


async def test_a_capture_goes_into_the_batch_that_is_open_now(stage: Stage) -> None:
    """Not the one of the authorization, which may have been closed since."""
    payment = await authorized(stage)
    await close_batch(stage)

    await captured(stage, payment)

    (movement,) = await stage.road.store.movements(payment)
    (owed,) = await stage.advices()
    assert (payment.batch_number, movement.batch_number, owed["batch_number"]) == (1, 2, 2)


@pytest.mark.parametrize("kind", [Kind.SALE, Kind.AUTHORIZATION])
async def test_a_void_releases_everything(stage: Stage, kind: Kind) -> None:
    """A sale's capture leaves the batch; the hold goes back; a 0420 with reason 17 is owed."""
    payment = await voided(stage, await stage.paid(kind=kind))

    (owed,) = await stage.advices()
    found = {each.kind: each.state for each in await stage.road.store.movements(payment)}
    assert payment.state is State.VOIDING
    assert (payment.captured_minor, payment.released_minor) == (0, 4200)
    assert (owed["kind"], owed["reason_code"]) == ("void", "17")
    assert found == {"void": "pending"} | ({"capture": "undone"} if kind is Kind.SALE else {})
    assert (await stage.transfers())[-1] == (
        "released", "open" if kind is Kind.SALE else "held", 4200,
    )  # fmt: skip


async def test_a_captured_authorization_can_be_voided_in_the_same_batch(stage: Stage) -> None:
    """The capture's 0220 goes out before the void's 0420."""
    payment = await captured(stage, await authorized(stage))

    await voided(stage, payment)

    owed = await stage.advices()
    assert [each["kind"] for each in owed] == ["capture", "void"]
    assert owed[0]["position"] < owed[1]["position"]


async def test_a_sale_whose_batch_is_closed_cannot_be_voided(stage: Stage) -> None:
    """It can be refunded."""
    payment = await stage.paid()
    await close_batch(stage)

    with pytest.raises(NotNow, match=r"its batch is closed.*42.00 USD can be refunded"):
        await voided(stage, payment)
    assert (await refunded(stage, payment)).refunded_minor == 4200
    assert await stage.count("idempotency_keys") == 3  # Of the sale, the refusal, the refund.


async def test_an_authorization_can_be_voided_whatever_happens_to_batches(stage: Stage) -> None:
    """Nothing of it is in any."""
    payment = await authorized(stage)
    await close_batch(stage)

    assert (await voided(stage, payment)).state is State.VOIDING


async def test_a_refund_is_a_credit_in_the_open_batch(stage: Stage) -> None:
    """With a reference and a trace number of its own; the sale stays as it was."""
    sale = await stage.paid()

    payment = await refunded(stage, sale)

    movement = (await stage.road.store.movements(payment))[-1]
    (owed,) = await stage.advices()
    assert (payment.state, payment.captured_minor, payment.refunded_minor) == (
        State.CAPTURED, 4200, 4200,
    )  # fmt: skip
    assert (movement.kind, movement.state) == ("refund", "pending")
    assert movement.rrn != sale.rrn
    assert movement.rrn.endswith(f"{owed['stan']:06d}")
    assert (owed["kind"], owed["transmitted_at"]) == ("refund", stage.clock.now())
    assert (await stage.transfers())[-1] == ("refunded", "open", 4200)


async def test_f14_fifty_refunds_at_once_give_the_money_back_once(stage: Stage) -> None:
    """Fifty keys over two processes; one wins, the others are told that nothing is left."""
    payment = await stage.paid()
    roads = [stage.road, stage.another_process().road]

    results = await asyncio.gather(
        *(movements.refund(stage.command(payment), roads[n % 2]) for n in range(50)),
        return_exceptions=True,
    )

    done = [each for each in results if isinstance(each, movements.Done)]
    assert len(done) == 1
    assert all(isinstance(each, NotNow) for each in results if each not in done)
    assert (await stage.read(payment)).refunded_minor == 4200
    assert len(await stage.advices()) == 1
    assert [each for each in await stage.transfers() if each[0] == "refunded"] == [
        ("refunded", "open", 4200)
    ]


async def test_twenty_copies_of_a_refund_at_once_are_one(stage: Stage) -> None:
    """The same key: everybody gets the payment, one of them did it."""
    payment = await stage.paid()

    done = await asyncio.gather(
        *(movements.refund(stage.command(payment, key="same"), stage.road) for _ in range(20))
    )

    assert sum(each.first for each in done) == 1
    assert {each.payment.refunded_minor for each in done} == {4200}
    assert len(await stage.advices()) == 1


@pytest.mark.parametrize("other", [movements.refund, movements.void])
async def test_void_and_refund_at_once_have_one_winner(stage: Stage, other: Any) -> None:
    """The money goes back once."""
    payment = await stage.paid()

    results = await asyncio.gather(
        movements.void(stage.command(payment), stage.road),
        other(stage.command(payment), stage.another_process().road),
        return_exceptions=True,
    )

    assert sum(isinstance(each, movements.Done) for each in results) == 1
    assert sum(isinstance(each, NotNow) for each in results) == 1
    assert len(await stage.advices()) == 1


async def test_captures_at_once_take_once(stage: Stage) -> None:
    """Ten keys, one capture."""
    payment = await authorized(stage)

    results = await asyncio.gather(
        *(movements.capture(stage.command(payment), stage.road) for _ in range(10)),
        return_exceptions=True,
    )

    assert sum(isinstance(each, movements.Done) for each in results) == 1
    assert await stage.transfers() == [HELD, TAKEN]


@pytest.mark.parametrize("name", ["capture", "void", "refund"])
async def test_a_command_that_is_repeated_is_answered_from_the_first(
    stage: Stage, name: str
) -> None:
    """Even when the payment has moved on since; nothing happens twice."""
    command = stage.command(
        await (authorized(stage) if name == "capture" else stage.paid()), key=f"{name}-again"
    )
    move = getattr(movements, name)
    first = await move(command, stage.road)

    second = await move(command, stage.another_process().road)

    assert (first.first, second.first) == (True, False)
    assert second.payment == first.payment
    assert len(await stage.advices()) == 1


async def test_a_key_belongs_to_one_command(stage: Stage) -> None:
    """Not to another one, not to another payment, not to another amount, not to a sale."""
    one, other = await authorized(stage), await authorized(stage, idempotency_key="a sale's")
    await movements.capture(stage.command(one, key="taken"), stage.road)

    for command, move in (
        (stage.command(one, key="taken"), movements.void),
        (stage.command(one, key="taken"), movements.refund),
        (stage.command(one, key="taken", amount_minor=4200), movements.capture),
        (stage.command(other, key="taken"), movements.capture),
        (stage.command(other, key="a sale's"), movements.capture),
    ):
        with pytest.raises(KeyReused):
            await move(command, stage.road)


async def test_a_key_of_a_command_cannot_take_a_payment(stage: Stage) -> None:
    """Keys are one space per merchant."""
    await movements.refund(stage.command(await stage.paid(), key="taken"), stage.road)

    with pytest.raises(KeyReused):
        await stage.take(idempotency_key="taken")


async def test_a_fenced_key_does_nothing(stage: Stage) -> None:
    """Whoever resolved it was told "never seen"."""
    payment = await stage.paid()
    await resolve(stage.merchant, "fenced", stage.road)

    with pytest.raises(KeyFenced):
        await movements.refund(stage.command(payment, key="fenced"), stage.road)
    assert (await stage.read(payment)).refunded_minor == 0


@pytest.mark.parametrize(
    ("move", "kind"),
    [(movements.capture, Kind.AUTHORIZATION), (movements.refund, Kind.SALE)],
)
async def test_more_than_there_is_is_refused_and_the_rest_named(
    stage: Stage, move: Any, kind: Kind
) -> None:
    """The whole amount may be named; a cent more is refused, and nothing is written."""
    payment = await stage.paid(kind=kind)

    with pytest.raises(AmountTooLarge, match=r"42\.01 USD is more than the 42\.00 USD"):
        await move(stage.command(payment, amount_minor=4201), stage.road)
    assert await stage.advices() == []
    assert (await move(stage.command(payment, amount_minor=4200), stage.road)).first


async def test_what_is_not_possible_is_refused_with_the_state(stage: Stage) -> None:
    """Every command in every state that does not allow it; nothing is written but that."""
    stage.link.script.extend([says("51")])
    declined, approved, sale = await stage.take(), await stage.take(), await stage.paid()
    hold = await authorized(stage)
    moves = (movements.capture, movements.void, movements.refund)
    allowed = {(movements.void, sale), (movements.refund, sale), (movements.capture, hold),
               (movements.void, hold)}  # fmt: skip
    keys, refused = await stage.count("idempotency_keys"), 0

    for payment in (declined, approved, sale, hold):
        for move in moves:
            if (move, payment) in allowed:
                continue
            with pytest.raises(NotNow) as caught:
                await move(stage.command(payment), stage.road)
            assert caught.value.payment.state is payment.state
            refused += 1
    assert await stage.count("idempotency_keys") == keys + refused
    assert await stage.advices() == []


async def test_a_copy_of_a_refused_request_does_nothing_whenever_it_comes(stage: Stage) -> None:
    """The merchant was told "no"; what has become possible since is asked for under a new key."""
    payment = await authorized(stage)
    late = stage.command(payment, amount_minor=100)
    with pytest.raises(NotNow):
        await movements.refund(late, stage.road)
    await captured(stage, payment)
    await stage.forwarder().forward()
    before = await stage.read(payment)

    with pytest.raises(NotNow, match=r"was refused under this idempotency key.*a new key"):
        await movements.refund(late, stage.road)
    with pytest.raises(KeyReused):
        await movements.void(late, stage.road)
    assert await resolve(stage.merchant, late.idempotency_key, stage.road) is None
    asked_anew = msgspec.structs.replace(late, idempotency_key="another")
    done = await movements.refund(asked_anew, stage.road)

    assert before.refunded_minor == 0
    assert done.payment.refunded_minor == 100


@pytest.mark.parametrize(("when", "word"), [("before", "done"), ("after", "refused"), ("at", "")])
async def test_of_two_copies_at_once_one_word_stands(stage: Stage, when: str, word: str) -> None:
    """What one was refused the other has not done, whenever it becomes possible."""
    payment = await authorized(stage)
    command = stage.command(payment)

    async def told() -> str:
        try:
            await movements.refund(command, stage.road)
        except NotNow:
            return "refused"
        return "done"

    async def made_possible() -> None:
        await captured(stage, payment)
        await stage.forwarder().forward()

    if when == "before":
        await made_possible()
    becoming = asyncio.create_task(made_possible()) if when == "at" else None
    words = {*await asyncio.gather(told(), told())}
    if becoming:
        await becoming
    if when == "after":
        await made_possible()
    now = await stage.read(payment)

    words.add(await told())
    assert len(words) == 1
    assert word in words or when == "at"
    assert ("done" in words) == (now.refunded_minor > 0)


async def test_nothing_can_be_done_with_what_was_undone(stage: Stage) -> None:
    """A voided sale, a refunded one."""
    void, refund = await stage.paid(), await stage.paid()
    await voided(stage, void)
    await refunded(stage, refund)

    for payment in (void, refund):
        for move in (movements.void, movements.refund, movements.capture):
            with pytest.raises(NotNow):
                await move(stage.command(payment), stage.road)


async def test_nobody_moves_somebody_elses_money(stage: Stage) -> None:
    """As if the payment were not there."""
    other = await Stage.set_up(stage.database)
    payment = await stage.paid()

    for move in (movements.void, movements.refund, movements.capture):
        with pytest.raises(PaymentUnknown):
            await move(other.command(payment), other.road)


async def test_a_refund_without_a_trace_number_is_not_begun(stage: Stage) -> None:
    """503: the day's numbers of the terminal are used up."""
    payment = await stage.paid()
    await stage.sql(
        "UPDATE stan_counters SET next_stan = 1000000 WHERE merchant_id = $1",
        stage.merchant.merchant_id,
    )

    with pytest.raises(NothingWritten, match="trace numbers"):
        await movements.refund(stage.command(payment), stage.another_process().road)


async def test_a_command_in_doubt_is_done_once(database: Database) -> None:
    """The COMMIT's answer was lost: asked again, it is found under its key."""

    class Losing(Database):
        lost = True

        async def rows(self, name: str, *arguments: Any, **more: Any) -> list[asyncpg.Record]:
            found = await super().rows(name, *arguments, **more)
            if name == "refund" and self.lost:
                self.lost = False
                raise DatabaseAway("no answer")
            return found

    stage = await Stage.set_up(Losing(database._pool))
    payment = await stage.paid()

    done = await movements.refund(stage.command(payment), stage.road)

    assert done.payment.refunded_minor == 4200
    assert len(await stage.advices()) == 1
