"""
Decide a payment: a sale (0200) takes the money, an authorization (0100) holds it.

The first step of a charge's life. A decision is booked whatever it is; an approved
sale enters the open batch that DE 60 names, an authorization only its count. An issuer
may approve a part of what was asked.
"""

from counterfoil_rail.books import Books
from counterfoil_rail.cards import Card
from counterfoil_rail.checks import CURRENCIES
from counterfoil_rail.clock import Moment
from counterfoil_rail.issuer import (
    APPROVED,
    NEVER_ANSWERS,
    PARTLY_APPROVED,
    Issuers,
    verification_results,
)
from counterfoil_rail.message import Answer, Request, read_private
from counterfoil_rail.records import Batch, Booking, Charge, refuse

INSUFFICIENT_FUNDS = "51"
INVALID_AMOUNT = "13"
NOT_SUPPORTED = "40"  # Also: the batch is closed, so what was asked can no longer be done.
VERIFIED = "85"  # No reason to decline an account verification.
REVERSED_BEFORE = "96"  # Its reversal came first; it must never be approved.


def decide_payment(
    request: Request,
    card: Card,
    *,
    books: Books,
    issuers: Issuers,
    moment: Moment,
    hold_seconds: float,
) -> Booking:
    """
    Ask the issuer, and book what it says; what is held lapses after *hold_seconds*.
    """
    if books.is_buried(request.key):
        return refuse(REVERSED_BEFORE, "tombstone")
    refusal = _refusal_of_the_host(request)
    if refusal:
        return refuse(refusal)
    batch = batch_of(request, books, moment)
    if batch.closed_at is not None:
        return refuse(NOT_SUPPORTED, "batch closed")

    code = issuers.decide(
        card,
        amount_minor=request.amount_minor,
        expiry=request.fields.get("14", ""),
        this_month=moment.month,
    )
    if code == NEVER_ANSWERS:
        return Booking(None)
    if _is_verification(request):
        return Booking(_answer(request, VERIFIED if code == APPROVED else code, moment))
    approved_minor = _approved(request.amount_minor, code)
    if approved_minor and not _take_from_account(
        request, card, batch.currency, approved_minor, books
    ):
        code, approved_minor = INSUFFICIENT_FUNDS, 0
    charge = new_charge(request, card, code, books=books, batch=batch, moment=moment)
    if approved_minor:
        _approve(charge, approved_minor, issuers, moment, hold_seconds)
    return _book(request, charge, batch, books, moment)


def batch_of(request: Request, books: Books, moment: Moment) -> Batch:
    """
    Return the batch that DE 60 names, opened now if it is new.
    """
    currency = CURRENCIES[request.fields["49"]]
    return books.batch(request.key.terminal_id, currency, request.fields["60"], at=moment.at)


def new_charge(
    request: Request, card: Card, code: str, *, books: Books, batch: Batch, moment: Moment
) -> Charge:
    """
    Return a charge of nothing yet: what *code* approves is put into it by the caller.
    """
    return Charge(
        id=books.next_charge_id(),
        kind="authorization" if request.function == "0100" else "sale",
        state="declined",
        mti=request.function,
        terminal_id=request.key.terminal_id,
        merchant_id=request.fields["42"],
        stan=request.key.stan,
        sent_at=request.key.sent_at,
        rrn=request.fields["37"],
        card_ref=card.ref,
        brand=card.brand,
        bin=card.bin,
        last4=card.last4,
        currency=batch.currency,
        amount_minor=request.amount_minor,
        authorized_minor=0,
        held_minor=0,
        captured_minor=0,
        refunded_minor=0,
        released_minor=0,
        expired_minor=0,
        credited_minor=0,
        batch=None,
        response_code=code,
        approval_code=None,
        network_transaction_id=None,
        expires_at=None,
        at=moment.at,
    )


def take_from_account(
    card: Card, currency: str, books: Books, *, held_minor: int = 0, spent_minor: int = 0
) -> bool:
    """
    Move the card's account, opened now if it is new; False when its limit forbids it.
    """
    if books.move_account(card.ref, currency, held_minor=held_minor, spent_minor=spent_minor):
        return True
    books.open_account(card, currency)
    return books.move_account(card.ref, currency, held_minor=held_minor, spent_minor=spent_minor)


def network_transaction_id(charge: Charge, moment: Moment) -> str:
    """
    Return the network's own name for an approved charge.
    """
    return f"{moment.business_day}{charge.id:011d}"


def _refusal_of_the_host(request: Request) -> str:
    """
    Return the code for what this host does not do, or "".
    """
    act = request.fields["3"][:2]
    if _is_verification(request):
        return "" if request.amount_minor == 0 else INVALID_AMOUNT
    if act != "00" or "90" in request.fields:  # With DE 90: an incremental authorization.
        return NOT_SUPPORTED
    return "" if request.amount_minor else INVALID_AMOUNT


def _is_verification(request: Request) -> bool:
    return request.function == "0100" and request.fields["3"].startswith("33")


def _approved(amount_minor: int, code: str) -> int:
    """
    Return what *code* approves of an amount: all, the half rounded down, or nothing.
    """
    if code == APPROVED:
        return amount_minor
    return amount_minor // 2 if code == PARTLY_APPROVED else 0


def _take_from_account(
    request: Request, card: Card, currency: str, amount_minor: int, books: Books
) -> bool:
    if request.function == "0100":
        return take_from_account(card, currency, books, held_minor=amount_minor)
    return take_from_account(card, currency, books, spent_minor=amount_minor)


def _approve(
    charge: Charge, approved_minor: int, issuers: Issuers, moment: Moment, hold_seconds: float
) -> None:
    charge.authorized_minor = approved_minor
    if charge.kind == "authorization":
        charge.held_minor = approved_minor
        charge.expires_at = moment.later(hold_seconds)
    else:
        charge.captured_minor = approved_minor
    charge.approval_code = issuers.approval_code()
    charge.network_transaction_id = network_transaction_id(charge, moment)


def _book(request: Request, charge: Charge, batch: Batch, books: Books, moment: Moment) -> Booking:
    taken_minor = charge.captured_minor
    if charge.authorized_minor:
        charge.batch = batch.number if taken_minor else None
        charge.settle_state()
    books.add_charge(charge)
    if taken_minor:
        key, rrn = request.key, charge.rrn
        books.add_entry("debit", batch, charge.id, taken_minor, key=key, rrn=rrn, at=moment.at)
    elif charge.authorized_minor:
        books.count_authorization(batch)
    return Booking(_answer(request, charge.response_code, moment, charge), charge.id)


def _answer(request: Request, code: str, moment: Moment, charge: Charge | None = None) -> Answer:
    private = read_private(request.fields.get("48", ""))
    is_part = charge is not None and code == PARTLY_APPROVED
    return Answer(
        code,
        approval_code=charge.approval_code if charge else None,
        settlement_date=moment.business_day,
        verification=verification_results(private, code),
        network_transaction_id=charge.network_transaction_id if charge else None,
        approved_minor=charge.authorized_minor if charge and is_part else None,
    )
