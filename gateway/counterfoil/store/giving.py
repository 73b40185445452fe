"""
What people give back, or as a credit, without having proved anew who they are: it adds up.
"""

from datetime import datetime, timedelta
from uuid import UUID

import msgspec

from counterfoil.store.database import Database, Lock

COUNTED_FOR = timedelta(hours=24)


class Given(msgspec.Struct, frozen=True, kw_only=True):
    """
    What one form gives: by whom, and how much.
    """

    merchant_id: UUID
    user_id: UUID
    form: str
    currency: str
    amount_minor: int


class GivingStore:
    """
    Counts what is given before it is given, so that many at once are no more than one by one.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def give_unproved(self, given: Given, limit_minor: int, now: datetime) -> bool:
        """
        Count *given* and return True, or return False when it is too much with what came before.
        """
        who = (given.merchant_id, given.user_id)
        rows = await self._database.rows(
            "give_unproved",
            *who,
            given.form,
            given.currency,
            given.amount_minor,
            now,
            now - COUNTED_FOR,
            limit_minor,
            lock=Lock("lock_member", who),
        )
        return bool(rows)
