"""
Book the bank's statement: every entry judged, every deposit paid, returned or asked after.

The last step of a payment's road: the money is in the merchant's account. An entry belongs to a
deposit when one of its references, or a word of its text, is the deposit's. What belongs to no
deposit is none of our business, and stays quiet.
"""

import re
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

import msgspec

from counterfoil.ids import Ids
from counterfoil.settlement import words
from counterfoil.settlement.deposit import DAYS_OFF_MAX, DepositKey, bring_up_to_date
from counterfoil.settlement.held import without_card_numbers
from counterfoil.settlement.journal import signed
from counterfoil.settlement.reconcile import NotBooked
from counterfoil.settlement.statement import Entry, Statement
from counterfoil.store.booking import Booking, Transfer

# Of an entry before its deposit is brought up to date, and for good if it has none.
NOT_JUDGED, UNRELATED = "matched", "unrelated"


class Terms(msgspec.Struct, frozen=True):
    """
    How an acquirer writes the references of its deposits.
    """

    acquirer: str
    deposit_reference: "re.Pattern[str]"


class _Known(msgspec.Struct):
    """
    A deposit that entries may belong to; `outstanding_minor` shrinks as they do.
    """

    key: DepositKey
    currency: str
    is_reported: bool
    outstanding_minor: int


async def book_statement(
    statement: Statement, *, digest: bytes, terms: list[Terms], booking: Booking, ids: Ids
) -> None:
    """
    Book *statement*, which is of an account of this merchant's.

    Raises:
        NotBooked: It was read before, or pays a deposit in the wrong currency; the transaction
            must be given up.
    """
    if await _is_known(statement, booking):
        return
    await booking.add_statement(
        (
            statement.account,
            statement.statement_id,
            statement.currency,
            digest,
            statement.opening_minor,
            statement.closing_minor,
            statement.booked_from,
            statement.booked_to,
        )
    )
    known = await _known(statement, booking)
    owners = [_owner(entry, known, terms, statement.currency) for entry in statement.entries]
    await _add_new(statement, owners, known, booking, ids)
    await booking.add_entries(
        statement.account,
        statement.statement_id,
        statement.currency,
        [
            _row(number, entry, owner)
            for number, (entry, owner) in enumerate(
                zip(statement.entries, owners, strict=True), start=1
            )
        ],
    )
    await booking.book(
        [
            (ids.new(), each)
            for entry, owner in zip(statement.entries, owners, strict=True)
            if owner is not None
            for each in _transfers(entry, owner)
        ]
    )
    keys = {owner.key for owner in owners if owner is not None}
    await bring_up_to_date(booking, keys, cause="statement", actor="bank", ids=ids)
    await _ask_after(statement, booking, ids)
    await _tell_gaps(statement, booking, ids)


async def _is_known(statement: Statement, booking: Booking) -> bool:
    """
    Return whether the same was said before in another format: same days, same balances.

    Raises:
        NotBooked: Something else was said before of one of these days, or under this id.
    """
    before = await booking.statement_before(
        statement.account,
        statement.statement_id,
        statement.currency,
        statement.booked_from,
        statement.booked_to,
    )
    if before is None:
        return False
    said = (before["first_day"], before["last_day"], before["opening_minor"])
    if (*said, before["closing_minor"]) == (
        statement.booked_from,
        statement.booked_to,
        statement.opening_minor,
        statement.closing_minor,
    ):
        return True
    raise NotBooked(
        f"Statement {before['statement_id']} of this account was read before and covers "
        f"{before['first_day']} to {before['last_day']}: no day is booked twice."
    )


async def _known(statement: Statement, booking: Booking) -> dict[str, list[_Known]]:
    """
    Return the deposits that the statement's entries name, by reference.
    """
    named = {reference for entry in statement.entries for reference in entry.references}
    found: dict[str, list[_Known]] = {}
    for row in await booking.deposits(named):
        is_reported = row["file_digest"] is not None
        found.setdefault(row["reference"], []).append(
            _Known(
                (row["acquirer"], row["reference"]),
                row["currency"],
                is_reported,
                row["net_minor"] - row["paid_minor"] if is_reported else 0,
            )
        )
    return found


def _owner(
    entry: Entry, known: dict[str, list[_Known]], terms: list[Terms], currency: str
) -> _Known | None:
    """
    Return the deposit that *entry* belongs to: one we know, or a new one without a report.
    """
    candidates = [each for reference in entry.references for each in known.get(reference, ())]
    if not candidates and (key := _unreported(entry, terms)):
        candidates = [_Known(key, currency, is_reported=False, outstanding_minor=0)]
        known[key[1]] = candidates
    if not candidates:
        return None
    exact = [each for each in candidates if each.outstanding_minor == entry.amount_minor]
    chosen = (exact or candidates)[0]
    if chosen.currency != currency:
        raise NotBooked(
            f"Deposit {chosen.key[1]} is in {chosen.currency}, the account in {currency}."
        )
    chosen.outstanding_minor -= entry.amount_minor
    return chosen


def _unreported(entry: Entry, terms: Iterable[Terms]) -> DepositKey | None:
    """
    Return the reference of *entry* that an acquirer writes on deposits, if it has one.
    """
    for each in terms:
        for reference in entry.references:
            if each.deposit_reference.fullmatch(reference):
                return each.acquirer, reference
    return None


async def _add_new(
    statement: Statement,
    owners: list[_Known | None],
    known: dict[str, list[_Known]],
    booking: Booking,
    ids: Ids,
) -> None:
    """
    Add the deposits that came without a report, dated as they came.
    """
    there = {(row["acquirer"], row["reference"]) for row in await booking.deposits(known)}
    new: dict[DepositKey, Entry] = {}
    for entry, owner in zip(statement.entries, owners, strict=True):
        if owner is not None and owner.key not in there:
            new.setdefault(owner.key, entry)
    await booking.add_paid(
        [(*key, statement.currency, entry.value_on) for key, entry in new.items()]
    )
    await booking.begin_deposits(
        [(ids.new(), *key, "without_report", "statement") for key in new], "bank"
    )


def _row(number: int, entry: Entry, owner: _Known | None) -> tuple[Any, ...]:
    acquirer, reference = owner.key if owner else (None, None)
    return (
        number,
        entry.amount_minor,
        entry.booked_on,
        entry.value_on,
        without_card_numbers(entry.bank_reference),
        entry.text,
        entry.is_return,
        acquirer,
        reference,
        NOT_JUDGED if owner else UNRELATED,
    )


def _transfers(entry: Entry, owner: _Known) -> list[Transfer]:
    """
    Return the rows of the journal: what the bank books is no longer in transit.
    """
    return signed(
        "deposited",
        "in_transit" if owner.is_reported else "unexplained",
        entry.amount_minor,
        currency=owner.currency,
        cause="returned" if entry.is_return else "paid",
        reference=owner.key[1],
    )


async def _ask_after(statement: Statement, booking: Booking, ids: Ids) -> None:
    """
    Put on the list which deposits should have come by the end of this statement.
    """
    before = statement.booked_to - timedelta(days=DAYS_OFF_MAX)
    await booking.find(
        [
            (
                ids.new(),
                words.not_paid(
                    row["reference"],
                    statement.currency,
                    row["net_minor"] - row["paid_minor"],
                    row["value_date"],
                ),
            )
            for row in await booking.not_paid(statement.currency, before)
        ]
    )


async def _tell_gaps(statement: Statement, booking: Booking, ids: Ids) -> None:
    """
    Put on the list where an account's statements do not go on from each other.
    """
    account, currency = statement.account, statement.currency
    findings = [
        words.statement_missing(
            account,
            row["statement_id"],
            currency,
            row["opening_minor"] - row["before_minor"],
            row["first_day"],
        )
        for row in await booking.gaps(account, currency)
    ]
    still = {each.subject for each in findings}
    closed = [subject for subject in await booking.open_gaps(account) if subject not in still]
    await booking.resolve(
        [("statement_missing", subject) for subject in closed], "The statement has come."
    )
    await booking.find([(ids.new(), each) for each in findings])
