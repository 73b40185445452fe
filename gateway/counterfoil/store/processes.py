"""
Processes and their leases: while a process's lease holds, its intents are its own.
"""

import os
import socket
from datetime import datetime
from uuid import UUID

import asyncpg

from counterfoil.store.database import CALL_SECONDS_MAX, Database

# What a server must have to keep what it has acknowledged (reliability 3, F29).
SAFE_SETTINGS = {
    "fsync": ("on",),
    "full_page_writes": ("on",),
    "synchronous_commit": ("on", "local", "remote_write", "remote_apply"),
    "data_sync_retry": ("off",),
    "data_checksums": ("on",),
}


class ProcessStore:
    """
    Registers this process and keeps its lease.
    """

    def __init__(self, database: Database, process_id: UUID) -> None:
        self._database = database
        self.process_id = process_id

    async def register(self, kind: str, now: datetime, lease_until: datetime) -> None:
        """
        Say that this process lives.
        """
        await self._database.rows(
            "register_process",
            self.process_id,
            kind,
            socket.gethostname(),
            os.getpid(),
            now,
            lease_until,
        )

    async def renew(self, lease_until: datetime, *, seconds_max: float = CALL_SECONDS_MAX) -> bool:
        """
        Move the lease's end; False when the row is gone.

        Raises:
            DatabaseAway: No connection, or no answer on it, within *seconds_max*.
        """
        renewed = await self._database.rows(
            "renew_process", self.process_id, lease_until, seconds_max=seconds_max
        )
        return bool(renewed)

    async def end(self, now: datetime) -> None:
        """
        End the lease: everything this process had is free.
        """
        await self._database.rows("end_process", self.process_id, now)

    async def forget(self, before: datetime) -> None:
        """
        Remove processes that ended before *before* and own nothing.
        """
        await self._database.rows("forget_processes", before)

    async def alive(self, now: datetime) -> list[asyncpg.Record]:
        """
        Return the processes whose lease holds.
        """
        return await self._database.rows("live_processes", now)

    async def standing(self, now: datetime) -> dict[str, int]:
        """
        Return what waits in the installation, counted; without what nobody knows.
        """
        row = await self._database.row("standing", now)
        assert row is not None
        return {name: number for name, number in row.items() if number is not None}

    async def safety_settings(self) -> list[str]:
        """
        Return the settings by which the server may lose what it acknowledged, as `name = value`.
        """
        rows = await self._database.rows("safety_settings", list(SAFE_SETTINGS))
        return [
            f"{row['name']} = {row['setting']}"
            for row in rows
            if row["setting"] not in SAFE_SETTINGS[row["name"]]
        ]

    async def database_started(self) -> datetime:
        """
        Return since when the database server runs: after a crash, not for long.
        """
        row = await self._database.row("database_started")
        assert row is not None
        started: datetime = row["started"]
        return started

    async def database_time(self) -> datetime:
        """
        Return what the database's clock says.
        """
        row = await self._database.row("database_time")
        assert row is not None
        now: datetime = row["now"]
        return now
