"""
Signing in as it is stored: tries, the half before the second factor, resets, passwords, sessions.
"""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import asyncpg

from counterfoil.ids import Ids
from counterfoil.people.limits import Limit
from counterfoil.people.person import Half, Who
from counterfoil.store.database import Database
from counterfoil.store.merchants import hash_of

MERCHANTS_TOLD_MAX = 20


class SignInStore:
    """
    Reads and writes how people come in; each change is written together with who made it.
    """

    def __init__(self, database: Database, ids: Ids) -> None:
        self._database = database
        self._ids = ids

    async def take_try(self, limit: Limit, now: datetime) -> int | None:
        """
        Take one more try and return how many that makes; None when there are no more.
        """
        row = await self._database.row(
            "take_try",
            limit.subject,
            limit.tries_max,
            now,
            now + limit.counted_for,
            now + limit.locked_for,
        )
        return row["tries"] if row else None

    async def give_back(self, limits: list[Limit]) -> None:
        """
        Let one try of each not count: it was right.
        """
        await self._database.rows("give_tries_back", [each.subject for each in limits])

    async def note_wrong(
        self, user_id: UUID | None, whats: list[str], address: str, now: datetime, *, by: str
    ) -> None:
        """
        Write down a wrong try at a person's account, or at nobody's, and what followed from it.
        """
        count = MERCHANTS_TOLD_MAX * len(whats) if user_id else len(whats)
        events = self._ids.several(count)
        await self._database.rows("note_wrong_try", user_id, whats, events, now, address, by)

    async def begin_half(self, token: str, user_id: UUID, now: datetime, ends_at: datetime) -> None:
        """
        Keep that a password was right, for the browser with this *token*.
        """
        await self._database.rows("begin_half_sign_in", hash_of(token), user_id, now, ends_at)

    async def half(self, token: str, now: datetime) -> Half | None:
        """
        Return whose password was right in the browser with this *token*.
        """
        row = await self._database.row("half_sign_in_by_token", hash_of(token), now)
        return Half(*row.values()) if row else None

    async def ask_session(self, session_id: UUID, challenge: bytes, until: datetime) -> None:
        """
        Keep what a passkey is to sign for a signed-in browser.
        """
        await self._database.rows("set_session_challenge", session_id, challenge, until)

    async def asked_of_session(self, session_id: UUID, now: datetime) -> bytes | None:
        """
        Return, once, what a passkey was to sign.
        """
        row = await self._database.row("take_session_challenge", session_id, now)
        return row["challenge"] if row else None

    async def ask_half(self, token: str, challenge: bytes, until: datetime) -> None:
        """
        Keep what a passkey is to sign for somebody whose password was right.
        """
        await self._database.rows("set_half_challenge", hash_of(token), challenge, until)

    async def asked_of_half(self, token: str, now: datetime) -> bytes | None:
        """
        Return, once, what a passkey was to sign.
        """
        row = await self._database.row("take_half_challenge", hash_of(token), now)
        return row["challenge"] if row else None

    async def reset(
        self, token: str, email: str, *, by: str, now: datetime, expires_at: datetime
    ) -> bool:
        """
        Keep a one-time link of a person and sign them out everywhere; False when there is none.
        """
        events = self._ids.several(MERCHANTS_TOLD_MAX)
        return bool(
            await self._database.rows(
                "add_reset", hash_of(token), email.lower(), by, now, expires_at, events
            )
        )

    async def reset_of(self, token: str, now: datetime) -> asyncpg.Record | None:
        """
        Return whose link it is, if it stands: user_id, email, name, password_hash.
        """
        return await self._database.row("reset_by_token", hash_of(token), now)

    async def use_reset(self, token: str, password_hash: str, now: datetime) -> bool:
        """
        Use a link up, once.
        """
        events = self._ids.several(MERCHANTS_TOLD_MAX)
        return bool(
            await self._database.rows("use_reset", hash_of(token), now, password_hash, events)
        )

    async def passwords(self, user_id: UUID) -> list[str]:
        """
        Return the hashes of a person's password and of those before it.
        """
        rows = await self._database.rows("passwords_of", user_id)
        return [row["password_hash"] for row in rows]

    async def change_password(self, who: Who, password_hash: str, now: datetime) -> None:
        """
        Give a person a new password, and sign their other browsers out.
        """
        merchant_id, event_id = who.merchant.merchant_id, self._ids.new()
        arguments = (who.user_id, password_hash, now, who.session_id, event_id, merchant_id)
        await self._database.rows("change_password", *arguments)

    async def change_name(
        self, who: Who, name: str, merchant_ids: Sequence[UUID], now: datetime
    ) -> None:
        """
        Give a person another name; each of the merchants has it in its list.
        """
        events = [self._ids.new() for _ in merchant_ids]
        await self._database.rows("change_name", who.user_id, name, events, list(merchant_ids), now)

    async def sessions(self, user_id: UUID, now: datetime, since: datetime) -> list[asyncpg.Record]:
        """
        Return the browsers in which a person is signed in *since* then, newest first.
        """
        return await self._database.rows("sessions_of_user", user_id, now, since)

    async def end_sessions(self, who: Who, session_id: UUID | None, now: datetime) -> bool:
        """
        Sign out one other browser of a person, or all others.
        """
        merchant_id, event_id = who.merchant.merchant_id, self._ids.new()
        arguments = (who.user_id, who.session_id, session_id, now, event_id, merchant_id)
        return bool(await self._database.rows("end_own_sessions", *arguments))
