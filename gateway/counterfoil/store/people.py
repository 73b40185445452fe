"""
People, their invitations and signed-in browsers, and the list of what they changed.
"""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import asyncpg
import msgspec

from counterfoil.ids import Ids
from counterfoil.people.person import Account, Invitation, Who
from counterfoil.people.roles import Role
from counterfoil.store.database import Database
from counterfoil.store.merchants import hash_of, merchant_of

EVENTS_PAGE_MAX = 100


class Place(msgspec.Struct, frozen=True):
    """
    A person at a merchant.
    """

    user_id: UUID
    merchant_id: UUID
    role: Role


class NewSession(msgspec.Struct, frozen=True, kw_only=True):
    """
    A browser that is being signed in.
    """

    token: str
    user_id: UUID
    merchant_id: UUID
    address: str
    browser: str
    now: datetime
    idle_until: datetime
    ends_at: datetime
    stepped_up_at: datetime | None = None
    half_token: str | None = None


class PeopleStore:
    """
    Reads and writes people; each change is written together with who made it.
    """

    def __init__(self, database: Database, ids: Ids) -> None:
        self._database = database
        self._ids = ids

    async def invite(
        self,
        token: str,
        merchant_id: UUID,
        email: str,
        role: Role,
        *,
        by: str,
        now: datetime,
        expires_at: datetime,
    ) -> None:
        """
        Keep the hash of a one-time link's *token*.
        """
        await self._database.rows(
            "add_invitation",
            self._ids.new(),
            hash_of(token),
            merchant_id,
            email.lower(),
            role,
            by,
            now,
            expires_at,
            self._ids.new(),
        )

    async def invitation(self, token: str) -> Invitation | None:
        """
        Return what the link with this token says, whether or not it still stands.
        """
        row = await self._database.row("invitation_by_token", hash_of(token))
        if row is None:
            return None
        values = {name: row[name] for name in Invitation.__struct_fields__}
        return Invitation(**{**values, "role": Role(row["role"])})

    async def accept(
        self,
        token: str,
        *,
        name: str,
        password_hash: str | None,
        now: datetime,
        renamed_at: Sequence[UUID] = (),
    ) -> Place | None:
        """
        Use up the link with this token, once; None when it stands no more. Whom we know keeps their
        name, unless they are renamed: all these merchants have that in their lists then.
        """
        row = await self._database.row(
            "accept_invitation",
            hash_of(token),
            now,
            self._ids.new(),
            name,
            password_hash,
            self._ids.new(),
            [self._ids.new() for _ in renamed_at],
            list(renamed_at),
        )
        return Place(row["user_id"], row["merchant_id"], Role(row["role"])) if row else None

    async def account(self, email: str) -> Account | None:
        """
        Return the person with this address.
        """
        row = await self._database.row("user_by_email", email.lower())
        return Account(*row.values()) if row else None

    async def names_of_others(self, merchant_ids: Sequence[UUID], email: str) -> list[str]:
        """
        Return the names of everybody else who works for these merchants, or did.
        """
        rows = await self._database.rows("names_of_others", list(merchant_ids), email)
        return [row["name"] for row in rows]

    async def merchants_that_knew(self, email: str) -> list[UUID]:
        """
        Return whose histories name the person with this address: for whom they work, or did.
        """
        rows = await self._database.rows("merchants_that_knew", email)
        return [row["merchant_id"] for row in rows]

    async def merchants_of(self, user_id: UUID) -> list[asyncpg.Record]:
        """
        Return for whom a person works: merchant_id, name, role.
        """
        return await self._database.rows("merchants_of_user", user_id)

    async def merchant_to_open(self, user_id: UUID) -> UUID | None:
        """
        Return for whom a person goes on who signs in; None when they work for nobody.
        """
        row = await self._database.row("merchant_to_open", user_id)
        return row["merchant_id"] if row else None

    async def begin_session(self, session: NewSession) -> bool:
        """
        Sign a browser in; False when the first half of the sign-in was used up, or has lapsed.
        """
        half = hash_of(session.half_token) if session.half_token else None
        rows = await self._database.rows(
            "begin_session",
            self._ids.new(),
            hash_of(session.token),
            session.user_id,
            session.merchant_id,
            session.address,
            session.browser,
            session.now,
            session.idle_until,
            session.ends_at,
            self._ids.new(),
            session.stepped_up_at,
            half,
        )
        return bool(rows)

    async def who(self, token: str, now: datetime) -> Who | None:
        """
        Return who is signed in with the cookie *token*.
        """
        row = await self._database.row("session_by_token", hash_of(token), now)
        if row is None:
            return None
        return Who(
            session_id=row["session_id"],
            user_id=row["user_id"],
            email=row["user_email"],
            name=row["user_name"],
            role=Role(row["role"]),
            merchant=merchant_of(row),
            cutoff=row["cutoff"],
            signed_in_at=row["signed_in_at"],
            seen_at=row["seen_at"],
            stepped_up_at=row["stepped_up_at"],
            ends_at=row["ends_at"],
            has_second_factor=row["has_second_factor"],
            has_other_merchants=row["has_other_merchants"],
            step_up_whole=row["step_up_whole"],
        )

    async def touch(self, session_id: UUID, now: datetime, idle_until: datetime) -> None:
        """
        Let a signed-in browser stand idle anew.
        """
        await self._database.rows("touch_session", session_id, now, idle_until)

    async def renew(
        self,
        session_id: UUID,
        token: str,
        merchant_id: UUID,
        *,
        what: str,
        now: datetime,
        stepped_up_at: datetime | None = None,
    ) -> bool:
        """
        Give a signed-in browser a new token; *what* says why in the list of changes.
        """
        arguments = (merchant_id, stepped_up_at, self._ids.new(), now, what)
        return bool(
            await self._database.rows("renew_session", session_id, hash_of(token), *arguments)
        )

    async def end_session(self, session_id: UUID, now: datetime, *, why: str, by: str) -> bool:
        """
        Sign a browser out; False when it was already.
        """
        return bool(
            await self._database.rows("end_session", session_id, now, why, self._ids.new(), by)
        )

    async def note(
        self,
        who: Who,
        now: datetime,
        what: str,
        *,
        about: str | None = None,
        before: str | None = None,
        after: str | None = None,
    ) -> None:
        """
        Write down something that *who* changed, where the change has no statement of ours to do so.
        """
        merchant_id = who.merchant.merchant_id
        await self._database.rows(
            "note_change", self._ids.new(), merchant_id, now, who.actor, what, about, before, after
        )

    async def events(self, merchant_id: UUID, before: UUID | None) -> list[asyncpg.Record]:
        """
        Return what was changed at a merchant, newest first, EVENTS_PAGE_MAX at the most.
        """
        return await self._database.rows("people_events_page", merchant_id, before, EVENTS_PAGE_MAX)
