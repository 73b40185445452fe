"""
Deposits, findings and files as they are read by people: pages and explanations.
"""

from uuid import UUID

import asyncpg

from counterfoil.store.database import Database

PAGE_MAX = 100
LINES_PAGE_MAX = 1_000
PARTS_MAX = 1_000  # Adjustments, bank entries and changes shown of one deposit.

Rows = list[asyncpg.Record]


class DepositStore:
    """
    Reads what the settlement has written; changes nothing.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def files(
        self, *, state: str | None = None, merchant_id: UUID | None = None, limit: int = PAGE_MAX
    ) -> Rows:
        """
        Return files that came, newest first.
        """
        return await self._database.rows("files_page", state, merchant_id, limit)

    async def page(
        self,
        merchant_id: UUID,
        *,
        state: str | None = None,
        currency: str | None = None,
        before: str | None = None,
        limit: int = PAGE_MAX,
    ) -> Rows:
        """
        Return a merchant's deposits, newest first, from *before* on.
        """
        return await self._database.rows(
            "deposits_page", merchant_id, state, currency, before, limit
        )

    async def deposit(self, merchant_id: UUID, reference: str) -> asyncpg.Record | None:
        """
        Return one deposit with the file that announced it.
        """
        return await self._database.row("deposit_by_reference", merchant_id, reference)

    async def merchants_of(self, reference: str) -> list[UUID]:
        """
        Return whose deposit this is.
        """
        rows = await self._database.rows("deposits_with_reference", reference)
        return [row["merchant_id"] for row in rows]

    async def lines(self, deposit: asyncpg.Record, *, after: int = 0, limit: int) -> Rows:
        """
        Return lines of a deposit, in the report's order.
        """
        return await self._database.rows("lines_of_deposit", *_key(deposit), after, limit)

    async def line_counts(self, deposit: asyncpg.Record) -> dict[str, int]:
        """
        Return how many lines of a deposit turned out to be what.
        """
        rows = await self._database.rows("line_counts_of_deposit", *_key(deposit))
        return {row["outcome"]: row["number"] for row in rows}

    async def adjustments(self, deposit: asyncpg.Record) -> Rows:
        """
        Return a deposit's adjustments.
        """
        return await self._database.rows("adjustments_of_deposit", *_key(deposit), PARTS_MAX)

    async def entries(self, deposit: asyncpg.Record) -> Rows:
        """
        Return what the bank booked for a deposit.
        """
        return await self._database.rows("entries_of_deposit", *_key(deposit), PARTS_MAX)

    async def events(self, deposit: asyncpg.Record) -> Rows:
        """
        Return a deposit's history.
        """
        return await self._database.rows("events_of_deposit", *_key(deposit), PARTS_MAX)

    async def findings(
        self,
        merchant_id: UUID,
        *,
        state: str | None = None,
        kind: str | None = None,
        before: UUID | None = None,
        limit: int = PAGE_MAX,
    ) -> Rows:
        """
        Return what does not agree, newest first, from *before* on.
        """
        return await self._database.rows("findings_page", merchant_id, state, kind, before, limit)

    async def whose_finding(self, finding_id: UUID) -> UUID | None:
        """
        Return whose finding this is.
        """
        row = await self._database.row("whose_finding", finding_id)
        return row["merchant_id"] if row else None


def _key(deposit: asyncpg.Record) -> tuple[UUID, str, str]:
    return deposit["merchant_id"], deposit["acquirer"], deposit["reference"]
