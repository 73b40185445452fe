"""
The cutoffs of merchants' days, kept against the real store with a clock moved by hand.
"""

import asyncio
from datetime import UTC, datetime, time, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from counterfoil.settlement.schedule import keep_cutoffs
from counterfoil.store.batches import BatchStore, Cutoff
from counterfoil.store.database import Database
from payment_stage import Stage
from structlog.testing import capture_logs

NEW_YORK = "America/New_York"
# Half past two does not exist on the first, half past one exists twice on the second.
SPRING, AUTUMN = datetime(2027, 3, 14, tzinfo=UTC), datetime(2027, 11, 7, tzinfo=UTC)
A_MOMENT = timedelta(microseconds=1)


class OwnBatches(BatchStore):
    """
    The batches of one merchant: other tests in the same database keep theirs.
    """

    def __init__(self, database: Database, merchant_id: UUID) -> None:
        super().__init__(database, uuid4())
        self._merchant_id = merchant_id

    async def cutoffs(self, after: UUID | None, limit: int) -> list[Cutoff]:
        rows = await self._database.rows("merchants_at_cutoff", None, 10_000)
        own = [row for row in rows if row["merchant_id"] == self._merchant_id]
        return [Cutoff(**row) for row in own] if after is None else []


class Wall:
    """
    A merchant's day on a stage.
    """

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.batches = OwnBatches(stage.database, stage.merchant.merchant_id)

    async def day_ends(self, at: time, last: datetime) -> None:
        """Let the merchant's day end at *at* in New York; it last did at *last*."""
        await self.stage.sql(
            "UPDATE merchants SET cutoff = $2, timezone = $3, last_cutoff_at = $4 "
            "WHERE merchant_id = $1",
            *(self.stage.merchant.merchant_id, at, NEW_YORK, last),
        )

    def go_to(self, moment: datetime) -> None:
        """Let the time pass until *moment*."""
        self.stage.clock.move((moment - self.stage.clock.now()).total_seconds())

    async def keep(self) -> int:
        """Keep what is due; return how many batches began to close."""
        return await keep_cutoffs(self.batches, self.stage.road)

    async def closes(self) -> list[tuple[int, datetime]]:
        """Return the batches that began to close, and when."""
        rows = await self.stage.sql(
            "SELECT batch_number, at FROM batch_events "
            "WHERE merchant_id = $1 AND to_state = 'closing' ORDER BY batch_number",
            self.stage.merchant.merchant_id,
        )
        return [(row["batch_number"], row["at"]) for row in rows]

    async def last_cutoff(self) -> Any:
        """Return the cutoff that was kept last."""
        [row] = await self.stage.sql(
            "SELECT last_cutoff_at FROM merchants WHERE merchant_id = $1",
            self.stage.merchant.merchant_id,
        )
        return row["last_cutoff_at"]


@pytest.fixture
async def wall(database: Database) -> Wall:
    """A merchant's day."""
    return Wall(await Stage.set_up(database))


async def test_a_cutoff_that_the_clocks_skip_is_kept_at_the_end_of_the_gap(wall: Wall) -> None:
    """Half past two on the day of the change to summer time: at three, and once."""
    await wall.day_ends(time(2, 30), SPRING - timedelta(hours=16))
    wall.go_to(SPRING)
    await wall.stage.paid()
    kept = []
    for moment in (SPRING.replace(hour=7) - A_MOMENT, SPRING.replace(hour=7)):
        wall.go_to(moment)
        kept.append(await wall.keep())
    await wall.stage.paid()
    next_day = SPRING + timedelta(days=1, hours=6, minutes=30)
    for moment in (next_day - A_MOMENT, next_day):
        wall.go_to(moment)
        kept.append(await wall.keep())

    assert kept == [0, 1, 0, 1]
    assert await wall.closes() == [(1, SPRING.replace(hour=7)), (2, next_day)]


async def test_a_cutoff_that_comes_twice_is_kept_the_first_time(wall: Wall) -> None:
    """Half past one on the day of the change from summer time: what comes between is tomorrow's."""
    first, second = (AUTUMN.replace(hour=hour, minute=30) for hour in (5, 6))
    await wall.day_ends(time(1, 30), AUTUMN - timedelta(hours=16))
    wall.go_to(AUTUMN)
    await wall.stage.paid()
    wall.go_to(first)
    kept = [await wall.keep()]
    await wall.stage.paid()
    wall.go_to(second)
    kept.append(await wall.keep())
    next_day = second + timedelta(days=1)
    wall.go_to(next_day)
    kept.append(await wall.keep())

    assert kept == [1, 0, 1]
    assert await wall.closes() == [(1, first), (2, next_day)]


async def test_cutoffs_missed_in_an_outage_are_kept_as_one(wall: Wall) -> None:
    """Three days down: what was there before closes at once, what came since the last one stays."""
    await wall.day_ends(time(17), SPRING - timedelta(hours=3))
    wall.go_to(SPRING)
    await wall.stage.paid()
    back = SPRING + timedelta(days=3, hours=12)
    wall.go_to(back)

    kept = [await wall.keep(), await wall.keep()]
    await wall.stage.paid()
    kept.append(await wall.keep())

    assert kept == [1, 0, 0]
    assert await wall.closes() == [(1, back)]
    assert await wall.last_cutoff() == SPRING + timedelta(days=2, hours=21)


async def test_a_batch_of_the_new_day_stays_open_when_the_cutoff_is_kept_late(wall: Wall) -> None:
    """Opened after the cutoff that was missed: it is closed at its own."""
    await wall.day_ends(time(17), SPRING - timedelta(hours=3))
    missed = SPRING + timedelta(hours=21)
    wall.go_to(missed + timedelta(hours=1))
    await wall.stage.paid()

    assert await wall.keep() == 0
    assert await wall.last_cutoff() == missed
    wall.go_to(missed + timedelta(days=1))
    assert await wall.keep() == 1


async def test_a_day_without_payments_closes_nothing(wall: Wall) -> None:
    """An empty batch stays open, with its number."""
    await wall.day_ends(time(17), SPRING)
    wall.go_to(SPRING + timedelta(days=2))

    assert await wall.keep() == 0
    assert await wall.closes() == []


async def test_two_workers_keep_a_cutoff_once(wall: Wall) -> None:
    """However many look at the same moment, one batch closes, and one is opened."""
    await wall.day_ends(time(17), SPRING - timedelta(hours=3))
    wall.go_to(SPRING)
    await wall.stage.paid()
    wall.go_to(SPRING + timedelta(days=1))
    workers = [wall, *(Wall(wall.stage.another_process()) for _ in range(3))]

    kept = await asyncio.gather(*(each.keep() for each in workers))

    assert sum(kept) == 1
    assert len(await wall.closes()) == 1
    rows = await wall.stage.sql(
        "SELECT state FROM batches WHERE merchant_id = $1 ORDER BY batch_number",
        wall.stage.merchant.merchant_id,
    )
    assert [row["state"] for row in rows] == ["closing", "open"]


class AllOf(OwnBatches):
    """
    The batches of several merchants of one test, in this order.
    """

    def __init__(self, *walls: Wall) -> None:
        super().__init__(walls[0].stage.database, walls[0].stage.merchant.merchant_id)
        self._walls = walls

    async def cutoffs(self, after: UUID | None, limit: int) -> list[Cutoff]:
        if after is not None:
            return []
        return [row for each in self._walls for row in await each.batches.cutoffs(after, limit)]


async def test_one_merchants_fault_stops_no_other_merchants_day(
    wall: Wall, database: Database
) -> None:
    """A zone that is none, and a terminal whose numbers are used up: both are told, none waits."""
    nowhere, full = Wall(await Stage.set_up(database)), Wall(await Stage.set_up(database))
    for each in (nowhere, full, wall):
        await each.day_ends(time(17), SPRING - timedelta(hours=3))
        each.go_to(SPRING)
        await each.stage.paid()
        each.go_to(SPRING + timedelta(days=1))
    await wall.stage.sql(
        "UPDATE merchants SET timezone = 'Nowhere/Land' WHERE merchant_id = $1",
        nowhere.stage.merchant.merchant_id,
    )
    for table in ("batches", "movements", "payments"):
        await wall.stage.sql(
            f"UPDATE {table} SET batch_number = 999999 WHERE merchant_id = $1",
            full.stage.merchant.merchant_id,
        )

    with capture_logs() as logs:
        kept = await keep_cutoffs(AllOf(nowhere, full, wall), wall.stage.road)

    assert kept == 1
    assert len(await wall.closes()) == 1
    assert [each["merchant"] for each in logs if each["event"] == "cutoff_not_kept"] == [
        each.stage.merchant.merchant_id.hex for each in (nowhere, full)
    ]
