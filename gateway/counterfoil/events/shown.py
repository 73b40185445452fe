"""
An event as it is told: in the feed, on the command line and in webhooks alike.
"""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

import asyncpg
import msgspec
from msgspec import Meta

from counterfoil import ids

Mode = Literal["test", "live"]

EventId = Annotated[str, Meta(pattern="^evt_[0-9a-f]{32}$")]


class CardSnapshot(msgspec.Struct, frozen=True):
    """
    All that is ever shown of a card.
    """

    brand: str
    last4: Annotated[str, Meta(pattern="^[0-9]{4}$")]


class MovementSnapshot(msgspec.Struct, frozen=True):
    """
    A capture, void or refund as of an event.
    """

    id: Annotated[str, Meta(pattern="^mov_[0-9a-f]{32}$")]
    kind: Literal["capture", "void", "refund"]
    state: str | None
    amount_minor: int


class PaymentSnapshot(msgspec.Struct, frozen=True, kw_only=True):
    """
    A payment as of an event. Amounts older than the feed itself are null.
    """

    id: Annotated[str, Meta(pattern="^pay_[0-9a-f]{32}$")]
    version: int
    kind: str
    state: str
    amount_minor: int
    currency: str
    authorized_minor: int | None
    captured_minor: int | None
    released_minor: int | None
    refunded_minor: int | None
    order: str | None
    card: CardSnapshot
    movement: MovementSnapshot | None


class BatchSnapshot(msgspec.Struct, frozen=True):
    """
    A batch as of an event.
    """

    batch: Annotated[str, Meta(examples=["TERM0001/USD/000001"])]
    acquirer: str
    currency: str
    state: str


class DepositSnapshot(msgspec.Struct, frozen=True):
    """
    A deposit as of an event.
    """

    reference: str
    acquirer: str
    currency: str | None
    state: str
    net_minor: int | None
    paid_minor: int | None


class EndpointSnapshot(msgspec.Struct, frozen=True):
    """
    A webhook endpoint as of an event.
    """

    id: Annotated[str, Meta(pattern="^whe_[0-9a-f]{32}$")]
    url: str
    state: str


class CheckoutSnapshot(msgspec.Struct, frozen=True, kw_only=True):
    """
    A checkout as of an event. `link` is the payment link that a visitor came by, if one did.
    """

    id: Annotated[str, Meta(pattern="^chk_[0-9a-f]{32}$")]
    state: str
    amount_minor: int
    currency: str
    order: str | None
    payment: Annotated[str, Meta(pattern="^pay_[0-9a-f]{32}$")] | None
    link: Annotated[str, Meta(pattern="^lnk_[0-9a-f]{32}$")] | None


class EventAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """
    One event, about one object: the others are null. The feed holds it for ever.

    `version` is the payment's: what it says of the payment is older than what you have when its
    version is lower, or the same with a lower `number`.
    """

    id: EventId
    object: Literal["event"] = "event"
    number: Annotated[int, Meta(ge=1)]
    type: str
    at: datetime
    cause: str
    actor: str
    mode: Mode
    version: int | None
    payment: PaymentSnapshot | None
    batch: BatchSnapshot | None
    deposit: DepositSnapshot | None
    endpoint: EndpointSnapshot | None
    checkout: CheckoutSnapshot | None


def event_answer(row: asyncpg.Record, mode: Mode) -> EventAnswer:
    """
    Return an event as its merchant sees it.
    """
    data: dict[str, Any] = msgspec.json.decode(row["data"]) if row["data"] else {}
    return EventAnswer(
        id=ids.written(ids.EVENT, row["event_id"]),
        number=row["number"],
        type=row["type"],
        at=row["at"],
        cause=row["cause"],
        actor=row["actor"],
        mode=mode,
        version=row["version"],
        payment=_payment(row) if row["payment_id"] else None,
        batch=_batch(data, row["state"]) if "batch_number" in data else None,
        deposit=DepositSnapshot(state=row["state"], **data) if "reference" in data else None,
        endpoint=_endpoint(data, row["state"]) if "endpoint_id" in data else None,
        checkout=_checkout(data, row["state"]) if "checkout_id" in data else None,
    )


def _payment(row: asyncpg.Record) -> PaymentSnapshot:
    return PaymentSnapshot(
        id=ids.written(ids.PAYMENT, row["payment_id"]),
        version=row["version"],
        kind=row["kind"],
        state=row["state"],
        amount_minor=row["amount_minor"],
        currency=row["currency"],
        authorized_minor=row["authorized_minor"],
        captured_minor=row["captured_minor"],
        released_minor=row["released_minor"],
        refunded_minor=row["refunded_minor"],
        order=row["order_number"],
        card=CardSnapshot(row["card_brand"], row["card_last_four"]),
        movement=_movement(row) if row["movement_id"] and row["movement_kind"] else None,
    )


def _movement(row: asyncpg.Record) -> MovementSnapshot:
    noted: int | None = row["movement_amount_minor"]  # Null before the feed noted it.
    return MovementSnapshot(
        id=ids.written(ids.MOVEMENT, row["movement_id"]),
        kind=row["movement_kind"],
        state=row["movement_state"],
        amount_minor=row["movement_amount_now"] if noted is None else noted,
    )


def _batch(data: dict[str, Any], state: str) -> BatchSnapshot:
    name = f"{data['terminal_id']}/{data['currency']}/{data['batch_number']:06d}"
    return BatchSnapshot(name, data["acquirer"], data["currency"], state)


def _endpoint(data: dict[str, Any], state: str) -> EndpointSnapshot:
    identifier = ids.written(ids.ENDPOINT, UUID(data["endpoint_id"]))
    return EndpointSnapshot(identifier, data["url"], state)


def _checkout(data: dict[str, Any], state: str) -> CheckoutSnapshot:
    payment_id, link_id = data["payment_id"], data["link_id"]
    return CheckoutSnapshot(
        id=ids.written(ids.CHECKOUT, UUID(data["checkout_id"])),
        state=state,
        amount_minor=data["amount_minor"],
        currency=data["currency"],
        order=data["order"],
        payment=ids.written(ids.PAYMENT, UUID(payment_id)) if payment_id else None,
        link=ids.written(ids.LINK, UUID(link_id)) if link_id else None,
    )
