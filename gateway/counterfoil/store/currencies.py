"""
In which currencies a merchant has taken payments, and how often lately.
"""

from uuid import UUID

from counterfoil.store.database import Database

LATEST_MAX = 200  # Payments that are looked at.


class CurrencyStore:
    """
    Reads the currencies of merchants.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def of_merchant(self, merchant_id: UUID) -> dict[str, int]:
        """
        Return each currency in which there ever was a batch, with how many of the latest payments.
        """
        rows = await self._database.rows("currencies_of_merchant", merchant_id, LATEST_MAX)
        return {row["currency"]: row["payments"] for row in rows}
