"""
Prove the books: every amount of a merchant is where DESIGN says it is, or is named.

Stands at the end of the road and changes nothing. Per merchant and currency:

    authorized          = captured + released + held
    captured - refunded = open + batched - given back outside of the acquirer
    batched             = deposited + fees + adjustments + in transit + unexplained

and behind these sums every payment, movement, batch, deposit and statement against each
other, a query for each rule (rules.py), all in one snapshot. Who brings a witness along has the
sealed journal held against its signed heads as well (witness.py).
"""

from datetime import datetime
from itertools import groupby
from typing import Any
from uuid import UUID

import msgspec

from counterfoil import ids
from counterfoil.ledger.books import Books, Sums, books_of
from counterfoil.ledger.rules import NEXT_STEP_OF_BOOKS, RULES, Rule
from counterfoil.ledger.witness import (
    BLOCKS_AT_ONCE_MAX,
    Chains,
    HeadFault,
    Witness,
    faults,
    heads_of_file,
)
from counterfoil.store.audit import Snapshot, snapshot
from counterfoil.store.database import Database
from counterfoil.store.heads import SignedHead, signed_head

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


class Heads(msgspec.Struct, frozen=True, kw_only=True):
    """
    How many heads of a merchant's chain were signed, and the newest: up to which block, and when.
    """

    merchant: str
    heads: int
    day: str
    blocks: int


class Audit(msgspec.Struct, frozen=True, kw_only=True):
    """
    What an audit found; `notes` is what a person should know and no difference.
    """

    agrees: bool
    merchants: list[Sums]
    differences: list[Difference]
    chains: list[Chain]
    heads: list[Heads] = []
    notes: list[str] = []


async def audit(
    database: Database,
    merchant_id: UUID | None = None,
    *,
    now: datetime,
    witness: Witness | None = None,
) -> Audit:
    """
    Audit one merchant's books, or everybody's, as they must be at *now*.

    With a *witness* the chains are held against the heads that were signed of them.

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
        audited = Audit(
            agrees=not differences,
            merchants=[book.sums() for book in books],
            differences=differences,
            chains=chains,
        )
        if witness is None:
            return audited
        return await _held_against(audited, view, merchant_id, witness)


async def _held_against(
    audited: Audit, view: Snapshot, merchant_id: UUID | None, witness: Witness
) -> Audit:
    rows = [signed_head(row) for row in await view.rows("audit_signed_heads", merchant_id)]
    in_file = heads_of_file(witness, merchant_id)
    ends = {ids.read(ids.MERCHANT, each.merchant): each.blocks for each in audited.chains}
    hashes = await _hashes(view, merchant_id, [*rows, *in_file])
    found = [_of_heads(each) for each in faults(rows, in_file, witness, Chains(hashes, ends))]
    heads = [_standing(list(each)) for _, each in groupby(rows, key=lambda row: row.merchant_id)]
    audited = msgspec.structs.replace(audited, heads=heads, notes=_notes(audited, heads, witness))
    return with_more(audited, found)


async def _hashes(
    view: Snapshot, merchant_id: UUID | None, heads: list[SignedHead]
) -> dict[tuple[UUID, int], bytes]:
    named = list({(each.merchant_id, each.block) for each in heads})
    hashes = {}
    for start in range(0, len(named), BLOCKS_AT_ONCE_MAX):
        columns = zip(*named[start : start + BLOCKS_AT_ONCE_MAX], strict=True)
        for row in await view.rows("audit_named_blocks", merchant_id, *map(list, columns)):
            hashes[row["merchant_id"], row["block_number"]] = row["hash"]
    return hashes


def _standing(heads: list[SignedHead]) -> Heads:
    newest = heads[-1]
    return Heads(
        merchant=_merchant(newest.merchant_id) or "",
        heads=len(heads),
        day=newest.day.isoformat(),
        blocks=newest.block,
    )


def _notes(audited: Audit, heads: list[Heads], witness: Witness) -> list[str]:
    known = {each.merchant for each in heads}
    notes = [
        f"{each.merchant}: no head of this chain was signed yet; a running worker signs the first "
        "within a minute, and one a day"
        for each in audited.chains
        if each.merchant not in known
    ]
    if heads and witness.lines is None:
        notes.append(
            "The file of signed heads is not on this machine: whether the newest heads were "
            "removed was not looked at."
        )
    return notes


def _of_heads(fault: HeadFault) -> Difference:
    return Difference(
        merchant=_merchant(fault.merchant_id),
        currency=None,
        what=fault.what,
        subject=fault.subject,
        expected=fault.expected,
        found=fault.found,
        difference_minor=None,
        next_step=fault.next_step,
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
