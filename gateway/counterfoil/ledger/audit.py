"""
Prove the books: every amount of a merchant is where DESIGN says it is, or is named.

Stands at the end of the road and changes nothing. Per merchant and currency:

    authorized          = captured + released + held
    captured - refunded = open + batched - given back outside of the acquirer
    batched             = deposited + fees + adjustments + in transit + unexplained

and behind these sums every payment, movement, batch, deposit and statement against each
other, a query for each rule (rules.py), all in one snapshot.
"""

from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from counterfoil import ids
from counterfoil.ledger.books import Books, Sums, books_of
from counterfoil.ledger.rules import NEXT_STEP_OF_BOOKS, RULES, Rule
from counterfoil.store.audit import Snapshot, snapshot
from counterfoil.store.database import Database

DIFFERENCES_MAX = 10_000  # Of one rule; whoever has more mends these first.


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """
    One thing that does not agree. Amounts in minor units; found less expected.

    The amount is None where nobody can know it: of a row that was removed.
    """

    merchant: str | None
    currency: str | None
    what: str
    subject: str
    expected: int | str | None
    found: int | str | None
    difference_minor: int | None
    next_step: str


class Chain(msgspec.Struct, frozen=True, kw_only=True):
    """
    How far a merchant's journal is sealed, and with which hash: keep it on another machine.
    """

    merchant: str
    blocks: int
    transfers: int
    hash: str


class Audit(msgspec.Struct, frozen=True, kw_only=True):
    """
    What an audit found.
    """

    agrees: bool
    merchants: list[Sums]
    differences: list[Difference]
    chains: list[Chain]


async def audit(database: Database, merchant_id: UUID | None = None, *, now: datetime) -> Audit:
    """
    Audit one merchant's books, or everybody's, as they must be at *now*.

    Raises:
        DatabaseAway: The database does not answer.
    """
    async with snapshot(database) as view:
        books = await _books(view, merchant_id)
        differences = [each for book in books for each in _identities(book)]
        for rule in RULES:
            differences += await _broken(view, rule, merchant_id, now)
        chains = [
            Chain(
                merchant=_merchant(row["merchant_id"]) or "",
                blocks=row["blocks"],
                transfers=row["transfers"],
                hash=row["hash"].hex(),
            )
            for row in await view.rows("audit_chains", merchant_id)
        ]
    return Audit(
        agrees=not differences,
        merchants=[book.sums() for book in books],
        differences=differences,
        chains=chains,
    )


def with_more(audited: Audit, more: list[Difference]) -> Audit:
    """
    Return *audited* with the differences that somebody else found.
    """
    differences = [*audited.differences, *more]
    return msgspec.structs.replace(audited, agrees=not differences, differences=differences)


async def _books(view: Snapshot, merchant_id: UUID | None) -> list[Books]:
    flows = await view.rows("audit_flows", merchant_id)
    movements = await view.rows("audit_movements_by_state", merchant_id)
    unexplained = await view.rows("audit_unexplained", merchant_id)
    return books_of(map(dict, flows), map(dict, movements), map(dict, unexplained))


def _identities(books: Books) -> list[Difference]:
    return [
        Difference(
            merchant=_merchant(books.merchant_id),
            currency=books.currency,
            what="the sums of the journal do not agree",
            subject=proof.subject,
            expected=proof.expected,
            found=proof.found,
            difference_minor=proof.found - proof.expected,
            next_step=proof.next_step or NEXT_STEP_OF_BOOKS,
        )
        for proof in books.proofs()
        if proof.expected != proof.found
    ]


async def _broken(
    view: Snapshot, rule: Rule, merchant_id: UUID | None, now: datetime
) -> list[Difference]:
    more = [] if rule.after is None else [now - rule.after]
    rows = await view.rows(rule.query, merchant_id, DIFFERENCES_MAX, *more)
    found = [_difference(rule, dict(row)) for row in rows]
    if len(found) == DIFFERENCES_MAX:
        found.append(
            msgspec.structs.replace(
                found[-1],
                subject=f"and more than these {DIFFERENCES_MAX}",
                expected=None,
                found=None,
                difference_minor=None,
                next_step="Mend these, then audit again.",
            )
        )
    return found


def _difference(rule: Rule, row: dict[str, Any]) -> Difference:
    return Difference(
        merchant=_merchant(row["merchant_id"]),
        currency=row["currency"],
        what=rule.what,
        subject=row["subject"],
        expected=msgspec.json.decode(row["expected"], type=int | str),
        found=msgspec.json.decode(row["found"], type=int | str),
        difference_minor=row["difference_minor"],
        next_step=row.get("next_step") or rule.next_step,
    )


def _merchant(merchant_id: UUID | None) -> str | None:
    return ids.written(ids.MERCHANT, merchant_id) if merchant_id else None
