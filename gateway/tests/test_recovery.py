"""
The sweep: what is overdue is reversed, whoever forgot it.
"""

import asyncio
from datetime import timedelta
from typing import Any

from counterfoil.network.message import Fields
from counterfoil.network.outcome import Outcome
from counterfoil.payments.authorize import take_payment
from counterfoil.payments.lifecycle import State
from counterfoil.payments.payment import Payment
from counterfoil.payments.recovery import sweep
from payment_stage import Stage, until
from scripted_link import approve


async def orphaned(stage: Stage) -> Payment:
    """Return a payment whose process died while the acquirer had the message."""
    forever: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()

    async def never(mti: str, fields: Fields) -> Outcome:
        return await forever

    stage.link.script.append(never)
    dying = asyncio.create_task(take_payment(stage.order(), stage.road))
    await until(lambda: stage.link.asked)
    dying.cancel()
    await asyncio.gather(dying, return_exceptions=True)
    (row,) = await stage.sql(
        "SELECT payment_id FROM payments WHERE merchant_id = $1 AND state = 'processing'",
        stage.merchant.merchant_id,
    )
    payment = await stage.road.store.payment(stage.merchant.merchant_id, row["payment_id"])
    assert payment is not None
    return payment


async def test_f01_an_approval_that_nobody_claimed_is_reversed(stage: Stage) -> None:
    """No order, no charge: at the deadline, with reason 17."""
    payment = await stage.take()
    stage.clock.move(179)
    await sweep(stage.road)
    before = (await stage.read(payment)).state
    stage.clock.move(1)
    await sweep(stage.road)

    (owed,) = await stage.advices()
    assert before is State.APPROVED
    assert (await stage.read(payment)).state is State.REVERSING
    assert (owed["reason_code"], owed["next_try_at"]) == ("17", stage.clock.now())
    assert (await stage.causes(payment))[-1] == "unclaimed"


async def test_the_deadline_is_each_merchants_own(stage: Stage) -> None:
    """Five seconds here, three minutes there."""
    hasty = await Stage.set_up(stage.database, acknowledge_seconds=5)
    here, there = await hasty.take(), await stage.take()
    hasty.clock.move(6)

    await sweep(hasty.road)

    assert (await hasty.read(here)).state is State.REVERSING
    assert (await stage.read(there)).state is State.APPROVED


async def test_f04_an_intent_of_a_process_that_ended_is_reversed(stage: Stage) -> None:
    """F3: it counts as written: a 0420 with reason 68 is owed."""
    payment = await orphaned(stage)
    await sweep(stage.road)
    before = (await stage.read(payment)).state
    await stage.lease.end(stage.clock.now())
    await sweep(stage.another_process().road)

    (owed,) = await stage.advices()
    assert before is State.PROCESSING
    assert (await stage.read(payment)).state is State.REVERSING
    assert owed["reason_code"] == "68"
    assert (await stage.causes(payment))[-1] == "process_ended"


async def test_f04_an_intent_of_a_process_that_nobody_knows_is_reversed(stage: Stage) -> None:
    """Its row is gone with it."""
    payment = await orphaned(stage)
    await stage.sql("DELETE FROM processes WHERE process_id = $1", stage.lease.process_id)

    await sweep(stage.road)

    assert (await stage.read(payment)).state is State.REVERSING


async def test_an_intent_that_is_older_than_any_answer_is_reversed(stage: Stage) -> None:
    """The process lives and has lost it: after `orphan_seconds`."""
    payment = await orphaned(stage)
    stage.clock.move(59)
    await sweep(stage.road)
    before = (await stage.read(payment)).state
    stage.clock.move(1)
    await sweep(stage.road)

    assert before is State.PROCESSING
    assert (await stage.read(payment)).state is State.REVERSING


async def test_an_answer_that_comes_while_the_sweep_runs_has_one_winner(stage: Stage) -> None:
    """Approved in time, or reversed: never both, and the client hears the winner."""
    for turn in range(5):
        gate = asyncio.Event()

        async def at_the_gate(mti: str, fields: Fields, gate: Any = gate) -> Outcome:
            await gate.wait()
            return approve(mti, fields)

        stage.link.script.append(at_the_gate)
        taking = asyncio.create_task(take_payment(stage.order(), stage.road))
        await until(lambda turn=turn: len(stage.link.asked) > turn)
        stage.clock.move(60)
        sweeping = asyncio.create_task(sweep(stage.another_process().road))
        gate.set()
        taken, _ = await asyncio.gather(taking, sweeping)

        now = await stage.read(taken.payment)
        assert now.state in (State.APPROVED, State.REVERSING)
        assert taken.payment.state is now.state
        assert (now.authorized_minor == 4200) is (now.state is State.APPROVED)


async def test_sweeps_of_many_workers_reverse_once(stage: Stage) -> None:
    """The guarded UPDATE decides; one reversal for each payment."""
    payments = [await stage.take() for _ in range(10)]
    stage.clock.move(180)

    await asyncio.gather(*(sweep(stage.another_process().road) for _ in range(4)))

    assert len(await stage.advices()) == len(payments)
    assert all([len(await stage.causes(each)) == 3 for each in payments])


async def test_what_was_acknowledged_declined_or_is_in_time_is_left_alone(stage: Stage) -> None:
    """The sweep touches nothing but what is overdue."""
    paid, fresh = await stage.paid(), await stage.take()

    await sweep(stage.road)

    assert (await stage.read(paid)).state is State.CAPTURED
    assert (await stage.read(fresh)).state is State.APPROVED
    assert await stage.advices() == []


async def test_a_reversal_is_given_the_late_window(stage: Stage) -> None:
    """Until it ends, "original not found" is not believed."""
    await stage.take()
    stage.clock.move(180)

    await sweep(stage.road)

    (owed,) = await stage.advices()
    assert owed["late_until"] == stage.clock.now() + timedelta(seconds=600)
