"""
Who works for a merchant: members, their roles, the links that invite them, what they changed.
"""

from datetime import datetime
from uuid import UUID

import asyncpg

from counterfoil.ids import Ids
from counterfoil.people.roles import Role
from counterfoil.store.database import Database

CHANGES_PAGE_MAX = 100


class MemberStore:
    """
    Reads and changes the members of a merchant; each change is written with who made it.
    """

    def __init__(self, database: Database, ids: Ids) -> None:
        self._database = database
        self._ids = ids

    async def members(self, merchant_id: UUID) -> list[asyncpg.Record]:
        """
        Return who works there: user_id, role, added_at, name, email, seen_at.
        """
        return await self._database.rows("members_of_merchant", merchant_id, None)

    async def member(self, merchant_id: UUID, user_id: UUID) -> asyncpg.Record | None:
        """
        Return one of them.
        """
        return await self._database.row("members_of_merchant", merchant_id, user_id)

    async def pending(self, merchant_id: UUID, now: datetime) -> list[asyncpg.Record]:
        """
        Return the links that still work.
        """
        return await self._database.rows("pending_invitations", merchant_id, now)

    async def end_invitation(
        self, merchant_id: UUID, invitation_id: UUID, *, by: str, now: datetime
    ) -> bool:
        """
        End a link; False when there is none that works.
        """
        row = (merchant_id, invitation_id, now, self._ids.new(), by)
        return bool(await self._database.rows("end_invitation", *row))

    async def change_role(
        self, merchant_id: UUID, user_id: UUID, role: Role, *, by: str, now: datetime
    ) -> bool:
        """
        Give a member another role; False when nothing changed: nobody, the same, the last owner.
        """
        row = (merchant_id, user_id, role, self._ids.new(), now, by)
        return bool(await self._database.rows("change_role", *row))

    async def end_member(self, merchant_id: UUID, user_id: UUID, *, by: str, now: datetime) -> bool:
        """
        Let somebody work there no more; False when nothing changed: nobody, or the last owner.
        """
        row = (merchant_id, user_id, now, self._ids.new(), by)
        return bool(await self._database.rows("end_member", *row))

    async def changes(
        self,
        merchant_id: UUID,
        *,
        before: UUID | None = None,
        actor: str | None = None,
        what: str | None = None,
        limit: int = CHANGES_PAGE_MAX,
    ) -> list[asyncpg.Record]:
        """
        Return what was changed, newest first, *limit* at the most, before an event.
        """
        return await self._database.rows("changes_page", merchant_id, before, actor, what, limit)
