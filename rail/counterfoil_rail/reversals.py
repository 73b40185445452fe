"""
Undo an earlier message (0400, 0420): a timeout, a void, a refusal at the shop.

A reversal whose original never came leaves a tombstone: the original is refused when
it comes after all. What stands in an open batch is undone, wholly or down to what DE 95
says, by a reversal line beside it (gross counting); once the batch is closed only a
refund helps (40).
"""

from counterfoil_rail.books import Books
from counterfoil_rail.captures import AMOUNT_TOO_HIGH, MISMATCH
from counterfoil_rail.cards import Card
from counterfoil_rail.checks import CURRENCIES
from counterfoil_rail.clock import Moment
from counterfoil_rail.holds import lapse
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
    if charge.rrn != request.fields["37"] or request.amount_minor not in _amounts(charge):
        return MISMATCH
    if charge.state == "declined":
        return ACCEPTED
    if charge.state == "reversed":
        return ALREADY_REVERSED
    if charge.kind == "credit":
        return _undo_credit(request, charge, entries[0], books=books, moment=moment)
    if not _remaining(request):
        return _undo_charge(request, charge, entries, books=books, moment=moment)
    if charge.kind == "authorization":
        return _release_part(charge, _remaining(request), books)
    return _undo_part(request, charge, entries[0], books=books, moment=moment)


def _remaining(request: Request) -> int:
    """
    Return what DE 95 says remains; 0 when nothing does, or there is none.
    """
    return int(request.fields.get("95", "0")[:12])


def _amounts(charge: Charge) -> set[int]:
    """
    Return what DE 4 may say: what was asked, or what was approved of it.
    """
    return {charge.amount_minor, charge.authorized_minor or charge.amount_minor}


def _undo_charge(
    request: Request, charge: Charge, entries: list[Entry], *, books: Books, moment: Moment
) -> str:
    """
    Release what is held and reverse every capture, if their batches are all open.
    """
    living = [entry for entry in entries if not entry.is_reversed]
    if any(entry.is_closed or entry.kind == "credit" for entry in living):
        return NOT_SUPPORTED
    if not charge.remaining_minor:  # The hold has lapsed: nothing is left to be undone.
        return ACCEPTED
    for entry in living:
        _reverse_entry(request, charge, entry, entry.standing_minor, books=books, moment=moment)
    books.settle_account(charge, held_minor=-charge.held_minor, spent_minor=-charge.captured_minor)
    charge.reverse()
    return ACCEPTED


def _release_part(charge: Charge, remaining_minor: int, books: Books) -> str:
    """
    Lower an authorization to *remaining_minor*; what was captured of it stays.
    """
    refusal = _refusal_of_part(charge.remaining_minor, remaining_minor)
    if refusal:
        return refusal
    if remaining_minor < charge.captured_minor:
        return AMOUNT_TOO_HIGH
    released_minor = charge.remaining_minor - remaining_minor
    books.settle_account(charge, held_minor=-released_minor)
    charge.release(released_minor)
    charge.settle_state()
    return ACCEPTED


def _undo_part(
    request: Request, charge: Charge, entry: Entry, *, books: Books, moment: Moment
) -> str:
    """
    Lower a sale, a forced capture or one capture to what DE 95 says remains of it.
    """
    remaining_minor = _remaining(request)
    refusal = _refusal_of_part(entry.standing_minor, remaining_minor)
    if refusal:
        return refusal
    undone_minor = entry.standing_minor - remaining_minor
    if entry.is_closed or undone_minor > charge.refundable_minor:
        return NOT_SUPPORTED
    _uncapture(request, charge, entry, undone_minor, books=books, moment=moment)
    return ACCEPTED


def _refusal_of_part(standing_minor: int, remaining_minor: int) -> str:
    """
    Return the code when *remaining_minor* is not less than what stands, or "".
    """
    if remaining_minor == standing_minor:
        return ALREADY_REVERSED
    return INVALID_AMOUNT if remaining_minor > standing_minor else ""


def _undo_movement(
    request: Request, charge: Charge, entry: Entry, *, books: Books, moment: Moment
) -> str:
    """
    Undo one capture (its amount is held again) or one refund (it is captured again).
    """
    if (entry.rrn, entry.amount_minor) != (request.fields["37"], request.amount_minor):
        return MISMATCH
    if entry.is_reversed:
        return ALREADY_REVERSED
    if entry.kind == "credit":
        return _undo_refund(request, charge, entry, books=books, moment=moment)
    if _remaining(request):
        return _undo_part(request, charge, entry, books=books, moment=moment)
    undone_minor = entry.standing_minor
    if entry.is_closed or undone_minor > charge.refundable_minor:
        return NOT_SUPPORTED
    _uncapture(request, charge, entry, undone_minor, books=books, moment=moment)
    return ACCEPTED


def _uncapture(
    request: Request,
    charge: Charge,
    entry: Entry,
    amount_minor: int,
    *,
    books: Books,
    moment: Moment,
) -> None:
    """
    Take a capture back; of an authorization whose time is over it lapses at once.
    """
    held_minor = amount_minor if charge.kind == "authorization" else 0
    books.settle_account(charge, held_minor=held_minor, spent_minor=-amount_minor)
    _reverse_entry(request, charge, entry, amount_minor, books=books, moment=moment)
    charge.uncapture(amount_minor)
    charge.settle_state()
    if charge.held_minor and charge.expires_at is not None and charge.expires_at <= moment.at:
        lapse(charge, books)


def _undo_refund(
    request: Request, charge: Charge, entry: Entry, *, books: Books, moment: Moment
) -> str:
    """
    Take a refund back, whole: what it gave is captured again.
    """
    if entry.is_closed or _remaining(request):
        return NOT_SUPPORTED
    amount = entry.standing_minor
    if not books.move_account(charge.card_ref, charge.currency, spent_minor=amount):
        return INSUFFICIENT_FUNDS
    _reverse_entry(request, charge, entry, amount, books=books, moment=moment)
    charge.refunded_minor -= amount
    charge.settle_state()
    return ACCEPTED


def _undo_credit(
    request: Request, charge: Charge, entry: Entry, *, books: Books, moment: Moment
) -> str:
    """
    Take a credit back, whole, if the account still bears it.
    """
    if entry.is_closed or _remaining(request):
        return NOT_SUPPORTED
    amount = entry.standing_minor
    if not books.move_account(charge.card_ref, charge.currency, spent_minor=amount):
        return INSUFFICIENT_FUNDS
    _reverse_entry(request, charge, entry, amount, books=books, moment=moment)
    charge.reverse()
    return ACCEPTED


def _reverse_entry(
    request: Request,
    charge: Charge,
    entry: Entry,
    amount_minor: int,
    *,
    books: Books,
    moment: Moment,
) -> None:
    books.add_entry(
        "debit_reversal" if entry.kind == "debit" else "credit_reversal",
        books.batch_by_id(entry.batch_id),
        charge.id,
        amount_minor,
        key=request.key,
        rrn=entry.rrn,
        at=moment.at,
        reverses=entry.id,
    )
