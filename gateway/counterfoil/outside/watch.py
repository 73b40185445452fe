"""
The watch of one process: looks around once a second, and closes the doors in time.

One round trip tells database, clock and quarantine; the disk is the machine's. What it sees
is shown by `/readyz` and said in the log: once when it begins, every few minutes while it
lasts, once when it is over.
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime
from pathlib import Path

import asyncpg
import msgspec
import structlog

from counterfoil.clock import Clock
from counterfoil.keyfile import KeyFileRefused
from counterfoil.outside.alarms import Bell
from counterfoil.outside.disk import Disk, Measure, measure
from counterfoil.outside.doors import Doors, Quarantine, Reason
from counterfoil.outside.held_clock import SKEW_SECONDS_MAX, HeldClock
from counterfoil.store.database import Database, DatabaseAway
from counterfoil.vault import VaultClosed

LOOK_SECONDS = 1.0

Learn = Callable[[], Awaitable[None]]

log = structlog.get_logger("watch")


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """
    What one look has seen; None where it could not be seen. `away`: why the database was not.
    """

    database: bool
    away: str | None = None
    skew_seconds: float | None = None
    disk: Disk | None = None
    quarantine: Quarantine | None = None
    vault_keys: int | None = None


class Watch:
    """
    Looks, closes and opens the doors, and rings.
    """

    def __init__(
        self,
        database: Database,
        clock: Clock,
        doors: Doors,
        folder: Path,
        *,
        full_percent: float,
        disk: Measure = measure,
    ) -> None:
        self._database = database
        self._clock = clock
        self._doors = doors
        self._folder = folder
        self._full_percent = full_percent
        self._disk = disk
        self._bell = Bell(clock)
        self._keys: int | None = None
        self._learn: Learn | None = None

    def mind_keys(self, learn: Learn) -> None:
        """
        Call *learn* whenever the vault has another number of data keys than at the look before.
        """
        self._learn = learn

    async def look(self) -> Seen:
        """
        Look once, and set the doors.
        """
        seen = await self._see()
        self._doors.watched(database=seen.database)
        self._mind_database(seen.away)
        if seen.database:
            self._mind_clock(seen.skew_seconds)
            self._mind_quarantine(seen.quarantine)
            await self._mind_vault(seen.vault_keys)
        self._mind_disk(seen.disk)
        return seen

    async def keep(self) -> None:
        """
        Look again and again, until cancelled.
        """
        while True:
            await self.look()
            await asyncio.sleep(LOOK_SECONDS)

    async def _see(self) -> Seen:
        disk = self._measured()
        began = self._clock.monotonic()
        try:
            row = await self._database.row("look_around")
        except DatabaseAway as error:
            return Seen(database=False, away=str(error), disk=disk)
        except asyncpg.PostgresError as error:
            return Seen(database=False, away=f"{type(error).__name__}: {error}", disk=disk)
        assert row is not None, "a database that is migrated has its installation's row"
        ended = self._clock.monotonic()
        return Seen(
            database=True,
            skew_seconds=self._skew(row["now"], began, ended),
            disk=disk,
            quarantine=Quarantine(row["quarantined_at"], row["quarantine_reason"])
            if row["quarantined_at"]
            else None,
            vault_keys=row["vault_keys"],
        )

    def _skew(self, database_time: datetime, began: float, ended: float) -> float:
        """
        Return the skew; what the round trip itself may explain is none.
        """
        half = (ended - began) / 2
        if isinstance(self._clock, HeldClock):
            skew = self._clock.hold(database_time, began + half)
        else:
            skew = (database_time - self._clock.now()).total_seconds() + half
        return skew if abs(skew) > half else 0.0

    def _measured(self) -> Disk | None:
        try:
            return self._disk(self._folder)
        except OSError:
            return None

    def _mind_database(self, away: str | None) -> None:
        if away is None:
            self._bell.quiet("database_away")
        else:
            self._bell.ring("database_away", what=f"nothing is taken or sent meanwhile: {away}")

    def _mind_clock(self, skew: float | None) -> None:
        if skew is not None and abs(skew) > SKEW_SECONDS_MAX:
            words = f"this machine's clock and the database's are {abs(skew):.1f} s apart"
            self._close(Reason.CLOCK, f"{words}; no new payment is taken until they agree")
        else:
            self._open(Reason.CLOCK)

    def _mind_disk(self, disk: Disk | None) -> None:
        if disk is not None and disk.is_full(self._full_percent):
            self._close(
                Reason.DISK,
                f"the disk is {disk.used_percent:.0f} % full, and from {self._full_percent:g} % on "
                "no new payment is taken, so that what is owed can go on",
            )
        else:
            self._open(Reason.DISK)

    def _mind_quarantine(self, quarantine: Quarantine | None) -> None:
        if quarantine is not None:
            self._close(
                Reason.QUARANTINE,
                f"this installation is in quarantine since {quarantine.since:%Y-%m-%d %H:%M} UTC "
                f"({quarantine.reason}): it must be compared with the acquirer first",
            )
        else:
            self._open(Reason.QUARANTINE)

    async def _mind_vault(self, keys: int | None) -> None:
        if self._learn is not None and self._keys is not None and keys != self._keys:
            try:
                await self._learn()
            except (DatabaseAway, asyncpg.PostgresError, VaultClosed, KeyFileRefused) as error:
                self._bell.ring("vault_key_not_learned", reason=str(error))
                return  # The next look tries again.
            self._bell.quiet("vault_key_not_learned")
            log.info("vault_key_learned", keys=keys)
        self._keys = keys

    def _close(self, reason: Reason, sentence: str) -> None:
        self._doors.close(reason, sentence)
        self._bell.ring(reason.value, what=sentence)

    def _open(self, reason: Reason) -> None:
        self._doors.open(reason)
        self._bell.quiet(reason.value)
