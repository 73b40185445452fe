"""
Parts and lapsed holds with the real rail at the other end: its books are ours, to the cent.
"""

import asyncio
from pathlib import Path
from random import Random

import pytest
from counterfoil.payments import movements
from counterfoil.payments.lifecycle import Kind, State
from counterfoil.payments.payment import Payment, held_minor
from counterfoil.payments.recovery import sweep
from counterfoil.payments.refusals import CaptureTooLate, NotNow
from counterfoil.store.database import Database
from counterfoil.store.refused_refunds import Decision, RefusedRefundStore
from counterfoil_rail.control import ask
from counterfoil_rail.store import rail_folder
from ledger_day import audited, close_batch, forward
from rail_stage import AtTheRail, at_the_rail

HOLD_SECONDS = 7 * 86_400


async def lapse_there(at: AtTheRail) -> None:
    """Let every hold lapse in the host's books."""
    await told(at, "expire_holds", "all")


async def told(at: AtTheRail, name: str, value: str) -> None:
    """Switch a fault of the rail on."""
    await asyncio.to_thread(ask, rail_folder(at.folder), {"set": [name, value]})


async def do(at: AtTheRail, name: str, payment: Payment, amount: int | None = None) -> Payment:
    command = at.stage.command(payment, amount_minor=amount)
    done: movements.Done = await getattr(movements, name)(command, at.stage.road)
    return done.payment


async def agreed(at: AtTheRail, payment: Payment) -> Payment:
    """Send what is owed; both books hold, have taken and gave back the same."""
    for _ in range(20):
        await forward(at.stage)
        if "owed" not in {each["state"] for each in await at.stage.advices()}:
            break
        at.stage.clock.move(61)  # An answer was late: it is asked again.
    payment = await at.stage.read(payment)
    [charge] = at.charges()
    assert {each["state"] for each in await at.stage.advices()} <= {"accepted", "refused"}
    assert (charge["held_minor"], charge["captured_minor"], charge["refunded_minor"]) == (
        held_minor(payment), payment.captured_minor, payment.refunded_minor,
    )  # fmt: skip
    await audited(at.stage)
    return payment


async def closed_there_too(at: AtTheRail) -> None:
    """Close every batch: its totals are the host's, and the books still hold."""
    await close_batch(at.stage)
    await close_batch(at.stage)
    batches = await at.stage.sql(
        "SELECT batch_number, state, our_totals = host_totals AS is_same FROM batches"
        " WHERE merchant_id = $1 ORDER BY batch_number",
        at.stage.merchant.merchant_id,
    )
    assert [tuple(each)[:2] for each in batches] == [(1, "closed"), (2, "closed"), (3, "open")]
    await audited(at.stage)


async def test_a_hold_that_lapsed_there_is_found_by_its_capture(
    database: Database, tmp_path: Path
) -> None:
    """The host answers 25; the hold is ended here too, and the payment charges nobody."""
    async with at_the_rail(database, tmp_path) as at:
        payment = await at.stage.paid(kind=Kind.AUTHORIZATION)
        await lapse_there(at)
        await do(at, "capture", payment, 1000)
        await forward(at.stage)
        await sweep(at.stage.road)

        payment = await agreed(at, payment)
        assert (payment.state, payment.released_minor) == (State.EXPIRED, 4200)
        with pytest.raises(CaptureTooLate):
            await do(at, "capture", payment, 1)


async def test_a_hold_that_lapses_here_is_released_there(
    database: Database, tmp_path: Path
) -> None:
    """Whole, and the rest of one that was captured in part."""
    async with at_the_rail(database, tmp_path) as at:
        payment = await at.stage.paid(kind=Kind.AUTHORIZATION)
        payment = await do(at, "capture", payment, 1000)
        await agreed(at, payment)
        at.stage.clock.move(HOLD_SECONDS)
        await sweep(at.stage.road)

        payment = await agreed(at, payment)
        assert (payment.state, payment.captured_minor, held_minor(payment)) == (
            State.CAPTURED, 1000, 0,
        )  # fmt: skip


@pytest.mark.parametrize("name", ["void", "undo"])
async def test_a_part_that_is_released_after_it_lapsed_there_holds_up_nothing(
    database: Database, tmp_path: Path, name: str
) -> None:
    """Less remains there than we leave: that is an end, and what comes after it goes on."""
    async with at_the_rail(database, tmp_path) as at:
        payment = await at.stage.paid(kind=Kind.AUTHORIZATION)
        payment = await do(at, "capture", payment, 1000)
        await forward(at.stage)
        await lapse_there(at)
        payment = await do(at, name, payment, 500)
        await do(at, "refund", payment, 300)
        await forward(at.stage)
        at.stage.clock.move(HOLD_SECONDS)
        await sweep(at.stage.road)

        payment = await agreed(at, payment)
        assert (payment.captured_minor, payment.refunded_minor) == (1000, 300)


@pytest.mark.parametrize("seed", range(3))
async def test_any_commands_at_once_leave_both_books_the_same(
    database: Database, tmp_path: Path, seed: int
) -> None:
    """Forty commands of two processes on one payment, while the host is told of them."""
    chance = Random(seed)
    async with at_the_rail(database, tmp_path) as at:
        payment = await at.stage.paid(kind=Kind.AUTHORIZATION, amount_minor=9000)
        other = at.stage.another_process()

        async def one(number: int) -> None:
            stage = (at.stage, other)[number % 2]
            name = chance.choice(("capture", "capture", "void", "refund", "undo"))
            command = at.stage.command(payment, amount_minor=chance.randint(1, 900))
            await asyncio.sleep(chance.uniform(0, 0.3))
            try:
                await getattr(movements, name)(command, stage.road)
            except NotNow:
                return

        done = asyncio.Event()

        async def tell_the_host() -> None:
            while not done.is_set():
                await forward(at.stage)
                await asyncio.sleep(0.02)

        telling = asyncio.create_task(tell_the_host())
        await asyncio.gather(*(one(number) for number in range(40)))
        done.set()
        await telling

        await agreed(at, payment)


async def test_a_refund_of_more_than_was_approved_needs_a_person(
    database: Database, tmp_path: Path
) -> None:
    """Code 10 was lost and the batch closed: the host gives back no more than it took."""
    async with at_the_rail(database, tmp_path) as at:
        await told(at, "silent", "1:booked")
        payment = await at.stage.take(amount_minor=900_010)
        await told(at, "close_batch", "all")
        at.stage.clock.move(181)
        await sweep(at.stage.road)
        await forward(at.stage)

        (found,) = await at.stage.sql(
            "SELECT * FROM findings WHERE merchant_id = $1 AND state = 'open'",
            at.stage.merchant.merchant_id,
        )
        payment = await at.stage.read(payment)
        [charge] = at.charges()
        assert (found["kind"], found["amount_minor"]) == ("refund_refused", 900_010)
        assert (payment.state, payment.refunded_minor) == (State.REVERSING, 0)
        assert (charge["captured_minor"], charge["refunded_minor"]) == (450_005, 0)

        store = RefusedRefundStore(database, at.stage.road.ids.new)

        async def again(taken_minor: int) -> bool:
            decision = Decision(actor="cli", note="why", outside=False, taken_minor=taken_minor)
            now = at.stage.clock.now()
            return await store.end(found["merchant_id"], found["finding_id"], now, decision)

        tried = [await again(amount) for amount in (900_011, 0, 450_005, 450_005)]
        assert tried == [False, False, True, False]
        payment = await agreed(at, payment)
        assert (payment.state, payment.authorized_minor, payment.refunded_minor) == (
            State.REVERSED, 450_005, 450_005,
        )  # fmt: skip
        await closed_there_too(at)
