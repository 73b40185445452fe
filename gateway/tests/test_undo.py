"""
Undo: the money goes back by whatever still works, once, and the answer says how.
"""

import asyncio
from itertools import count

import pytest
from counterfoil.payments import movements
from counterfoil.payments.lifecycle import Kind, State
from counterfoil.payments.movements import Done
from counterfoil.payments.payment import Payment
from counterfoil.payments.refusals import AmountTooLarge, KeyFenced, KeyReused, NotNow
from counterfoil.payments.resolve import resolve
from counterfoil.store.database import Database
from interruption import interrupted_at
from ledger_day import ClosingLink, audited, close_batch, forward
from payment_stage import Stage
from scripted_link import says


@pytest.fixture
async def stage(database: Database) -> Stage:
    """A merchant whose host agrees with every total."""
    return await Stage.set_up(database, link=ClosingLink())


async def undone(
    stage: Stage, payment: Payment, amount: int | None = None, *, key: str | None = None
) -> Done:
    return await movements.undo(stage.command(payment, amount_minor=amount, key=key), stage.road)


async def kinds(stage: Stage, payment: Payment) -> list[tuple[str, int]]:
    """Return what was done with the payment after its capture."""
    return [
        (each.kind, each.amount_minor)
        for each in await stage.road.store.movements(payment)
        if each.kind != "capture"
    ]


async def test_an_approval_that_nobody_claimed_is_reversed(stage: Stage) -> None:
    """Whole; undoing it again changes nothing."""
    payment = await stage.take()

    with pytest.raises(AmountTooLarge, match="undone whole"):
        await undone(stage, payment, 100)
    done = await undone(stage, payment, key="undo-approval")
    again = await undone(stage, payment, key="undo-approval")
    await forward(stage)

    assert (done.payment.state, done.first, again.first) == (State.REVERSING, True, False)
    assert (await stage.read(payment)).state is State.REVERSED
    assert len(await stage.advices()) == 1


async def test_a_process_that_dies_in_an_undo_leaves_its_key_or_the_approval(stage: Stage) -> None:
    """Whoever resolves the key is never told "never seen" of what was reversed under it."""
    for number in count(1):
        payment = await stage.take()
        undo = undone(stage, payment, key=f"undo-cut-{number}")
        was_cut = await interrupted_at(number, undo)
        await stage.road.store.drain()

        use = await stage.road.store.key(stage.merchant.merchant_id, f"undo-cut-{number}")
        assert (use is None) == ((await stage.read(payment)).state is State.APPROVED)
        if not was_cut:
            break

    assert number > 3


async def test_what_was_reversed_before_is_undone_under_one_key_for_one_command(
    stage: Stage,
) -> None:
    """A key that another command took meanwhile is refused, whatever the payment's state."""
    reversing, other = await stage.take(), await stage.take()
    await undone(stage, reversing)

    done = await asyncio.gather(
        undone(stage, reversing, key="taken"),
        undone(stage, other, key="taken"),
        return_exceptions=True,
    )

    assert [type(each) for each in done if not isinstance(each, Done)] == [KeyReused]


async def test_in_an_open_batch_it_is_a_void(stage: Stage) -> None:
    """A part, then the rest."""
    payment = await stage.paid()

    await undone(stage, payment, 1000)
    await forward(stage)
    done = await undone(stage, payment)

    assert done.payment.state is State.VOIDING
    assert await kinds(stage, payment) == [("void", 1000), ("void", 3200)]


async def test_after_the_close_it_is_a_refund(stage: Stage) -> None:
    """A part, then the rest; more is refused, and the payment agrees to the cent."""
    payment = await stage.paid()
    await close_batch(stage)

    await undone(stage, payment, 1000)
    with pytest.raises(NotNow, match=r"32\.00 USD can be refunded"):
        await undone(stage, payment, 3201)
    done = await undone(stage, payment)
    await forward(stage)

    assert done.payment.refunded_minor == 4200
    assert await kinds(stage, payment) == [("refund", 1000), ("refund", 3200)]
    with pytest.raises(NotNow):
        await undone(stage, payment)
    await audited(stage)


async def test_an_amount_that_cannot_be_voided_at_once_is_refunded(stage: Stage) -> None:
    """Two open captures of 2000: 3000 fits into neither whole, and is given back instead."""
    payment = await stage.paid(kind=Kind.AUTHORIZATION, amount_minor=5000)
    for _ in range(2):
        command = stage.command(payment, amount_minor=2000)
        payment = (await movements.capture(command, stage.road)).payment
    await forward(stage)

    done = await undone(stage, payment, 3000)
    await forward(stage)

    assert done.payment.refunded_minor == 3000
    await audited(stage)


async def test_everything_is_voided_and_refunded_when_only_a_part_is_closed(stage: Stage) -> None:
    """One command, one commit: the open capture and the hold go back, the other is refunded."""
    payment = await stage.paid(kind=Kind.AUTHORIZATION, amount_minor=5000)
    command = stage.command(payment, amount_minor=1000)
    await movements.capture(command, stage.road)
    await forward(stage)
    await close_batch(stage)
    await movements.capture(stage.command(payment, amount_minor=1500), stage.road)
    await forward(stage)

    done = await undone(stage, payment, key="undo-all")
    again = await undone(stage, payment, key="undo-all")
    await forward(stage)

    payment = await stage.read(payment)
    assert (done.first, again.first) == (True, False)
    assert await kinds(stage, payment) == [("void", 4000), ("refund", 1000)]
    assert (payment.captured_minor, payment.released_minor, payment.refunded_minor) == (
        1000, 4000, 1000,
    )  # fmt: skip
    await audited(stage)


@pytest.mark.parametrize("seed", range(3))
async def test_f16_an_undo_that_loses_the_race_with_the_close_refunds(
    stage: Stage, seed: int
) -> None:
    """Undo and close at once: a void if it came first, else a refund; never neither, never both."""
    payments = [await stage.paid() for _ in range(5)]

    async def later(payment: Payment, number: int) -> Done:
        await asyncio.sleep(0.002 * (number + seed))
        return await undone(stage, payment)

    results = await asyncio.gather(
        close_batch(stage), *(later(each, number) for number, each in enumerate(payments))
    )
    await forward(stage)
    await close_batch(stage)

    assert len(results) == 6
    for payment in payments:
        now = await stage.read(payment)
        made = await kinds(stage, payment)
        assert made in ([("void", 4200)], [("refund", 4200)])
        assert now.state is (State.VOIDED if made[0][0] == "void" else State.CAPTURED)
    await audited(stage)


async def test_one_undo_is_done_once(stage: Stage) -> None:
    """Twenty copies under one key; another key, and another amount, are other commands."""
    payment = await stage.paid()

    done = await asyncio.gather(*(undone(stage, payment, 1000, key="one") for _ in range(20)))

    assert sum(each.first for each in done) == 1
    assert await kinds(stage, payment) == [("void", 1000)]
    with pytest.raises(KeyReused):
        await undone(stage, payment, 1001, key="one")
    with pytest.raises(KeyReused):
        await movements.refund(stage.command(payment, amount_minor=1000, key="one"), stage.road)


async def test_a_fenced_key_undoes_nothing(stage: Stage) -> None:
    """Whoever resolved it was told "never seen"."""
    payment = await stage.paid()
    await resolve(stage.merchant, "fenced-undo", stage.road)

    with pytest.raises(KeyFenced):
        await undone(stage, payment, key="fenced-undo")
    assert await kinds(stage, payment) == []


async def test_what_is_over_cannot_be_undone(stage: Stage) -> None:
    """Declined, voided: there is nothing."""
    stage.link.script.append(says("51"))
    declined, voided = await stage.take(), await stage.paid()
    await movements.void(stage.command(voided), stage.road)

    for payment in (declined, voided):
        with pytest.raises(NotNow, match="nothing to undo"):
            await undone(stage, payment)
