"""
What calls return: frozen values, as the gateway says them.

Fields that a newer gateway adds are ignored. Amounts are in minor units of `currency`.
"""

from datetime import datetime
from typing import Any, Literal

import msgspec

AWAITS_ACKNOWLEDGMENT = "approved"
PAID_STATES = ("authorized", "captured")


class CardShown(msgspec.Struct, frozen=True, kw_only=True):
    """
    What of a card may be shown: its brand and its last four digits.
    """

    brand: str = "card"
    last4: str = ""


class Decline(msgspec.Struct, frozen=True, kw_only=True):
    """
    The issuer's no: words for the shopper, words for the merchant, and whether to retry.
    """

    response_code: str | None = None
    shopper_message: str = ""
    merchant_message: str = ""
    retryable: bool = False
    retry: str = "never"
    advice_code: str | None = None


class Screening(msgspec.Struct, frozen=True, kw_only=True):
    """
    One of the merchant's rules, what came of it (`refused`, `reversed`, ...), and why in words.
    """

    rule: str
    result: str
    words: str = ""


class Movement(msgspec.Struct, frozen=True, kw_only=True):
    """
    A capture, void or refund of a payment; a credit has a refund.
    """

    id: str
    kind: str
    state: str
    amount_minor: int
    currency: str
    rrn: str | None = None
    batch_number: str | None = None
    created_at: datetime | None = None
    idempotency_key: str | None = None


class StateChange(msgspec.Struct, frozen=True, kw_only=True):
    """
    One line of a payment's history. What moved one of its movements names it and its new state.
    """

    state: str
    at: datetime
    cause: str | None = None
    actor: str | None = None
    movement: str | None = None
    movement_state: str | None = None


class Payment(msgspec.Struct, frozen=True, kw_only=True):
    """
    One attempt to get money from a cardholder. Ask `paid`, and nothing else, before shipping.

    A merchant that accepts partial approvals asks `partly_approved` too: then `authorized_minor`
    is all that was paid of `amount_minor`.
    """

    id: str
    state: str
    amount_minor: int
    currency: str
    kind: str = "sale"
    mode: str = "test"
    version: int | None = None
    charged: bool | None = None
    authorized_minor: int = 0
    captured_minor: int = 0
    released_minor: int = 0
    held_minor: int = 0
    refunded_minor: int = 0
    possible: tuple[str, ...] = ()
    confirmation_number: str | None = None
    decline: Decline | None = None
    screening: tuple[Screening, ...] = ()
    order: str | None = None
    description: str | None = None
    customer_email: str | None = None
    card: CardShown | None = None
    rrn: str | None = None
    stan: str | None = None
    terminal_id: str | None = None
    batch_number: str | None = None
    approval_code: str | None = None
    response_code: str | None = None
    avs_result: str | None = None
    cvv_result: str | None = None
    acknowledge_by: datetime | None = None
    acknowledged_at: datetime | None = None
    acknowledged_on_session: bool | None = None
    movements: tuple[Movement, ...] = ()
    states: tuple[StateChange, ...] = ()
    created_at: datetime | None = None
    updated_at: datetime | None = None
    idempotency_key: str | None = None

    @property
    def paid(self) -> bool:
        """
        Whether the money is taken or held and the confirmation number is known.
        """
        return self.state in PAID_STATES and bool(self.charged) and bool(self.confirmation_number)

    @property
    def partly_approved(self) -> bool:
        """
        Whether the issuer approved less than was asked.
        """
        return 0 < self.authorized_minor < self.amount_minor

    @property
    def credited(self) -> bool:
        """
        Whether a credit was given and its confirmation number is known.
        """
        given = self.kind == "credit" and self.state == "captured"
        return given and bool(self.confirmation_number)

    @property
    def verified(self) -> bool:
        """
        Whether the issuer finds the card good; look at `avs_result` and `cvv_result` too.
        """
        return self.state == "verified"

    @property
    def awaits_acknowledgment(self) -> bool:
        """
        Whether it is approved and will be reversed unless it is acknowledged.
        """
        return self.state == AWAITS_ACKNOWLEDGMENT


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """
    One page of payments, newest first; pass `next_cursor` for the next one, until it is None.
    """

    data: tuple[Payment, ...] = ()
    next_cursor: str | None = None


class Unclaimed(msgspec.Struct, frozen=True, kw_only=True):
    """
    An approval that nobody has acknowledged: `waiting` for so many seconds more, or `reversed`.
    """

    payment: Payment
    status: str
    seconds_left: float | None = None
    reversed_at: datetime | None = None


class UnclaimedPage(msgspec.Struct, frozen=True, kw_only=True):
    """
    One page of unclaimed approvals, newest first; pass `next_cursor` for the next one.
    """

    data: tuple[Unclaimed, ...] = ()
    next_cursor: str | None = None


class Checkout(msgspec.Struct, frozen=True, kw_only=True):
    """
    A payment page that the gateway hosts: send the shopper to `url`, keep `id` and `return_secret`.

    Ask `paid`; `payment` is the id of the payment that paid it, or of the last that did not.
    """

    id: str
    state: str
    amount_minor: int
    currency: str
    url: str
    return_secret: str
    mode: str = "test"
    capture: str = "automatic"
    order: str | None = None
    description: str | None = None
    customer_email: str | None = None
    return_url: str | None = None
    cancel_url: str | None = None
    declines: int = 0
    payment: str | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None
    expires_at: datetime | None = None

    @property
    def paid(self) -> bool:
        """
        Whether somebody has paid it.
        """
        return self.state == "paid"

    @property
    def ended(self) -> bool:
        """
        Whether it will never be paid: it expired, or was cancelled.
        """
        return self.state in ("expired", "cancelled")


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """
    One event of the feed. What it is about is there as of then, the others are None.

    Compare `version` with the payment's that you have: a lower one is older.
    """

    id: str
    number: int
    type: str
    at: datetime
    cause: str
    actor: str
    mode: str
    version: int | None = None
    payment: dict[str, Any] | None = None
    batch: dict[str, Any] | None = None
    deposit: dict[str, Any] | None = None
    endpoint: dict[str, Any] | None = None
    checkout: dict[str, Any] | None = None


class EventPage(msgspec.Struct, frozen=True, kw_only=True):
    """
    One page of the feed, oldest first.
    """

    data: tuple[Event, ...] = ()
    next_after: int


class Resolution(msgspec.Struct, frozen=True, kw_only=True):
    """
    What became of a key. `never_seen` is a promise: no request under it will ever charge.
    """

    status: Literal["never_seen", "seen"]
    payment: Payment | None = None


class Recovered(msgspec.Struct, frozen=True, kw_only=True):
    """
    One intent that `recover()` found in the journal, and what became of it.

    `outcome` is `paid`, `not_charged` (declined or reversed), `never_sent` (fenced: never
    charged, charge anew with a new key), `done` (a capture, void, refund or credit that stands) or
    `unknown` (`reason` says why; call `recover()` again). `was_open` is false for an outcome
    that was already known when the process that asked for it died.
    """

    idempotency_key: str
    kind: str
    outcome: Literal["paid", "not_charged", "never_sent", "done", "unknown"]
    payment: Payment | None = None
    payment_id: str | None = None
    order: str | None = None
    amount_minor: int | None = None
    currency: str | None = None
    was_open: bool = True
    reason: str | None = None
