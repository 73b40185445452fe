"""
/v1/webhook-endpoints: where a merchant wants to be told, what was told, and telling it again.
"""

from collections.abc import Awaitable
from datetime import datetime
from typing import Annotated, Literal, TypeVar
from uuid import UUID

import asyncpg
import msgspec
from msgspec import UNSET, Meta, UnsetType

from counterfoil import ids
from counterfoil.api.answers import as_json
from counterfoil.api.bodies import ONE_LINE, PATTERNS, Nothing
from counterfoil.api.desk import Desk, caller
from counterfoil.api.exchange import Request, Response
from counterfoil.api.paging import LIMIT_DEFAULT, query_of
from counterfoil.api.problems import Problem
from counterfoil.api.reading import read
from counterfoil.events.addresses import FORM, URL, URL_CHARACTERS_MAX, AddressRefused
from counterfoil.events.endpoints import (
    OVERLAP_SECONDS,
    OVERLAP_SECONDS_MAX,
    EndpointDisabled,
    EndpointsFull,
    EndpointUnknown,
)
from counterfoil.events.types import ALL_TYPES
from counterfoil.store.merchants import ApiKey
from counterfoil.store.webhooks import DELIVERIES_PAGE_MAX, ENDPOINTS_MAX, Endpoint

PATTERNS[URL] = ("webhook_url_refused", FORM)

T = TypeVar("T")

EndpointId = Annotated[str, Meta(pattern="^whe_[0-9a-f]{32}$")]
DeliveryId = Annotated[str, Meta(pattern="^whd_[0-9a-f]{32}$")]
EventType = Annotated[
    str, Meta(max_length=64, extra_json_schema={"enum": list(ALL_TYPES)}, examples=[ALL_TYPES[0]])
]
EventTypes = Annotated[
    list[EventType],
    Meta(min_length=1, max_length=100, description="Only events of these types; null for all."),
]
Url = Annotated[
    str,
    Meta(
        max_length=URL_CHARACTERS_MAX,
        pattern=URL,
        description="Where messages are posted: https, a public name.",
        examples=["https://hooks.shop.example/payments"],
    ),
]
Description = Annotated[str, Meta(min_length=1, max_length=255, pattern=ONE_LINE)]
DeliveryState = Literal["owed", "delivered", "gave_up"]


class EndpointRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """
    A new endpoint.
    """

    url: Url
    description: Description | None = None
    types: EventTypes | None = None


class EndpointChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """
    What is to be changed; what is left out stays.
    """

    url: Url | UnsetType = UNSET
    description: Description | UnsetType | None = UNSET
    types: EventTypes | UnsetType | None = UNSET
    state: Literal["enabled", "disabled"] | UnsetType = UNSET


class RotateRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """
    How long the secret before signs too.
    """

    overlap_seconds: Annotated[int, Meta(ge=0, le=OVERLAP_SECONDS_MAX)] = OVERLAP_SECONDS


class EndpointAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """
    An endpoint. `secret` is there once: when it was made, and when it was rotated.
    """

    id: EndpointId
    object: Literal["webhook_endpoint"] = "webhook_endpoint"
    url: str
    description: str | None
    types: list[str] | None
    state: Literal["enabled", "disabled", "deleted"]
    failing_since: datetime | None
    previous_secret_until: datetime | None
    created_at: datetime
    updated_at: datetime
    secret: str | UnsetType = UNSET


class EndpointsAnswer(msgspec.Struct, frozen=True):
    """
    Endpoints, in the order in which they were added.
    """

    data: list[EndpointAnswer]
    object: Literal["list"] = "list"


class AttemptAnswer(msgspec.Struct, frozen=True):
    """
    One try: the status that came, or none and why.
    """

    at: datetime
    status: int | None
    milliseconds: int
    error: str | None


class DeliveryAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """
    One event that an endpoint was owed, with every try.
    """

    id: DeliveryId
    object: Literal["webhook_delivery"] = "webhook_delivery"
    endpoint: EndpointId
    number: int
    type: str
    state: DeliveryState
    next_try_at: datetime | None
    created_at: datetime
    ended_at: datetime | None
    attempts: list[AttemptAnswer]


class DeliveriesAnswer(msgspec.Struct, frozen=True):
    """
    Deliveries, newest first. `next_before` is null on the last page.
    """

    data: list[DeliveryAnswer]
    next_before: int | None
    object: Literal["list"] = "list"


class DeliveriesQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """
    Which deliveries, how many, and where the page begins.
    """

    limit: Annotated[int, Meta(ge=1, le=DELIVERIES_PAGE_MAX, description="How many on a page.")] = (
        LIMIT_DEFAULT
    )
    before: (
        Annotated[
            int,
            Meta(ge=1, le=10**17, description="`next_before` of the page before."),
        ]
        | UnsetType
    ) = UNSET
    state: (
        Annotated[DeliveryState, Meta(description="Only deliveries in this state.")] | UnsetType
    ) = UNSET


async def add_endpoint(request: Request, desk: Desk) -> Response:
    """
    Add an endpoint and answer its secret, this once.
    """
    key = await caller(request, desk)
    body = await read(request, EndpointRequest, desk.body_bytes_max)
    made = Endpoint(
        url=body.url, description=body.description, types=_known(body.types), state="enabled"
    )
    row, secret = await _done(desk.endpoints.add(key.merchant.merchant_id, made, _actor(key)))
    return as_json(endpoint_answer(row, desk.endpoints.now(), secret), 201)


async def list_endpoints(request: Request, desk: Desk) -> Response:
    """
    Answer the merchant's endpoints.
    """
    key = await caller(request, desk)
    rows = await desk.endpoints.store.all(key.merchant.merchant_id)
    now = desk.endpoints.now()
    return as_json(EndpointsAnswer([endpoint_answer(row, now) for row in rows]))


async def get_endpoint(request: Request, desk: Desk) -> Response:
    """
    Answer one endpoint.
    """
    key = await caller(request, desk)
    row = await _done(desk.endpoints.one(key.merchant.merchant_id, _endpoint_id(request)))
    return as_json(endpoint_answer(row, desk.endpoints.now()))


async def change_endpoint(request: Request, desk: Desk) -> Response:
    """
    Change an endpoint's address, description, filter or state.
    """
    key = await caller(request, desk)
    body = await read(request, EndpointChange, desk.body_bytes_max)
    changes = {
        name: value
        for name in body.__struct_fields__
        if (value := getattr(body, name)) is not UNSET
    }
    if body.types:
        _known(body.types)
    changing = desk.endpoints.change(
        key.merchant.merchant_id, _endpoint_id(request), _actor(key), **changes
    )
    return as_json(endpoint_answer(await _done(changing), desk.endpoints.now()))


async def delete_endpoint(request: Request, desk: Desk) -> Response:
    """
    End an endpoint for good; what it is still owed is given up.
    """
    key = await caller(request, desk)
    ending = desk.endpoints.change(
        key.merchant.merchant_id, _endpoint_id(request), _actor(key), state="deleted"
    )
    return as_json(endpoint_answer(await _done(ending), desk.endpoints.now()))


async def rotate_secret(request: Request, desk: Desk) -> Response:
    """
    Give an endpoint a new secret and answer it, this once.
    """
    key = await caller(request, desk)
    body = await read(request, RotateRequest, desk.body_bytes_max)
    rotating = desk.endpoints.rotate(
        key.merchant.merchant_id, _endpoint_id(request), _actor(key), body.overlap_seconds
    )
    row, secret = await _done(rotating)
    return as_json(endpoint_answer(row, desk.endpoints.now(), secret))


async def list_deliveries(request: Request, desk: Desk) -> Response:
    """
    Answer what an endpoint was owed, newest first, with every try.
    """
    key = await caller(request, desk)
    query = query_of(request, DeliveriesQuery)
    merchant_id, endpoint_id = key.merchant.merchant_id, _endpoint_id(request)
    await _done(desk.endpoints.one(merchant_id, endpoint_id))
    rows = await desk.endpoints.store.deliveries(
        merchant_id,
        endpoint_id,
        before=query.before or None,
        state=query.state or None,
        limit=query.limit + 1,
    )
    shown = rows[: query.limit]
    tries = await desk.endpoints.store.attempts(merchant_id, [row["delivery_id"] for row in shown])
    found = [delivery_answer(row, tries.get(row["delivery_id"], [])) for row in shown]
    return as_json(DeliveriesAnswer(found, found[-1].number if len(rows) > len(shown) else None))


async def replay_delivery(request: Request, desk: Desk) -> Response:
    """
    Owe a delivery again, from now on.
    """
    key = await caller(request, desk)
    await read(request, Nothing, desk.body_bytes_max)
    merchant_id, delivery_id = key.merchant.merchant_id, _id(request, "delivery_id", ids.DELIVERY)
    replaying = desk.endpoints.replay(merchant_id, _endpoint_id(request), delivery_id, _actor(key))
    row = await _done(replaying)
    tries = await desk.endpoints.store.attempts(merchant_id, [delivery_id])
    return as_json(delivery_answer(row, tries.get(delivery_id, [])))


def endpoint_answer(
    row: asyncpg.Record, now: datetime, secret: str | UnsetType = UNSET
) -> EndpointAnswer:
    """
    Return an endpoint as its merchant sees it.
    """
    until: datetime | None = row["previous_until"]
    return EndpointAnswer(
        id=ids.written(ids.ENDPOINT, row["endpoint_id"]),
        url=row["url"],
        description=row["description"],
        types=row["types"],
        state=row["state"],
        failing_since=row["failing_since"],
        previous_secret_until=until if until and until > now else None,
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        secret=secret,
    )


def delivery_answer(row: asyncpg.Record, tries: list[asyncpg.Record]) -> DeliveryAnswer:
    """
    Return a delivery with its tries.
    """
    return DeliveryAnswer(
        id=ids.written(ids.DELIVERY, row["delivery_id"]),
        endpoint=ids.written(ids.ENDPOINT, row["endpoint_id"]),
        number=row["number"],
        type=row["type"],
        state=row["state"],
        next_try_at=row["next_try_at"] if row["state"] == "owed" else None,
        created_at=row["created_at"],
        ended_at=row["ended_at"],
        attempts=[
            AttemptAnswer(each["at"], each["status"], each["milliseconds"], each["error"])
            for each in tries
        ],
    )


async def _done(work: Awaitable[T]) -> T:
    try:
        return await work
    except AddressRefused as error:
        raise Problem("webhook_url_refused", str(error), param="url") from None
    except EndpointsFull:
        raise Problem(
            "webhook_endpoints_full", f"A merchant has at most {ENDPOINTS_MAX}: delete one first."
        ) from None
    except EndpointDisabled:
        raise Problem(
            "webhook_endpoint_disabled",
            "The endpoint is disabled and gets nothing: set its state to enabled first, then "
            "replay. Nothing was changed.",
        ) from None
    except EndpointUnknown:
        raise Problem(
            "not_found", "This merchant has no such webhook endpoint, or no such delivery of it."
        ) from None


def _known(types: list[str] | None) -> list[str] | None:
    for at, each in enumerate(types or ()):
        if each not in ALL_TYPES:
            raise Problem(
                "field_out_of_range",
                "Not one of the types of events; see /openapi.json.",
                param=f"types[{at}]",
            )
    return sorted(set(types)) if types else None


def _endpoint_id(request: Request) -> UUID:
    return _id(request, "endpoint_id", ids.ENDPOINT)


def _id(request: Request, name: str, prefix: str) -> UUID:
    try:
        return ids.read(prefix, request.names[name])
    except ids.UnreadableId:
        raise Problem(
            "not_found", "This merchant has no such webhook endpoint, or no such delivery of it."
        ) from None


def _actor(key: ApiKey) -> str:
    return ids.written(ids.KEY, key.key_id)
