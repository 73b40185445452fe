"""
What a payment's page reads beside its history: mails, webhooks, deposits, and who was who.
"""

import re
from collections.abc import Iterable, Sequence
from uuid import UUID

import asyncpg

from counterfoil.store.database import Database

SHOWN_MAX = 200  # Of each kind.
_NAMED = re.compile(r"(?:key_|user:|checkout:)([0-9a-f]{32})")

Rows = list[asyncpg.Record]


class TimelineStore:
    """
    Reads for one merchant; changes nothing.
    """

    def __init__(self, database: Database, merchant_id: UUID) -> None:
        self._database = database
        self._merchant_id = merchant_id

    async def mails(self, payment_id: UUID) -> Rows:
        """
        Return what was mailed about a payment.
        """
        return await self._database.rows(
            "mails_of_payment", self._merchant_id, payment_id, SHOWN_MAX
        )

    async def deliveries(self, payment_id: UUID) -> Rows:
        """
        Return which webhooks were told of a payment.
        """
        return await self._database.rows(
            "deliveries_of_payment", self._merchant_id, payment_id, SHOWN_MAX
        )

    async def deposits(self, movements: Sequence[UUID]) -> dict[UUID, asyncpg.Record]:
        """
        Return the deposit in which each of *movements* was settled, if it was.
        """
        if not movements:
            return {}
        rows = await self._database.rows(
            "deposits_of_movements", self._merchant_id, list(movements)
        )
        return {row["movement_id"]: row for row in rows}

    async def names(self, actors: Iterable[str]) -> dict[str, str]:
        """
        Return the names of those of *actors* that are keys, people or payment pages of a link.
        """
        known = {UUID(found[1]) for each in actors if (found := _NAMED.fullmatch(each))}
        if not known:
            return {}
        rows = await self._database.rows("names_of_actors", self._merchant_id, sorted(known))
        return {row["actor"]: row["name"] for row in rows}
