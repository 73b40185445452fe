"""
What may go wrong between us and the host, with the real rail at the other end of the real link.
"""

import asyncio
from pathlib import Path

import pytest
from counterfoil.config import Timers
from counterfoil.network.outcome import Answered
from counterfoil.payments.acknowledge import refuse
from counterfoil.payments.authorize import take_payment
from counterfoil.payments.lifecycle import Kind, State
from counterfoil.payments.resolve import resolve
from counterfoil.store.database import Database
from interruption import interrupted_at
from payment_stage import ACTOR, until
from rail_stage import at_the_rail, link_to

COPIES = 200


async def test_f04_an_intent_that_never_left_is_reversed_and_harms_nobody(
    database: Database, tmp_path: Path
) -> None:
    """The process dies between the commit and the first byte: the reversal finds nothing."""
    async with at_the_rail(database, tmp_path) as at:
        order, dead = at.stage.order(), at.stage.another_process()
        about_to_send = asyncio.Event()

        async def never(*_: object, **__: object) -> None:
            about_to_send.set()
            await asyncio.Event().wait()

        dead.link.request = never  # type: ignore[method-assign,assignment]
        dying = asyncio.create_task(take_payment(order, dead.road))
        await until(about_to_send.is_set)
        dying.cancel()
        await asyncio.gather(dying, return_exceptions=True)
        del dead.link.request  # type: ignore[attr-defined]
        await at.settle()

        payment = await resolve(at.stage.merchant, order.idempotency_key, at.stage.road)
        assert payment is not None
        assert payment.state is State.REVERSED
        assert await at.stage.causes(payment) == ["requested", "process_ended", "host_accepted"]
        assert at.charges() == []


async def test_f06_what_a_dead_process_did_not_tell_another_one_tells(
    database: Database, tmp_path: Path
) -> None:
    """It dies after the outcome's commit and before its reply: the same answer, and no message."""
    async with at_the_rail(database, tmp_path) as at:
        order = at.stage.order()
        untold = (await take_payment(order, at.stage.road)).payment

        told = await take_payment(order, at.stage.another_process().road)

        assert told.payment == untold
        assert not told.first
        assert len(at.charges()) == 1


async def test_f08_an_approval_that_comes_late_is_never_a_payment(
    database: Database, tmp_path: Path
) -> None:
    """Booked at once and answered too late: reversed at the host, and the answer is kept aside."""
    async with at_the_rail(database, tmp_path) as at:
        at.rail.faults.set("late_answer_seconds", "0.6:1")
        payment = await at.stage.take()
        assert payment.state is State.REVERSING
        await until(lambda: at.late)
        await at.settle()

        late = at.late[0].outcome
        assert isinstance(late, Answered)
        assert late.response_code == "00"
        assert (await at.stage.read(payment)).state is State.REVERSED
        assert at.charge_states() == ["reversed"]


async def test_f08_an_answer_to_a_reversal_that_is_lost_is_given_again(
    database: Database, tmp_path: Path
) -> None:
    """The host has booked it; the repeat gets the stored answer, and nothing is undone twice."""
    async with at_the_rail(database, tmp_path) as at:
        payment = await at.stage.take()
        await refuse(at.stage.merchant, payment.payment_id, actor=ACTOR, road=at.stage.road)
        at.rail.faults.set("silent_to_reversals", "2")

        await at.settle()

        assert (await at.stage.read(payment)).state is State.REVERSED
        (advice,) = await at.stage.advices()
        assert (advice["attempts"], advice["state"]) == (3, "accepted")
        assert [each["reversed_minor"] for each in at.charges()] == [4200]


async def test_f10_a_reversal_that_overtakes_its_sale_wins(
    database: Database, tmp_path: Path
) -> None:
    """The issuer still thinks when the 0420 comes: the sale is refused when it is decided."""
    async with at_the_rail(database, tmp_path, delay_ms=900) as at:
        payment = await at.stage.take()
        await at.stage.forwarder().forward()
        overtaken = await at.stage.read(payment)
        await until(lambda: at.late)

        assert (payment.state, overtaken.state) == (State.REVERSING, State.REVERSED)
        late = at.late[0].outcome
        assert isinstance(late, Answered)
        assert late.response_code == "96"
        assert at.charges() == []


async def test_f12_two_hundred_copies_at_two_processes_are_one_message(
    database: Database, tmp_path: Path
) -> None:
    """The key decides, not the process; everybody is told of the same payment."""
    async with at_the_rail(database, tmp_path, timers=Timers(send_seconds=15), delay_ms=50) as at:
        other = link_to(at.rail, at.stage.clock)
        await other.start()
        try:
            await other.wait_ready(5)
            order = at.stage.order()
            roads = [at.stage.road, at.stage.another_process(link=other).road]  # type: ignore[arg-type]
            taken = await asyncio.gather(
                *(take_payment(order, roads[number % 2]) for number in range(COPIES))
            )
        finally:
            await other.stop()

        assert sum(each.first for each in taken) == 1
        assert len({each.payment.payment_id for each in taken}) == 1
        assert len(at.charges()) == 1
        assert await at.stage.count("network_messages") == 2


@pytest.mark.parametrize("kind", [Kind.SALE, Kind.AUTHORIZATION])
async def test_f20_a_payment_cancelled_at_any_await_is_no_charge(
    database: Database, tmp_path: Path, kind: Kind
) -> None:
    """Whatever of it had happened: in the end nobody is charged, and the host agrees."""
    async with at_the_rail(database, tmp_path) as at:
        stopped = 0
        while True:
            order = at.stage.order(kind=kind)
            if not await interrupted_at(stopped + 1, take_payment(order, at.stage.road)):
                break
            stopped += 1
            await asyncio.sleep(0.02)
            await at.settle()
            payment = await resolve(at.stage.merchant, order.idempotency_key, at.stage.road)
            assert payment is None or payment.state in (State.REVERSED, State.NOT_SENT), stopped

        assert stopped >= 4  # At the numbers, the intent, the network, the outcome.
        living = [each for each in at.charge_states() if each != "reversed"]
        assert living == ["captured" if kind is Kind.SALE else "held"]  # The one that was let be.
