"""
What a payment costs when much is stored, and when many merchants share the installation.

Payments are laid into the gateway's database as copies of a real one, row for row in every table
that a payment writes to, by one INSERT a table with triggers off. The acquirer knows nothing of
them: the audit is made before. The worker rests, because it would seal the copies' transfers.
"""

import secrets
from typing import Any

import asyncpg
from counterfoil.api.authenticate import PREFIXES
from counterfoil.store.merchants import hash_of

from counterfoil_proof.bench.installation import BenchFailed, Installation
from counterfoil_proof.bench.load import Measured

STORED_MAX = 10_000_000
CONNECTIONS = 64
LAY_SECONDS_MAX = 3600.0
LAID_AT_ONCE = 500_000
MERCHANTS = (1, 100, 10_000)
DAY = "(date '2001-01-01' + (n / 900000)::integer)"
STAN = "(n % 900000 + 1)::integer"
TWELVE = "lpad(n::text, 12, '0')"

# For each table what differs from the row that is copied: `n` counts the copies.
_CHANGED: dict[str, dict[str, str]] = {
    "payments": {
        "payment_id": "0",
        "card_token": "1",
        "changed_by": "2",
        "idempotency_key": "'laid-' || n",
        "order_number": "'laid-' || n",
        "stan": STAN,
        "rrn": TWELVE,
        "business_day": DAY,
        "confirmation_number": TWELVE,
        "state": "'captured'",
    },
    "idempotency_keys": {"idempotency_key": "'laid-' || n", "payment_id": "0"},
    "vault_cards": {"token": "1", "fingerprint": "sha256(n::text::bytea)"},
    "payment_events": {"payment_id": "0", "event_id": "3"},
    "network_messages": {
        "payment_id": "0",
        "message_id": "4",
        "stan": STAN,
        "business_day": DAY,
    },
    "transfers": {"payment_id": "0", "transfer_id": "5", "movement_id": "6"},
    "movements": {"payment_id": "0", "movement_id": "6", "rrn": TWELVE, "state": "'funded'"},
    "outbox": {"payment_id": "0", "outbox_id": "7", "state": "'sent'", "sent_at": "now()"},
}
_MARKED = {str(number) for number in range(8)}
_COLUMNS = """
SELECT column_name FROM information_schema.columns
WHERE table_schema = 'public' AND table_name = $1 ORDER BY ordinal_position
"""
_CHOSEN = """
SELECT merchant_id, payment_id, card_token, idempotency_key FROM payments
WHERE state = 'captured' ORDER BY payment_id LIMIT 1
"""
_MERCHANTS = """
WITH one AS MATERIALIZED (SELECT m AS row FROM merchants AS m ORDER BY created_at LIMIT 1),
made AS MATERIALIZED (
    SELECT uuidv7() AS merchant_id, n, secret
    FROM unnest($1::bytea[]) WITH ORDINALITY AS s (secret, n)
), added AS (
    INSERT INTO merchants
    SELECT (jsonb_populate_record(one.row, jsonb_build_object('merchant_id', merchant_id))).*
    FROM made, one
), terminal AS (
    INSERT INTO terminals (merchant_id, acquirer, terminal_id, card_acceptor_id, created_at)
    SELECT merchant_id, 'sandbox', 'B' || lpad(n::text, 7, '0'), 'BENCH' || lpad(n::text, 10, '0'),
        now()
    FROM made
)
INSERT INTO api_keys (key_id, merchant_id, secret_hash, hint, name, created_at)
SELECT uuidv7(), merchant_id, secret, 'sk_test_...', 'bench', now() FROM made
"""


async def lay(installation: Installation, first: int, last: int) -> None:
    """
    Lay the copies number *first* to *last*.

    Raises:
        BenchFailed: There is no payment to copy.
    """
    connection = await installation.connect()
    try:
        chosen = await connection.fetchrow(_CHOSEN)
        if chosen is None:
            raise BenchFailed("there is no captured payment that could be copied")
        await connection.execute("SET session_replication_role = replica")
        for table in _CHANGED:
            statement = await _copying(connection, table, chosen)
            for begin in range(first, last + 1, LAID_AT_ONCE):
                end = min(last, begin + LAID_AT_ONCE - 1)
                await connection.execute(statement, begin, end, timeout=LAY_SECONDS_MAX)
        await connection.execute("SET session_replication_role = DEFAULT")
        await connection.execute("VACUUM ANALYZE", timeout=LAY_SECONDS_MAX)
        await connection.execute("CHECKPOINT", timeout=LAY_SECONDS_MAX)
    finally:
        await connection.close()


async def _copying(
    connection: "asyncpg.Connection[asyncpg.Record]", table: str, chosen: asyncpg.Record
) -> str:
    columns = [row["column_name"] for row in await connection.fetch(_COLUMNS, table)]
    several = "row_number() OVER (PARTITION BY n)" if table in _SEVERAL else "0"
    changed = {name: _uuid(how) if how in _MARKED else how for name, how in _CHANGED[table].items()}
    if table == "transfers":  # A hold has no movement.
        changed["movement_id"] = f"CASE WHEN x.movement_id IS NULL THEN NULL ELSE {_uuid('6')} END"
    values = [changed.get(each, f"x.{each}") for each in columns]
    text = ", ".join(values).replace("SEVERAL", several)
    which = {
        "vault_cards": f"token = '{chosen['card_token']}'",
        "idempotency_keys": f"idempotency_key = '{chosen['idempotency_key']}'",
    }.get(table, f"payment_id = '{chosen['payment_id']}'")
    return (
        f"INSERT INTO {table} ({', '.join(columns)}) SELECT {text} "  # noqa: S608 - ours.
        f"FROM generate_series($1::bigint, $2::bigint) AS n, "
        f"(SELECT * FROM {table} WHERE merchant_id = '{chosen['merchant_id']}' AND {which}) AS x"
    )


_SEVERAL = ("payment_events", "network_messages", "transfers", "outbox")


def _uuid(mark: str) -> str:
    """
    Return an id that rises with `n`, as a UUIDv7 does with time; *mark* tells kinds of ids apart.
    """
    more = "lpad((SEVERAL)::text, 2, '0')" if mark in "3457" else "'00'"
    return (
        f"(lpad(to_hex(1000000000000 + n), 12, '0') || '7{mark}' || {more} || '8000' || "
        "lpad(to_hex(n), 12, '0'))::uuid"
    )


async def add_merchants(installation: Installation, count: int) -> list[str]:
    """
    Add merchants, each with a terminal, and return their keys.
    """
    keys = [PREFIXES["test"] + secrets.token_urlsafe(32) for _ in range(count)]
    connection = await installation.connect()
    try:
        await connection.execute(_MERCHANTS, [hash_of(each) for each in keys])
        await connection.execute("ANALYZE merchants, terminals, api_keys")
    finally:
        await connection.close()
    return keys


async def at_sizes(
    installation: Installation, sizes: tuple[int, ...], terms: dict[str, Any]
) -> dict[int, Measured]:
    """
    Measure with so many stored payments, the smallest first.
    """
    found: dict[int, Measured] = {}
    laid = 0
    for size in sizes:
        await lay(installation, laid + 1, size)
        laid = size
        async with installation.running("gateway"):
            found[size] = await installation.load(CONNECTIONS, **terms)
    return found


async def with_merchants(
    installation: Installation, counts: tuple[int, ...], terms: dict[str, Any]
) -> dict[int, Measured]:
    """
    Measure with payments of so many merchants in turn, after a first payment of each.
    """
    keys = await add_merchants(installation, max(counts))
    found: dict[int, Measured] = {}
    for count in counts:
        async with installation.running("gateway"):
            await installation.load(
                CONNECTIONS, keys=keys[:count], payments=max(count, CONNECTIONS)
            )
            found[count] = await installation.load(CONNECTIONS, keys=keys[:count], **terms)
    return found
