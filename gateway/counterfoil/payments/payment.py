"""
A payment as the store keeps it: one row of `payments`, and its movements and history.
"""

from datetime import date, datetime
from enum import StrEnum
from uuid import UUID

import msgspec

from counterfoil.payments.lifecycle import Kind, State, possible

CAPTURES_MAX = 99  # Of one authorization: card networks number them with two digits.


class Payment(msgspec.Struct, frozen=True, kw_only=True):
    """
    One attempt to get money from a cardholder, or (a credit) to give some. Amounts are in minor
    units of `currency`: asked, approved, taken, given back before and after it was taken.
    """

    merchant_id: UUID
    payment_id: UUID
    idempotency_key: str
    kind: Kind
    state: State
    version: int
    changed_by: UUID
    amount_minor: int
    currency: str
    authorized_minor: int
    captured_minor: int
    released_minor: int
    refunded_minor: int
    order_number: str | None
    description: str | None
    customer_email: str | None
    card_token: UUID
    card_brand: str
    card_bin: str
    card_last_four: str
    acquirer: str
    terminal_id: str
    batch_number: int
    business_day: date
    stan: int
    rrn: str
    transmitted_at: datetime
    local_time: str
    process_id: UUID
    session_id: str
    response_code: str | None
    approval_code: str | None
    avs_result: str | None
    cvv_result: str | None
    network_transaction_id: str | None
    settlement_date: str | None
    acknowledge_by: datetime | None
    acknowledged_at: datetime | None
    acknowledged_on_session: bool | None
    confirmation_number: str | None
    hold_until: datetime | None
    created_at: datetime
    updated_at: datetime
    advice_code: str | None = None
    screening: str | None = None
    duplicate_of: UUID | None = None


def held_minor(payment: Payment) -> int:
    """
    Return what is authorized and neither captured nor released.
    """
    return payment.authorized_minor - payment.captured_minor - payment.released_minor


class Placed(msgspec.Struct, frozen=True):
    """
    Where the movements of a payment stand: whether one is in an open batch, and how often the
    payment was captured.
    """

    in_open_batch: bool = False
    captures: int = 0


def possible_now(payment: Payment, placed: Placed, at: datetime) -> tuple[str, ...]:
    """
    Return the names of the calls that *payment* allows at this time.
    """
    until = payment.acknowledge_by if payment.state is State.APPROVED else payment.hold_until
    return possible(
        payment.state,
        payment.kind,
        authorized_minor=payment.authorized_minor,
        captured_minor=payment.captured_minor,
        released_minor=payment.released_minor,
        refunded_minor=payment.refunded_minor,
        in_open_batch=placed.in_open_batch,
        may_go_on=(until is None or at < until) and placed.captures < CAPTURES_MAX,
    )


class Movement(msgspec.Struct, frozen=True, kw_only=True):
    """
    A capture, void or refund of a payment.

    `amount_minor` is what stands of it; voids took `voided_minor` out of a capture before.
    """

    merchant_id: UUID
    movement_id: UUID
    payment_id: UUID
    kind: str
    state: str
    amount_minor: int
    currency: str
    idempotency_key: str | None
    acquirer: str
    terminal_id: str
    batch_number: int
    rrn: str
    voided_minor: int
    voids: int
    undone_by: UUID | None
    created_at: datetime
    updated_at: datetime


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """
    One row of a payment's history: what it became, when, why and by whom.
    """

    version: int
    at: datetime
    from_state: str | None
    to_state: str
    cause: str
    actor: str
    movement_id: UUID | None
    movement_state: str | None


class PartialApprovals(StrEnum):
    """
    What becomes of an approval for less than was asked (response code 10).
    """

    ACCEPT = "accept"
    REVERSE = "reverse"


class Merchant(msgspec.Struct, frozen=True, kw_only=True):
    """
    Who takes the payments. `acknowledge_seconds` is how long an approval waits to be claimed;
    `credits_allowed` whether money may be given that was never taken.
    """

    merchant_id: UUID
    name: str
    city: str
    region: str
    country: str
    category_code: str
    timezone: str
    email: str
    acknowledge_seconds: int
    credits_allowed: bool = False
    partial_approvals: PartialApprovals = PartialApprovals.REVERSE
