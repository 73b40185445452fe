"""
The database server of a run: the product's own embedded PostgreSQL, which waits for no disk.

One server serves all universes of a run, one after the other. Each gets a fresh copy of a
migrated template (decision 0018 says why a copy and not emptied tables).
"""

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Coroutine, Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeVar

import asyncpg
from counterfoil.config import Configuration, DatabaseSettings, VaultSettings
from counterfoil.store.database import Database
from counterfoil.store.embedded import EmbeddedPostgres
from counterfoil.store.migrate import migrate
from counterfoil.vault import PURPOSES
from cryptography.hazmat.primitives.keywrap import aes_key_wrap

from counterfoil_proof.world.clock import EPOCH
from counterfoil_proof.world.line import Line

T = TypeVar("T")

READY_SECONDS_MAX = 60.0
STOP_SECONDS_MAX = 30.0
LOCK_MS_MAX = 2_000  # In one process nobody may ever wait for a lock: a defect must be seen.
TEMPLATE = "migrated"
KEY_ENCRYPTION_KEY = bytes(range(32))  # Of cards that are no cards.
HASTY = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_wal_size": "4GB",
    "checkpoint_timeout": "1d",
    "shared_buffers": "128MB",
    "autovacuum": "off",
    "jit": "off",
    "plan_cache_mode": "force_generic_plan",
    "lock_timeout": str(LOCK_MS_MAX),
}
MEMORY = Path("/dev/shm")  # noqa: S108 - a folder of our own is made below it.


class Server:
    """
    A running server, asked from outside of virtual time.
    """

    def __init__(self, parameters: dict[str, str], folder: Path) -> None:
        self.folder = folder
        self._parameters = parameters
        self._loop = _Loop()
        self._administrator: asyncpg.Connection[asyncpg.Record] | None = None
        self._made = 0

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """
        Carry out *work* to its end while the world stands still.
        """
        outer = asyncio._get_running_loop()
        task = _suspend_task(outer)
        asyncio._set_running_loop(None)
        try:
            return self._loop.run_until_complete(work)
        finally:
            asyncio._set_running_loop(outer)
            _resume_task(outer, task)

    def fresh(self) -> str:
        """
        Make a database that nobody has used, and return its name.
        """
        self._made += 1
        name = f"universe_{self._made}"
        self._order(f'CREATE DATABASE "{name}" TEMPLATE "{TEMPLATE}" STRATEGY file_copy')
        return name

    def drop(self, name: str) -> None:
        """
        Remove a database.
        """
        self._order(f'DROP DATABASE "{name}" WITH (FORCE)')

    def connect(self, name: str) -> Line:
        """
        Return a connection to the database *name*.
        """
        settings = {"application_name": "counterfoil-world", "TimeZone": "UTC"}
        connection = self.run(
            asyncpg.connect(**self._to(name), server_settings=settings, statement_cache_size=1000)
        )
        return Line(connection, *self._loop.opened_last)

    async def open(self, name: str, *, connections: int = 2) -> Database:
        """
        Return the product's own pool to the database *name*; only inside of `run`.
        """
        return await Database.open(size_max=connections, **self._to(name))

    def close(self) -> None:
        """
        Let go of the server.
        """
        if self._administrator is not None:
            self.run(self._administrator.close())
        self._loop.close()

    def _order(self, statement: str) -> None:
        if self._administrator is None:
            parameters: dict[str, Any] = {**self._parameters}
            self._administrator = self.run(asyncpg.connect(**parameters))
        self.run(self._administrator.execute(statement))

    def _to(self, name: str) -> dict[str, Any]:
        return {**self._parameters, "database": name}


class _Loop(asyncio.SelectorEventLoop):
    """
    A loop that remembers the connection it opened last.
    """

    opened_last: tuple[Any, Any]

    async def create_unix_connection(self, *arguments: Any, **options: Any) -> tuple[Any, Any]:
        self.opened_last = await super().create_unix_connection(*arguments, **options)
        return self.opened_last


@contextlib.contextmanager
def serving(*, on_template: tuple[str, ...] = ()) -> Iterator[Server]:
    """
    Run a server with a migrated template for as long as the context lasts.

    *on_template* are statements that the proofs add to the template, after the product's own.
    """
    root = MEMORY if os.access(MEMORY, os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="counterfoil-world-", dir=root) as name:
        folder = Path(name)
        process, parameters = _start(folder)
        server = Server(parameters, folder)
        try:
            _make_template(server, on_template)
            yield server
        finally:
            server.close()
            process.send_signal(signal.SIGQUIT)  # At once, without a checkpoint.
            process.wait(STOP_SECONDS_MAX)


def configuration(folder: Path, **sections: Any) -> Configuration:
    """
    Return the configuration of a world below *folder*, with its key file in place.
    """
    key = folder / "key-encryption.key"
    if not key.exists():
        key.touch(mode=0o600)
        key.write_bytes(KEY_ENCRYPTION_KEY)
    return Configuration(
        state=str(folder),
        database=DatabaseSettings(),
        vault=VaultSettings(key_file=str(key)),
        **sections,
    )


def _start(folder: Path) -> tuple["subprocess.Popen[bytes]", dict[str, str]]:
    embedded = EmbeddedPostgres(folder / "postgres")
    embedded.prepare()
    settings = [part for item in HASTY.items() for part in ("-c", "=".join(item))]
    command = [*embedded.argv(parent=os.getpid()), *settings]
    with (folder / "postgres.log").open("ab") as log:
        process = subprocess.Popen(  # noqa: S603 - our own command, no shell.
            command, env=embedded.environment(), stdin=subprocess.DEVNULL, stderr=log
        )
    deadline = time.monotonic() + READY_SECONDS_MAX
    while not embedded.is_ready():
        if process.poll() is not None or time.monotonic() > deadline:
            raise OSError(f"the database did not start: {(folder / 'postgres.log').read_text()}")
        time.sleep(0.02)
    return process, embedded.dsn_parameters()


def _make_template(server: Server, on_template: tuple[str, ...]) -> None:
    server._order(f'CREATE DATABASE "{TEMPLATE}" TEMPLATE template0')

    async def prepare() -> None:
        database = await server.open(TEMPLATE)
        try:
            await migrate(database, mode="test", clock=_Epoch())
            for purpose in PURPOSES:
                # The same keys in every run: confirmation numbers are part of the story.
                wrapped = aes_key_wrap(KEY_ENCRYPTION_KEY, purpose.encode().ljust(32, b"."))
                await database.rows("add_vault_key", purpose, purpose, wrapped, EPOCH)
            async with database.acquire() as connection:
                for statement in on_template:
                    await connection.execute(statement)
        finally:
            await database.close()

    server.run(prepare())


class _Epoch:
    """
    The time at which the template was made.
    """

    def now(self) -> Any:
        return EPOCH

    def monotonic(self) -> float:
        return 0.0


def statements(name: str) -> tuple[str, ...]:
    """
    Return the statements of a file beside this one.
    """
    text = files(__package__).joinpath(name).read_text("utf-8")
    return (text,)


def remove(folder: Path) -> None:
    """
    Remove what a universe left on the disk.
    """
    shutil.rmtree(folder, ignore_errors=True)


def _suspend_task(loop: asyncio.AbstractEventLoop | None) -> "asyncio.Task[Any] | None":
    """
    Let no task be the current one while another loop runs (where Python counts them by thread).
    """
    swap = getattr(asyncio.tasks, "_swap_current_task", None)
    return swap(loop, None) if swap is not None and loop is not None else None


def _resume_task(loop: asyncio.AbstractEventLoop | None, task: "asyncio.Task[Any] | None") -> None:
    swap = getattr(asyncio.tasks, "_swap_current_task", None)
    if swap is not None and loop is not None:
        swap(loop, task)
