"""
The connection to PostgreSQL: what is in doubt, what has failed, and who is told.
"""

import asyncio
from pathlib import Path

import asyncpg
import pytest
from counterfoil.store import database as connecting
from counterfoil.store.database import Database, DatabaseAway, Lock


async def test_nobody_there_is_said_in_a_sentence(tmp_path_factory: pytest.TempPathFactory) -> None:
    """With what to check, and what to start."""
    with pytest.raises(DatabaseAway, match="is it running\\? Check DATABASE_URL"):
        await Database.open(host=str(tmp_path_factory.mktemp("empty")), user="nobody")


async def test_f27_a_server_that_takes_no_writes_is_not_spoken_to(empty: dict[str, str]) -> None:
    """A standby does not know yet of what was just committed: no payment is looked up there."""
    database = await Database.open(**empty)
    async with database.acquire() as connection:
        await connection.execute(
            f'ALTER DATABASE "{empty["database"]}" SET default_transaction_read_only = on'
        )
    await database.close()

    with pytest.raises(DatabaseAway, match="TargetServerAttributeNotMatched"):
        await Database.open(**empty)


def test_f27_there_is_one_way_to_the_database() -> None:
    """No second pool, so no reading somewhere else: what opens connections stands in one module."""
    package = Path(connecting.__file__).parents[1]
    openers = ("create_pool(", "asyncpg.connect(")
    found = {
        path.relative_to(package).as_posix()
        for path in package.rglob("*.py")
        if any(opener in path.read_text() for opener in openers)
    }

    assert found == {"store/database.py"}


async def test_f07_a_call_that_is_cut_is_in_doubt(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server's process is ended in the middle: nobody knows what became of it."""
    monkeypatch.setattr(connecting, "query", lambda name: name)
    waiting = asyncio.create_task(database.rows("SELECT pg_sleep(30)"))
    await asyncio.sleep(0.1)
    await database.rows(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE query = 'SELECT pg_sleep(30)' AND pid <> pg_backend_pid()"
    )

    with pytest.raises(DatabaseAway, match="no answer to"):
        await waiting


async def test_f36_a_statement_that_was_prepared_before_a_migration_is_prepared_anew(
    empty: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A version lives on while the next one adds a column to what it returns: nobody sees it."""
    monkeypatch.setattr(connecting, "query", lambda name: name)
    ours, theirs = [await Database.open(**empty, size_max=1) for _ in range(2)]
    await theirs.rows("CREATE TABLE grows AS SELECT 7 AS number")
    change = "UPDATE grows SET number = number + 1 RETURNING *"
    found = []
    for number, lock in enumerate((None, Lock("SELECT 1", ()))):
        await ours.rows(change, lock=lock)
        await theirs.rows(f"ALTER TABLE grows ADD COLUMN next_{number} integer")
        found += await ours.rows(change, lock=lock)
    await ours.close()
    await theirs.close()

    assert [row["number"] for row in found] == [9, 11]


async def test_f25_a_call_has_a_deadline_of_ours(
    parameters: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """F25: a COMMIT that waits for a standby is not cut by the server; it is by us."""
    monkeypatch.setattr(connecting, "query", lambda name: name)
    monkeypatch.setattr(connecting, "CALL_SECONDS_MAX", 0.1)
    database = await Database.open(**parameters)

    with pytest.raises(DatabaseAway):
        await database.rows("SELECT pg_sleep(30)")
    await database.close()


async def test_a_pool_that_is_used_up_is_no_answer_either(
    parameters: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Waiting for a connection has its maximum too."""
    database = await Database.open(size_max=1, **parameters)
    monkeypatch.setattr(connecting, "CONNECT_SECONDS_MAX", 0.1)

    async with database.acquire():
        with pytest.raises(DatabaseAway):
            await database.row("database_time")
    assert await database.row("database_time")
    await database.close()


async def test_a_statement_that_the_server_refuses_is_not_in_doubt(database: Database) -> None:
    """It has failed, and whoever asked is told how."""
    with pytest.raises(asyncpg.PostgresError) as caught:
        await database.rows("add_vault_key", "key", "no such purpose", b"", None)

    assert not isinstance(caught.value, connecting.IN_DOUBT)


async def test_a_value_of_the_wrong_kind_is_not_in_doubt_either(database: Database) -> None:
    """It never left this process."""
    with pytest.raises(asyncpg.DataError):
        await database.rows("payment_by_id", "no uuid", "no uuid")


async def test_times_come_back_in_utc(database: Database) -> None:
    """Whatever the server's zone is."""
    row = await database.row("database_time")

    assert row is not None
    assert row["now"].utcoffset().total_seconds() == 0


async def test_a_query_without_rows_has_no_first_one(database: Database) -> None:
    """None, not an error."""
    assert await database.row("key_by_hash", bytes(32)) is None


async def test_a_database_that_was_closed_takes_no_more_calls(parameters: dict[str, str]) -> None:
    """And says so as for any other silence."""
    database = await Database.open(**parameters)
    await database.close()

    with pytest.raises(DatabaseAway):
        await database.row("database_time")
