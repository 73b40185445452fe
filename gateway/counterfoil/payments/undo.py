"""
Undo a payment, or an amount of it, by whatever still works.

An approval that nobody claimed is reversed; what has not been closed into a batch is
voided; the rest is refunded. Whoever loses a race with the close of the batch falls to the
next. One key, one outcome: a repeat does nothing more.
"""

from counterfoil.network.requests import REASON_VOID
from counterfoil.payments.acknowledge import REVERSED
from counterfoil.payments.commands import Command, Done, late_until, once, start
from counterfoil.payments.lifecycle import State
from counterfoil.payments.payment import Payment
from counterfoil.payments.refund import give_back
from counterfoil.payments.refusals import AmountTooLarge, NotNow
from counterfoil.payments.road import Road
from counterfoil.payments.void import VOIDABLE, take_back


async def undo(command: Command, road: Road) -> Done:
    """
    Take back *amount_minor* of a payment, or all that is left of it.

    Raises:
        AmountTooLarge: More than is left, or it fits into no single void or refund.
        NotNow: There is nothing to undo. KeyReused, KeyFenced, PaymentUnknown: as named.
        NothingWritten: A refund is due, and the terminal's trace numbers are used up today.
    """
    return await once("undo", command, _undo, road)


async def _undo(
    command: Command, payment: Payment, fingerprint: bytes, road: Road
) -> Payment | None:
    if payment.state is State.APPROVED or payment.state in REVERSED:
        return await _reverse(command, payment, fingerprint, road)
    if payment.state not in VOIDABLE:
        raise NotNow(f"the payment is {payment.state}: there is nothing to undo", payment)
    try:
        return await take_back(
            "undo",
            command,
            payment,
            fingerprint,
            road,
            refunds_rest=command.amount_minor is None,
        )
    except NotNow as too_late:
        if payment.captured_minor <= payment.refunded_minor:  # A credit has captured nothing.
            raise
        return await _refund_instead(command, payment, fingerprint, road, too_late)


async def _refund_instead(
    command: Command, payment: Payment, fingerprint: bytes, road: Road, too_late: NotNow
) -> Payment | None:
    try:
        return await give_back("undo", command, payment, fingerprint, road)
    except AmountTooLarge as too_much:
        if isinstance(too_late, AmountTooLarge):
            too_late.most_minor = max(too_late.most_minor, too_much.most_minor)
        raise too_late from None  # Its words say what can be voided, and what refunded.


async def _reverse(
    command: Command, payment: Payment, fingerprint: bytes, road: Road
) -> Payment | None:
    """
    Reverse an approval that nobody has claimed yet: whole, or not at all.
    """
    whole_minor = payment.authorized_minor or payment.amount_minor  # A credit authorizes nothing.
    if command.amount_minor not in (None, whole_minor):
        raise AmountTooLarge(
            "an approval that was not acknowledged is undone whole: leave amount_minor out, or "
            f"send {whole_minor}",
            payment,
            most_minor=whole_minor,
            is_whole=True,
        )
    at = road.clock.now()
    if payment.state is State.APPROVED:
        return await road.store.undo_approval(
            *start(command, fingerprint, road, ids=2),
            REASON_VOID,
            late_until(at, road),
            at,
            command.actor,
        )
    key = (payment.merchant_id, command.idempotency_key, "undo", fingerprint, payment.payment_id)
    return payment if await road.store.claim_key(*key, at) else None
