"""
/v1/checkouts: payment pages that a shop asks for.
"""

from collections.abc import Awaitable
from datetime import datetime
from typing import Annotated, Literal, TypeVar
from uuid import UUID

import msgspec
from msgspec import Meta

from counterfoil import ids, money
from counterfoil.api.answers import as_json
from counterfoil.api.bodies import (
    PATTERNS,
    Amount,
    CurrencyCode,
    CustomerEmail,
    Description,
    Nothing,
    OrderNumber,
    PaymentId,
)
from counterfoil.api.desk import Desk, caller
from counterfoil.api.exchange import Request, Response
from counterfoil.api.orders import actor_of
from counterfoil.api.problems import Problem
from counterfoil.api.reading import idempotency_key, read
from counterfoil.checkouts.checkout import (
    EXPIRES_SECONDS,
    EXPIRES_SECONDS_MAX,
    EXPIRES_SECONDS_MIN,
    URL_CHARACTERS_MAX,
    Checkout,
    Terms,
    return_secret,
)
from counterfoil.checkouts.opening import CheckoutForgotten, CheckoutNotOpen, CheckoutUnknown
from counterfoil.checkouts.returning import ReturnRefused

T = TypeVar("T")

ADDRESS = r"^https?://[!-\[\]-~]+\Z"  # Printable ASCII without a backslash.
PATTERNS[ADDRESS] = ("return_url_refused", "An https address of printable ASCII, without spaces.")

CheckoutId = Annotated[str, Meta(pattern="^chk_[0-9a-f]{32}$")]
ReturnUrl = Annotated[
    str,
    Meta(
        min_length=9,
        max_length=URL_CHARACTERS_MAX,
        pattern=ADDRESS,
        description="On one of the merchant's return origins, exactly.",
        examples=["https://shop.example/orders/1001"],
    ),
]
ExpiresIn = Annotated[
    int,
    Meta(
        ge=EXPIRES_SECONDS_MIN,
        le=EXPIRES_SECONDS_MAX,
        description="How long the page can be paid.",
    ),
]


class CheckoutRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """
    What is to be paid on a page of ours, and where the page leads afterwards.
    """

    amount_minor: Amount
    currency: CurrencyCode
    capture: Literal["automatic", "manual"] = "automatic"
    order: OrderNumber | None = None
    description: Description | None = None
    customer_email: CustomerEmail | None = None
    return_url: ReturnUrl | None = None
    cancel_url: ReturnUrl | None = None
    expires_in_seconds: ExpiresIn = EXPIRES_SECONDS


class CheckoutAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """
    A checkout. `url` is its page: send the shopper there. `return_secret` checks the way back.

    `payment` is the payment that paid it, or the last one that did not; `declines` are the tries
    that were declined.
    """

    id: CheckoutId
    object: Literal["checkout"] = "checkout"
    mode: Literal["test", "live"]
    state: Literal["open", "paying", "paid", "expired", "cancelled"]
    amount_minor: int
    currency: str
    capture: Literal["automatic", "manual"]
    order: str | None
    description: str | None
    customer_email: str | None
    return_url: str | None
    cancel_url: str | None
    url: str
    return_secret: str
    declines: int
    payment: PaymentId | None
    created_at: datetime
    updated_at: datetime
    expires_at: datetime


async def create(request: Request, desk: Desk) -> Response:
    """
    Open a checkout, once for each idempotency key.
    """
    key = await caller(request, desk)
    reference = idempotency_key(request)
    body = await read(request, CheckoutRequest, desk.body_bytes_max)
    opened, first = await _done(
        desk.checkouts.open(
            key.merchant,
            reference,
            _terms(body),
            expires_seconds=body.expires_in_seconds,
            actor=actor_of(key),
        )
    )
    return as_json(checkout_answer(opened, desk), 201 if first else 200)


async def get(request: Request, desk: Desk) -> Response:
    """
    Answer one checkout as it stands.
    """
    key = await caller(request, desk)
    found = await _done(desk.checkouts.one(key.merchant.merchant_id, _checkout_id(request)))
    return as_json(checkout_answer(found, desk))


async def expire(request: Request, desk: Desk) -> Response:
    """
    End an open checkout; nobody can pay it from then on. May be repeated.
    """
    key = await caller(request, desk)
    await read(request, Nothing, desk.body_bytes_max)
    ending = desk.checkouts.expire(key.merchant.merchant_id, _checkout_id(request), actor_of(key))
    return as_json(checkout_answer(await _done(ending), desk))


def checkout_answer(checkout: Checkout, desk: Desk) -> CheckoutAnswer:
    """
    Return a checkout as its merchant sees it.
    """
    payment_id = checkout.payment_id
    secret = return_secret(desk.road.vault, checkout.merchant_id, checkout.checkout_id)
    return CheckoutAnswer(
        id=ids.written(ids.CHECKOUT, checkout.checkout_id),
        mode=desk.mode,
        state=checkout.state.value,
        amount_minor=checkout.amount_minor,
        currency=checkout.currency,
        capture=checkout.capture,
        order=checkout.order_number,
        description=checkout.description,
        customer_email=checkout.customer_email,
        return_url=checkout.return_url,
        cancel_url=checkout.cancel_url,
        url=desk.checkouts.url(checkout),
        return_secret=secret,
        declines=checkout.declines,
        payment=ids.written(ids.PAYMENT, payment_id) if payment_id else None,
        created_at=checkout.created_at,
        updated_at=checkout.updated_at,
        expires_at=checkout.expires_at,
    )


def _terms(body: CheckoutRequest) -> Terms:
    try:
        code = money.currency(body.currency).code
    except money.UnknownCurrency:
        raise Problem(
            "currency_unknown",
            "Use a currency of ISO 4217, in three capital letters, such as USD.",
            param="currency",
        ) from None
    return Terms(
        amount_minor=body.amount_minor,
        currency=code,
        capture=body.capture,
        order_number=body.order,
        description=body.description,
        customer_email=body.customer_email,
        return_url=body.return_url,
        cancel_url=body.cancel_url,
    )


async def _done(work: Awaitable[T]) -> T:
    try:
        return await work
    except ReturnRefused as error:
        raise Problem("return_url_refused", f"{error}.", param="return_url") from None
    except CheckoutForgotten:
        raise Problem(
            "checkout_not_open",
            "The checkout of this key ended unpaid long ago, and was removed: use a new key.",
        ) from None
    except CheckoutUnknown:
        raise Problem("not_found", "This merchant has no such checkout.") from None
    except CheckoutNotOpen as error:
        raise Problem(
            "checkout_not_open", f"{error}: it cannot be ended. Nothing was changed."
        ) from None


def _checkout_id(request: Request) -> UUID:
    try:
        return ids.read(ids.CHECKOUT, request.names["checkout_id"])
    except ids.UnreadableId:
        raise Problem("not_found", "This merchant has no such checkout.") from None
