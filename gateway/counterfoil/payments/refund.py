"""
Refund captured money: all of it, a part, or several parts, never more than was captured.

Stands after *batch*, though it need not wait for it: a refund is a credit in the open
batch. What the acquirer may still refuse to capture cannot be given back, so a refund
waits a moment for a capture that is on its way.
"""

from datetime import datetime

from counterfoil.money import amount_text
from counterfoil.network.requests import retrieval_reference
from counterfoil.payments.commands import (
    Command,
    Done,
    announce,
    await_acquirer,
    late_until,
    once,
    start,
)
from counterfoil.payments.lifecycle import Kind, State
from counterfoil.payments.payment import Payment
from counterfoil.payments.refusals import AmountTooLarge, NothingWritten, NotNow
from counterfoil.payments.road import Road
from counterfoil.store.numbers import TerminalUsedUp
from counterfoil.store.payments import Unconfirmed

USED_UP_SECONDS = 60


async def refund(command: Command, road: Road) -> Done:
    """
    Give captured money back through the next batch.

    Raises:
        AmountTooLarge: More than was captured and not refunded yet.
        NotNow: Nothing (more) to give back. KeyReused, KeyFenced, PaymentUnknown: as named.
        NothingWritten: The terminal's trace numbers are used up today.
    """
    return await once("refund", command, _refund, road)


async def _refund(
    command: Command, payment: Payment, fingerprint: bytes, road: Road
) -> Payment | None:
    return await give_back("refund", command, payment, fingerprint, road)


async def give_back(
    operation: str, command: Command, payment: Payment, fingerprint: bytes, road: Road
) -> Payment | None:
    """
    Commit a refund under the key of *operation*.

    Raises:
        AmountTooLarge, NotNow, NothingWritten: As `refund` says.
    """
    amount = _checked(command, payment)
    await await_acquirer(payment, lambda found: _on_its_way(amount, payment, found), road)
    await announce(payment, road)
    at = road.clock.now()
    stan = await take_stan(payment, at, road)
    return await road.store.refund(
        *start(command, fingerprint, road, ids=4),
        command.amount_minor,
        retrieval_reference(stan, at),
        late_until(at, road),
        at,
        command.actor,
        at.date(),
        stan,
        operation,
    )


async def take_stan(payment: Payment, at: datetime, road: Road) -> int:
    """
    Return the trace number that names a refund for ever: its reference is made of it.

    Raises:
        NothingWritten: The terminal has used up its numbers today.
    """
    try:
        return await road.stans.take(
            payment.merchant_id, payment.acquirer, payment.terminal_id, at.date()
        )
    except TerminalUsedUp as error:
        raise NothingWritten(str(error), retry_after_seconds=USED_UP_SECONDS) from error


def _checked(command: Command, payment: Payment) -> int:
    """
    Return how much is given back, as the payment stands.
    """
    if payment.kind is Kind.CREDIT:
        raise NotNow(f"the credit is {payment.state}: it took nothing that could go back", payment)
    if payment.state is not State.CAPTURED:
        raise NotNow(
            f"the {payment.kind} is {payment.state}: only captured money can be refunded", payment
        )
    refundable = payment.captured_minor - payment.refunded_minor
    if not refundable:
        raise NotNow("all that was captured of the payment was refunded before", payment)
    if command.amount_minor is not None and command.amount_minor > refundable:
        raise AmountTooLarge(
            f"{amount_text(command.amount_minor, payment.currency)} is more than the "
            f"{amount_text(refundable, payment.currency)} that was captured and not refunded yet",
            payment,
            most_minor=refundable,
        )
    return command.amount_minor or refundable


def _on_its_way(amount: int, payment: Payment, unconfirmed: Unconfirmed) -> str | None:
    refundable = payment.captured_minor - unconfirmed.captured_minor - payment.refunded_minor
    return "its capture" if amount > refundable else None
