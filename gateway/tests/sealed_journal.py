"""
A journal whose transfers a test writes, lets be sealed, and damages.
"""

from datetime import UTC, datetime
from uuid import uuid4

import asyncpg
from counterfoil.ledger.audit import Difference, audit
from counterfoil.ledger.chain import SETTLE, Sealer
from counterfoil.store.chain import ChainStore
from counterfoil.store.database import Database
from payment_stage import HandClock

BEGIN = datetime(2026, 11, 23, 6, 30, tzinfo=UTC)
FORGED = "a transfer was changed or removed after it was sealed"
LATER = "a transfer is sealed late"
BROKEN = "the seal over the journal is broken"


class Journal:
    """
    One merchant's transfers, written as a test likes.
    """

    def __init__(self, database: Database) -> None:
        self.database = database
        self.merchant_id = uuid4()
        self.clock = HandClock(BEGIN)
        self.sealer = Sealer(ChainStore(database), self.clock)

    async def post(self, number: int = 1, *, at: datetime | None = None) -> None:
        """Write *number* transfers, a second apart."""
        first = at or self.clock.now()
        await self.sql(
            "INSERT INTO transfers (merchant_id, transfer_id, debit_account, credit_account, "
            "amount_minor, currency, cause, at, reference) SELECT $1, gen_random_uuid(), 'held', "
            "'issuer', 1000 + n, 'USD', 'test', $3::timestamptz + n * interval '1 second', "
            "'it''s \"x\", (y)' FROM generate_series(0, $2::integer - 1) AS n",
            self.merchant_id,
            number,
            first,
        )

    async def seal(self) -> None:
        """Let everything settle, and seal it."""
        self.clock.move(SETTLE.total_seconds() + 60)
        while await self.sealer.seal():
            pass

    async def blocks(self) -> list[asyncpg.Record]:
        """Return the merchant's blocks."""
        return await self.sql(
            "SELECT * FROM transfer_blocks WHERE merchant_id = $1 ORDER BY block_number",
            self.merchant_id,
        )

    async def sealed(self) -> int:
        """Return how many transfers the blocks name, each once."""
        names = [name for block in await self.blocks() for name in block["transfer_ids"]]
        assert len(names) == len(set(names))
        return len(names)

    async def verify(self) -> list[Difference]:
        """Return what the audit says of the seal."""
        found = await audit(self.database, self.merchant_id, now=self.clock.now())
        return [each for each in found.differences if each.what in (FORGED, BROKEN, LATER)]

    async def damage(self, statement: str) -> None:
        """Change rows behind the gateway's back; `$1` is the merchant."""
        async with self.database.acquire() as connection, connection.transaction():
            await connection.execute("SET LOCAL session_replication_role = replica")
            assert (await connection.execute(statement, self.merchant_id)).rpartition(" ")[2] != "0"

    async def sql(self, statement: str, *arguments: object) -> list[asyncpg.Record]:
        """Run a statement."""
        async with self.database.acquire() as connection:
            rows: list[asyncpg.Record] = await connection.fetch(statement, *arguments)
            return rows


async def emptied(database: Database) -> None:
    """Empty the journal and all that seals it, which no program of ours can."""
    async with database.acquire() as connection, connection.transaction():
        await connection.execute("SET LOCAL session_replication_role = replica")
        for table in ("transfers", "transfer_blocks", "signed_heads"):
            await connection.execute(f"DELETE FROM {table}")
