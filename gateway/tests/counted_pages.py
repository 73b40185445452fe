"""
A database that counts the pages each statement reads, and ten thousand payments laid into it.

PostgreSQL keeps, for the transaction under way, how many blocks of each table and index it has
asked for: what foreign key checks and triggers read is in it, whatever plans they have.
"""

from collections import defaultdict
from collections.abc import Iterable
from typing import Any
from uuid import UUID

import asyncpg
from counterfoil.store.database import CALL_SECONDS_MAX, Database, Lock
from counterfoil.store.queries import query

LAID = 10_000
BATCH = "1000 + n / 5000"  # Closed long ago: an open one would be full.
PAGES = """
SELECT coalesce(sum(pg_stat_get_xact_blocks_fetched(oid)), 0)::bigint AS pages FROM pg_class
WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'i')
"""

# For each table what differs from the row that is copied, for number `n` of merchant `m`.
_KEY = "md5('payment' || n)::uuid"
_CHANGED: dict[str, dict[str, str]] = {
    "payments": {
        "payment_id": _KEY,
        "card_token": "md5('card' || n)::uuid",
        "idempotency_key": "'laid-' || n",
        "order_number": "'laid-' || n",
        "stan": "n",
        "rrn": "lpad(n::text, 12, '9')",
        "confirmation_number": "lpad(n::text, 12, '9')",
    },
    "idempotency_keys": {"idempotency_key": "'laid-' || n", "payment_id": _KEY},
    "vault_cards": {"token": "md5('card' || n)::uuid", "fingerprint": "sha256(n::text::bytea)"},
    "payment_events": {"payment_id": _KEY, "event_id": "md5('event' || s || n)::uuid"},
    "network_messages": {
        "payment_id": _KEY,
        "message_id": "md5('message' || s || n)::uuid",
        "stan": "n",
        "business_day": "date '2001-01-01'",
    },
    "transfers": {"payment_id": _KEY, "transfer_id": "md5('transfer' || s || n)::uuid"},
    "movements": {
        "payment_id": _KEY,
        "movement_id": "md5('movement' || n)::uuid",
        "rrn": "lpad(n::text, 12, '9')",
    },
    "outbox": {
        "payment_id": _KEY,
        "outbox_id": "md5('outbox' || s || n)::uuid",
        "state": "CASE WHEN n % 2 = 0 THEN 'sent' ELSE 'owed' END",
        "next_try_at": "x.next_try_at + interval '100 days'",
    },
    "advices": {
        "payment_id": _KEY,
        "advice_id": "md5('advice' || s || n)::uuid",
        "state": "CASE WHEN n % 2 = 0 THEN 'accepted' ELSE 'owed' END",
        "next_try_at": "x.next_try_at + interval '100 days'",
        "lease_owner": "NULL::uuid",
        "lease_until": "NULL::timestamptz",
    },
    "feed": {
        "payment_id": _KEY,
        "event_id": "md5('told' || s || n)::uuid",
        "number": "x.number + 100000 * n",
    },
    "screening_marks": {
        "payment_id": _KEY,
        "subject": "sha256((s || 'subject' || n)::bytea)",
    },
}
_COLUMNS = """
SELECT column_name FROM information_schema.columns
WHERE table_schema = 'public' AND table_name = $1 ORDER BY ordinal_position
"""


class CountingDatabase(Database):
    """
    Runs each statement in a transaction of its own, and notes what it read.

    Attributes:
        read: For each name the pages of each call, and how many rows it was about.
    """

    read: dict[str, list[tuple[int, int]]]

    async def rows(
        self,
        name: str,
        *arguments: Any,
        seconds_max: float = CALL_SECONDS_MAX,
        lock: Lock | None = None,
    ) -> list[asyncpg.Record]:
        """Run the named query, and count."""
        async with self.acquire() as connection, connection.transaction():
            before = await connection.fetchval(PAGES)
            if lock is not None:
                await connection.fetch(query(lock.name), *lock.arguments)
            rows: list[asyncpg.Record] = await connection.fetch(query(name), *arguments)
            pages = await connection.fetchval(PAGES) - before
        lists = [len(each) for each in arguments if isinstance(each, list)]
        self.read[name].append((pages, max([1, len(rows), *lists])))
        return rows

    def forget(self) -> None:
        """Count from here on."""
        self.read = defaultdict(list)

    def each(self) -> dict[str, float]:
        """Return for each statement the most pages that one call has read for one of its rows."""
        return {
            name: max(pages / rows for pages, rows in calls) for name, calls in self.read.items()
        }


async def lay(
    database: Database,
    merchant_id: UUID,
    merchants: int,
    tables: Iterable[str] = tuple(_CHANGED),
) -> None:
    """
    Lay copies of a merchant's rows into each table: his own if *merchants* is 1.
    """
    async with database.acquire() as connection, connection.transaction():
        await connection.execute("SET LOCAL session_replication_role = replica")
        for table in tables:
            columns = [row["column_name"] for row in await connection.fetch(_COLUMNS, table)]
            await connection.execute(_copying(table, columns, merchant_id, merchants))


def _copying(table: str, columns: list[str], merchant_id: UUID, merchants: int) -> str:
    whose = "x.merchant_id" if merchants == 1 else f"md5('m' || n % {merchants})::uuid"
    changed = {"batch_number": BATCH, **_CHANGED[table], "merchant_id": whose}
    values = ", ".join(changed.get(each, f"x.{each}") for each in columns)
    return (
        f"INSERT INTO {table} ({', '.join(columns)}) SELECT {values} "
        f"FROM generate_series(1, {LAID}) AS n, (SELECT *, row_number() OVER () AS s "
        f"FROM {table} WHERE merchant_id = '{merchant_id}' LIMIT 2) AS x ON CONFLICT DO NOTHING"
    )
