"""
Signed heads in the database: where chains end, what was signed of them, what is kept.
"""

from datetime import date, datetime
from typing import Any
from uuid import UUID

import asyncpg
import msgspec

from counterfoil.store.database import Database

FIRST = UUID(int=0)
ENDS_AT_ONCE_MAX = 1_000
HEADS_AT_ONCE_MAX = 1_000


class SignedHead(msgspec.Struct, frozen=True, kw_only=True):
    """
    The end of a merchant's chain on one day, signed; `ledger/heads.py` says what is signed.
    """

    merchant_id: UUID
    number: int
    day: date
    block: int
    hash: bytes
    previous: bytes
    key_id: str
    signed_at: datetime
    signature: bytes


class ChainEnd(msgspec.Struct, frozen=True, kw_only=True):
    """
    Where a merchant's chain ends, and the newest head that was signed of it.

    Attributes:
        hash_now: What the block that the head names has for a hash; None: there is no such block.
    """

    merchant_id: UUID
    block: int
    hash: bytes
    head: SignedHead | None
    hash_now: bytes | None


class Unsigned(msgspec.Struct, frozen=True):
    """
    How many chains wait to be signed, and the time of the oldest block that no head covers.
    """

    chains: int
    since: datetime | None


class HeadStore:
    """
    The signed heads of all merchants.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def ends(self, after: UUID = FIRST) -> list[ChainEnd]:
        """
        Return a page of chains, those of the merchants after *after*, in order.
        """
        rows = await self._database.rows("chain_ends", after, ENDS_AT_ONCE_MAX)
        return [
            ChainEnd(
                merchant_id=row["merchant_id"],
                block=row["end_number"],
                hash=row["end_hash"],
                head=signed_head(row) if row["head_number"] else None,
                hash_now=row["hash_now"],
            )
            for row in rows
        ]

    async def keep(self, heads: list[SignedHead]) -> list[SignedHead]:
        """
        Keep *heads*, and return those that nobody else had kept before.
        """
        if not heads:
            return []
        rows = await self._database.many(
            "keep_signed_heads", [msgspec.structs.astuple(each) for each in heads]
        )
        kept = {row["merchant_id"] for row in rows}
        return [each for each in heads if each.merchant_id in kept]

    async def after(self, merchant_id: UUID, number: int) -> list[SignedHead]:
        """
        Return a page of a merchant's heads after one of them.
        """
        rows = await self._database.rows(
            "signed_heads_after", merchant_id, number, HEADS_AT_ONCE_MAX
        )
        return [signed_head(row) for row in rows]

    async def key_in_use(self) -> str | None:
        """
        Return the id of the key of a newest head; None while nothing was signed.
        """
        row = await self._database.row("signing_key_in_use")
        return row["key_id"] if row else None

    async def unsigned(self, before: datetime) -> Unsigned:
        """
        Return which chains have blocks from before that time that no head covers.
        """
        row = await self._database.row("unsigned_chains", before)
        assert row is not None
        return Unsigned(row["chains"], row["since"])


def signed_head(row: "asyncpg.Record | dict[str, Any]") -> SignedHead:
    """
    Return the head in a row.
    """
    return SignedHead(
        merchant_id=row["merchant_id"],
        number=row["head_number"],
        day=row["day"],
        block=row["block_number"],
        hash=row["hash"],
        previous=row["previous"],
        key_id=row["key_id"],
        signed_at=row["signed_at"],
        signature=row["signature"],
    )
