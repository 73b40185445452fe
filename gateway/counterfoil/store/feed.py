"""
The event feed in the database: events that wait for their number, and events that have one.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

import asyncpg

from counterfoil.store.database import Database

PAGE_MAX = 500
MERCHANTS_MAX = 1_000  # Whose events one round numbers; the next round takes the others.


class Numbered(NamedTuple):
    """
    How many events got a number, and the merchants that had too many to be served so.
    """

    events: int
    behind: list[UUID]


class FeedStore:
    """
    Numbers events and reads them, merchant by merchant.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def waiting(self) -> list[UUID]:
        """
        Return merchants with events that have no number yet, at most MERCHANTS_MAX.
        """
        rows = await self._database.rows("feeds_to_number", MERCHANTS_MAX)
        return [row["merchant_id"] for row in rows]

    async def number(
        self, merchants: Sequence[UUID], types: Mapping[str, str], limit: int, now: datetime
    ) -> Numbered:
        """
        Give events of *merchants* their numbers, in one statement: all of who has under *limit*.

        Who has more is left behind, unless it is the only one: its oldest *limit* are numbered.
        What webhook endpoints want to hear of is owed to them in the same commit, from *now* on.
        May run at once in several workers, and again after a commit in doubt.
        """
        row = await self._database.row(
            "number_events", list(merchants), limit, list(types), list(types.values()), now
        )
        assert row is not None
        return Numbered(row["events"], row["behind"])

    async def page(self, merchant_id: UUID, after: int, limit: int) -> list[asyncpg.Record]:
        """
        Return up to *limit* events after the number *after*, oldest first.
        """
        return await self._database.rows("feed_page", merchant_id, after, limit)

    async def head(self, merchant_id: UUID) -> int:
        """
        Return the number of the latest event, 0 when there is none.
        """
        row = await self._database.row("feed_head", merchant_id)
        return row["last_number"] if row else 0
