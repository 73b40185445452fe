"""
The group writer: many rows in one statement, each waiting for its own, and no row lost in doubt.
"""

import asyncio
from typing import Any
from uuid import uuid4

import asyncpg
import pytest
from counterfoil.store import writer as writing
from counterfoil.store.database import Database, DatabaseAway
from counterfoil.store.writer import GroupWriter, QueueFull
from payment_stage import HandClock

SECONDS = 5.0
CLOCK = HandClock()
MERCHANT = uuid4()

# A step as all real ones are: guarded, idempotent, and RETURNING who won.
STEP = """
WITH input AS (
    SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::integer[]) AS t (merchant_id, payment_id, n)
), written AS (
    INSERT INTO written SELECT merchant_id, payment_id, n, txid_current() FROM input
    ON CONFLICT DO NOTHING RETURNING *
)
SELECT * FROM written
"""


@pytest.fixture
async def table(database: Database, monkeypatch: pytest.MonkeyPatch) -> Database:
    """A database with a table that holds each payment once, and no negative number."""
    async with database.acquire() as connection:
        await connection.execute(
            "DROP TABLE IF EXISTS written; CREATE TABLE written (merchant_id uuid, "
            "payment_id uuid, n integer CHECK (n >= 0), transaction bigint, "
            "PRIMARY KEY (merchant_id, payment_id))"
        )
    monkeypatch.setattr("counterfoil.store.database.query", lambda name: STEP)
    return database


class Faulty:
    """A database whose answers can be lost on the way: before, or after the COMMIT."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.faults: list[str] = []
        self.calls: list[int] = []

    async def many(self, name: str, rows: list[tuple[Any, ...]]) -> list[asyncpg.Record]:
        self.calls.append(len(rows))
        fault = self.faults.pop(0) if self.faults else ""
        if fault == "before":
            raise DatabaseAway("the connection broke before the COMMIT")
        found = await self.database.many(name, rows)
        if fault == "after":
            raise DatabaseAway("the connection broke after the COMMIT")
        return found


def group_writer(database: Any, **more: Any) -> GroupWriter:
    return GroupWriter(database, "step", clock=CLOCK, **more)


def row(number: int = 0, payment: Any = None) -> tuple[Any, ...]:
    return MERCHANT, payment or uuid4(), number


async def once(groups: list[int]) -> None:
    """Let other tasks run until a group has been taken."""
    while not groups:  # noqa: ASYNC110 - it is there after a turn or two of the loop.
        await asyncio.sleep(0)


async def written(database: Database) -> list[asyncpg.Record]:
    async with database.acquire() as connection:
        rows: list[asyncpg.Record] = await connection.fetch("SELECT * FROM written")
        return rows


async def test_many_rows_at_once_are_one_statement_and_one_commit(table: Database) -> None:
    """DESIGN 6: this is how the gateway gets past one commit per payment."""
    groups: list[int] = []
    writer = group_writer(table, groups_at_once=1, on_group=lambda _, rows: groups.append(rows))

    won = await asyncio.gather(*(writer.write(row(), seconds_max=SECONDS) for _ in range(100)))

    assert all(won)
    assert groups == [100]
    assert len({each["transaction"] for each in await written(table)}) == 1


async def test_each_waits_only_for_its_own(table: Database) -> None:
    """And gets its own row back, whatever the order."""
    writer = group_writer(table)
    rows = [row(number) for number in range(50)]

    won = await asyncio.gather(*(writer.write(each, seconds_max=SECONDS) for each in rows))

    assert [(each["payment_id"], each["n"]) for each in won if each] == [
        (payment, number) for _, payment, number in rows
    ]


async def test_a_lone_row_is_not_held_back(table: Database) -> None:
    """No timer waits for company."""
    writer = group_writer(table)
    loop = asyncio.get_running_loop()
    await writer.write(row(), seconds_max=SECONDS)
    began = loop.time()
    for _ in range(10):
        await writer.write(row(), seconds_max=SECONDS)

    assert (loop.time() - began) / 10 < 0.05


async def test_what_comes_while_a_group_is_under_way_forms_the_next(table: Database) -> None:
    """At most so many at once; the rest waits and goes together."""
    groups: list[int] = []
    writer = group_writer(table, groups_at_once=1, on_group=lambda _, rows: groups.append(rows))
    first = asyncio.create_task(writer.write(row(), seconds_max=SECONDS))
    await once(groups)

    rest = [asyncio.create_task(writer.write(row(), seconds_max=SECONDS)) for _ in range(30)]
    await asyncio.sleep(0)
    waiting = writer.depth
    await asyncio.gather(first, *rest)

    assert groups == [1, 30]
    assert waiting == 30
    assert writer.depth == 0


async def test_a_group_has_a_maximum(table: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """What does not fit goes with the next one."""
    monkeypatch.setattr(writing, "GROUP_ROWS_MAX", 16)
    groups: list[int] = []
    writer = group_writer(table, on_group=lambda _, rows: groups.append(rows))

    await asyncio.gather(*(writer.write(row(), seconds_max=SECONDS) for _ in range(40)))

    assert sum(groups) == 40
    assert max(groups) == 16


async def test_one_payment_is_in_a_group_once(table: Database) -> None:
    """Two changes of one payment go one after the other: one wins, the other is refused."""
    groups: list[int] = []
    writer = group_writer(table, groups_at_once=1, on_group=lambda _, rows: groups.append(rows))
    payment = uuid4()

    won = await asyncio.gather(
        *(writer.write(row(number, payment), seconds_max=SECONDS) for number in range(3)),
        writer.write(row(9), seconds_max=SECONDS),
    )

    assert groups == [2, 1, 1]
    assert [bool(each) for each in won] == [True, False, False, True]
    assert {each["n"] for each in await written(table)} == {0, 9}


async def test_rows_of_a_group_are_sorted(table: Database) -> None:
    """So that two groups never wait for each other's locks in a circle."""
    seen: list[list[Any]] = []

    class Watched(Faulty):
        async def many(self, name: str, rows: list[tuple[Any, ...]]) -> list[asyncpg.Record]:
            seen.append([each[:2] for each in rows])
            return await super().many(name, rows)

    writer = group_writer(Watched(table), groups_at_once=1)
    await asyncio.gather(*(writer.write(row(), seconds_max=SECONDS) for _ in range(20)))

    assert len(seen) == 1
    assert seen[0] == sorted(seen[0])


async def test_one_bad_row_hurts_nobody_else(table: Database) -> None:
    """The group is written again row by row; the bad one gets its own error."""
    writer = group_writer(table)
    rows = [row(number) for number in (1, 2, -1, 3)]

    results = await asyncio.gather(
        *(writer.write(each, seconds_max=SECONDS) for each in rows), return_exceptions=True
    )

    assert isinstance(results[2], asyncpg.CheckViolationError)
    assert all(isinstance(results[place], asyncpg.Record) for place in (0, 1, 3))
    assert {each["n"] for each in await written(table)} == {1, 2, 3}


async def test_a_row_that_never_leaves_the_process_hurts_nobody_else(table: Database) -> None:
    """Of the wrong kind: refused at once, not held for in doubt."""
    writer = group_writer(table)

    results = await asyncio.gather(
        writer.write(row(1), seconds_max=SECONDS),
        writer.write((MERCHANT, uuid4(), "x"), seconds_max=SECONDS),
        return_exceptions=True,
    )

    assert isinstance(results[0], asyncpg.Record)
    assert isinstance(results[1], asyncpg.DataError)


@pytest.mark.parametrize("fault", ["before", "after"])
async def test_f07_a_commit_in_doubt_is_settled_before_anybody_is_told(
    table: Database, fault: str
) -> None:
    """
    DESIGN 5.3: asked again on a new connection. Lost before, the row is written now; lost
    after, the guard refuses it, and None sends its caller to read what is there.
    """
    faulty = Faulty(table)
    faulty.faults = [fault]
    writer = group_writer(faulty, groups_at_once=1)

    won = await asyncio.gather(
        *(writer.write(row(number), seconds_max=SECONDS) for number in range(5))
    )

    assert faulty.calls == [5, 1, 1, 1, 1, 1]
    assert all(won) is (fault == "before")
    assert any(won) is (fault == "before")
    assert sorted(each["n"] for each in await written(table)) == [0, 1, 2, 3, 4]


async def test_f07_who_won_is_told_even_after_a_doubt(table: Database) -> None:
    """One of the group was there before: None for the loser, the row for the others."""
    taken = row(1)
    await group_writer(table).write(taken, seconds_max=SECONDS)
    faulty = Faulty(table)
    faulty.faults = ["before"]
    writer = group_writer(faulty)

    won = await asyncio.gather(
        writer.write(taken, seconds_max=SECONDS), writer.write(row(2), seconds_max=SECONDS)
    )

    assert [bool(each) for each in won] == [False, True]


async def test_f07_a_killed_server_process_is_a_doubt_that_is_settled(
    table: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The real thing: pg_terminate_backend in the middle of the statement."""
    slow = STEP.replace("SELECT * FROM written\n", "SELECT *, pg_sleep(0.3) FROM written\n")
    monkeypatch.setattr("counterfoil.store.database.query", lambda name: slow)
    writer = group_writer(table, groups_at_once=1)
    writes = [asyncio.create_task(writer.write(row(n), seconds_max=SECONDS)) for n in range(3)]
    await asyncio.sleep(0.15)
    async with table.acquire() as connection:
        killed = await connection.fetchval(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
            "WHERE query LIKE '%pg_sleep(0.3)%' AND pid <> pg_backend_pid()"
        )

    assert killed == 1
    assert all(await asyncio.gather(*writes))
    assert sorted(each["n"] for each in await written(table)) == [0, 1, 2]


async def test_a_doubt_that_nobody_can_settle_is_said(
    table: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Within the time that the caller gave, not for ever."""
    faulty = Faulty(table)
    faulty.faults = ["before"] * 1000
    loop = asyncio.get_running_loop()
    began = loop.time()

    with pytest.raises(DatabaseAway, match="step is in doubt"):
        await group_writer(faulty).write(row(), seconds_max=0.4)
    assert loop.time() - began < 1.0
    assert await written(table) == []


async def test_a_full_queue_refuses_and_writes_nothing(
    table: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The maximum is named; the caller may come back later."""
    monkeypatch.setattr(writing, "QUEUE_ROWS_MAX", 5)
    writer = group_writer(table)
    writes = [asyncio.create_task(writer.write(row(n), seconds_max=SECONDS)) for n in range(8)]

    results = await asyncio.gather(*writes, return_exceptions=True)

    refused = [each for each in results if isinstance(each, QueueFull)]
    assert len(refused) == 3
    assert "5 rows wait for step" in str(refused[0])
    assert len(await written(table)) == 5


async def test_who_hung_up_before_the_group_left_is_not_written(table: Database) -> None:
    """Nothing was begun for them; after that it is too late to take back."""
    groups: list[int] = []
    writer = group_writer(table, groups_at_once=1, on_group=lambda _, rows: groups.append(rows))
    first = asyncio.create_task(writer.write(row(1), seconds_max=SECONDS))
    await once(groups)
    second = asyncio.create_task(writer.write(row(2), seconds_max=SECONDS))
    await asyncio.sleep(0)
    second.cancel()
    await first
    await writer.drain()

    assert [each["n"] for each in await written(table)] == [1]


async def test_f20_who_hung_up_while_it_was_written_disturbs_nobody(table: Database) -> None:
    """F20: the row is there, and the others have their answers."""
    writer = group_writer(table, groups_at_once=1)
    writes = [asyncio.create_task(writer.write(row(n), seconds_max=SECONDS)) for n in range(3)]
    await asyncio.sleep(0.001)
    writes[1].cancel()
    results = await asyncio.gather(*writes, return_exceptions=True)
    await writer.drain()

    assert isinstance(results[1], asyncio.CancelledError)
    assert isinstance(results[0], asyncpg.Record)
    assert isinstance(results[2], asyncpg.Record)


async def test_drain_waits_for_everything_handed_in(table: Database) -> None:
    """A process that stops in good order leaves nothing half way."""
    writer = group_writer(table, groups_at_once=1)
    writes = [asyncio.create_task(writer.write(row(n), seconds_max=SECONDS)) for n in range(20)]
    await asyncio.sleep(0)

    await writer.drain()

    assert all(each.done() for each in writes)
    assert len(await written(table)) == 20


async def test_a_defect_in_a_group_leaves_nobody_waiting(table: Database) -> None:
    """Whatever ended it, each of its rows is in doubt, and is told so at once."""

    class Broken(Faulty):
        async def many(self, name: str, rows: list[tuple[Any, ...]]) -> list[asyncpg.Record]:
            raise ZeroDivisionError

    noticed: list[Any] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: noticed.append(context["exception"]))
    writer = group_writer(Broken(table))

    async with asyncio.timeout(2):
        results = await asyncio.gather(
            *(writer.write(row(n), seconds_max=SECONDS) for n in range(3)), return_exceptions=True
        )

    assert all(isinstance(each, DatabaseAway) for each in results)
    assert [type(each) for each in noticed] == [ZeroDivisionError]


async def test_what_waits_behind_a_defect_is_written_all_the_same(table: Database) -> None:
    """Also when nobody hands in another row, which would begin a group."""

    class BrokenOnce(Slow):
        async def many(self, name: str, rows: list[tuple[Any, ...]]) -> list[asyncpg.Record]:
            found = await super().many(name, rows)
            if len(self.calls) == 1:
                raise ZeroDivisionError
            return found

    asyncio.get_running_loop().set_exception_handler(lambda *_: None)
    broken = BrokenOnce(table)
    writer = group_writer(broken)
    first = handed_in(writer, writing.ALONE_ROWS_MIN)
    await asyncio.sleep(0)
    behind = handed_in(writer, 1)
    await asyncio.sleep(0)
    broken.may.set()

    async with asyncio.timeout(2):
        told = await asyncio.gather(*first, return_exceptions=True)
        (won,) = await asyncio.gather(*behind)

    assert [type(each) for each in told] == [DatabaseAway] * writing.ALONE_ROWS_MIN
    assert won


async def test_f20_a_process_that_ends_begins_no_other_group_and_leaves_nobody_waiting(
    table: Database,
) -> None:
    """What waits behind a group that was cancelled is in doubt, and the writer is drained."""
    groups: list[int] = []
    writer = group_writer(table, groups_at_once=1, on_group=lambda _, size: groups.append(size))
    under_way = asyncio.create_task(writer.write(row(), seconds_max=SECONDS))
    await once(groups)
    waiting = asyncio.create_task(writer.write(row(), seconds_max=SECONDS))
    await asyncio.sleep(0)
    at_work = [each for each in asyncio.all_tasks() if "_work" in repr(each.get_coro())]
    for task in at_work:
        task.cancel()

    told = await asyncio.gather(under_way, waiting, return_exceptions=True)
    await asyncio.wait_for(writer.drain(), SECONDS)

    assert len(at_work) == 1
    assert [type(each) for each in told] == [DatabaseAway, DatabaseAway]
    assert groups == [1]
    assert writer.depth == 0


class Slow(Faulty):
    """A database that does not answer the first statement before it may."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self.may = asyncio.Event()
        self.slow = 1

    async def many(self, name: str, rows: list[tuple[Any, ...]]) -> list[asyncpg.Record]:
        self.slow -= 1
        if self.slow >= 0:
            await self.may.wait()
        return await super().many(name, rows)


def handed_in(writer: GroupWriter, rows: int) -> list[asyncio.Task[Any]]:
    """Hand in so many rows at once."""
    return [asyncio.create_task(writer.write(row(), seconds_max=SECONDS)) for _ in range(rows)]


@pytest.mark.parametrize(("first", "beside"), [(3, [3, 5]), (4, [4])])
async def test_only_beside_a_small_group_another_begins_at_once(
    table: Database, first: int, beside: list[int]
) -> None:
    """Two groups cost more than one of twice the rows; a few rows are no reason to wait."""
    groups: list[int] = []
    slow = Slow(table)
    writer = group_writer(slow, on_group=lambda _, rows: groups.append(rows))
    writes = handed_in(writer, first)
    await once(groups)

    writes += handed_in(writer, 5)
    await asyncio.sleep(0.02)
    meanwhile = list(groups)
    slow.may.set()

    assert all(await asyncio.gather(*writes))
    assert meanwhile == beside
    assert groups == [first, 5]


async def test_a_group_that_takes_long_holds_up_nobody_else(
    table: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It waits for a lock, say: who waits behind it goes past it, and who comes later at once."""
    monkeypatch.setattr(writing, "ALONE_SECONDS_MAX", 0.02)
    slow = Slow(table)
    writer = group_writer(slow)
    stuck = handed_in(writer, 10)
    await asyncio.sleep(0)

    passed = await asyncio.wait_for(asyncio.gather(*handed_in(writer, 10)), 2)
    monkeypatch.setattr(writing, "ALONE_SECONDS_MAX", 3600)
    at_once = await asyncio.wait_for(writer.write(row(), seconds_max=SECONDS), 2)
    waited = not any(each.done() for each in stuck)
    slow.may.set()

    assert all(passed)
    assert at_once
    assert waited
    assert all(await asyncio.gather(*stuck))
