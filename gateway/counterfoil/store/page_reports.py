"""
What browsers refused on payment pages and merchants' own, grouped, until somebody has seen to it.
"""

from datetime import datetime
from uuid import UUID

import asyncpg

from counterfoil.checkouts.reports import Refusal
from counterfoil.ids import PAGE_REPORT, Ids, written
from counterfoil.store.database import Database

OPEN_MAX = 100  # Groups of one merchant.
KEPT_MAX = 500  # That were seen to.


class PageReportStore:
    """
    Counts reports, and what became of them.
    """

    def __init__(self, database: Database, ids: Ids) -> None:
        self._database = database
        self._ids = ids

    async def count(self, merchant_id: UUID, refusal: Refusal, times: int, at: datetime) -> bool:
        """
        Count *refusal* so many times; False when the merchant has too many groups already.
        """
        row = await self._database.row(
            "count_page_report",
            merchant_id,
            self._ids.new(),
            refusal.page,
            refusal.directive,
            refusal.refused,
            times,
            at,
            OPEN_MAX,
        )
        return row is not None

    async def open(self, merchant_id: UUID) -> list[asyncpg.Record]:
        """
        Return what nobody has seen to, oldest first, with what of the same was seen to before.
        """
        return await self._database.rows("open_page_reports", merchant_id, OPEN_MAX)

    async def of_all(self) -> list[asyncpg.Record]:
        """
        Return what nobody has seen to, of every merchant, newest first.
        """
        return await self._database.rows("page_reports_by_merchant", OPEN_MAX)

    async def see_to(
        self, merchant_id: UUID, report_id: UUID, at: datetime, note: str, *, actor: str
    ) -> bool:
        """
        Note that a person has looked into it, and who; False when it was not open.
        """
        row = await self._database.row(
            "see_to_page_report",
            merchant_id,
            report_id,
            at,
            note,
            self._ids.new(),
            actor,
            written(PAGE_REPORT, report_id),
            KEPT_MAX,
        )
        return row is not None
