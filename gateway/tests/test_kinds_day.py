"""
Forced captures, credits, partial approvals and verifications through the end of a day.
"""

import asyncio

import pytest
from counterfoil.network.closing import Totals
from counterfoil.payments.acknowledge import refuse
from counterfoil.payments.commands import Done
from counterfoil.payments.lifecycle import Kind, State
from counterfoil.payments.movements import refund, void
from counterfoil.payments.payment import PartialApprovals
from counterfoil.payments.recovery import sweep
from counterfoil.payments.refusals import NotNow, OutcomeNotStored
from counterfoil.settlement.close import Closer, begin
from counterfoil.store.batches import BatchKey, BatchStore
from counterfoil.store.database import Database, DatabaseAway
from ledger_day import ClosingLink, Day
from payment_stage import ACTOR, Stage, batch_key, until
from scripted_link import says, unknown

FORCED = {"kind": Kind.FORCED, "voice_approval_code": "H7K2P9"}


def part(minor: int) -> object:
    """Approve only *minor*."""
    return says("10", f38="A1B2C3", f4=f"{minor:012d}")


async def forward(stage: Stage) -> None:
    """Tell the acquirer everything that is owed."""
    while await stage.forwarder().forward():
        pass


@pytest.fixture
async def day(database: Database) -> Day:
    """A merchant with all kinds of payments in its open batch."""
    stage = await Stage.set_up(database, link=ClosingLink())
    await stage.settings(credits_allowed=True, partial_approvals=PartialApprovals.ACCEPT)
    await stage.paid(amount_minor=10000)
    await stage.paid(**FORCED, amount_minor=3000)
    await void(stage.command(await stage.paid(**FORCED, amount_minor=500)), stage.road)
    await refund(stage.command(await stage.paid(**FORCED, amount_minor=200)), stage.road)
    await stage.paid(kind=Kind.CREDIT, amount_minor=1500)
    await void(stage.command(await stage.paid(kind=Kind.CREDIT, amount_minor=800)), stage.road)
    stage.link.script.append(part(2100))
    await stage.paid(amount_minor=4200)
    stage.link.script.append(part(1100))
    await void(stage.command(await stage.paid(amount_minor=2200)), stage.road)
    stage.link.script.append(says("85"))
    await stage.take(kind=Kind.VERIFICATION, amount_minor=0)
    stage.link.script.append(unknown)
    await stage.take(kind=Kind.CREDIT, amount_minor=70)
    refused = await stage.take(kind=Kind.CREDIT, amount_minor=90)
    await refuse(stage.merchant, refused.payment_id, actor=ACTOR, road=stage.road)
    await forward(stage)
    return Day(stage)


async def test_a_batch_counts_each_kind_on_its_side(day: Day) -> None:
    """Gross, as the dialect wants: what was taken back stands on both sides of its kind."""
    totals = await day.store.totals(BatchKey(*batch_key(day.stage), 1))

    assert totals == Totals(
        debits=4 + 2,
        debits_minor=10000 + 3000 + 200 + 2100 + 500 + 1100,
        debit_reversals=2,
        debit_reversals_minor=500 + 1100,
        credits=2 + 2,
        credits_minor=1500 + 200 + 800 + 90,
        credit_reversals=2,
        credit_reversals_minor=800 + 90,
    )


async def test_a_day_of_all_kinds_agrees_to_the_cent(day: Day) -> None:
    """Closed, settled, funded, sealed, audited."""
    for step in (day.close, day.settle, day.fund, day.seal):
        before = await day.audit()
        await step()
        assert before.agrees, before.differences

    found = await day.audit()

    assert found.agrees, found.differences
    (sums,) = found.merchants
    assert sums.refunded_minor == 1500 + 200
    assert sums.batched_minor == 10000 + 3000 + 200 + 2100 - 1500 - 200


async def test_a_void_of_a_partly_approved_sale_names_what_was_asked(day: Day) -> None:
    """DE 4 of a 0420 is the original's amount, by which the host knows it."""
    stage = day.stage
    stage.link.script.append(part(300))
    payment = await stage.paid(amount_minor=600)
    await void(stage.command(payment), stage.road)
    await forward(stage)

    assert stage.link.asked[-1].fields[4] == "000000000600"
    assert (await stage.read(payment)).state is State.VOIDED


async def test_a_voided_credit_is_taken_back_on_both_sides(day: Day) -> None:
    """0420 with the original's processing code; the refund leaves the batch."""
    stage = day.stage
    payment = await stage.paid(kind=Kind.CREDIT, amount_minor=600)
    asked = stage.link.asked[-1].fields
    done = await void(stage.command(payment), stage.road)
    await forward(stage)

    told = stage.link.asked[-1]
    assert (done.payment.state, done.payment.refunded_minor) == (State.VOIDING, 0)
    assert (told.mti, told.fields[3], told.fields[39]) == ("0420", "200000", "17")
    assert str(told.fields[90]).startswith(f"0200{asked[11]}{asked[7]}")
    assert (await stage.read(payment)).state is State.VOIDED
    kinds = {each.kind: each.state for each in await stage.road.store.movements(payment)}
    assert kinds == {"refund": "undone", "void": "done"}


async def test_a_credit_is_voided_once(day: Day) -> None:
    """Under two keys: the second one is too late."""
    stage = day.stage
    payment = await stage.paid(kind=Kind.CREDIT)
    await void(stage.command(payment), stage.road)

    with pytest.raises(NotNow):
        await void(stage.command(payment), stage.road)


async def test_a_credit_in_a_closed_batch_cannot_be_voided(day: Day) -> None:
    """Only before the batch closes."""
    stage = day.stage
    payment = await stage.paid(kind=Kind.CREDIT)
    keys = await day.store.to_close(
        stage.merchant.merchant_id, stage.clock.now().replace(year=2027)
    )
    await begin(keys, day.store, stage.road, cause="test", actor="test")

    with pytest.raises(NotNow):
        await void(stage.command(payment), stage.road)


async def test_a_credit_cannot_be_refunded(day: Day) -> None:
    """There is nothing that was taken."""
    payment = await day.stage.paid(kind=Kind.CREDIT)

    with pytest.raises(NotNow):
        await refund(day.stage.command(payment), day.stage.road)


@pytest.mark.parametrize("claimed", [True, False], ids=["voided", "unclaimed"])
async def test_a_credit_that_the_host_cannot_take_back_stands(day: Day, claimed: bool) -> None:
    """Its batch is closed over there: the cardholder has it, and the books and the batch say so."""
    stage = day.stage
    payment = await stage.take(kind=Kind.CREDIT, amount_minor=600)
    if claimed:
        await stage.acknowledge(payment)
        await void(stage.command(payment), stage.road)
    else:
        stage.clock.move(181)
        await sweep(stage.road)
    stage.link.script.append(says("40"))
    await forward(stage)

    payment = await stage.read(payment)
    assert (payment.state, payment.refunded_minor) == (State.CAPTURED, 600)
    assert (await stage.causes(payment))[-1] == "host_batch_closed"
    given = [each for each in await stage.road.store.movements(payment) if each.kind == "refund"]
    assert [(each.state, each.batch_number) for each in given] == [("pending", 1)]
    assert [
        each["state"] for each in await stage.advices() if each["payment_id"] == payment.payment_id
    ] == ["refused"]
    found = await day.audit()
    assert found.agrees, found.differences


async def test_a_verification_does_not_keep_a_batch_open(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is no part of one: neither does it make one worth closing."""
    stage = await Stage.set_up(database, link=ClosingLink())
    store = BatchStore(database, stage.lease.process_id)

    async def away(*_: object) -> None:
        raise DatabaseAway("gone")

    monkeypatch.setattr(stage.road.store, "conclude", away)
    with pytest.raises(OutcomeNotStored):
        await stage.take(kind=Kind.VERIFICATION, amount_minor=0)
    stage.clock.move(60)

    assert await stage.sql(
        "SELECT 1 FROM payments WHERE merchant_id = $1 AND state = 'processing'",
        stage.merchant.merchant_id,
    )
    assert await store.to_close(stage.merchant.merchant_id, stage.clock.now()) == []
    assert await store.in_flight(BatchKey(*batch_key(stage), 1)) == 0


async def test_the_items_of_all_kinds_are_uploaded_by_their_own_names(day: Day) -> None:
    """0320 names the original: 0220 of a forced capture, 0200 of a credit, which says refund."""
    key = BatchKey(*batch_key(day.stage), 1)
    keys = await day.store.to_close(
        day.stage.merchant.merchant_id, day.stage.clock.now().replace(year=2027)
    )
    await begin(keys, day.store, day.stage.road, cause="test", actor="test")
    day.stage.clock.move(1)
    closer = Closer(
        day.stage.road, day.store, day.stage.merchants, [day.stage.acquirer], answer_seconds=1.0
    )
    await closer.step()

    uploads = {each.item.amount_minor: each.item for each in await day.store.to_upload(key, 20)}

    assert (uploads[3000].kind, uploads[3000].original.mti) == ("capture", "0220")
    assert (uploads[1500].kind, uploads[1500].original.mti) == ("refund", "0200")
    assert (uploads[2100].kind, uploads[2100].original.mti) == ("capture", "0200")


async def test_f15_fifty_voids_of_a_credit_at_once_take_it_back_once(day: Day) -> None:
    """One advice, one transfer back, and 49 who are told what the payment is."""
    stage = day.stage
    payment = await stage.paid(kind=Kind.CREDIT, amount_minor=600)

    ended = await asyncio.gather(
        *(void(stage.command(payment), stage.road) for _ in range(50)), return_exceptions=True
    )

    assert sum(isinstance(each, Done) for each in ended) == 1
    assert all(isinstance(each, Done | NotNow) for each in ended)
    owed = [each for each in await stage.advices() if each["payment_id"] == payment.payment_id]
    assert [each["kind"] for each in owed] == ["void"]
    assert (await stage.transfers()).count(("open", "refunded", 600)) == 1
    assert (await day.audit()).agrees


async def test_f16_a_credit_that_is_voided_while_its_batch_closes_is_in_it_or_taken_back(
    day: Day,
) -> None:
    """Never both, and never neither, whoever comes first."""
    stage = day.stage
    made = [await stage.paid(kind=Kind.CREDIT, amount_minor=600 + n) for n in range(20)]
    later = stage.clock.now().replace(year=2027)
    keys = await day.store.to_close(stage.merchant.merchant_id, later)

    ended: list[object] = []

    async def void_each() -> None:
        for payment in made:
            try:
                ended.append(await void(stage.command(payment), stage.road))
            except NotNow as too_late:
                ended.append(too_late)

    voids = asyncio.create_task(void_each())
    await until(lambda: len(ended) >= 3)
    await begin(keys, day.store, stage.road, cause="test", actor="test")
    await voids
    await forward(stage)

    assert {type(end) for end in ended} == {Done, NotNow}, "the race went one way only"
    for payment, end in zip(made, ended, strict=True):
        now = await stage.read(payment)
        (given,) = [e for e in await stage.road.store.movements(payment) if e.kind == "refund"]
        if isinstance(end, Done):
            assert (now.state, now.refunded_minor, given.state) == ("voided", 0, "undone")
        else:
            assert isinstance(end, NotNow)
            assert (now.state, given.state, given.batch_number) == ("captured", "pending", 1)
    assert (await day.audit()).agrees
