"""
What each day took and gave back: counted from the feed by the worker, read by the pages.
"""

from collections.abc import Sequence
from datetime import date
from uuid import UUID

import msgspec

from counterfoil.store.database import Database

MERCHANTS_MAX = 100  # Whose events one statement counts.
TAIL_MAX = 5_000  # Events that a page counts by itself; with more it says that it is behind.


class Day(msgspec.Struct, frozen=True, kw_only=True):
    """
    One day of a merchant, by its own wall clock, in one currency. Amounts in minor units.

    `gross_minor` was captured, less what was voided; `declined` counts the issuers' no, `stopped`
    the shop's own. `behind` events of the feed are not counted yet, in no day.
    """

    day: date
    currency: str
    gross_minor: int
    refunds_minor: int
    approved: int
    declined: int
    stopped: int
    behind: int = 0

    @property
    def net_minor(self) -> int:
        """
        What is left of it.
        """
        return self.gross_minor - self.refunds_minor


class TotalsStore:
    """
    Folds the feed into days, and reads them.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def due(self) -> list[UUID]:
        """
        Return merchants with events that no day counts yet, at most MERCHANTS_MAX.
        """
        rows = await self._database.rows("totals_to_fold", MERCHANTS_MAX)
        return [row["merchant_id"] for row in rows]

    async def fold(self, merchants: Sequence[UUID], limit: int) -> int:
        """
        Count the next *limit* events of each of *merchants*, once; return how many there were.

        May run at once in several workers, and again after a commit in doubt.
        """
        row = await self._database.row("fold_totals", list(merchants), limit)
        assert row is not None
        events: int = row["events"]
        return events

    async def days(self, merchant_id: UUID, since: date) -> list[Day]:
        """
        Return a merchant's days from *since* on in which anything happened, by currency and day.
        """
        rows = await self._database.rows("days_of_merchant", merchant_id, since, TAIL_MAX)
        return [Day(**row) for row in rows]
