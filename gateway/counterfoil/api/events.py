"""
/v1/events: everything that happened, numbered without gaps, readable for ever.
"""

from datetime import datetime
from typing import Annotated, Any, Literal

import asyncpg
import msgspec
from msgspec import Meta
from starlette.requests import Request
from starlette.responses import Response

from counterfoil import ids
from counterfoil.api.answers import as_json
from counterfoil.api.bodies import CardAnswer, MovementId, PaymentId
from counterfoil.api.desk import Desk, caller
from counterfoil.api.paging import query_of
from counterfoil.events.feed import WAIT_SECONDS_MAX
from counterfoil.store.feed import PAGE_MAX

LIMIT_DEFAULT = 100
NUMBER_MAX = 10**17

EventId = Annotated[str, Meta(pattern="^evt_[0-9a-f]{32}$")]


class EventsQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """
    Where to read on, how much, and how long to wait for something new.
    """

    after: Annotated[
        int, Meta(ge=0, le=NUMBER_MAX, description="Events with a greater number; 0 for all.")
    ] = 0
    limit: Annotated[int, Meta(ge=1, le=PAGE_MAX, description="Events on a page.")] = LIMIT_DEFAULT
    wait_seconds: Annotated[
        int,
        Meta(
            ge=0,
            le=WAIT_SECONDS_MAX,
            description="How long to wait when `after` is the number of the latest event.",
        ),
    ] = 0


class MovementSnapshot(msgspec.Struct, frozen=True):
    """
    A capture, void or refund as of an event.
    """

    id: MovementId
    kind: Literal["capture", "void", "refund"]
    state: str | None
    amount_minor: int


class PaymentSnapshot(msgspec.Struct, frozen=True, kw_only=True):
    """
    A payment as of an event. Amounts older than the feed itself are null.
    """

    id: PaymentId
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
    card: CardAnswer
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
    mode: Literal["test", "live"]
    version: int | None
    payment: PaymentSnapshot | None
    batch: BatchSnapshot | None
    deposit: DepositSnapshot | None


class EventsAnswer(msgspec.Struct, frozen=True):
    """
    Events, oldest first. Read on with `after=<next_after>`.
    """

    data: list[EventAnswer]
    next_after: Annotated[int, Meta(ge=0)]
    object: Literal["list"] = "list"


async def list_events(request: Request, desk: Desk) -> Response:
    """
    Answer a page of the feed, oldest first.
    """
    key = await caller(request, desk)
    query = query_of(request, EventsQuery)
    rows = await desk.feed.read(
        key.merchant.merchant_id,
        after=query.after,
        limit=query.limit,
        wait_seconds=query.wait_seconds,
    )
    found = [event_answer(row, desk.mode) for row in rows]
    return as_json(EventsAnswer(found, found[-1].number if found else query.after))


def event_answer(row: asyncpg.Record, mode: Literal["test", "live"]) -> EventAnswer:
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
        card=CardAnswer(row["card_brand"], row["card_last_four"]),
        movement=_movement(row) if row["movement_id"] and row["movement_kind"] else None,
    )


def _movement(row: asyncpg.Record) -> MovementSnapshot:
    return MovementSnapshot(
        id=ids.written(ids.MOVEMENT, row["movement_id"]),
        kind=row["movement_kind"],
        state=row["movement_state"],
        amount_minor=row["movement_amount_minor"],
    )


def _batch(data: dict[str, Any], state: str) -> BatchSnapshot:
    name = f"{data['terminal_id']}/{data['currency']}/{data['batch_number']:06d}"
    return BatchSnapshot(name, data["acquirer"], data["currency"], state)
