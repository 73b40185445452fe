"""
What the merchant asked for, and the message that says so to an acquirer.

Stands between the request and *authorize*: each kind of payment has its message type,
its processing code and its fields here, and nowhere else.
"""

from types import MappingProxyType

import msgspec

from counterfoil.cards import Card
from counterfoil.money import Currency
from counterfoil.network import requests
from counterfoil.network.message import Fields
from counterfoil.network.requests import Station, Trace
from counterfoil.payments.lifecycle import Kind
from counterfoil.payments.payment import Merchant

MTI = MappingProxyType(
    {
        Kind.SALE: "0200",
        Kind.AUTHORIZATION: "0100",
        Kind.VERIFICATION: "0100",
        Kind.FORCED: "0220",
        Kind.CREDIT: "0200",
    }
)


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """
    What the merchant asked for, checked. `session_id` names the connection it came on.

    `duplicate_seconds`: so long it stands in the way of another like it, at least; the merchant's
    own rule may say longer.
    """

    merchant: Merchant
    idempotency_key: str
    kind: Kind
    amount_minor: int
    currency: Currency
    card: Card
    order_number: str | None
    description: str | None
    customer_email: str | None
    postal_code: str | None
    street: str | None
    session_id: str
    actor: str
    voice_approval_code: str | None = None
    customer_ip: str | None = None
    duplicate_check: bool = True
    duplicate_seconds: int = 0


def answer_mti(kind: Kind) -> str:
    """
    Return the message type of the answer to a payment of *kind*.
    """
    mti = MTI[kind]
    return f"{mti[:2]}{int(mti[2]) + 1}0"


def processing_code(kind: Kind) -> str:
    """
    Return DE 3 of a payment of *kind*, which its reversal repeats.
    """
    return requests.REFUND if kind is Kind.CREDIT else requests.PURCHASE


def message(order: Order, station: Station, trace: Trace, batch_number: int) -> Fields:
    """
    Return the fields that ask an acquirer for *order*.
    """
    place = (station, trace, order.card)
    match order.kind:
        case Kind.SALE | Kind.AUTHORIZATION:
            return requests.request(
                *place,
                amount_minor=order.amount_minor,
                currency=order.currency,
                batch_number=batch_number,
                order=order.order_number,
                postal_code=order.postal_code,
                street=order.street,
            )
        case Kind.VERIFICATION:
            return requests.verification(
                *place,
                currency=order.currency,
                batch_number=batch_number,
                order=order.order_number,
                postal_code=order.postal_code,
                street=order.street,
            )
        case Kind.FORCED:
            assert order.voice_approval_code, "a forced capture carries its approval"
            return requests.forced(
                *place,
                amount_minor=order.amount_minor,
                currency=order.currency,
                batch_number=batch_number,
                order=order.order_number,
                approval_code=order.voice_approval_code,
            )
        case Kind.CREDIT:
            return requests.credit(
                *place,
                amount_minor=order.amount_minor,
                currency=order.currency,
                batch_number=batch_number,
                order=order.order_number,
            )
