"""
Second factors as they are stored: authenticator apps, passkeys, recovery codes.
"""

from datetime import datetime
from uuid import UUID

import asyncpg
import msgspec

from counterfoil.ids import Ids
from counterfoil.people.person import Who
from counterfoil.store.database import Database
from counterfoil.store.sign_ins import MERCHANTS_TOLD_MAX
from counterfoil.vault import SealedSecret

PASSKEYS_MAX = 20


class NewPasskey(msgspec.Struct, frozen=True, kw_only=True):
    """
    A passkey that a browser has just made.
    """

    credential_id: bytes
    public_key: bytes
    sign_count: int
    name: str


class FactorStore:
    """
    Reads and writes second factors; each change is written together with who made it.
    """

    def __init__(self, database: Database, ids: Ids) -> None:
        self._database = database
        self._ids = ids

    async def begin_authenticator(
        self, authenticator_id: UUID, user_id: UUID, sealed: SealedSecret, now: datetime
    ) -> bool:
        """
        Keep the secret of an app that is being set up; False when there is one already.
        """
        return bool(
            await self._database.rows(
                "begin_authenticator",
                authenticator_id,
                user_id,
                sealed.key_id,
                sealed.nonce,
                sealed.ciphertext,
                now,
            )
        )

    async def begun(self, user_id: UUID, since: datetime) -> asyncpg.Record | None:
        """
        Return the app that is being set up.
        """
        return await self._database.row("authenticator_begun", user_id, since)

    async def confirm(self, who: Who, authenticator_id: UUID, step: int, now: datetime) -> bool:
        """
        Let an app count from now on.
        """
        arguments = (now, step, self._ids.new(), who.merchant.merchant_id)
        return bool(
            await self._database.rows(
                "confirm_authenticator", authenticator_id, who.user_id, *arguments
            )
        )

    async def authenticator(self, user_id: UUID) -> asyncpg.Record | None:
        """
        Return a person's app.
        """
        return await self._database.row("authenticator_of", user_id)

    async def use_step(self, authenticator_id: UUID, step: int) -> bool:
        """
        Use up the time step of a code; False when it was used.
        """
        return bool(await self._database.rows("use_step", authenticator_id, step))

    async def end_authenticator(self, who: Who, now: datetime) -> bool:
        """
        Let an app count no more.
        """
        arguments = (who.user_id, now, self._ids.new(), who.merchant.merchant_id)
        return bool(await self._database.rows("end_authenticator", *arguments))

    async def add_passkey(self, who: Who, made: NewPasskey, now: datetime) -> bool:
        """
        Keep a passkey; False when it is known, or there are PASSKEYS_MAX.
        """
        return bool(
            await self._database.rows(
                "add_passkey",
                self._ids.new(),
                who.user_id,
                made.credential_id,
                made.public_key,
                made.sign_count,
                made.name,
                now,
                PASSKEYS_MAX,
                self._ids.new(),
                who.merchant.merchant_id,
            )
        )

    async def passkeys(self, user_id: UUID) -> list[asyncpg.Record]:
        """
        Return a person's passkeys.
        """
        return await self._database.rows("passkeys_of", user_id)

    async def passkey_of_anybody(self, credential_id: bytes) -> asyncpg.Record | None:
        """
        Return the passkey with this credential id, and whose it is.
        """
        return await self._database.row("passkey_by_credential", credential_id)

    async def use_passkey(self, passkey_id: UUID, sign_count: int, now: datetime) -> bool:
        """
        Note that a passkey has signed; False when its count went back.
        """
        return bool(await self._database.rows("use_passkey", passkey_id, sign_count, now))

    async def end_passkey(self, who: Who, passkey_id: UUID, now: datetime) -> bool:
        """
        Let a passkey count no more.
        """
        arguments = (now, self._ids.new(), who.merchant.merchant_id)
        return bool(await self._database.rows("end_passkey", who.user_id, passkey_id, *arguments))

    async def replace_codes(self, who: Who, hashes: list[bytes], now: datetime) -> None:
        """
        Keep new recovery codes in place of the old ones.
        """
        arguments = (hashes, now, self._ids.new(), who.merchant.merchant_id)
        await self._database.rows("replace_recovery_codes", who.user_id, *arguments)

    async def use_code(self, user_id: UUID, code_hash: bytes, now: datetime) -> bool:
        """
        Use a recovery code up; False when there is none such.
        """
        events = self._ids.several(MERCHANTS_TOLD_MAX)
        return bool(await self._database.rows("use_recovery_code", user_id, code_hash, now, events))

    async def codes_left(self, user_id: UUID) -> int:
        """
        Return how many recovery codes a person still has.
        """
        row = await self._database.row("recovery_codes_left", user_id)
        assert row is not None, "a count is always a row"
        count: int = row["count"]
        return count
