"""
The blocks of the hash chain in the database: what is loose, where each chain ends, what to keep.

All three are read and written in one snapshot, so that two workers never seal a transfer
twice: the second one's block has a number that is taken.
"""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg
import msgspec

from counterfoil.store.database import IN_DOUBT, Database, DatabaseAway
from counterfoil.store.queries import query

SEAL_SECONDS_MAX = 600.0  # The daily look at everything; an ordinary round takes milliseconds.


class Loose(msgspec.Struct, frozen=True):
    """
    A transfer that no block names yet.
    """

    merchant_id: UUID
    transfer_id: UUID
    at: datetime
    digest: bytes


class Head(msgspec.Struct, frozen=True):
    """
    Where a merchant's chain ends.
    """

    number: int
    hash: bytes


class Block(msgspec.Struct, frozen=True, kw_only=True):
    """
    A block about to be kept.
    """

    merchant_id: UUID
    number: int
    transfer_ids: list[UUID]
    digests: list[bytes]
    since: datetime
    until: datetime
    previous: bytes
    hash: bytes
    at: datetime


class SealingStep:
    """
    One round, within one snapshot.
    """

    def __init__(self, connection: "asyncpg.Connection[asyncpg.Record]") -> None:
        self._connection = connection

    async def loose(self, since: datetime, until: datetime, limit: int) -> list[Loose]:
        """
        Return the oldest transfers dated in that time that no block names.
        """
        rows = await self._fetch("loose_transfers", since, until, limit)
        return [Loose(*row.values()) for row in rows]

    async def heads(self, merchant_ids: Iterable[UUID]) -> dict[UUID, Head]:
        """
        Return where the chains of these merchants end; a new merchant has none.
        """
        rows = await self._fetch("chain_heads", list(merchant_ids))
        return {row["merchant_id"]: Head(row["block_number"], row["hash"]) for row in rows}

    async def keep(self, blocks: list[Block]) -> bool:
        """
        Keep the blocks, all or none; False when another worker was quicker.
        """
        try:
            async with self._connection.transaction():
                await self._fetch("keep_blocks", *columns_of(blocks))
        except (asyncpg.UniqueViolationError, asyncpg.SerializationError):
            return False
        return True

    async def _fetch(self, name: str, *arguments: Any) -> list[asyncpg.Record]:
        return await self._connection.fetch(query(name), *arguments, timeout=SEAL_SECONDS_MAX)


def columns_of(blocks: list[Block]) -> list[list[Any]]:
    """
    Return what `keep_blocks` takes: a row for each transfer, with all of its block, by column.
    """
    rows = (
        (block.merchant_id, block.number, transfer_id, digest,
         block.since, block.until, block.previous, block.hash, block.at)
        for block in blocks
        for transfer_id, digest in zip(block.transfer_ids, block.digests, strict=True)
    )  # fmt: skip
    return [list(column) for column in zip(*rows, strict=True)]


class ChainStore:
    """
    The chains of all merchants.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def newest(self) -> datetime | None:
        """
        Return the time of the latest transfer that is sealed, whoever's it is.
        """
        row = await self._database.row("newest_sealed")
        assert row is not None
        newest: datetime | None = row["until"]
        return newest

    @asynccontextmanager
    async def sealing(self) -> AsyncIterator[SealingStep]:
        """
        Lend one snapshot; it is committed at the end.

        Raises:
            DatabaseAway: No answer; the next round finds what was kept.
        """
        try:
            async with (
                self._database.acquire() as connection,
                connection.transaction(isolation="repeatable_read"),
            ):
                yield SealingStep(connection)
        except IN_DOUBT as error:
            raise DatabaseAway(f"the seal is in doubt: {type(error).__name__}") from error
