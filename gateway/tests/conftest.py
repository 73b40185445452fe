"""
What the gateway's tests share: one PostgreSQL for the session, a fresh database for each module.

Nothing is started before a test asks for it, so that the tests of pure modules stay fast.
"""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from uuid import uuid4

import asyncpg
import pytest
import structlog
from counterfoil.clock import SystemClock
from counterfoil.config import Configuration, DatabaseSettings
from counterfoil.store.database import Database
from counterfoil.store.embedded import EmbeddedPostgres
from counterfoil.store.migrate import migrate

sys.path.insert(0, str(Path(__file__).parent))

from payment_stage import Stage

READY_SECONDS_MAX = 60.0
TEMPLATE = "migrated"
HASTY = ("-c", "fsync=off", "-c", "synchronous_commit=off", "-c", "full_page_writes=off")


class Server:
    """
    The session's database server, as an administrator sees it.
    """

    def __init__(self, parameters: dict[str, str]) -> None:
        self.parameters = parameters

    def make(self, name: str, *, template: str = "template0") -> dict[str, str]:
        """
        Make the database *name* and return the parameters that open it.
        """
        asyncio.run(self._run(f'CREATE DATABASE "{name}" TEMPLATE "{template}"'))
        return {**self.parameters, "database": name}

    async def _run(self, statement: str) -> None:
        connection = await asyncpg.connect(**self.parameters)
        try:
            await connection.execute(statement)
        finally:
            await connection.close()


@pytest.fixture(autouse=True)
def plain_log() -> None:
    """The log as it is when nothing has set it up: a day that was simulated here has its own."""
    structlog.reset_defaults()


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The embedded PostgreSQL, which waits for no disk: these tests kill processes, not power."""
    folder = tmp_path_factory.mktemp("database") / "postgres"
    embedded = EmbeddedPostgres(folder)
    embedded.prepare()
    command = [*embedded.argv(parent=os.getpid()), *HASTY]
    with (folder.parent / "postgres.log").open("ab") as log:
        process = subprocess.Popen(command, env=embedded.environment(), stderr=log)
    try:
        deadline = time.monotonic() + READY_SECONDS_MAX
        while not embedded.is_ready():
            assert process.poll() is None, "the database ended before it was ready"
            assert time.monotonic() < deadline, "the database was not ready in time"
            time.sleep(0.02)
        yield Server(embedded.dsn_parameters())
    finally:
        process.send_signal(signal.SIGQUIT)  # At once, without a checkpoint.
        process.wait(30)


@pytest.fixture(scope="session")
def template(server: Server) -> str:
    """A migrated database, to be copied."""
    parameters = server.make(TEMPLATE)

    async def prepare() -> None:
        database = await Database.open(**parameters)
        await migrate(database, mode="test", clock=SystemClock())
        await database.close()

    asyncio.run(prepare())
    return TEMPLATE


@pytest.fixture(scope="module")
def parameters(server: Server, template: str, request: pytest.FixtureRequest) -> dict[str, str]:
    """What opens the module's own database."""
    name = request.module.__name__.rpartition(".")[2]
    # A worker may come back to a module whose tests were shared out meanwhile.
    return server.make(f"{name[:50]}_{uuid4().hex[:8]}", template=template)


@pytest.fixture
def empty(server: Server, request: pytest.FixtureRequest) -> dict[str, str]:
    """What opens an empty database of the test's own."""
    return server.make(request.node.name[:60])


@pytest.fixture
async def database(parameters: dict[str, str]) -> AsyncIterator[Database]:
    """The module's database, opened for one test."""
    opened = await Database.open(**parameters)
    yield opened
    await opened.close()


@pytest.fixture
async def stage(database: Database) -> Stage:
    """A merchant of its own, on a road to a scripted acquirer."""
    return await Stage.set_up(database)


def _url(parameters: dict[str, str]) -> str:
    """Return the URL that an operator would write for *parameters*."""
    user, password = parameters["user"], parameters["password"]
    return f"postgresql://{user}:{password}@/{parameters['database']}?host={parameters['host']}"


@pytest.fixture
def installation(empty: dict[str, str], tmp_path: Path) -> Configuration:
    """A new installation: an empty database, an empty state folder."""
    return Configuration(state=str(tmp_path), database=DatabaseSettings(url=_url(empty)))
