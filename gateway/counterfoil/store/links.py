"""
Payment links, and who has paid by them.
"""

from datetime import datetime
from uuid import UUID

import asyncpg

from counterfoil.checkouts.links import Link
from counterfoil.ids import Ids
from counterfoil.store.database import Database
from counterfoil.store.merchants import hash_of


class LinkStore:
    """
    Reads and writes payment links; who made or ended one is written with it.
    """

    def __init__(self, database: Database, ids: Ids) -> None:
        self._database = database
        self._ids = ids

    async def add(self, link: Link, token: str) -> None:
        """
        Keep a new link, of its *token* the hash.
        """
        await self._database.rows(
            "add_link",
            link.merchant_id,
            link.link_id,
            hash_of(token),
            link.description,
            link.order_number,
            link.currency,
            link.amount_minor,
            link.amount_minor_min,
            link.amount_minor_max,
            link.times_max,
            link.expires_at,
            link.created_at,
            link.created_by,
            self._ids.new(),
        )

    async def one(self, merchant_id: UUID, link_id: UUID) -> Link | None:
        """
        Return a link of a merchant.
        """
        return _link(await self._database.row("link_by_id", merchant_id, link_id))

    async def of_token(self, token: str) -> Link | None:
        """
        Return the link with *token* in its address.
        """
        return _link(await self._database.row("link_by_token", hash_of(token)))

    async def page(self, merchant_id: UUID, before: UUID | None, limit: int) -> list[Link]:
        """
        Return a merchant's links, newest first.
        """
        rows = await self._database.rows("links_page", merchant_id, before, limit)
        return [link for row in rows if (link := _link(row))]

    async def end(self, link: Link, *, at: datetime, actor: str) -> bool:
        """
        End a link; False when it has ended before.
        """
        return bool(
            await self._database.rows(
                "end_link", link.merchant_id, link.link_id, at, self._ids.new(), actor
            )
        )

    async def payers(self, link: Link, before: UUID | None, limit: int) -> list[asyncpg.Record]:
        """
        Return who paid by a link, newest first.
        """
        return await self._database.rows(
            "payers_of_link", link.merchant_id, link.link_id, before, limit
        )


def _link(row: asyncpg.Record | None) -> Link | None:
    known = {name: row[name] for name in Link.__struct_fields__ if name in row} if row else None
    return Link(**known) if known else None
