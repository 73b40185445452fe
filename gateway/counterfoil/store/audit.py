"""
The audit's view of the database: one snapshot, read only, with time and memory for large books.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import asyncpg

from counterfoil.store.database import IN_DOUBT, Database, DatabaseAway
from counterfoil.store.queries import query

AUDIT_SECONDS_MAX = 3600.0  # For one rule; a million payments take seconds.


class Snapshot:
    """
    The books at one moment, whatever is written meanwhile.
    """

    def __init__(self, connection: "asyncpg.Connection[asyncpg.Record]") -> None:
        self._connection = connection

    async def rows(self, name: str, merchant_id: UUID | None, *more: Any) -> list[asyncpg.Record]:
        """
        Run the named query for one merchant, or for all.
        """
        return await self._connection.fetch(
            query(name), merchant_id, *more, timeout=AUDIT_SECONDS_MAX
        )


@asynccontextmanager
async def snapshot(database: Database) -> AsyncIterator[Snapshot]:
    """
    Lend one snapshot of the books.

    Raises:
        DatabaseAway: Nobody answers, or not in time.
    """
    try:
        async with (
            database.acquire() as connection,
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):
            await connection.fetch(query("audit_settings"))
            yield Snapshot(connection)
    except IN_DOUBT as error:
        raise DatabaseAway(f"the audit was cut off: {type(error).__name__}: {error}") from error
