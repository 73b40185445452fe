"""
Undo an earlier message (0400, 0420): a timeout, a void, a refusal at the shop.

A reversal whose original never came leaves a tombstone: the original is refused when
it comes after all. What stands in an open batch is undone by a reversal line beside
it (gross counting); once the batch is closed only a refund helps (40).
"""

from counterfoil_rail.books import Books
from counterfoil_rail.captures import AMOUNT_TOO_HIGH, MISMATCH
from counterfoil_rail.cards import Card
from counterfoil_rail.checks import CURRENCIES
from counterfoil_rail.clock import Moment
from counterfoil_rail.message import Answer, Key, Request
from counterfoil_rail.payments import INSUFFICIENT_FUNDS, INVALID_AMOUNT, NOT_SUPPORTED
from counterfoil_rail.records import Booking, Charge, Entry, refuse

ACCEPTED = "00"
ALREADY_REVERSED = "79"


def reverse(request: Request, card: Card, *, books: Books, moment: Moment) -> Booking:
    """
    Undo the message that DE 90 names, wholly or (DE 95) down to what remains.
    """
    original = request.original()
    if books.is_buried(original):
        return refuse(ALREADY_REVERSED, "tombstone")
    found = books.exchange(original)
    if found is None:
        books.bury(original, request, at=moment.at)
        return refuse(ACCEPTED, "tombstone")
    if found.charge_id is None:
        return refuse(ACCEPTED, "nothing was booked")
    charge = books.charge(found.charge_id)
    code = _undo(request, card, charge, original, books=books, moment=moment)
    if code == ACCEPTED:
        books.save_charge(charge)
    return Booking(Answer(code, settlement_date=moment.business_day), charge.id)


def _undo(
    request: Request, card: Card, charge: Charge, original: Key, *, books: Books, moment: Moment
) -> str:
    """
    Choose what is undone, and return the response code.
    """
    if (charge.card_ref, charge.currency) != (card.ref, CURRENCIES[request.fields["49"]]):
        return MISMATCH
    entries = books.entries(charge)
    if original != charge.key:
        entry = next(entry for entry in entries if entry.key == original)
        return _undo_movement(request, charge, entry, books=books, moment=moment)
    if (charge.rrn, charge.amount_minor) != (request.fields["37"], request.amount_minor):
        return MISMATCH
    if charge.state == "declined":
        return ACCEPTED
    if charge.state == "reversed":
        return ALREADY_REVERSED
    remaining_minor = int(request.fields.get("95", "0")[:12])
    if remaining_minor:
        return _release_part(charge, remaining_minor, books)
    return _undo_charge(request, charge, entries, books=books, moment=moment)


def _undo_charge(
    request: Request, charge: Charge, entries: list[Entry], *, books: Books, moment: Moment
) -> str:
    """
    Release what is held and reverse every capture, if their batches are all open.
    """
    living = [entry for entry in entries if not entry.is_reversed]
    if any(entry.is_closed or entry.kind == "credit" for entry in living):
        return NOT_SUPPORTED
    for entry in living:
        _reverse_entry(request, charge, entry, books=books, moment=moment)
    books.settle_account(charge, held_minor=-charge.held_minor, spent_minor=-charge.captured_minor)
    charge.reverse()
    return ACCEPTED


def _release_part(charge: Charge, remaining_minor: int, books: Books) -> str:
    """
    Lower an authorization to *remaining_minor*; what was captured of it stays.
    """
    if charge.mti != "0100":
        return NOT_SUPPORTED
    if remaining_minor == charge.authorized_minor:
        return ALREADY_REVERSED
    if remaining_minor > charge.authorized_minor:
        return INVALID_AMOUNT
    if remaining_minor < charge.captured_minor:
        return AMOUNT_TOO_HIGH
    held_minor = remaining_minor - charge.captured_minor
    released_minor = charge.held_minor - held_minor
    books.settle_account(charge, held_minor=-released_minor)
    charge.authorized_minor, charge.held_minor = remaining_minor, held_minor
    return ACCEPTED


def _undo_movement(
    request: Request, charge: Charge, entry: Entry, *, books: Books, moment: Moment
) -> str:
    """
    Undo one capture (its amount is held again) or one refund (it is captured again).
    """
    amount = entry.amount_minor
    if (entry.rrn, amount) != (request.fields["37"], request.amount_minor):
        return MISMATCH
    if entry.is_reversed:
        return ALREADY_REVERSED
    is_capture = entry.kind == "debit"
    if entry.is_closed or (is_capture and amount > charge.refundable_minor):
        return NOT_SUPPORTED
    held_minor, spent_minor = (amount, -amount) if is_capture else (0, amount)
    if not books.move_account(
        charge.card_ref, charge.currency, held_minor=held_minor, spent_minor=spent_minor
    ):
        return INSUFFICIENT_FUNDS
    _reverse_entry(request, charge, entry, books=books, moment=moment)
    if is_capture:
        charge.captured_minor -= amount
        charge.held_minor += amount
    else:
        charge.refunded_minor -= amount
    charge.settle_state()
    return ACCEPTED


def _reverse_entry(
    request: Request, charge: Charge, entry: Entry, *, books: Books, moment: Moment
) -> None:
    books.add_entry(
        "debit_reversal" if entry.kind == "debit" else "credit_reversal",
        books.batch_by_id(entry.batch_id),
        charge.id,
        entry.amount_minor,
        key=request.key,
        rrn=entry.rrn,
        at=moment.at,
        reverses=entry.id,
    )
