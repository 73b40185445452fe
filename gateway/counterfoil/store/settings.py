"""
A merchant's settings and keys as people change them: each change together with who made it.
"""

from datetime import datetime, time
from uuid import UUID

import asyncpg
import msgspec

from counterfoil.ids import Ids
from counterfoil.payments.payment import PartialApprovals
from counterfoil.store.database import Database
from counterfoil.store.merchants import hash_of

KEYS_SHOWN_MAX = 200


class BusinessChange(msgspec.Struct, frozen=True, kw_only=True):
    """
    What becomes another value; None stays. In the order of the query.
    """

    name: str | None = None
    city: str | None = None
    region: str | None = None
    country: str | None = None
    email: str | None = None
    timezone: str | None = None
    cutoff: time | None = None
    acknowledge_seconds: int | None = None
    partial_approvals: PartialApprovals | None = None
    step_up_whole: int | None = None


class NewKey(msgspec.Struct, frozen=True, kw_only=True):
    """
    A key that a person makes; its secret is kept only as a hash.
    """

    key_id: UUID
    secret: str
    name: str
    expires_at: datetime | None


class SettingsStore:
    """
    Writes what people change about one merchant.
    """

    def __init__(self, database: Database, ids: Ids) -> None:
        self._database = database
        self._ids = ids

    async def change(
        self, merchant_id: UUID, change: BusinessChange, *, actor: str, now: datetime
    ) -> list[str]:
        """
        Change the business and return the names of what became another value.
        """
        events = self._ids.several(len(BusinessChange.__struct_fields__))
        values = msgspec.structs.astuple(change)
        rows = await self._database.rows(
            "change_business", merchant_id, now, actor, *values, events
        )
        return [row["name"] for row in rows]

    async def keys(self, merchant_id: UUID) -> list[asyncpg.Record]:
        """
        Return a merchant's keys, newest first, KEYS_SHOWN_MAX at the most.
        """
        return await self._database.rows("newest_keys", merchant_id, KEYS_SHOWN_MAX)

    async def key(self, merchant_id: UUID, key_id: UUID) -> asyncpg.Record | None:
        """
        Return one key of a merchant.
        """
        return await self._database.row("key_of_merchant", merchant_id, key_id)

    async def add_key(self, merchant_id: UUID, made: NewKey, *, actor: str, now: datetime) -> bool:
        """
        Keep a new key's hash and its last four characters; False when it was made before.
        """
        kind, mode, _ = made.secret.split("_", 2)  # The random part may hold underscores itself.
        rows = await self._database.rows(
            "add_key",
            made.key_id,
            merchant_id,
            hash_of(made.secret),
            f"{kind}_{mode}_...{made.secret[-4:]}",
            made.name,
            now,
            made.expires_at,
            self._ids.new(),
            actor,
        )
        return bool(rows)

    async def revoke_key(
        self, merchant_id: UUID, key_id: UUID, *, actor: str, now: datetime
    ) -> bool:
        """
        End a key of this merchant; False when there is none, or it was ended before.
        """
        return bool(
            await self._database.rows(
                "revoke_key", key_id, now, merchant_id, self._ids.new(), actor
            )
        )
