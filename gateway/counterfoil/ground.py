"""
What every process of an installation stands on: database, clock, watch, lease, and who looks.

Below `app.py`, which builds gateways and workers on it, and `mailing.py`, which builds mailers.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from typing import Any

import asyncpg
import msgspec
import structlog

from counterfoil.clock import Clock, SystemClock
from counterfoil.config import Configuration
from counterfoil.events.worker import Duty
from counterfoil.ids import Ids
from counterfoil.opened import open_database
from counterfoil.outside import readiness
from counterfoil.outside.doors import Doors
from counterfoil.outside.held_clock import HeldClock
from counterfoil.outside.watch import Seen, Watch
from counterfoil.store.advices import AdviceStore
from counterfoil.store.database import Database, DatabaseAway
from counterfoil.store.migrate import MigrationRefused, pending
from counterfoil.store.processes import ProcessStore
from counterfoil.surroundings import Surroundings

DATABASE_AWAITED_SECONDS = 45.0  # Less than a supervisor gives a program to get ready.
DATABASE_AGAIN_SECONDS = 1.0
LEASES_RENEWED_PER_LIFE = 4

log = structlog.get_logger("app")


class Ground(msgspec.Struct, frozen=True, kw_only=True):
    """
    One process's own: the *lease* is registered by `leased`, and the *watch* kept by `watched`.
    """

    configuration: Configuration
    database: Database
    clock: Clock
    ids: Ids
    doors: Doors
    watch: Watch
    lease: ProcessStore
    around: Surroundings


@asynccontextmanager
async def ground(
    configuration: Configuration, around: Surroundings, database: Database | None = None
) -> AsyncIterator[Ground]:
    """
    Lend the ground of a process. A *database* that is passed in is not closed here.

    Raises:
        DatabaseAway, MigrationRefused: There is none, or not this installation's.
    """
    clock = _clock(around)
    ids = Ids(clock, around.random_bytes)
    async with AsyncExitStack() as stack:
        if database is None:
            database = await stack.enter_async_context(_awaited_database(configuration))
        if missing := await pending(database):
            raise MigrationRefused(
                f"the database lacks {len(missing)} migration(s) of this version: "
                "run `counterfoil migrate`"
            )
        await _check_mode(database, configuration)
        watch = Watch(
            database,
            clock,
            doors := Doors(),
            configuration.folder,
            full_percent=configuration.database.full_percent,
        )
        if isinstance(clock, HeldClock):
            await watch.look()  # Before the first deadline is set by it.
        yield Ground(
            configuration=configuration,
            database=database,
            clock=clock,
            ids=ids,
            doors=doors,
            watch=watch,
            lease=ProcessStore(database, ids.new()),
            around=around,
        )


@asynccontextmanager
async def _awaited_database(configuration: Configuration) -> AsyncIterator[Database]:
    """
    Lend the database, once it is there: after a crash it recovers first, and that takes its time.

    Raises:
        DatabaseAway: Not within DATABASE_AWAITED_SECONDS; at once if there never was one.
    """
    known = configuration.database.url or (configuration.folder / "postgres").exists()
    until = asyncio.get_running_loop().time() + (DATABASE_AWAITED_SECONDS if known else 0.0)
    async with AsyncExitStack() as stack:
        while True:
            try:
                database = await stack.enter_async_context(open_database(configuration))
                break
            except DatabaseAway as error:
                if asyncio.get_running_loop().time() >= until:
                    raise
                log.warning("database_awaited", reason=str(error))
                await asyncio.sleep(DATABASE_AGAIN_SECONDS)
        yield database


def _clock(around: Surroundings) -> Clock:
    """
    Return the clock of a process: the machine's is held to the database's, another one is not.
    """
    machine = around.clock
    return HeldClock(machine) if isinstance(machine, SystemClock) else machine


async def _check_mode(database: Database, configuration: Configuration) -> None:
    row = await database.row("installation")
    if row is None or row["mode"] != configuration.mode:
        raise MigrationRefused(
            f"this database does not hold {configuration.mode} data: correct `mode`, or point at "
            "another database"
        )


@asynccontextmanager
async def leased(standing: Ground, kind: str) -> AsyncIterator[None]:
    """
    Hold the lease of a process of *kind*, renewed in the background, ended in good order.
    """
    lease, clock = standing.lease, standing.clock
    seconds = standing.configuration.timers.lease_seconds
    await lease.register(kind, clock.now(), clock.now() + timedelta(seconds=seconds))
    renewing = asyncio.create_task(renew(lease, kind, seconds, clock))
    try:
        yield
    finally:
        renewing.cancel()
        try:
            await lease.end(clock.now())
        except DatabaseAway:
            log.warning("lease_not_ended")


async def renew(lease: ProcessStore, kind: str, seconds: float, clock: Clock) -> None:
    """
    Renew the lease for ever. A call that hangs is cut and made again long before the lease ends:
    the sweep of another process takes back what a process without a lease has begun.
    """
    every = seconds / LEASES_RENEWED_PER_LIFE
    pause = every
    while True:
        await asyncio.sleep(pause)
        until = clock.now() + timedelta(seconds=seconds)
        try:
            if not await lease.renew(until, seconds_max=every / 2):
                await lease.register(kind, clock.now(), until)
            pause = every
        except (DatabaseAway, asyncpg.PostgresError) as error:
            pause = every / 4
            log.warning("lease_not_renewed", reason=str(error))


@asynccontextmanager
async def watched(watch: Watch) -> AsyncIterator[None]:
    """
    Look around before anything is done, and once a second while it is done.
    """
    await watch.look()
    looking = asyncio.create_task(watch.keep())
    try:
        yield
    finally:
        looking.cancel()
        await asyncio.gather(looking, return_exceptions=True)


class Lookout:
    """
    Tells monitors what stands: database and disk as they were at most LOOK_SECONDS ago, so that,
    however many ask, the database is asked once.
    """

    def __init__(self, standing: Ground) -> None:
        advices = AdviceStore(standing.database, standing.lease.process_id, standing.clock)
        self._watch = standing.watch
        self._clock = standing.clock
        self._seen: Seen | None = None
        self._seen_at = 0.0
        self._asking = asyncio.Lock()
        self._standing = readiness.Standing(standing.lease, advices, standing.clock)

    async def look(self) -> Seen:
        """
        Return what was seen last, or look again.
        """
        async with self._asking:
            now = self._clock.monotonic()
            if self._seen is None or now - self._seen_at >= readiness.LOOK_SECONDS:
                self._seen, self._seen_at = await self._watch.look(), self._clock.monotonic()
            return self._seen

    async def notes(self, seen: Seen) -> dict[str, Any]:
        """
        Return what waits in the installation; nothing while the database is away.
        """
        if seen.database:
            with contextlib.suppress(DatabaseAway):  # It has gone since we looked.
                return await self._standing.notes()
        return {}


def held(duty: Duty, doors: Doors) -> Duty:
    """
    Return *duty* as one that rests while the installation is in quarantine, or may be.
    """

    async def unless_at_rest() -> int:
        return 0 if doors.at_rest else await duty.round()

    return msgspec.structs.replace(duty, round=unless_at_rest)
