"""
The vault's data keys in the database, and the cards under them.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg

from counterfoil.store.database import Database
from counterfoil.store.queries import query
from counterfoil.vault import WrappedKey

CARDS_AT_ONCE_MAX = 500


class VaultStore:
    """
    Reads keys and cards, and puts cards under another key.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def keys(self) -> list[WrappedKey]:
        """
        Return all data keys, oldest first, wrapped.
        """
        rows = await self._database.rows("vault_keys")
        return [WrappedKey(row["key_id"], row["purpose"], row["wrapped"]) for row in rows]

    async def rotate(self, made: WrappedKey, at: datetime) -> None:
        """
        Make *made* the newest card key in one transaction; those before it still open.
        """
        async with self._database.acquire() as connection, connection.transaction():
            await connection.fetch(query("retire_card_key"), at)
            await connection.fetch(query("add_next_card_key"), made.key_id, made.wrapped, at)

    async def cards_under_other_keys(
        self, key_id: str, after: tuple[UUID, UUID] | None
    ) -> list[asyncpg.Record]:
        """
        Return a page of cards that are not sealed under *key_id*.
        """
        merchant_id, token = after or (None, None)
        return await self._database.rows(
            "cards_under_other_keys", key_id, merchant_id, token, CARDS_AT_ONCE_MAX
        )

    async def seal_anew(self, cards: Sequence[tuple[Any, ...]]) -> int:
        """
        Put cards under another key; return how many were not put there by somebody else.
        """
        return len(await self._database.many("seal_anew", list(cards)))

    async def inventory(self) -> list[asyncpg.Record]:
        """
        Return each data key and how many cards lie under it.
        """
        return await self._database.rows("cards_by_key")
