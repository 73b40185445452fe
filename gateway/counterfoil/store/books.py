"""
Batches, deposits and days as pages show them: a page at a time, each by an index.
"""

from collections.abc import Sequence
from datetime import date, datetime
from uuid import UUID

import asyncpg
import msgspec

from counterfoil.store.batches import BatchKey
from counterfoil.store.database import Database

FINDINGS_MAX = 100

Rows = list[asyncpg.Record]


class BookStore:
    """
    Reads for pages; changes nothing.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def batches(
        self,
        merchant_id: UUID,
        *,
        states: Sequence[str] | None,
        before: BatchKey | None,
        limit: int,
    ) -> Rows:
        """
        Return a merchant's batches, newest first, from *before* on; each with its latest note.
        """
        cursor = msgspec.structs.astuple(before)[1:] if before else (None, None, None, None)
        wanted = list(states) if states else None
        return await self._database.rows("batches_before", merchant_id, wanted, *cursor, limit)

    async def batch(self, key: BatchKey) -> asyncpg.Record | None:
        """
        Return one batch, with its latest note.
        """
        return await self._database.row("batch_and_note", *msgspec.structs.astuple(key))

    async def holds(self, key: BatchKey) -> asyncpg.Record:
        """
        Return counts and amounts of what stands in a batch that is not fixed yet.
        """
        row = await self._database.row("batch_holds", *msgspec.structs.astuple(key))
        assert row is not None
        return row

    async def items(self, key: BatchKey, *, after: int, limit: int) -> Rows:
        """
        Return items of a batch that is fixed, from the number *after* on.
        """
        words = msgspec.structs.astuple(key)
        return await self._database.rows("batch_items_after", *words, after, limit)

    async def pending(self, key: BatchKey, *, after: UUID | None, limit: int) -> Rows:
        """
        Return what stands in a batch that is not fixed yet, oldest first, from *after* on.
        """
        words = msgspec.structs.astuple(key)
        return await self._database.rows("batch_pending_after", *words, after, limit)

    async def history(self, key: BatchKey) -> Rows:
        """
        Return the life of a batch, oldest first.
        """
        return await self._database.rows("batch_history", *msgspec.structs.astuple(key))

    async def findings(self, merchant_id: UUID, reference: str, subject: str) -> Rows:
        """
        Return what does not agree about the deposit *reference*, of which *subject* is the name.
        """
        return await self._database.rows(
            "findings_of_deposit", merchant_id, reference, subject, FINDINGS_MAX
        )

    async def days(
        self, merchant_id: UUID, timezone: str, *, since: datetime, first: date, last: date
    ) -> Rows:
        """
        Return days from *first* to *last* with how many batches were closed and deposits due.
        """
        return await self._database.rows("report_days", merchant_id, timezone, since, first, last)
