"""
Eight writers and a closer: whatever is sold, captured, voided and refunded while batches close.
"""

import asyncio
from dataclasses import dataclass, field
from random import Random

import pytest
from counterfoil.payments import movements
from counterfoil.payments.lifecycle import Kind, State
from counterfoil.payments.payment import Payment
from counterfoil.payments.refusals import NotNow
from counterfoil.settlement.close import Closer, begin
from counterfoil.store.batches import BatchStore
from counterfoil.store.database import Database
from ledger_day import ClosingLink, audited, forward
from payment_stage import Stage

WRITERS = 8
PAYMENTS_EACH = 8
PAYMENTS_EACH_MAX = 200
CLOSES_MIN = 4
PLACED = """
SELECT m.movement_id, m.kind, m.state, m.batch_number, b.state AS batch_state, (
    SELECT count(*) FROM batch_items AS i
    WHERE i.merchant_id = m.merchant_id AND i.movement_id = m.movement_id
      AND i.batch_number = m.batch_number AND i.amount_minor = m.amount_minor) AS items
FROM movements AS m JOIN batches AS b USING (merchant_id, acquirer, terminal_id, currency,
    batch_number)
WHERE m.merchant_id = $1 AND m.kind IN ('capture', 'refund')
"""


@dataclass
class Race:
    """How many closes have begun, and whether the writers are done."""

    begun: int = 0
    written: asyncio.Event = field(default_factory=asyncio.Event)


async def walk(stage: Stage, chance: Random, race: Race) -> list[Payment]:
    """Sell, capture, void and refund, whatever the batches do, until enough closes have begun."""
    taken: list[Payment] = []
    while len(taken) < PAYMENTS_EACH or race.begun < CLOSES_MIN:
        assert len(taken) < PAYMENTS_EACH_MAX, f"only {race.begun} closes have begun"
        kind = chance.choice((Kind.SALE, Kind.AUTHORIZATION))
        payment = await stage.paid(kind=kind, amount_minor=chance.randint(500, 5000))
        taken.append(payment)
        if kind is Kind.AUTHORIZATION:
            await command(stage, "capture", payment, chance.randint(1, 400))
            await command(stage, "capture", payment, None)
        name = chance.choice(("void", "undo", "refund", "nothing"))
        if name != "nothing":
            await command(stage, name, payment, chance.choice((None, chance.randint(1, 300))))
        await asyncio.sleep(chance.uniform(0, 0.01))
    return taken


async def command(stage: Stage, name: str, payment: Payment, amount: int | None) -> None:
    """Do it, if it is still possible."""
    try:
        await getattr(movements, name)(stage.command(payment, amount_minor=amount), stage.road)
    except NotNow:
        return


async def close_again_and_again(stage: Stage, race: Race) -> None:
    """Close what is open and bring closes to their end, as a worker does."""
    store = BatchStore(stage.database, stage.lease.process_id)
    closer = Closer(stage.road, store, stage.merchants, [stage.acquirer], answer_seconds=1.0)
    rounds = 0
    while not race.written.is_set():
        stage.clock.move(1)
        keys = await store.to_close(stage.merchant.merchant_id, stage.clock.now())
        if rounds % 3 == 0:
            race.begun += len(await begin(keys, store, stage.road, cause="test", actor="test"))
        await closer.step()
        await forward(stage, rounds=2)
        rounds += 1
        await asyncio.sleep(0.02)
    for _ in range(3):
        await forward(stage)
        keys = await store.to_close(stage.merchant.merchant_id, stage.clock.now())
        await begin(keys, store, stage.road, cause="test", actor="test")
        for _ in range(5):
            stage.clock.move(1)
            await closer.step()


@pytest.mark.timeout(300)
async def test_f16_with_eight_writers_and_a_closer_everything_is_in_exactly_one_batch(
    database: Database,
) -> None:
    """What stands is an item once, of the batch that it names, and the books agree."""
    stage = await Stage.set_up(database, link=ClosingLink())
    race = Race()
    closing = asyncio.create_task(close_again_and_again(stage.another_process(), race))
    writers = [walk(stage.another_process(), Random(number), race) for number in range(WRITERS)]
    taken = [payment for some in await asyncio.gather(*writers) for payment in some]
    race.written.set()
    await closing

    rows = await stage.sql(PLACED, stage.merchant.merchant_id)
    standing = [row for row in rows if row["state"] not in ("undone", "failed")]
    assert race.begun >= CLOSES_MIN
    assert len(taken) >= WRITERS * PAYMENTS_EACH
    assert len(standing) > len(taken) // 2
    assert {(row["state"], row["batch_state"], row["items"]) for row in standing} == {
        ("batched", "closed", 1)
    }
    assert {row["items"] for row in rows if row["state"] == "undone"} <= {0}
    assert len({row["batch_number"] for row in standing}) >= CLOSES_MIN - 1
    ended = {(await stage.read(payment)).state for payment in taken}
    assert ended <= {State.CAPTURED, State.VOIDED, State.AUTHORIZED}
    await audited(stage)
