"""
Whether shop, gateway and rail tell the same story about one merchant, to the cent.

Each is asked for its own books: the gateway's by its audit, the rail's charges as its command
tells them, the shop's from its book and not from what the gateway says of it.
"""

import asyncio
from typing import TYPE_CHECKING
from uuid import UUID

from counterfoil.cli.audit import witness_of
from counterfoil.ledger.audit import audit
from counterfoil.ledger.listing import our_books
from counterfoil.store.database import Database
from counterfoil_rail.listing import charges

from counterfoil_proof.books import against_charges
from counterfoil_proof.matrix import book

if TYPE_CHECKING:
    from counterfoil_proof.matrix.lane import Lane
    from counterfoil_proof.matrix.scenarios import Scenario

NOT_CHARGED_STATES = {"declined", "reversed", "not_sent", "verified", "unanswered"}
OWED = """
SELECT 'payment' AS what, state FROM payments
 WHERE merchant_id = $1 AND state IN ('processing', 'approved', 'reversing', 'voiding')
UNION ALL SELECT 'advice', kind FROM advices WHERE merchant_id = $1 AND state = 'owed'
UNION ALL SELECT 'mail', kind FROM outbox WHERE merchant_id = $1 AND state = 'owed'
UNION ALL SELECT 'event', source FROM feed_pending WHERE merchant_id = $1
UNION ALL SELECT 'batch', state FROM batches
 WHERE merchant_id = $1 AND state NOT IN ('open', 'closed', 'needs_a_person')
"""
FOR_A_PERSON = """
SELECT batch_number FROM batches WHERE merchant_id = $1 AND state = 'needs_a_person'
"""
PAYMENTS = """
SELECT payment_id, idempotency_key, state, amount_minor, confirmation_number, rrn
FROM payments WHERE merchant_id = $1
"""
MOVEMENTS = """
SELECT idempotency_key, count(*) AS number FROM movements
WHERE merchant_id = $1 AND idempotency_key IS NOT NULL GROUP BY idempotency_key
"""


async def owed(database: Database, merchant_id: UUID) -> list[str]:
    """
    Return what still has to happen for this merchant.
    """
    async with database.acquire() as connection:
        rows = await connection.fetch(OWED, merchant_id)
    return [f"{row['what']} {row['state']}" for row in rows]


async def disagreements(lane: "Lane", scenario: "Scenario") -> list[str]:
    """
    Return everything about the present merchant that does not agree.
    """
    assert lane.account is not None
    merchant_id, terminal_id = lane.account.merchant_id, lane.account.terminal_id
    witness = witness_of(lane.configuration)
    audited = await audit(lane.database, merchant_id, now=lane.now(), witness=witness)
    ours = await our_books(lane.database, merchant_id)
    theirs = [
        each
        for each in await asyncio.to_thread(lambda: list(charges(lane.folder)))
        if each["terminal_id"] == terminal_id
    ]
    found = [
        f"{each.what}: {each.subject}, expected {each.expected}, found {each.found}"
        for each in (*audited.differences, *against_charges(ours, theirs))
    ]
    if len({each["rrn"] for each in theirs}) != len(theirs):
        found.append("the rail has two charges under one RRN")
    async with lane.database.acquire() as connection:
        stuck = await connection.fetch(FOR_A_PERSON, merchant_id)
        payments = await connection.fetch(PAYMENTS, merchant_id)
        movements = await connection.fetch(MOVEMENTS, merchant_id)
    found += [f"batch {row['batch_number']} needs a person" for row in stuck]
    lines = book.read(lane.book_folder / "book.jsonl")
    found += against_book(
        lines,
        {row["idempotency_key"]: dict(row) for row in payments},
        {row["idempotency_key"]: row["number"] for row in movements},
    )
    return found


def against_book(
    lines: list[book.Line], payments: dict[str, book.Line], movements: dict[str, int]
) -> list[str]:
    """
    Return how the shop's book differs from the gateway's *payments* and *movements* by key.
    """
    found = book.contradictions(lines)
    told = book.last_words(lines)
    for step, line in told.items():
        if line.get("aside"):
            continue
        if line.get("movement"):
            found += _against_movement(step, line, movements.get(step, 0))
        elif line.get("unclaimed"):
            found += _against_unclaimed(step, payments.get(step))
        else:
            found += _against_payment(step, line, payments.get(step))
    for key, row in payments.items():
        if key not in told and row["state"] not in NOT_CHARGED_STATES:
            found.append(f"the shop never asked for {key}, which is {row['state']}")
    found += [f"the shop never asked for movement {key}" for key in movements.keys() - told.keys()]
    return found


def _against_movement(step: str, line: book.Line, number: int) -> list[str]:
    if line["word"] == book.DONE:
        return [] if number == 1 else [f"{step} was told done, and is there {number} times"]
    if line["word"] == book.REFUSED:
        return [] if not number else [f"{step} was refused, and is there"]
    return [f"the shop does not know what became of {step}"]


def _against_unclaimed(step: str, row: book.Line | None) -> list[str]:
    if row is None or row["state"] in NOT_CHARGED_STATES:
        return []
    return [f"nobody claimed {step}, and it is {row['state']}"]


def _against_payment(step: str, line: book.Line, row: book.Line | None) -> list[str]:
    is_paid = row is not None and row["confirmation_number"] is not None
    if line["word"] == book.PAID:
        if row is None or not is_paid:
            return [f"{step} was told paid, and is {row['state'] if row else 'not there'}"]
        return [
            f"{step}: the shop was told {name} {line[name]}, it is {row[name]}"
            for name in ("confirmation_number", "amount_minor", "rrn")
            if line.get(name) != row[name]
        ]
    if line["word"] == book.NOT_CHARGED:
        return [f"{step} was told not charged, and is {row['state']}"] if row and is_paid else []
    return [f"the shop does not know what became of {step}"]
