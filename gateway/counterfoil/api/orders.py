"""
Make an order of what a client sent: one for each call that takes a card.
"""

from typing import Any

import msgspec

from counterfoil import ids, money
from counterfoil.api.bodies import (
    Billing,
    CardBody,
    CreditRequest,
    PaymentRequest,
    VerificationRequest,
)
from counterfoil.api.desk import Desk
from counterfoil.api.exchange import Request
from counterfoil.api.problems import Problem
from counterfoil.api.reading import MISPLACED
from counterfoil.cards import Card, expired, luhn_holds, says_number
from counterfoil.payments.lifecycle import Kind
from counterfoil.payments.order import Order
from counterfoil.store.merchants import ApiKey

CardRequest = PaymentRequest | VerificationRequest | CreditRequest

_NO_BILLING = Billing()


def order_of(body: CardRequest, key: ApiKey, reference: str, session_id: str, desk: Desk) -> Order:
    """
    Return the order that *body* asks for under the idempotency key *reference*.

    Raises:
        Problem: The card, the currency or a combination of fields cannot stand.
    """
    _refuse_misplaced_number(body, reference)
    return Order(
        merchant=key.merchant,
        idempotency_key=reference,
        currency=_currency(body.currency),
        card=_card(body.card, desk),
        order_number=body.order,
        description=body.description,
        session_id=session_id,
        actor=actor_of(key),
        **_terms(body),
    )


def session_of(request: Request) -> str:
    """
    Return what names the TCP connection of this request while it lives.
    """
    client = request.client
    return f"{client[0]}:{client[1]}" if client else "unknown"


def actor_of(key: ApiKey) -> str:
    """
    Return who asks, as histories name it.
    """
    return ids.written(ids.KEY, key.key_id)


def _terms(body: CardRequest) -> dict[str, Any]:
    """
    Return what differs between the kinds.
    """
    billing = getattr(body, "billing", None) or _NO_BILLING
    match body:
        case VerificationRequest():
            kind, amount_minor, email = Kind.VERIFICATION, 0, None
        case CreditRequest():
            kind, amount_minor, email = Kind.CREDIT, body.amount_minor, body.customer_email
        case PaymentRequest():
            kind, amount_minor, email = _kind(body), body.amount_minor, body.customer_email
    return {
        "kind": kind,
        "amount_minor": amount_minor,
        "customer_email": email,
        "postal_code": billing.postal_code,
        "street": billing.street,
        "customer_ip": getattr(body, "customer_ip", None),
        "duplicate_check": getattr(body, "duplicate_check", True),
        "voice_approval_code": getattr(body, "voice_approval_code", None),
    }


def _kind(body: PaymentRequest) -> Kind:
    if body.voice_approval_code is None:
        return Kind.SALE if body.capture == "automatic" else Kind.AUTHORIZATION
    if body.capture != "automatic":
        raise Problem(
            "field_out_of_range",
            "What was approved by voice is taken at once: leave capture out.",
            param="capture",
        )
    return Kind.FORCED


def _refuse_misplaced_number(body: CardRequest, reference: str) -> None:
    """
    Refuse a card number outside `card`: every other field is stored and shown.
    """
    billing = getattr(body, "billing", None) or _NO_BILLING
    said = (*msgspec.structs.astuple(body), *msgspec.structs.astuple(billing), reference)
    # What the digits of all of them together do not say, none of them says.
    if not says_number("".join([text for text in said if isinstance(text, str)]), body.card.number):
        return
    texts = msgspec.structs.asdict(body)
    texts |= {f"billing.{name}": text for name, text in msgspec.structs.asdict(billing).items()}
    texts["Idempotency-Key"] = reference
    for param, text in texts.items():
        if isinstance(text, str) and says_number(text, body.card.number):
            raise Problem(
                "card_number_misplaced",
                MISPLACED,
                param=param,
            )


def _currency(code: str) -> money.Currency:
    try:
        return money.currency(code)
    except money.UnknownCurrency:
        raise Problem(
            "currency_unknown",
            "Use a currency of ISO 4217, in three capital letters, such as USD.",
            param="currency",
        ) from None


def _card(card: CardBody, desk: Desk) -> Card:
    if not luhn_holds(card.number):
        raise Problem(
            "card_number_invalid",
            "The check digit does not fit the others: a digit is wrong or two are swapped.",
            param="card.number",
        )
    if expired(card.expiry_month, card.expiry_year, desk.road.clock.now()):
        raise Problem(
            "card_expired", "The card's expiry date has passed.", param="card.expiry_year"
        )
    return Card(card.number, card.expiry_month, card.expiry_year, card.cvv)
