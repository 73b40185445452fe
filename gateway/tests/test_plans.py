"""
A statement that names its rows finds them by their key, whatever the planner believes of a queue.
"""

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import asyncpg
import msgspec
import pytest
from counterfoil.store.queries import query
from test_queries import NAMES

# Partial indexes of what waits. They are small when statistics are taken at a quiet moment, and
# the planner then walks the whole queue for each row instead of looking the row up.
QUEUES = {
    "advices_owed",
    "outbox_owed",
    "payments_authorizations",
    "payments_holds",
    "payments_unanswered",
    "payments_unclaimed",
}
# Who asks for all of a queue, or for what is due in it. Each is asked seldom, or has a LIMIT.
WALKERS = {
    "due_advices",
    "due_mail",
    "forget_processes",
    "lapsed_holds",
    "needs_somebody",
    "orphaned_payments",
    "owed_advices",
    "owed_mail",
    "standing",
    "unclaimed_page",
    "unclaimed_payments",
    "waiting_approvals",
}
SELDOM = {"keep_approval"}  # By a person, in a quarantine.


@pytest.mark.parametrize("name", sorted(set(NAMES) - WALKERS - SELDOM))
async def test_a_statement_that_names_its_rows_never_walks_a_queue(
    parameters: dict[str, str], name: str
) -> None:
    """Also where sequential scans are out of the question, and with a plan for any parameters."""
    text = query(name)
    if "\nANALYZE" in text:
        return
    connection = await asyncpg.connect(**parameters, statement_cache_size=0)
    try:
        await connection.execute("SET plan_cache_mode = force_generic_plan")
        await connection.execute("SET enable_seqscan = off")
        count = len((await connection.prepare(text)).get_parameters())
        await connection.execute(f"PREPARE it AS {text}")
        values = f"({', '.join(['NULL'] * count)})" if count else ""
        explained = await connection.fetchval(f"EXPLAIN (FORMAT JSON) EXECUTE it{values}")
    finally:
        await connection.close()
    plan = msgspec.json.decode(explained)[0]["Plan"]

    walked = [node for node in _nodes(plan) if _queue(node) and "Index Cond" not in node]

    assert not walked, [(node["Index Name"], node.get("Filter")) for node in walked]


def _queue(node: dict[str, Any]) -> bool:
    return node.get("Index Name") in QUEUES


def _nodes(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield node
    for each in node.get("Plans", ()):
        yield from _nodes(each)


JOURNAL = """
INSERT INTO transfers
    (merchant_id, transfer_id, payment_id, debit_account, credit_account, amount_minor, currency,
     cause, at)
SELECT '00000000-0000-0000-0000-000000000001', gen_random_uuid(), gen_random_uuid(), 'held',
    'issuer', 100, 'USD', 'answered', timestamptz '2026-01-01T00:00:00Z' + n * interval '1 second'
FROM generate_series(1, 40000) AS n
"""
LOOSE = "timestamptz '2026-01-01T10:45:00Z', timestamptz '2026-01-02T00:00:00Z', 50000"


@pytest.mark.parametrize("mode", ["force_custom_plan", "force_generic_plan"])
async def test_a_round_of_sealing_reads_the_loose_end_of_the_journal_only(
    parameters: dict[str, str], mode: str
) -> None:
    """What is sealed is found by its key: a few thousand rows are no reason to read millions."""
    connection = await asyncpg.connect(**parameters)
    transaction = connection.transaction()
    await transaction.start()
    try:
        await connection.execute("SET LOCAL session_replication_role = replica")
        await connection.execute(JOURNAL)
        await connection.execute("ANALYZE transfers")
        await connection.execute(f"SET LOCAL plan_cache_mode = {mode}")
        await connection.execute("PREPARE it AS " + query("loose_transfers"))
        explained = await connection.fetchval(f"EXPLAIN (FORMAT JSON) EXECUTE it({LOOSE})")
        await connection.execute("DEALLOCATE it")
    finally:
        await transaction.rollback()
        await connection.close()
    plan = msgspec.json.decode(explained)[0]["Plan"]

    looked_up = [node for node in _nodes(plan) if node.get("Alias") == "t"]

    assert [node["Index Name"] for node in looked_up] == ["transfers_pkey"]
    assert "Index Cond" in looked_up[0]


SAVED = """
INSERT INTO saved_cards (merchant_id, card_id, card_token, brand, last_four, expiry_month,
    expiry_year, customer_email, customer_name, created_at, created_by)
SELECT $1, gen_random_uuid(), gen_random_uuid(), 'visa', '4242', 12, 2040,
    'buyer' || n || '@shopper.example', 'Buyer ' || n, now(), 'test'
FROM generate_series(1, 5000) AS n
"""
SAVED_CARD_PAGES_MAX = 40


async def test_a_saved_card_is_found_by_how_the_name_begins(parameters: dict[str, str]) -> None:
    """By a range of the index, also with a plan for any text: not by reading all of them."""
    connection = await asyncpg.connect(**parameters, statement_cache_size=0)
    transaction, merchant = connection.transaction(), uuid4()
    await transaction.start()
    try:
        await connection.execute("SET LOCAL session_replication_role = replica")
        await connection.execute(SAVED, merchant)
        await connection.execute("ANALYZE saved_cards")
        await connection.execute("SET LOCAL plan_cache_mode = force_generic_plan")
        await connection.execute(f"PREPARE it AS {query('saved_cards')}")
        explained = await connection.fetchval(
            f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) EXECUTE "
            f"it('{merchant}', 'buyer 777', 'buyer 777' || chr(1114111), 500, 20)"
        )
    finally:
        await transaction.rollback()
        await connection.close()
    plan = msgspec.json.decode(explained)[0]["Plan"]

    ranges = {node["Index Name"] for node in _nodes(plan) if "~>=~" in node.get("Index Cond", "")}
    assert ranges == {"saved_cards_by_email", "saved_cards_by_name"}
    assert plan["Actual Rows"] == 1
    assert plan["Shared Hit Blocks"] + plan["Shared Read Blocks"] < SAVED_CARD_PAGES_MAX
