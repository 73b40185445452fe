"""
Capture, void and refund: what can be done with a payment after its confirmation.

Each is an idempotent command with a key of its own. It is committed together with
the advice that tells the acquirer, and the worker forwards that until it is
accepted; nobody's silence undoes it. This version moves whole amounts.
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import msgspec

from counterfoil.network.requests import retrieval_reference
from counterfoil.payments.lifecycle import Kind, State
from counterfoil.payments.payment import Merchant, Payment
from counterfoil.payments.refusals import (
    KeyFenced,
    KeyReused,
    NothingWritten,
    NotNow,
    PaymentUnknown,
    WholeAmountsOnly,
)
from counterfoil.payments.road import Road
from counterfoil.store.numbers import TerminalUsedUp

TRIES_MAX = 3
CAPTURE_SECONDS_MAX = 10.0
CAPTURE_POLL_SECONDS = 0.05


class Command(msgspec.Struct, frozen=True, kw_only=True):
    """
    What the merchant wants done with a payment.
    """

    merchant: Merchant
    payment_id: UUID
    idempotency_key: str
    amount_minor: int | None
    actor: str


class Done(msgspec.Struct, frozen=True):
    """
    The payment after the command, and whether this request was the one that did it.
    """

    payment: Payment
    first: bool


Move = Callable[[Command, Payment, bytes, Road], Awaitable[Payment | None]]


async def capture(command: Command, road: Road) -> Done:
    """
    Take what an authorization holds and put it into the open batch.

    Raises:
        NotNow: Nothing is held. KeyReused, KeyFenced, PaymentUnknown, WholeAmountsOnly: as named.
    """
    return await _once("capture", command, _capture, road)


async def void(command: Command, road: Road) -> Done:
    """
    Undo a payment before its batch closes; final once it returns.

    Raises:
        NotNow: Too late, or nothing to undo. KeyReused, KeyFenced, PaymentUnknown: as named.
    """
    return await _once("void", command, _void, road)


async def refund(command: Command, road: Road) -> Done:
    """
    Give captured money back through the next batch.

    Raises:
        NotNow: Nothing (more) to give back. KeyReused, KeyFenced, PaymentUnknown,
            WholeAmountsOnly: as named.
    """
    return await _once("refund", command, _refund, road)


async def _once(operation: str, command: Command, move: Move, road: Road) -> Done:
    """
    Run *move* under its key; a repeat is answered with the payment as it stands.
    """
    fingerprint = _fingerprint(operation, command, road)
    for _ in range(TRIES_MAX):
        payment = await _payment(command, road)
        if await _seen(operation, command, fingerprint, road):
            return Done(await _payment(command, road), first=False)
        if moved := await move(command, payment, fingerprint, road):
            return Done(moved, first=True)
    payment = await _payment(command, road)
    if await _seen(operation, command, fingerprint, road):
        return Done(payment, first=False)
    raise NotNow(f"a payment that is {payment.state} cannot be changed so", payment)


async def _payment(command: Command, road: Road) -> Payment:
    payment = await road.store.payment(command.merchant.merchant_id, command.payment_id)
    if payment is None:
        raise PaymentUnknown("this merchant has no payment with this id")
    return payment


async def _seen(operation: str, command: Command, fingerprint: bytes, road: Road) -> bool:
    use = await road.store.key(command.merchant.merchant_id, command.idempotency_key)
    if use is None:
        return False
    if use.operation == "fence":
        raise KeyFenced("this key was resolved before it was seen; use a new key")
    if use.operation != operation or use.fingerprint != fingerprint:
        raise KeyReused("this idempotency key was used for another request")
    return True


def _fingerprint(operation: str, command: Command, road: Road) -> bytes:
    said = msgspec.json.encode((operation, command.payment_id.hex, command.amount_minor))
    return road.vault.keyed_digest(b"request", command.merchant.merchant_id, said)


async def _capture(
    command: Command, payment: Payment, fingerprint: bytes, road: Road
) -> Payment | None:
    if payment.state is not State.AUTHORIZED:
        raise NotNow(
            f"the payment is {payment.state}: only an authorization can be captured", payment
        )
    amount = _whole(command, payment.authorized_minor, payment)
    await _announce(payment, road)
    return await road.store.capture(
        *_start(command, fingerprint, road), amount, *_end(command, road)
    )


async def _void(
    command: Command, payment: Payment, fingerprint: bytes, road: Road
) -> Payment | None:
    if payment.state not in (State.AUTHORIZED, State.CAPTURED):
        raise NotNow(f"the payment is {payment.state}: there is nothing to void", payment)
    if payment.kind is Kind.CREDIT:
        return await road.store.void_credit(
            *_start(command, fingerprint, road), *_end(command, road)
        )
    if payment.refunded_minor:
        raise NotNow("the payment was refunded: it cannot be voided as well", payment)
    return await road.store.void(*_start(command, fingerprint, road), *_end(command, road))


async def _refund(
    command: Command, payment: Payment, fingerprint: bytes, road: Road
) -> Payment | None:
    if payment.state is not State.CAPTURED or payment.kind is Kind.CREDIT:
        raise NotNow(
            f"the {payment.kind} is {payment.state}: only captured money can be refunded", payment
        )
    if payment.refunded_minor:
        raise NotNow("all of the payment was refunded before", payment)
    await _capture_is_there(payment, road)
    amount = _whole(command, payment.captured_minor, payment)
    await _announce(payment, road)
    at = road.clock.now()
    try:
        stan = await road.stans.take(
            payment.merchant_id, payment.acquirer, payment.terminal_id, at.date()
        )
    except TerminalUsedUp as error:
        raise NothingWritten(str(error), retry_after_seconds=60) from error
    late_until = at + timedelta(seconds=road.timers.late_seconds)
    return await road.store.refund(
        *_start(command, fingerprint, road),
        amount,
        retrieval_reference(stan, at),
        late_until,
        at,
        command.actor,
        at.date(),
        stan,
    )


async def _capture_is_there(payment: Payment, road: Road) -> None:
    """
    Wait until the acquirer has the capture: what it may still refuse can not be given back.
    """
    until = road.clock.monotonic() + CAPTURE_SECONDS_MAX
    while await road.store.capture_is_owed(payment):
        if road.clock.monotonic() > until:
            raise NotNow("its capture has not reached the acquirer yet: try again", payment)
        await asyncio.sleep(CAPTURE_POLL_SECONDS)


async def _announce(payment: Payment, road: Road) -> None:
    """
    Let the open batch count one item more: one that is nearly full makes room for it first.
    """
    await road.batches.number(
        payment.merchant_id, payment.acquirer, payment.terminal_id, payment.currency
    )


def _whole(command: Command, whole_minor: int, payment: Payment) -> int:
    if command.amount_minor not in (None, whole_minor):
        raise WholeAmountsOnly(
            f"this version moves whole amounts: leave amount_minor out, or send {whole_minor}"
        )
    assert payment.authorized_minor >= whole_minor
    return whole_minor


def _start(command: Command, fingerprint: bytes, road: Road) -> tuple[Any, ...]:
    """
    Return the first eight parameters that all three statements share.
    """
    return (
        command.merchant.merchant_id,
        command.payment_id,
        command.idempotency_key,
        fingerprint,
        road.ids.new(),
        road.ids.new(),
        road.ids.new(),
        road.ids.new(),
    )


def _end(command: Command, road: Road) -> tuple[Any, ...]:
    """
    Return their last three: until when answers may be late, now, and who asks.
    """
    now = road.clock.now()
    return now + timedelta(seconds=road.timers.late_seconds), now, command.actor
