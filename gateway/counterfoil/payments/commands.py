"""
What all commands on a payment share: capture, void, refund and undo, each under a key of its own.

A command is committed together with the advice that tells the acquirer, and the worker
forwards that until it is accepted; nobody's silence undoes it. A repeat under the same
key is answered with the payment as it stands.
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec

from counterfoil.payments.payment import Merchant, Payment
from counterfoil.payments.refusals import (
    KeyFenced,
    KeyReused,
    NotNow,
    PaymentUnknown,
    RefusedBefore,
)
from counterfoil.payments.road import Road
from counterfoil.store.payments import Unconfirmed

TRIES_MAX = 50  # Each is lost to another command on the same payment, or to a close.
ACQUIRER_SECONDS_MAX = 10.0
ACQUIRER_POLL_SECONDS = 0.05


class Command(msgspec.Struct, frozen=True, kw_only=True):
    """
    What the merchant wants done with a payment; an amount of None is everything that can be.

    `is_final`: of a capture: it is the last, what is still held goes back.
    """

    merchant: Merchant
    payment_id: UUID
    idempotency_key: str
    amount_minor: int | None
    actor: str
    is_final: bool = False


class Done(msgspec.Struct, frozen=True):
    """
    The payment after the command, and whether this request was the one that did it.
    """

    payment: Payment
    first: bool


REFUSED = "refused"  # What a key was used for, when its command was refused.
TRY_AGAIN = "ask again under a new key"

Move = Callable[[Command, Payment, bytes, Road], Awaitable[Payment | None]]


async def once(operation: str, command: Command, move: Move, road: Road) -> Done:
    """
    Run *move* under its key until it is done; None from it means "somebody was faster: again".

    Raises:
        KeyReused, KeyFenced, PaymentUnknown: As named. NotNow: Others were always faster.
    """
    fingerprint = _fingerprint(operation, command, road)
    until = road.clock.monotonic() + ACQUIRER_SECONDS_MAX
    for _ in range(TRIES_MAX):
        payment = await _payment(command, road)
        if await _seen(operation, command, fingerprint, road):
            return Done(await _payment(command, road), first=False)
        try:
            if moved := await move(command, payment, fingerprint, road):
                return Done(moved, first=True)
        except NotNow as refusal:
            now = await _payment(command, road)
            if now.version == payment.version or road.clock.monotonic() > until:
                # Else it speaks of a payment that is another by now.
                return await _refused(refusal, operation, command, fingerprint, road)
    payment = await _payment(command, road)
    always_late = NotNow(
        f"the payment is {payment.state} and other commands change it at the same time: nothing "
        f"was done, {TRY_AGAIN}",
        payment,
    )
    return await _refused(always_late, operation, command, fingerprint, road)


async def _refused(
    refusal: NotNow, operation: str, command: Command, fingerprint: bytes, road: Road
) -> Done:
    """
    Make the refusal final for its key, then raise it; unless the key was used meanwhile.

    A copy of the request that is held up on the way must not be carried out when its sender
    has been told "no".
    """
    merchant_id, key = command.merchant.merchant_id, command.idempotency_key
    at = road.clock.now()
    claim = (merchant_id, key, REFUSED, fingerprint, command.payment_id, at)
    if not await road.store.claim_key(*claim) and await _seen(
        operation, command, fingerprint, road
    ):
        return Done(await _payment(command, road), first=False)
    raise refusal


async def announce(payment: Payment, road: Road) -> None:
    """
    Let the open batch count one item more: one that is nearly full makes room for it first.
    """
    await road.batches.number(
        payment.merchant_id, payment.acquirer, payment.terminal_id, payment.currency
    )


async def await_acquirer(
    payment: Payment, wait: Callable[[Unconfirmed], str | None], road: Road
) -> None:
    """
    Wait while *wait* says what the acquirer has not accepted yet.

    Raises:
        NotNow: It takes too long; the words of *wait* say what is waited for.
    """
    until = road.clock.monotonic() + ACQUIRER_SECONDS_MAX
    while why := wait(await road.store.unconfirmed(payment)):
        if road.clock.monotonic() > until:
            raise NotNow(f"{why} has not reached the acquirer yet: {TRY_AGAIN}", payment)
        await asyncio.sleep(ACQUIRER_POLL_SECONDS)


def late_until(at: datetime, road: Road) -> datetime:
    """
    Return until when an original may still be on its way to the acquirer.
    """
    return at + timedelta(seconds=road.timers.late_seconds)


def start(command: Command, fingerprint: bytes, road: Road, *, ids: int) -> tuple[Any, ...]:
    """
    Return the parameters that all statements begin with: whose payment, the key, new ids.
    """
    return (
        command.merchant.merchant_id,
        command.payment_id,
        command.idempotency_key,
        fingerprint,
        *(road.ids.new() for _ in range(ids)),
    )


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
    if use.operation not in (operation, REFUSED) or use.fingerprint != fingerprint:
        raise KeyReused("this idempotency key was used for another request")
    if use.operation == REFUSED:
        payment = await _payment(command, road)
        raise RefusedBefore(
            f"this was refused under this idempotency key, and the payment is {payment.state} now: "
            f"{TRY_AGAIN}",
            payment,
        )
    return True


def _fingerprint(operation: str, command: Command, road: Road) -> bytes:
    said: tuple[Any, ...] = (operation, command.payment_id.hex, command.amount_minor)
    if command.is_final:
        said = (*said, "final")
    return road.vault.keyed_digest(
        b"request", command.merchant.merchant_id, msgspec.json.encode(said)
    )
