"""
Book money that moves without asking the issuer: a forced capture (0220), a credit (0200).

A forced capture carries the code that the issuer gave by voice (DE 38); a credit gives
money that was never taken here. Neither names an earlier message, and each is a charge
of its own. The host still knows numbers that are none, and an expiry that is past.
"""

from counterfoil_rail.books import Books
from counterfoil_rail.cards import Card
from counterfoil_rail.clock import Moment
from counterfoil_rail.issuer import APPROVED, NEVER_ANSWERS, Issuers
from counterfoil_rail.message import Answer, Request
from counterfoil_rail.payments import (
    INSUFFICIENT_FUNDS,
    INVALID_AMOUNT,
    NOT_SUPPORTED,
    REVERSED_BEFORE,
    batch_of,
    network_transaction_id,
    new_charge,
    take_from_account,
)
from counterfoil_rail.records import Batch, Booking, Charge, EntryKind, refuse


def force(
    request: Request, card: Card, *, books: Books, issuers: Issuers, moment: Moment
) -> Booking:
    """
    Take DE 4 as a debit of the batch of DE 60: the issuer said yes by voice.
    """
    batch = _open_batch(request, books, moment)
    if isinstance(batch, Booking):
        return batch
    expiry = request.fields.get("14", "")
    code = _decide(request, card, issuers, moment, expiry=expiry)
    if code == NEVER_ANSWERS:
        return Booking(None)
    amount = request.amount_minor
    if code == APPROVED and not take_from_account(card, batch.currency, books, spent_minor=amount):
        code = INSUFFICIENT_FUNDS
    charge = new_charge(request, card, code, books=books, batch=batch, moment=moment)
    charge.kind = "forced"
    if code == APPROVED:
        charge.authorized_minor = charge.captured_minor = amount
        charge.approval_code = request.fields["38"].strip()
    return _book(request, charge, batch, books, moment)


def credit(
    request: Request, card: Card, *, books: Books, issuers: Issuers, moment: Moment
) -> Booking:
    """
    Give DE 4 to the cardholder as a credit of the batch of DE 60.
    """
    if "90" in request.fields:  # A refund of something comes as a 0220.
        return refuse(NOT_SUPPORTED)
    batch = _open_batch(request, books, moment)
    if isinstance(batch, Booking):
        return batch
    code = _decide(request, card, issuers, moment, expiry="")
    if code == NEVER_ANSWERS:
        return Booking(None)
    charge = new_charge(request, card, code, books=books, batch=batch, moment=moment)
    charge.kind = "credit"
    if code == APPROVED:
        taken = take_from_account(card, batch.currency, books, spent_minor=-request.amount_minor)
        assert taken, "an account always takes money in"
        charge.credited_minor = request.amount_minor
        charge.approval_code = issuers.approval_code()
    return _book(request, charge, batch, books, moment)


def _open_batch(request: Request, books: Books, moment: Moment) -> Batch | Booking:
    """
    Return the batch that takes it, or the refusal of what cannot be booked.
    """
    if books.is_buried(request.key):
        return refuse(REVERSED_BEFORE, "tombstone")
    if request.fields["3"][:2] not in {"00", "20"}:
        return refuse(NOT_SUPPORTED)
    if not request.amount_minor:
        return refuse(INVALID_AMOUNT)
    batch = batch_of(request, books, moment)
    return batch if batch.closed_at is None else refuse(NOT_SUPPORTED, "batch closed")


def _decide(request: Request, card: Card, issuers: Issuers, moment: Moment, *, expiry: str) -> str:
    return issuers.decide_unasked(
        card, amount_minor=request.amount_minor, expiry=expiry, this_month=moment.month
    )


def _book(request: Request, charge: Charge, batch: Batch, books: Books, moment: Moment) -> Booking:
    is_approved = charge.response_code == APPROVED
    if is_approved:
        charge.network_transaction_id = network_transaction_id(charge, moment)
        charge.batch = batch.number
        charge.settle_state()
    books.add_charge(charge)
    if is_approved:
        kind: EntryKind = "credit" if charge.kind == "credit" else "debit"
        key, amount = request.key, charge.amount_minor
        books.add_entry(kind, batch, charge.id, amount, key=key, rrn=charge.rrn, at=moment.at)
    answer = Answer(
        charge.response_code,
        approval_code=charge.approval_code,
        settlement_date=moment.business_day,
        network_transaction_id=charge.network_transaction_id,
    )
    return Booking(answer, charge.id)
