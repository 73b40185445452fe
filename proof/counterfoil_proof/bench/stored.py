"""
What a payment costs when much is stored, and when many merchants share the installation.

Payments are laid into the gateway's database as copies of a real one, row for row in every table
that a payment writes to, sealed and numbered in the feed, triggers off, two tables at a time. The
rows are made where they are laid: a COPY of the same rows took a tenth longer. The acquirer
knows nothing of them: the audit is made before.
"""

import asyncio
import secrets
import shutil
from collections.abc import Iterator
from typing import Any

import asyncpg
from counterfoil.api.authenticate import PREFIXES
from counterfoil.store.merchants import hash_of

from counterfoil_proof.bench.installation import BEHIND, BenchFailed, Installation
from counterfoil_proof.bench.load import Measured

STORED_MAX = 10_000_000
CONNECTIONS = 64
LAY_SECONDS_MAX = 3600.0
LAID_AT_ONCE = 250_000
TABLES_AT_ONCE = 2
BYTES_OF_A_PAYMENT = 5_700  # In all tables and their indexes.
BYTES_BESIDE = 6 * 2**30  # The write-ahead log, and room for the others on the disk.
MERCHANTS = (1, 100, 10_000)
LOOKED_AT = 200  # So many of the newest payments; one is chosen that has what all will have.
BLOCK_SECONDS = 1_000  # As many payments are sealed by one block.
DAY = "(date '2001-01-01' + (n / 900000)::integer)"
STAN = "(n % 900000 + 1)::integer"
TWELVE = "lpad(n::text, 12, '0')"
AT = "x.at - interval '400 days' + n * interval '1 second'"

# For each table what differs from the row that is copied: `n` counts the copies. Heavy ones first.
_CHANGED: dict[str, dict[str, str]] = {
    "network_messages": {
        "payment_id": "0",
        "message_id": "4",
        "stan": STAN,
        "business_day": DAY,
        "at": AT,
    },
    "payment_events": {"payment_id": "0", "event_id": "3", "at": AT},
    "payments": {
        "payment_id": "0",
        "card_token": "1",
        "changed_by": "2",
        "idempotency_key": "'laid-' || n",
        "order_number": "'laid-' || n",
        "batch_number": "(100000 + n / 5000)::integer",
        "stan": STAN,
        "rrn": TWELVE,
        "business_day": DAY,
        "confirmation_number": TWELVE,
        "state": "'captured'",
        "card_last_four": "lpad((n % 10000)::text, 4, '0')",
        "created_at": "x.created_at - interval '400 days' + n * interval '1 second'",
    },
    "outbox": {"payment_id": "0", "outbox_id": "7", "state": "'sent'", "sent_at": "now()"},
    "feed": {
        "payment_id": "0",
        "event_id": "8",
        "number": "HEAD + (n - 1) * EVENTS + SEVERAL",
        "at": AT,
    },
    "transfers": {"payment_id": "0", "transfer_id": "5", "movement_id": "6", "at": AT},
    "movements": {
        "payment_id": "0",
        "movement_id": "6",
        "batch_number": "(100000 + n / 5000)::integer",
        "rrn": TWELVE,
        "state": "'funded'",
    },
    "idempotency_keys": {"idempotency_key": "'laid-' || n", "payment_id": "0"},
    "vault_cards": {"token": "1", "fingerprint": "sha256(n::text::bytea)"},
}
_MARKED = {str(number) for number in range(9)}
_COLUMNS = """
SELECT column_name FROM information_schema.columns
WHERE table_schema = 'public' AND table_name = $1 ORDER BY ordinal_position
"""
_CHOSEN = """
SELECT p.merchant_id, p.payment_id, p.card_token, p.idempotency_key,
    COALESCE(h.last_number, 0) AS head, (
        SELECT count(*) FROM feed AS f
        WHERE f.merchant_id = p.merchant_id AND f.payment_id = p.payment_id) AS events
FROM (SELECT * FROM payments WHERE state = 'captured' ORDER BY payment_id DESC LIMIT $1) AS p
JOIN movements AS m ON m.merchant_id = p.merchant_id AND m.payment_id = p.payment_id
LEFT JOIN feed_heads AS h ON h.merchant_id = p.merchant_id
ORDER BY m.state = 'pending' DESC, events DESC, p.payment_id LIMIT 1
"""
_SEALED = """
INSERT INTO transfer_blocks
    (merchant_id, block_number, transfer_ids, digests, since, until, previous, hash, at)
SELECT $1, (SELECT COALESCE(max(block_number), 0) FROM transfer_blocks WHERE merchant_id = $1)
        + row_number() OVER (ORDER BY min(at)), array_agg(transfer_id),
    array_agg(decode(repeat('00', 32), 'hex')), min(at), max(at),
    decode(repeat('00', 32), 'hex'), decode(repeat('00', 32), 'hex'), max(at)
FROM transfers AS t
WHERE merchant_id = $1 AND at < now() - interval '100 days'
  AND at > (SELECT COALESCE(max(until), 'epoch') FROM transfer_blocks
            WHERE at < now() - interval '100 days')
GROUP BY floor(extract(epoch FROM at) / $2)
"""
_NUMBERED = "UPDATE feed_heads SET last_number = last_number + $2 WHERE merchant_id = $1"
_COUNTED = """
INSERT INTO totals_heads (merchant_id, folded_number)
SELECT merchant_id, last_number FROM feed_heads WHERE merchant_id = $1
ON CONFLICT (merchant_id) DO UPDATE SET folded_number = excluded.folded_number
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
    Lay the copies number *first* to *last*, and take the statistics of all tables.

    Raises:
        BenchFailed: There is no payment to copy, or no room on the disk.
    """
    _make_sure_of_room(installation, last - first + 1)
    connection = await installation.connect()
    try:
        chosen = await connection.fetchrow(_CHOSEN, LOOKED_AT)
        if chosen is None:
            raise BenchFailed("there is no captured payment that could be copied")
        statements = iter([await _copying(connection, table, chosen) for table in _CHANGED])
        lanes = [_fill(installation, statements, first, last) for _ in range(TABLES_AT_ONCE)]
        await asyncio.gather(*lanes)
        await connection.execute(_NUMBERED, chosen["merchant_id"], chosen["events"] * last)
        await connection.execute(_COUNTED, chosen["merchant_id"])
        await connection.execute(
            _SEALED, chosen["merchant_id"], BLOCK_SECONDS, timeout=LAY_SECONDS_MAX
        )
        await connection.execute("VACUUM ANALYZE", timeout=LAY_SECONDS_MAX)
        await connection.execute("CHECKPOINT", timeout=LAY_SECONDS_MAX)
    finally:
        await connection.close()


def _make_sure_of_room(installation: Installation, count: int) -> None:
    free = shutil.disk_usage(installation.folder).free
    needed = count * BYTES_OF_A_PAYMENT + BYTES_BESIDE
    if free < needed:
        raise BenchFailed(
            f"{count} payments more need {needed / 2**30:.0f} GiB, and {free / 2**30:.0f} GiB are "
            "free: choose another disk with --state, or fewer with --stored"
        )


async def _fill(
    installation: Installation, statements: Iterator[str], first: int, last: int
) -> None:
    connection = await installation.connect()
    try:
        await connection.execute("SET session_replication_role = replica")
        for statement in statements:
            for begin in range(first, last + 1, LAID_AT_ONCE):
                end = min(last, begin + LAID_AT_ONCE - 1)
                await connection.execute(statement, begin, end, timeout=LAY_SECONDS_MAX)
    finally:
        await connection.close()


async def _copying(
    connection: "asyncpg.Connection[asyncpg.Record]", table: str, chosen: asyncpg.Record
) -> str:
    columns = [row["column_name"] for row in await connection.fetch(_COLUMNS, table)]
    changed = {name: _uuid(how) if how in _MARKED else how for name, how in _CHANGED[table].items()}
    if table == "transfers":  # A hold has no movement.
        changed["movement_id"] = f"CASE WHEN x.movement_id IS NULL THEN NULL ELSE {_uuid('6')} END"
    values = [changed.get(each, f"x.{each}") for each in columns]
    text = ", ".join(values).replace("SEVERAL", "x.several")
    text = text.replace("HEAD", f"{chosen['head']}").replace("EVENTS", f"{chosen['events']}")
    which = {
        "vault_cards": f"token = '{chosen['card_token']}'",
        "idempotency_keys": f"idempotency_key = '{chosen['idempotency_key']}'",
    }.get(table, f"payment_id = '{chosen['payment_id']}'")
    return (
        f"INSERT INTO {table} ({', '.join(columns)}) SELECT {text} "  # noqa: S608 - ours.
        f"FROM generate_series($1::bigint, $2::bigint) AS n, "
        f"(SELECT *, row_number() OVER () AS several FROM {table} "
        f"WHERE merchant_id = '{chosen['merchant_id']}' AND {which}) AS x"
    )


def _uuid(mark: str) -> str:
    """
    Return an id that rises with `n`, as a UUIDv7 does with time; *mark* tells kinds of ids apart.
    """
    more = "lpad((SEVERAL)::text, 2, '0')" if mark in "34578" else "'00'"
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
        async with installation.running("gateway", *BEHIND):
            await installation.at_rest()
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
        mine = keys[:count]
        async with installation.running("gateway"):
            await installation.load(CONNECTIONS, keys=mine, payments=max(count, CONNECTIONS))
            await installation.take_mails_off()
            async with installation.running(*BEHIND):
                await installation.at_rest()
                found[count] = await installation.load(CONNECTIONS, keys=mine, **terms)
    return found
