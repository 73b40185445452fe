"""
A checkout: what is to be paid on a page of ours, until when, and how it stands.

Its states: `open` until somebody pays, `paying` while one try is under way, then `open` again or
`paid`; `expired` when its time is over or the merchant ends it, `cancelled` by the shopper.
"""

import base64
from datetime import datetime
from enum import StrEnum
from typing import Literal
from uuid import UUID

import msgspec

from counterfoil.vault import Vault

DECLINES_MAX = 5  # Of one checkout: whoever tries out cards has to ask for the next.
EXPIRES_SECONDS_MIN = 60
EXPIRES_SECONDS_MAX = 30 * 86_400
EXPIRES_SECONDS = 86_400
URL_CHARACTERS_MAX = 500


class State(StrEnum):
    """
    How a checkout stands.
    """

    OPEN = "open"
    PAYING = "paying"
    PAID = "paid"
    EXPIRED = "expired"
    CANCELLED = "cancelled"


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """
    What is to be paid, and where the page leads afterwards.
    """

    amount_minor: int
    currency: str
    capture: Literal["automatic", "manual"] = "automatic"
    order_number: str | None = None
    description: str | None = None
    customer_email: str | None = None
    return_url: str | None = None
    cancel_url: str | None = None


class Checkout(Terms, frozen=True, kw_only=True):
    """
    A checkout as the store keeps it. `payment_id` is the payment of the last try that ended.
    """

    merchant_id: UUID
    checkout_id: UUID
    fingerprint: bytes | None
    link_id: UUID | None
    state: State
    tries: int
    declines: int
    payment_id: UUID | None
    trying_since: datetime | None
    created_at: datetime
    updated_at: datetime
    expires_at: datetime

    @property
    def payment_key(self) -> str:
        """
        The idempotency key of the try that was begun last: one try, one payment.
        """
        return f"checkout-{self.checkout_id.hex}-{self.tries}"

    @property
    def actor(self) -> str:
        """
        Who it was, as the payment's history names it.
        """
        return f"checkout:{self.checkout_id.hex}"


def is_over(checkout: Checkout, now: datetime) -> bool:
    """
    Return whether nobody can pay it any more because its time is over.
    """
    lapsed = checkout.state is State.OPEN and checkout.expires_at <= now
    return checkout.state is State.EXPIRED or lapsed


def page_token(vault: Vault, merchant_id: UUID, checkout_id: UUID) -> str:
    """
    Return what names a checkout's page: 256 bits that only this vault can make.

    It is not kept, only its hash: whoever reads the database cannot open a page with it.
    """
    return _written(vault.keyed_digest(b"checkout", merchant_id, checkout_id.bytes))


def link_token(vault: Vault, merchant_id: UUID, link_id: UUID) -> str:
    """
    Return what names a payment link, made in the same way.
    """
    return _written(vault.keyed_digest(b"link", merchant_id, link_id.bytes))


def return_secret(vault: Vault, merchant_id: UUID, checkout_id: UUID) -> str:
    """
    Return the key with which the way back to the shop is signed: one of its own for each checkout.
    """
    return "rsec_" + _written(vault.keyed_digest(b"return", merchant_id, checkout_id.bytes))


def _written(digest: bytes) -> str:
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")
