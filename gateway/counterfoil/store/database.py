"""
The connection to PostgreSQL: a pool, deadlines on every call, and who is told what went wrong.

Every call has a deadline of its own on our side, because a server's
`statement_timeout` does not cut a COMMIT that waits for a standby
(reliability.md, F25). A call that was cut or lost is *in doubt*, never *failed*.
"""

import asyncio
from typing import Any, NamedTuple

import asyncpg
import structlog
from asyncpg.connect_utils import SessionAttribute

from counterfoil.plainly import SaidPlainly
from counterfoil.store.queries import query

POOL_MAX = 12
CALL_SECONDS_MAX = 10.0
CONNECT_SECONDS_MAX = 5.0

# What may have left a statement committed or not: nobody knows until it is read again.
IN_DOUBT: tuple[type[BaseException], ...] = (
    TimeoutError,
    OSError,
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.CannotConnectNowError,
    asyncpg.TooManyConnectionsError,
    asyncpg.InternalClientError,
    asyncpg.QueryCanceledError,
)

log = structlog.get_logger("store")


class DatabaseAway(SaidPlainly):
    """
    The database did not answer in time; what was asked of it may or may not have happened.
    """


class Lock(NamedTuple):
    """
    A query that locks rows, run before a statement and in its transaction.

    A statement sees what was committed when it began. One that reads several tables begins
    only when the rows are locked, and so sees all that the one before it has done.
    """

    name: str
    arguments: tuple[Any, ...]


class _Connection(asyncpg.Connection):
    """
    A connection that is handed back without a round trip: we never change its settings.
    """

    def get_reset_query(self) -> str:
        """
        Return nothing: there is nothing to reset.
        """
        return ""


class Database:
    """
    The pool. Opened once by a process, closed when it ends.
    """

    def __init__(self, pool: "asyncpg.Pool[asyncpg.Record]") -> None:
        self._pool = pool

    @classmethod
    async def open(cls, *, size_max: int = POOL_MAX, **parameters: Any) -> "Database":
        """
        Connect with the keyword arguments of `asyncpg.connect`, or `dsn=...`.

        Raises:
            DatabaseAway: Nobody answers there.
        """
        try:
            pool = await asyncpg.create_pool(
                min_size=1,
                max_size=size_max,
                timeout=CONNECT_SECONDS_MAX,
                command_timeout=CALL_SECONDS_MAX,
                connection_class=_Connection,
                # Of several hosts the primary: a standby may not know yet of a payment (F27).
                target_session_attrs=SessionAttribute.read_write,
                server_settings={"application_name": "counterfoil", "TimeZone": "UTC"},
                **parameters,
            )
        except IN_DOUBT as error:
            raise DatabaseAway(
                "cannot reach PostgreSQL: is it running? Check DATABASE_URL, or start the "
                f"embedded one with `counterfoil up` ({type(error).__name__}: {error})"
            ) from error
        return cls(pool)

    async def close(self) -> None:
        """
        Hand everything back; cut what does not end within the deadline.
        """
        try:
            await asyncio.wait_for(self._pool.close(), CALL_SECONDS_MAX)
        except TimeoutError:
            self._pool.terminate()

    async def rows(
        self,
        name: str,
        *arguments: Any,
        seconds_max: float = CALL_SECONDS_MAX,
        lock: Lock | None = None,
    ) -> list[asyncpg.Record]:
        """
        Run the named query, with *lock* first if there is one, and return its rows.

        *seconds_max* bounds each statement, and with CONNECT_SECONDS_MAX the wait for a connection.

        Raises:
            DatabaseAway: No answer in time; a writing query is then in doubt.
        """
        try:
            try:
                return await self._run(name, arguments, seconds_max, lock)
            except asyncpg.InvalidCachedStatementError:
                # The next version's migration has added to a table since this was prepared.
                # Nothing was changed, and it is prepared anew.
                return await self._run(name, arguments, seconds_max, lock)
        except IN_DOUBT as error:
            raise DatabaseAway(f"no answer to {name}: {type(error).__name__}") from error

    async def _run(
        self, name: str, arguments: tuple[Any, ...], seconds_max: float, lock: Lock | None
    ) -> list[asyncpg.Record]:
        patience = min(CONNECT_SECONDS_MAX, seconds_max)
        async with self._pool.acquire(timeout=patience) as connection:
            if lock is None:
                return await connection.fetch(query(name), *arguments, timeout=seconds_max)
            async with connection.transaction():
                await connection.fetch(query(lock.name), *lock.arguments, timeout=seconds_max)
                return await connection.fetch(query(name), *arguments, timeout=seconds_max)

    async def row(
        self, name: str, *arguments: Any, lock: Lock | None = None
    ) -> asyncpg.Record | None:
        """
        Run the named query and return its first row, or None.
        """
        if lock is None:
            found = await self.rows(name, *arguments)
        else:
            found = await self.rows(name, *arguments, lock=lock)
        return found[0] if found else None

    async def many(
        self, name: str, rows: list[tuple[Any, ...]], *, lock: str | None = None
    ) -> list[asyncpg.Record]:
        """
        Run the named query with each column of *rows* as one array: one statement, one commit.

        The query *lock* gets the first two columns, merchants and payments.

        Raises:
            DatabaseAway: No answer in time: the whole group is in doubt.
        """
        columns = [list(column) for column in zip(*rows, strict=True)]
        if lock is None:
            return await self.rows(name, *columns)
        return await self.rows(name, *columns, lock=Lock(lock, (columns[0], columns[1])))

    def acquire(self) -> Any:
        """
        Lend a connection, as an async context manager: for migrations and listening.
        """
        return self._pool.acquire(timeout=CONNECT_SECONDS_MAX)
