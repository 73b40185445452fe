"""
What receipts are made of, and receipts that are sent again.
"""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg

from counterfoil import ids
from counterfoil.ids import Ids
from counterfoil.store.database import Database

REFUNDS_MAX = 100  # Named one by one; their sum is always that of all.
MAILS_MAX = 30
COPIES_MAX = 20  # Of one payment, ever.
COPIES_LATELY_MAX = 5
LATELY = timedelta(hours=1)
UNDECIDED = frozenset({"processing", "approved"})  # No receipt is sent of such a payment.


class ReceiptStore:
    """
    Reads what a receipt says, and owes it to an address once more.
    """

    def __init__(self, database: Database, new_ids: Ids) -> None:
        self._database = database
        self._ids = new_ids

    async def facts(self, merchant_id: UUID, payment_id: UUID) -> dict[str, Any] | None:
        """
        Return a payment's columns with its merchant's, and `taken_by`; None if there is none.
        """
        row = await self._database.row("receipt_facts", merchant_id, payment_id)
        return dict(row) if row else None

    async def refunds(self, merchant_id: UUID, payment_id: UUID) -> list[tuple[datetime, int]]:
        """
        Return when, and how much, was given back.
        """
        rows = await self._database.rows("refunds_on_receipt", merchant_id, payment_id, REFUNDS_MAX)
        return [(row["created_at"], row["amount_minor"]) for row in rows]

    async def mails(self, merchant_id: UUID, payment_id: UUID) -> list[asyncpg.Record]:
        """
        Return the e-mails of a payment: kind, recipient, state, created_at, sent_at.
        """
        return await self._database.rows("receipt_mails", merchant_id, payment_id, MAILS_MAX)

    async def send_again(
        self, merchant_id: UUID, payment_id: UUID, recipient: str, *, by: str, now: datetime
    ) -> bool:
        """
        Owe the receipt to *recipient*; False when it was sent too often, or is not ready.
        """
        row = await self._database.row(
            "send_receipt_again",
            merchant_id,
            payment_id,
            self._ids.new(),
            recipient,
            now,
            now - LATELY,
            COPIES_MAX,
            COPIES_LATELY_MAX,
            self._ids.new(),
            by,
            ids.written(ids.PAYMENT, payment_id),
        )
        return row is not None
