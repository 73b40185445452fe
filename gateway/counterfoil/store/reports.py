"""
What the reports of a day read: batches with their totals, and which deposits belong to it.
"""

from datetime import date, datetime
from uuid import UUID

import asyncpg

from counterfoil.store.batches import BatchKey, BatchStore
from counterfoil.store.database import Database

BATCHES_MAX = 1_000  # Of one merchant and day.
DEPOSITS_MAX = 1_000
ITEMS_MAX = 10_000  # More than a batch holds.
NOT_FROZEN = ("open", "closing")

Rows = list[asyncpg.Record]


class ReportStore:
    """
    Reads for reports; changes nothing.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._batches = BatchStore(database, UUID(int=0))

    async def batches(
        self, merchant_id: UUID, since: datetime, until: datetime, *, with_open: bool
    ) -> Rows:
        """
        Return the batches whose close began in that time.
        """
        return await self._database.rows(
            "report_batches", merchant_id, since, until, with_open, BATCHES_MAX
        )

    async def batch(
        self, merchant_id: UUID | None, terminal_id: str, currency: str, number: int
    ) -> Rows:
        """
        Return the batches of that name: none, one, or several merchants' or acquirers'.
        """
        return await self._database.rows("report_batch", merchant_id, terminal_id, currency, number)

    async def totals(self, batch: asyncpg.Record) -> Rows:
        """
        Return what a batch holds, by kind and brand.
        """
        return await self._database.rows(
            "report_batch_totals", *_key(batch), batch["state"] in NOT_FROZEN
        )

    async def items(self, batch: asyncpg.Record) -> Rows:
        """
        Return the items of a batch; before it is frozen, what stands in it.
        """
        if batch["state"] in NOT_FROZEN:
            return await self._database.rows("report_pending", *_key(batch), ITEMS_MAX)
        return await self._batches.items(BatchKey(*_key(batch)))

    async def deposits(self, merchant_id: UUID, day: date) -> list[str]:
        """
        Return the references of a day's deposits.
        """
        rows = await self._database.rows("report_deposits", merchant_id, day, DEPOSITS_MAX)
        return [row["reference"] for row in rows]


def _key(batch: asyncpg.Record) -> tuple[UUID, str, str, str, int]:
    return (
        batch["merchant_id"],
        batch["acquirer"],
        batch["terminal_id"],
        batch["currency"],
        batch["batch_number"],
    )
