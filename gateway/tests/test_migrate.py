"""
Migrations: applied once, never edited, and never on the other mode's data.
"""

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest
from counterfoil.clock import SystemClock
from counterfoil.store import migrate as migrating
from counterfoil.store.database import Database
from counterfoil.store.migrate import Migration, MigrationRefused, migrate, migrations, pending
from ledger_day import Day

CLOCK = SystemClock()
NAMES = [each.name for each in migrations()]


@pytest.fixture
async def fresh(empty: dict[str, str]) -> AsyncIterator[Database]:
    """An empty database."""
    database = await Database.open(**empty)
    yield database
    await database.close()


async def test_a_new_database_gets_everything_once(fresh: Database) -> None:
    """In order; a second start finds nothing to do."""
    before = await pending(fresh)
    first = await migrate(fresh, mode="test", clock=CLOCK)
    second = await migrate(fresh, mode="test", clock=CLOCK)

    assert before == first == NAMES
    assert second == []
    assert await pending(fresh) == []


async def test_f36_two_starts_at_once_apply_each_migration_once(fresh: Database) -> None:
    """One waits for the other and then finds everything done."""
    applied = await asyncio.gather(*(migrate(fresh, mode="test", clock=CLOCK) for _ in range(3)))

    assert sorted(name for names in applied for name in names) == sorted(NAMES)


async def test_a_database_is_stamped_with_its_mode(fresh: Database) -> None:
    """Test data and live data never share one."""
    await migrate(fresh, mode="test", clock=CLOCK)

    with pytest.raises(MigrationRefused, match=r"holds test data .* mode = 'live'"):
        await migrate(fresh, mode="live", clock=CLOCK)
    row = await fresh.row("installation")
    assert row is not None
    assert row["mode"] == "test"


async def test_an_edited_file_stops_everything(
    fresh: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two schemas would carry one number."""
    await migrate(fresh, mode="test", clock=CLOCK)
    edited = [Migration(each.number, each.name, each.text + "\n-- more") for each in migrations()]
    monkeypatch.setattr(migrating, "migrations", lambda: edited)

    for work in (migrate(fresh, mode="test", clock=CLOCK), pending(fresh)):
        with pytest.raises(MigrationRefused, match="was edited after it was applied: restore"):
            await work


async def test_f36_a_running_version_lives_on_when_the_next_one_adds_to_every_table(
    fresh: Database, empty: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its connections have prepared their statements on the tables as they were: a whole day more.

    From the first sale to the bank's statement; whatever reads or writes "all columns" trips.
    """
    await migrate(fresh, mode="test", clock=CLOCK)
    await Day.whole(fresh)
    async with fresh.acquire() as connection:
        tables = await connection.fetch(
            "SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY tablename"
        )
    text = ";".join(
        f'ALTER TABLE "{table}" ADD COLUMN of_the_next integer NOT NULL DEFAULT 0'
        for (table,) in tables
    )
    following = Migration(len(NAMES) + 1, "following", text)
    monkeypatch.setattr(migrating, "migrations", lambda: [*migrations(), following])
    next_version = await Database.open(**empty)
    applied = await migrate(next_version, mode="test", clock=CLOCK)
    await next_version.close()

    day = await Day.whole(fresh)

    assert applied == ["following"]
    assert len(tables) > 30
    assert (await day.audit()).agrees


async def test_f36_a_database_of_a_newer_version_is_left_alone(
    fresh: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With what to install."""
    await migrate(fresh, mode="test", clock=CLOCK)
    monkeypatch.setattr(migrating, "migrations", lambda: migrations()[:-1])

    with pytest.raises(MigrationRefused, match="which this version does not know: install"):
        await migrate(fresh, mode="test", clock=CLOCK)


async def test_f36_a_migration_that_fails_leaves_nothing_behind(
    fresh: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each is one transaction: repaired, it is applied as if nothing had been."""
    bad = Migration(len(NAMES) + 1, "bad", "CREATE TABLE half (x integer); SELECT 1/0;")
    monkeypatch.setattr(migrating, "migrations", lambda: [*migrations(), bad])
    with pytest.raises(asyncpg.DivisionByZeroError):
        await migrate(fresh, mode="test", clock=CLOCK)

    async with fresh.acquire() as connection:
        left = await connection.fetchval("SELECT to_regclass('half')")
    assert left is None
    assert await pending(fresh) == ["bad"]


async def test_a_failed_migration_holds_nobody_else_up(
    fresh: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its lock is given back, though its connection lives on in the pool."""
    bad = Migration(1, "bad", "SELECT 1/0")
    monkeypatch.setattr(migrating, "migrations", lambda: [bad])
    with pytest.raises(asyncpg.DivisionByZeroError):
        await migrate(fresh, mode="test", clock=CLOCK)
    monkeypatch.undo()

    async with asyncio.timeout(5):
        assert await migrate(fresh, mode="test", clock=CLOCK) == NAMES


def test_migrations_are_numbered_without_a_gap() -> None:
    """Names too: 0001_the_road is number 1."""
    assert [each.number for each in migrations()] == list(range(1, len(NAMES) + 1))
    assert NAMES[0] == "the_road"
    assert len({each.checksum for each in migrations()}) == len(NAMES)
