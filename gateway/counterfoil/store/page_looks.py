"""
When somebody looked at the payment pages last, and what was not as it should be.
"""

from datetime import datetime, timedelta
from uuid import UUID

import asyncpg
import msgspec

from counterfoil.checkouts.comparing import Difference
from counterfoil.ids import Ids
from counterfoil.store.database import Database

OPEN_MAX = 100
KEPT_MAX = 500  # That were seen to.


class Looked(msgspec.Struct, frozen=True, kw_only=True):
    """
    The last look: since when there were any, when the last complete one was, why no later one.
    """

    began_at: datetime
    looked_at: datetime | None
    failure: str | None

    def is_older_than(self, age: timedelta, now: datetime) -> bool:
        """
        Return whether nobody has looked for so long.
        """
        return now - (self.looked_at or self.began_at) > age


class PageLookStore:
    """
    Claims looks, and keeps what they found.
    """

    def __init__(self, database: Database, ids: Ids) -> None:
        self._database = database
        self._ids = ids

    async def begin(self, now: datetime, *, every: timedelta, again: timedelta) -> bool:
        """
        Claim a look; False while the last one is younger than *every*, or its try than *again*.
        """
        return bool(await self._database.row("begin_page_look", now, now - every, now - again))

    async def end(self, now: datetime, differences: list[Difference]) -> None:
        """
        Note a complete look and what it found.
        """
        by_what = {each.what: each for each in differences}  # One row for each, with the last.
        found = list(by_what.values())[:OPEN_MAX]
        await self._database.rows(
            "end_page_look",
            now,
            [self._ids.new() for _ in found],
            [each.what for each in found],
            [each.expected for each in found],
            [each.found for each in found],
        )

    async def fail(self, now: datetime, reason: str) -> None:
        """
        Note why nobody could look.
        """
        await self._database.rows("page_look_failed", now, reason)

    async def last(self) -> Looked | None:
        """
        Return the last look; None before the first.
        """
        row = await self._database.row("page_look")
        if row is None:
            return None
        return Looked(began_at=row["began_at"], looked_at=row["looked_at"], failure=row["failure"])

    async def open(self) -> list[asyncpg.Record]:
        """
        Return what nobody has seen to.
        """
        return await self._database.rows("open_page_differences", OPEN_MAX)

    async def see_to(self, now: datetime, note: str, *, by: str) -> list[str]:
        """
        Note that a person has seen to all that is open; return what it was.
        """
        rows = await self._database.rows("see_to_page_differences", now, by, note, KEPT_MAX)
        return [row["what"] for row in rows]

    async def open_checkout(self, until: datetime) -> tuple[UUID, UUID] | None:
        """
        Return merchant and checkout of a page that can be paid until then.
        """
        row = await self._database.row("newest_open_checkout", until)
        return (row["merchant_id"], row["checkout_id"]) if row else None
