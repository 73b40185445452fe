"""
Who may go on with a batch that is being closed.
"""

from datetime import timedelta
from uuid import uuid4

import pytest
from counterfoil.settlement.close import begin
from counterfoil.store.batches import BatchStore
from counterfoil.store.database import Database
from payment_stage import Stage

LEASE = timedelta(minutes=5)


@pytest.fixture
async def closing(database: Database) -> Stage:
    """A merchant whose only batch begins to close."""
    stage = await Stage.set_up(database)
    await stage.paid()
    stage.clock.move(1)
    batches = BatchStore(database, uuid4())
    keys = await batches.to_close(stage.merchant.merchant_id, stage.clock.now())
    await begin(keys, batches, stage.road, cause="test", actor="test")
    return stage


async def test_f22_a_batch_is_held_by_one_worker(closing: Stage) -> None:
    """As long as its worker lives, nobody else gets it; the worker itself finds it again."""
    holder, other = _store(closing), BatchStore(closing.database, uuid4())

    assert await _claimed(closing, holder) == 1
    assert await _claimed(closing, other) == 0
    assert await _claimed(closing, holder) == 1


async def test_f22_a_batch_is_free_as_soon_as_its_worker_has_ended(closing: Stage) -> None:
    """Killed in the middle: the next worker does not wait for the lease on the batch."""
    assert await _claimed(closing, _store(closing)) == 1
    await closing.lease.end(closing.clock.now())

    assert await _claimed(closing, BatchStore(closing.database, uuid4())) == 1


def _store(stage: Stage) -> BatchStore:
    """Return the batches as the stage's own process holds them."""
    return BatchStore(stage.database, stage.lease.process_id)


async def _claimed(stage: Stage, batches: BatchStore) -> int:
    """Return how many batches *batches* gets now."""
    now = stage.clock.now()
    return len(await batches.claim([stage.acquirer], now, now + LEASE, 20))
