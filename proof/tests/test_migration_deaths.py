"""
A migration in which somebody dies: the process at every point of it, and PostgreSQL in each file.

Whoever starts next finishes it. The schema is then whole, each file is noted once, and what was in
the database is what it would be if nobody had died: to the last row of every table.
"""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from counterfoil.clock import SystemClock
from counterfoil.store import migrate as migrating
from counterfoil.store.database import Database
from counterfoil.store.embedded import EmbeddedPostgres
from counterfoil.store.migrate import migrate, migrations

READY_SECONDS_MAX = 60.0
PROGRAM = Path(__file__).with_name("migrating.py")
NUMBERS = [each.number for each in migrations()]
FILE = ("migration {} before", "migration {} after")
COMMIT = ("commit migration {} before", "commit migration {} after")
STAMP = ("query found_installation before", "query found_installation after")
AT = "'2026-11-23 10:00+00'"
ID = "'00000000-0000-7000-8000-00000000000{}'"

# What the first version's database has when the second one comes: one paid sale.
ROWS = [
    f"INSERT INTO merchants VALUES ({ID.format(1)}, 'Stub & Leaf', 'Portland', 'OR', 'US', '5943',"
    f" 'UTC', '23:00', 'owner@shop.example', 180, {AT})",
    f"INSERT INTO terminals VALUES ({ID.format(1)}, 'sandbox', 'TERM0001', 'MERCHANT0000001',"
    f" {AT})",
    f"INSERT INTO batches VALUES ({ID.format(1)}, 'sandbox', 'TERM0001', 'USD', 1, 'open', {AT})",
    "INSERT INTO payments (merchant_id, payment_id, idempotency_key, kind, state, version,"
    " changed_by, amount_minor, currency, authorized_minor, captured_minor, card_token, card_brand,"
    " card_bin, card_last_four, acquirer, terminal_id, batch_number, business_day, stan, rrn,"
    " transmitted_at, local_time, process_id, session_id, confirmation_number, created_at,"
    f" updated_at) VALUES ({ID.format(1)}, {ID.format(2)}, 'key', 'sale', 'captured', 2,"
    f" {ID.format(3)}, 4200, 'USD', 4200, 4200, {ID.format(4)}, 'visa', '453957', '1486',"
    f" 'sandbox', 'TERM0001', 1, '2026-11-23', 1, '632700000001', {AT}, '1123100000',"
    f" {ID.format(5)}, 'session', '123456789012', {AT}, {AT})",
    "INSERT INTO movements (merchant_id, movement_id, payment_id, kind, state, amount_minor,"
    " currency, acquirer, terminal_id, batch_number, rrn, created_at, updated_at) VALUES"
    f" ({ID.format(1)}, {ID.format(6)}, {ID.format(2)}, 'capture', 'pending', 4200, 'USD',"
    f" 'sandbox', 'TERM0001', 1, '632700000001', {AT}, {AT})",
    f"INSERT INTO payment_events VALUES ({ID.format(1)}, {ID.format(2)}, 1, {ID.format(7)}, {AT},"
    " NULL, 'processing', 'requested', 'api')",
    f"INSERT INTO payment_events VALUES ({ID.format(1)}, {ID.format(2)}, 2, {ID.format(8)}, {AT},"
    f" 'processing', 'captured', 'acknowledged', 'api', {ID.format(6)}, 'pending')",
    f"INSERT INTO transfers VALUES ({ID.format(1)}, {ID.format(9)}, {ID.format(2)}, {ID.format(6)},"
    f" 'open', 'issuer', 4200, 'USD', 'acknowledged', {AT})",
]
SCHEMA = """
SELECT table_name || '.' || column_name || ' ' || data_type || ' ' || is_nullable || ' '
       || coalesce(column_default, '')
FROM information_schema.columns WHERE table_schema = 'public'
UNION ALL SELECT conrelid::regclass || ' ' || conname || ' ' || pg_get_constraintdef(oid)
FROM pg_constraint WHERE connamespace = 'public'::regnamespace
UNION ALL SELECT indexdef FROM pg_indexes WHERE schemaname = 'public'
UNION ALL SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal
UNION ALL SELECT pg_get_functiondef(oid) FROM pg_proc WHERE pronamespace = 'public'::regnamespace
"""
TABLES = "SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1"
OWN_TIME = {"schema_migrations": "applied_at", "installation": "created_at"}
OF_THE_LOCK = "SELECT pg_advisory_lock($1)"

Books = tuple[list[str], dict[str, list[str]]]


class Host:
    """The embedded PostgreSQL, which may be killed and is started again."""

    def __init__(self, folder: Path) -> None:
        self.embedded = EmbeddedPostgres(folder)
        self.process: subprocess.Popen[bytes] | None = None
        self._log = folder.with_suffix(".log")

    def start(self) -> None:
        """Start it, and return when it is ready."""
        self.embedded.prepare()
        command = self.embedded.argv(parent=os.getpid())
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                command, env=self.embedded.environment(), stdin=subprocess.DEVNULL, stderr=log
            )
        until = time.monotonic() + READY_SECONDS_MAX
        while not self.embedded.is_ready():
            assert self.process.poll() is None, self._log.read_text()
            assert time.monotonic() < until, "the database was not ready in time"
            time.sleep(0.02)

    def died(self) -> None:
        """Take note of its death."""
        assert self.process is not None
        assert self.process.wait(READY_SECONDS_MAX) == -signal.SIGKILL

    def stop(self) -> None:
        """End it."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGQUIT)
            self.process.wait(READY_SECONDS_MAX)

    def make(self, name: str) -> dict[str, str]:
        """Make an empty database, and return what opens it."""
        parameters = self.embedded.dsn_parameters()
        run(parameters, lambda connection: connection.execute(f'CREATE DATABASE "{name}"'))
        return {**parameters, "database": name}


def run(parameters: dict[str, str], work: Callable[[Any], Any]) -> Any:
    """Do some work on a connection of its own."""

    async def connected() -> Any:
        connection = await asyncpg.connect(**parameters)
        try:
            return await work(connection)
        finally:
            await connection.close()

    return asyncio.run(connected())


async def filled(connection: Any) -> None:
    """Write what the first version has written."""
    for row in ROWS:
        await connection.execute(row)


async def applied(connection: Any) -> list[int]:
    """Return the numbers that are noted, when whoever died has let go of the lock."""
    await connection.execute(OF_THE_LOCK, migrating._LOCK)
    if await connection.fetchval("SELECT to_regclass('schema_migrations')") is None:
        return []
    rows = await connection.fetch("SELECT number FROM schema_migrations ORDER BY 1")
    return [row["number"] for row in rows]


async def books(connection: Any) -> Books:
    """Return the whole schema and every row of every table, but for the migration's own times."""
    schema = [row[0] for row in await connection.fetch(SCHEMA)]
    rows: dict[str, list[str]] = {}
    for (table,) in await connection.fetch(TABLES):
        without = OWN_TIME.get(table, "")
        found = await connection.fetch(f"SELECT (to_jsonb(t) - '{without}')::text FROM {table} t")
        rows[table] = sorted(row[0] for row in found)
    return sorted(schema), rows


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    """A server with its safety settings, as an installation has it."""
    running = Host(tmp_path_factory.mktemp("migrating") / "postgres")
    running.start()
    yield running
    running.stop()


@pytest.fixture(scope="module")
def undisturbed(host: Host) -> Books:
    """What the database is when nobody dies."""
    parameters = host.make("undisturbed")

    async def upgrade() -> None:
        database = await Database.open(**parameters)
        first = migrations()[:1]
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(migrating, "migrations", lambda: first)
            await migrate(database, mode="test", clock=SystemClock())
        async with database.acquire() as connection:
            await filled(connection)
        await migrate(database, mode="test", clock=SystemClock())
        await database.close()

    asyncio.run(upgrade())
    found: Books = run(parameters, books)
    return found


@contextmanager
def lives() -> Iterator[Callable[..., dict[str, Any]]]:
    """Lend what starts one process after the other."""
    with subprocess.Popen(
        [sys.executable, PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as program:
        assert program.stdin is not None
        assert program.stdout is not None
        stdin, stdout = program.stdin, program.stdout

        def live(
            parameters: dict[str, str], point: str | None = None, kills: int | None = None
        ) -> dict[str, Any]:
            asked = {"parameters": parameters, "point": point, "kills": kills}
            stdin.write(json.dumps(asked) + "\n")
            stdin.flush()
            told: dict[str, Any] = {}
            while "status" not in told:
                told |= json.loads(stdout.readline())
            return told

        yield live
        stdin.close()


def points_of(number: int) -> list[str]:
    """Return every point of one file, in order."""
    return [each.format(number) for each in (*FILE, *COMMIT)]


def test_f36_every_step_of_a_migration_has_its_point(host: Host) -> None:
    """Each file, its commit, and the stamp of the mode; a step more would be a death too few."""
    with lives() as live:
        told = live(host.make("recorded"))

    expected = [point for number in NUMBERS for point in points_of(number)]
    assert told["passed"] == [*expected, *STAMP]


def test_f36_a_process_killed_at_any_point_of_a_migration_is_followed_by_one_that_ends_it(
    host: Host, undisturbed: Books
) -> None:
    """SIGKILL, one life after the other, each a point further: a file is there whole or not."""
    parameters = host.make("killed")
    with lives() as live:
        for number in NUMBERS:
            for point in points_of(number):
                assert live(parameters, point)["status"] == -signal.SIGKILL, point
                is_done = point == COMMIT[1].format(number)
                assert run(parameters, applied) == NUMBERS[: number - (not is_done)], point
            if number == NUMBERS[0]:
                run(parameters, filled)
        for point in STAMP:
            assert live(parameters, point)["status"] == -signal.SIGKILL, point
        assert live(parameters)["status"] == 0

    assert run(parameters, books) == undisturbed


@pytest.mark.timeout(300)
def test_f36_postgresql_killed_before_any_commit_of_a_migration_loses_nothing(
    host: Host, undisturbed: Books
) -> None:
    """The server and its backends, with a file done and not committed: it recovers, and goes on."""
    parameters = host.make("server")
    with lives() as live:
        for number in NUMBERS:
            server = host.embedded.server_pid()
            told = live(parameters, COMMIT[0].format(number), kills=server)
            host.died()
            host.start()
            assert (told["fault"], told["status"]) == ("DatabaseAway", 1)
            assert run(parameters, applied) == NUMBERS[: number - 1]
            if number == NUMBERS[0]:
                assert live(parameters, COMMIT[1].format(number))["status"] == -signal.SIGKILL
                run(parameters, filled)
        assert live(parameters)["status"] == 0

    assert run(parameters, books) == undisturbed
