"""
Advices on an earlier charge (0220): capture what is held, refund what was captured.

A capture names its authorization in DE 90 and may take part of the hold, several
times; what is left stays held until a reversal releases it or it lapses. A refund names the sale
or the authorization and gives back at most what was captured.
"""

from counterfoil_rail.books import Books
from counterfoil_rail.cards import Card
from counterfoil_rail.checks import CURRENCIES
from counterfoil_rail.clock import Moment
from counterfoil_rail.message import Answer, Request
from counterfoil_rail.payments import INVALID_AMOUNT, NOT_SUPPORTED, REVERSED_BEFORE
from counterfoil_rail.records import Booking, Charge, EntryKind, refuse

NOT_FOUND = "25"  # Also: the hold has lapsed.
AMOUNT_TOO_HIGH = "61"  # More than is held, or more than was captured: also when that is nothing.
MISMATCH = "76"  # The charge that DE 90 names has another card, currency, RRN or amount.


def capture(request: Request, card: Card, *, books: Books, moment: Moment) -> Booking:
    """
    Take DE 4 from the hold of the authorization that DE 90 names.
    """
    charge = _original_charge(request, card, books)
    if isinstance(charge, Booking):
        return charge
    if not request.fields["3"].startswith("00"):
        return refuse(NOT_SUPPORTED)
    if charge.mti != "0100":
        return refuse(NOT_FOUND)
    if charge.rrn != request.fields["37"]:
        return refuse(MISMATCH)
    amount = request.amount_minor
    if amount > charge.held_minor:
        return refuse(NOT_FOUND, "lapsed") if charge.expired_minor else refuse(AMOUNT_TOO_HIGH)
    refused = _enter_batch("debit", request, charge, books=books, moment=moment)
    if refused:
        return refused
    books.settle_account(charge, held_minor=-amount, spent_minor=amount)
    charge.held_minor -= amount
    charge.captured_minor += amount
    charge.batch = request.fields["60"]
    return _save(charge, books, moment)


def refund(request: Request, card: Card, *, books: Books, moment: Moment) -> Booking:
    """
    Give DE 4 back of what was captured of the charge that DE 90 names.
    """
    charge = _original_charge(request, card, books)
    if isinstance(charge, Booking):
        return charge
    amount = request.amount_minor
    if amount > charge.refundable_minor:
        return refuse(AMOUNT_TOO_HIGH)
    refused = _enter_batch("credit", request, charge, books=books, moment=moment)
    if refused:
        return refused
    books.settle_account(charge, spent_minor=-amount)
    charge.refunded_minor += amount
    return _save(charge, books, moment)


def _original_charge(request: Request, card: Card, books: Books) -> Charge | Booking:
    """
    Return the charge that DE 90 names, or the refusal when there is none that fits.
    """
    if books.is_buried(request.key):
        return refuse(REVERSED_BEFORE, "tombstone")
    if not request.amount_minor:
        return refuse(INVALID_AMOUNT)
    original = books.exchange(request.original())
    if original is None or original.charge_id is None:
        return refuse(NOT_FOUND)
    charge = books.charge(original.charge_id)
    if (charge.card_ref, charge.currency) != (card.ref, CURRENCIES[request.fields["49"]]):
        return refuse(MISMATCH)
    return charge


def _enter_batch(
    kind: EntryKind, request: Request, charge: Charge, *, books: Books, moment: Moment
) -> Booking | None:
    """
    Put the movement into the batch of DE 60; return the refusal when that is closed.
    """
    number = request.fields["60"]
    batch = books.batch(charge.terminal_id, charge.currency, number, at=moment.at)
    if batch.closed_at is not None:
        return refuse(NOT_SUPPORTED, "batch closed")
    books.add_entry(
        kind,
        batch,
        charge.id,
        request.amount_minor,
        key=request.key,
        rrn=request.fields["37"],
        at=moment.at,
    )
    return None


def _save(charge: Charge, books: Books, moment: Moment) -> Booking:
    charge.settle_state()
    books.save_charge(charge)
    return Booking(Answer("00", settlement_date=moment.business_day), charge.id)
