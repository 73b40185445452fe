"""
What of a merchant waits for somebody: approvals, batches, files, findings; the oldest first.
"""

from uuid import UUID

import asyncpg

from counterfoil.payments.payment import Payment
from counterfoil.store.database import Database
from counterfoil.store.payments import payment_of

SHOWN_MAX = 100  # Of each kind.
COUNTED_MAX = 100

Rows = list[asyncpg.Record]


class AttentionStore:
    """
    Reads for one merchant; changes nothing.
    """

    def __init__(self, database: Database, merchant_id: UUID) -> None:
        self._database = database
        self._merchant_id = merchant_id

    async def number(self) -> int:
        """
        Return how many things wait, each kind counted as far as COUNTED_MAX.
        """
        row = await self._database.row("needs_somebody", self._merchant_id, COUNTED_MAX)
        assert row is not None
        number: int = row["number"]
        return number

    async def approvals(self) -> list[Payment]:
        """
        Return approvals that wait to be claimed.
        """
        return [payment_of(row) for row in await self._rows("waiting_approvals")]

    async def batches(self) -> Rows:
        """
        Return batches that do not agree.
        """
        return await self._rows("batches_for_a_person")

    async def files(self) -> Rows:
        """
        Return files that are held.
        """
        return await self._rows("held_files_of_merchant")

    async def findings(self) -> Rows:
        """
        Return what does not agree otherwise.
        """
        return await self._rows("open_findings_of_merchant")

    async def _rows(self, name: str) -> Rows:
        return await self._database.rows(name, self._merchant_id, SHOWN_MAX)
