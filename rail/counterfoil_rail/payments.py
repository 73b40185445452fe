"""
Decide a payment: a sale (0200) takes the money, an authorization (0100) holds it.

The first step of a charge's life. A decision is booked whatever it is; an approved
sale enters the open batch that DE 60 names, an authorization only its count.
"""

from counterfoil_rail.books import Books
from counterfoil_rail.cards import Card
from counterfoil_rail.checks import CURRENCIES
from counterfoil_rail.clock import Moment
from counterfoil_rail.issuer import APPROVED, NEVER_ANSWERS, Issuers, verification_results
from counterfoil_rail.message import Answer, Request, read_private
from counterfoil_rail.records import Batch, Booking, Charge, refuse

INSUFFICIENT_FUNDS = "51"
INVALID_AMOUNT = "13"
NOT_SUPPORTED = "40"  # Also: the batch is closed, so what was asked can no longer be done.
VERIFIED = "85"  # No reason to decline an account verification.
REVERSED_BEFORE = "96"  # Its reversal came first; it must never be approved.


def decide_payment(
    request: Request, card: Card, *, books: Books, issuers: Issuers, moment: Moment
) -> Booking:
    """
    Ask the issuer, and book what it says.
    """
    if books.is_buried(request.key):
        return refuse(REVERSED_BEFORE, "tombstone")
    refusal = _refusal_of_the_host(request)
    if refusal:
        return refuse(refusal)
    currency = CURRENCIES[request.fields["49"]]
    batch = books.batch(request.key.terminal_id, currency, request.fields["60"], at=moment.at)
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
    if code == APPROVED and not _take_from_account(request, card, currency, books):
        code = INSUFFICIENT_FUNDS
    return _book(request, card, code, batch=batch, books=books, issuers=issuers, moment=moment)


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


def _take_from_account(request: Request, card: Card, currency: str, books: Books) -> bool:
    amount = request.amount_minor
    held, spent = (amount, 0) if request.function == "0100" else (0, amount)
    if books.move_account(card.ref, currency, held_minor=held, spent_minor=spent):
        return True
    books.open_account(card, currency)
    return books.move_account(card.ref, currency, held_minor=held, spent_minor=spent)


def _book(
    request: Request,
    card: Card,
    code: str,
    *,
    batch: Batch,
    books: Books,
    issuers: Issuers,
    moment: Moment,
) -> Booking:
    is_approved = code == APPROVED
    is_sale = request.function == "0200"
    charge = _new_charge(request, card, code, books.next_charge_id(), batch, moment)
    if is_approved:
        charge.approval_code = issuers.approval_code()
        charge.network_transaction_id = f"{moment.business_day}{charge.id:011d}"
    books.add_charge(charge)
    if is_approved and is_sale:
        amount = charge.amount_minor
        books.add_entry(
            "debit", batch, charge.id, amount, key=request.key, rrn=charge.rrn, at=moment.at
        )
    elif is_approved:
        books.count_authorization(batch)
    answer = _answer(request, code, moment, charge.approval_code, charge.network_transaction_id)
    return Booking(answer, charge.id)


def _new_charge(
    request: Request, card: Card, code: str, charge_id: int, batch: Batch, moment: Moment
) -> Charge:
    amount = request.amount_minor
    is_sale = request.function == "0200"
    captured = amount if code == APPROVED and is_sale else 0
    held = amount if code == APPROVED and not is_sale else 0
    state = "captured" if captured else "held" if held else "declined"
    return Charge(
        id=charge_id,
        kind="sale" if is_sale else "authorization",
        state=state,
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
        amount_minor=amount,
        authorized_minor=captured + held,
        held_minor=held,
        captured_minor=captured,
        refunded_minor=0,
        batch=batch.number if captured else None,
        response_code=code,
        approval_code=None,
        network_transaction_id=None,
        at=moment.at,
    )


def _answer(
    request: Request,
    code: str,
    moment: Moment,
    approval_code: str | None = None,
    network_transaction_id: str | None = None,
) -> Answer:
    private = read_private(request.fields.get("48", ""))
    return Answer(
        code,
        approval_code=approval_code,
        settlement_date=moment.business_day,
        verification=verification_results(private, code),
        network_transaction_id=network_transaction_id,
    )
