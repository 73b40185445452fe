"""
The database as one process of the world sees it: the real one, behind a connection that breaks.

Each call is one statement, done at one moment of virtual time with a pause before it and after
it. In those pauses the caller may die, the connection may break, or the statement may be done
although its caller has given up: the two sides of every commit (reliability.md, F7).
"""

import asyncio
import contextlib
import contextvars
import re
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from functools import cache
from random import Random
from typing import Any

import asyncpg
from counterfoil.store.database import CALL_SECONDS_MAX, Database, DatabaseAway, Lock
from counterfoil.store.migrate import migrations
from counterfoil.store.queries import query

from counterfoil_proof.world.clock import WorldClock
from counterfoil_proof.world.life import Life
from counterfoil_proof.world.line import Line
from counterfoil_proof.world.server import Server
from counterfoil_proof.world.weather import Weather

REFUSED_SECONDS = 0.05  # A server that is down says so quickly.
STALE_SECONDS_MAX = 6.0
_WORD = re.compile(r"\b[a-z_]{4,}\b")
_TABLE = re.compile(r"^CREATE TABLE (\w+)", re.MULTILINE)
_EVENTS = frozenset({"payment_events", "movement_events", "batch_events", "deposit_events"})
_HARMLESS = {"renew_process"}  # It makes nothing due.
_LOOKING = {"feeds_to_number"}  # What it writes says only that there is a merchant.
_HISTORY = ("payment_events", "movement_events")
_WRITING = ("INSERT INTO", "UPDATE ", "DELETE FROM", "FOR UPDATE")


@cache
def is_writing(text: str) -> bool:
    """
    Return whether a statement changes anything.
    """
    return any(word in text for word in _WRITING)


@cache
def tables_in(text: str) -> frozenset[str]:
    """
    Return the tables that a statement names; the feed is fed by triggers on the events.
    """
    words = tables() & frozenset(_WORD.findall(text))
    return words | _EVENTS if "feed_pending" in words else words


@cache
def tables() -> frozenset[str]:
    """
    Return the names of all tables, as the migrations make them.
    """
    return frozenset(name for each in migrations() for name in _TABLE.findall(each.text))


def _key(name: str, arguments: tuple[Any, ...]) -> tuple[Any, ...] | None:
    """
    Return what makes two reads the same but for the time of asking; None: nothing can.
    """
    said = [each for each in arguments if not isinstance(each, datetime)]
    key = (name, *(tuple(each) if isinstance(each, list) else each for each in said))
    try:
        hash(key)
    except TypeError:
        return None
    return key


class Memory:
    """
    What was read of tables that nobody has written since: most rounds of a worker find nothing.

    A read is answered from here for STALE_SECONDS_MAX at most, as if it had been asked then: that
    much later it sees what only time has made due.
    """

    def __init__(self) -> None:
        self._writes: Counter[str] = Counter()
        self._everything = 0
        self._kept: dict[tuple[Any, ...], tuple[tuple[int, ...], float, list[Any]]] = {}

    def wrote(self, text: str) -> None:
        """
        A statement has written the tables that it names.
        """
        for table in tables_in(text):
            self._writes[table] += 1

    def wrote_anything(self) -> None:
        """
        Anything may have been written.
        """
        self._everything += 1

    def stamp(self, text: str) -> tuple[int, ...]:
        """
        Return what changes when a table of a statement is written.
        """
        return (self._everything, sum(self._writes[table] for table in tables_in(text)))

    def kept(self, key: tuple[Any, ...], stamp: tuple[int, ...], now: float) -> list[Any] | None:
        """
        Return what was read before, if it would be read again.
        """
        found = self._kept.get(key)
        if found is None or found[0] != stamp or now - found[1] > STALE_SECONDS_MAX:
            return None
        return found[2]

    def keep(
        self, key: tuple[Any, ...], stamp: tuple[int, ...], now: float, rows: list[Any]
    ) -> None:
        """
        Remember what was read.
        """
        self._kept[key] = (stamp, now, rows)


@cache
def is_history(text: str) -> bool:
    """
    Return whether a statement writes what the witness looks at.
    """
    return any(word in text for word in _HISTORY) and is_writing(text)


class Store:
    """
    The one database of a universe: what is durable, and nothing else.

    `on_write` is called after each statement (or transaction) that may have changed something.
    """

    def __init__(
        self,
        server: Server,
        name: str,
        on_write: Callable[[str], None],
        now: Callable[[], float],
    ) -> None:
        self.memory = Memory()
        self._now = now
        self.server = server
        self.name = name
        self.is_down = False
        self.calls: Counter[str] = Counter()
        self.on_write = on_write
        self._plain = server.connect(name)
        self._of_transactions: Line | None = None

    @property
    def for_transactions(self) -> Line:
        """The connection for what takes more than one statement."""
        if self._of_transactions is None:
            self._of_transactions = self.server.connect(self.name)
        return self._of_transactions

    def ask(self, text: str, *arguments: Any) -> list[asyncpg.Record]:
        """
        Run a statement now; nobody is told. For whoever looks from outside.
        """
        return self._plain.run(self._plain.connection.fetch(text, *arguments))

    def do(self, name: str, *arguments: Any) -> list[asyncpg.Record]:
        """
        Run a named query now.
        """
        text = query(name)
        if is_writing(text) and name not in _LOOKING:
            return self._write(name, text, arguments)
        key = _key(name, arguments)
        stamp = self.memory.stamp(text)
        if key is not None and (kept := self.memory.kept(key, stamp, self._now())) is not None:
            return kept
        self.calls[name] += 1
        rows: list[asyncpg.Record] = self._plain.run(self._plain.connection.fetch(text, *arguments))
        if key is not None and not (rows and name in _LOOKING):
            self.memory.keep(key, stamp, self._now(), rows)
        return rows

    def _write(self, name: str, text: str, arguments: tuple[Any, ...]) -> list[asyncpg.Record]:
        self.calls[name] += 1
        if name not in _HARMLESS:
            self.memory.wrote(text)
        rows: list[asyncpg.Record] = self._plain.run(self._plain.connection.fetch(text, *arguments))
        if is_history(text):
            self.on_write(name)
        return rows

    def close(self) -> None:
        """
        Let go of the database.
        """
        for line in (self._plain, self._of_transactions):
            if line is not None:
                line.close()


class WorldDatabase(Database):
    """
    What a process of the world has for a pool.
    """

    def __init__(
        self,
        store: Store,
        life: Life,
        clock: WorldClock,
        weather: Weather,
        chance: Random,
        count: Callable[[str], None],
    ) -> None:
        self._store = store
        self._life = life
        self._clock = clock  # The database server's own.
        self._weather = weather
        self._chance = chance
        self._count = count

    async def rows(
        self,
        name: str,
        *arguments: Any,
        seconds_max: float = CALL_SECONDS_MAX,
        lock: Lock | None = None,
    ) -> list[asyncpg.Record]:
        """
        Run the named query, if nothing comes between.

        There is nothing to *lock*: a statement of the world is over before the next one begins.

        Raises:
            DatabaseAway: No answer; a writing query is then in doubt.
        """
        await self._reach(name)
        if name == "database_time":
            return [{"now": self._clock.now()}]  # type: ignore[list-item]
        writes = is_writing(query(name))
        fate = self._fate(writes=writes)
        if fate == "late":
            await self._give_up_on(name, arguments, seconds_max)
        await asyncio.sleep(self._pause())
        if fate == "before" or self._store.is_down:
            raise DatabaseAway(f"no answer to {name}: the connection broke before it")
        self._life.check()
        if not writes and not fate:
            return self._store.do(name, *arguments)
        if writes:
            self._life.point(f"query {name} before")
        try:
            found = self._store.do(name, *arguments)
        finally:
            if writes:
                self._life.point(f"query {name} after")
        await asyncio.sleep(self._pause())
        if fate == "after" or self._store.is_down:
            raise DatabaseAway(f"no answer to {name}: the connection broke after it")
        return found

    def acquire(self) -> Any:
        """
        Lend a connection: what is done in one transaction on it is done at one moment.
        """
        return self._lend()

    async def close(self) -> None:
        """
        There is nothing to hand back.
        """

    @asynccontextmanager
    async def _lend(self) -> AsyncIterator["LentConnection"]:
        try:
            await self._reach("a connection")
        except DatabaseAway as error:
            raise ConnectionRefusedError(str(error)) from None
        await asyncio.sleep(self._pause())
        self._life.check()
        yield LentConnection(self._store, self._life)

    async def _reach(self, name: str) -> None:
        self._life.check()
        if self._store.is_down:
            await asyncio.sleep(REFUSED_SECONDS)
            raise DatabaseAway(f"no answer to {name}: nobody listens there")

    def _fate(self, *, writes: bool) -> str:
        if not self._weather.database_lost or self._chance.random() >= self._weather.database_lost:
            return ""
        fate = self._chance.choice(("before", "after", "late")) if writes else "before"
        self._count(f"commit in doubt {fate}" if writes else "read lost")
        return fate

    def _pause(self) -> float:
        return self._chance.uniform(*self._weather.database_span)

    async def _give_up_on(self, name: str, arguments: tuple[Any, ...], seconds_max: float) -> None:
        """
        Send the statement, hear nothing, and leave; the server does it when it gets to it.
        """
        delay = self._chance.uniform(*self._weather.database_late_span)
        loop = asyncio.get_running_loop()
        loop.call_later(delay, self._do_late, name, arguments, context=_NOBODYS)
        await asyncio.sleep(min(delay, seconds_max) * self._chance.random())
        raise DatabaseAway(f"no answer to {name}: it may be done later")

    def _do_late(self, name: str, arguments: tuple[Any, ...]) -> None:
        if not self._store.is_down:
            # Whom an error would be told has left.
            with contextlib.suppress(asyncpg.PostgresError):
                self._store.do(name, *arguments)


class LentConnection:
    """
    As much of asyncpg's connection as the product uses.
    """

    def __init__(self, store: Store, life: Life) -> None:
        self._store = store
        self._life = life
        self._names: list[str] = []

    async def fetch(self, text: str, *arguments: Any, **_: Any) -> list[asyncpg.Record]:
        """
        Run a statement and return its rows.
        """
        line = self._ready()
        return line.run(line.connection.fetch(text, *arguments))

    async def fetchrow(self, text: str, *arguments: Any, **_: Any) -> asyncpg.Record | None:
        """
        Run a statement and return its first row.
        """
        found = await self.fetch(text, *arguments)
        return found[0] if found else None

    async def fetchval(self, text: str, *arguments: Any, **_: Any) -> Any:
        """
        Run a statement and return its first value.
        """
        row = await self.fetchrow(text, *arguments)
        return row[0] if row else None

    async def execute(self, text: str, *arguments: Any, **_: Any) -> str:
        """
        Run a statement.
        """
        line = self._ready()
        return line.run(line.connection.execute(text, *arguments))

    async def executemany(self, text: str, arguments: Any, **_: Any) -> None:
        """
        Run a statement for each row of arguments.
        """
        line = self._ready()
        line.run(line.connection.executemany(text, arguments))

    async def copy_records_to_table(self, table: str, **options: Any) -> str:
        """
        Write many rows.
        """
        line = self._ready()
        return line.run(line.connection.copy_records_to_table(table, **options))

    @asynccontextmanager
    async def transaction(self, **options: Any) -> AsyncIterator[None]:
        """
        What is done inside is done at one moment, or not at all.
        """
        line = self._store.for_transactions
        transaction, run = line.connection.transaction(**options), line.run
        run(transaction.start())
        try:
            yield
            self._life.point("transaction before")
        except BaseException:
            run(transaction.rollback())
            raise
        run(transaction.commit())
        self._store.memory.wrote_anything()
        self._store.on_write("transaction")
        self._life.point("transaction after")

    async def add_listener(self, channel: str, callback: Callable[..., object]) -> None:
        """
        Nothing is ever notified here.
        """

    async def remove_listener(self, channel: str, callback: Callable[..., object]) -> None:
        """
        There is nothing to forget.
        """

    def add_termination_listener(self, callback: Callable[..., object]) -> None:
        """
        The connection ends with its process.
        """

    def is_closed(self) -> bool:
        """
        Return whether its process has died.
        """
        return self._life.is_dead

    def _ready(self) -> Line:
        self._life.check()
        if self._store.is_down:
            raise ConnectionResetError("the connection broke")
        return self._store.for_transactions


_NOBODYS = contextvars.Context()  # Of no life.
