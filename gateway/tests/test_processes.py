"""
Processes and their leases.
"""

import asyncio
from datetime import UTC, datetime, timedelta
from uuid import uuid4

from counterfoil import ground
from counterfoil.clock import SystemClock
from counterfoil.store.processes import ProcessStore
from payment_stage import Stage
from structlog.testing import capture_logs

HOUR = timedelta(hours=1)
LEASE_SECONDS = 1.0
PATIENCE_SECONDS = 8.0  # Less than one call to the database may take.
LOCK = "SELECT 1 FROM processes WHERE process_id = $1 FOR UPDATE"


async def alive(stage: Stage, at: datetime | None = None) -> set[object]:
    return {row["process_id"] for row in await stage.lease.alive(at or stage.clock.now())}


async def test_a_process_lives_while_its_lease_holds(stage: Stage) -> None:
    """And not a moment longer, unless it renews it."""
    own = stage.lease.process_id
    before = await alive(stage)
    stage.clock.move(3601)
    lapsed = await alive(stage)
    renewed = await stage.lease.renew(stage.clock.now() + HOUR)

    assert own in before
    assert own not in lapsed
    assert renewed
    assert own in await alive(stage)


async def test_a_process_that_stops_in_good_order_is_gone_at_once(stage: Stage) -> None:
    """Nobody waits for its lease to run out."""
    await stage.lease.end(stage.clock.now())

    assert stage.lease.process_id not in await alive(stage)


async def test_f29_a_server_that_may_lose_what_it_acknowledged_is_named(stage: Stage) -> None:
    """The tests' own waits for no disk: `doctor` would say which settings are to blame."""
    unsafe = await stage.lease.safety_settings()

    assert unsafe == ["fsync = off", "full_page_writes = off", "synchronous_commit = off"]


async def test_f22_a_process_that_was_forgotten_is_told_when_it_renews(stage: Stage) -> None:
    """It was suspended for a week: it must register anew."""
    assert not await ProcessStore(stage.database, uuid4()).renew(stage.clock.now() + HOUR)


async def test_f22_a_renewal_that_hangs_is_cut_and_made_again(stage: Stage) -> None:
    """One call that nobody answers must not cost the lease: others would take the work back."""
    clock = SystemClock()
    until = clock.now() + timedelta(seconds=LEASE_SECONDS)
    await stage.lease.renew(until)
    with capture_logs() as said:
        async with stage.database.acquire() as other, other.transaction():
            await other.fetch(LOCK, stage.lease.process_id)
            renewing = asyncio.create_task(
                ground.renew(stage.lease, "gateway", LEASE_SECONDS, clock)
            )
            async with asyncio.timeout(PATIENCE_SECONDS):
                while len([each for each in said if each["event"] == "lease_not_renewed"]) < 2:  # noqa: ASYNC110 - a log has no event.
                    await asyncio.sleep(0.02)
        async with asyncio.timeout(PATIENCE_SECONDS):
            while stage.lease.process_id not in await alive(stage, until):  # noqa: ASYNC110 - a row.
                await asyncio.sleep(0.02)
    renewing.cancel()


async def test_a_process_that_ended_long_ago_is_forgotten(stage: Stage) -> None:
    """Only those whose lease ended before."""
    now = stage.clock.now()
    old = ProcessStore(stage.database, uuid4())
    await old.register("worker", now - 2 * HOUR, now - HOUR)

    await stage.lease.forget(now)

    assert not await old.renew(now)
    assert await stage.lease.renew(now + HOUR)


async def test_a_process_with_an_unanswered_intent_is_not_forgotten(stage: Stage) -> None:
    """The sweep still needs to know that its lease has ended."""
    payment = await stage.take()
    await stage.sql("ALTER TABLE payments DISABLE TRIGGER payments_legal_moves")
    await stage.sql(
        "UPDATE payments SET state = 'processing' WHERE payment_id = $1", payment.payment_id
    )
    await stage.sql("ALTER TABLE payments ENABLE TRIGGER payments_legal_moves")
    await stage.lease.end(stage.clock.now() - HOUR)

    await stage.lease.forget(stage.clock.now())

    assert await stage.lease.renew(stage.clock.now())


async def test_the_databases_clock_can_be_compared(stage: Stage) -> None:
    """DESIGN 5.8: a skew of over one second means "not ready"."""
    skew = abs(await stage.lease.database_time() - datetime.now(UTC))

    assert skew < timedelta(seconds=5)
