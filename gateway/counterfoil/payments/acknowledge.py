"""
Acknowledge a payment: the merchant has the approval, so it counts.

Stands between the *answer* and the *confirmation*. The confirmation number is
allocated here, once; whoever acknowledges again gets the same one. An
acknowledgment that comes after the reversal began never gets a number.
"""

from datetime import timedelta
from uuid import UUID

import structlog

from counterfoil.network.requests import REASON_VOID
from counterfoil.payments.lifecycle import Cause, State
from counterfoil.payments.payment import Merchant, Payment
from counterfoil.payments.refusals import NotChargedAnyMore, NotNow, PaymentUnknown
from counterfoil.payments.road import Road
from counterfoil.store.payments import Acknowledgment, Reversal

REVERSED = (State.REVERSING, State.REVERSED)

log = structlog.get_logger("payments")


async def acknowledge(
    merchant: Merchant, payment_id: UUID, *, session_id: str, actor: str, road: Road
) -> Payment:
    """
    Claim an approval and return the payment with its confirmation number.

    Raises:
        PaymentUnknown: This merchant has no such payment.
        NotChargedAnyMore: The reversal has begun; the cardholder does not pay.
        NotNow: There is nothing to acknowledge (yet).
    """
    confirmation_number = await road.confirmations.take(merchant.merchant_id)
    at = road.clock.now()
    event_id, movement_id, transfer_id, customer_mail_id, merchant_mail_id = road.ids.several(5, at)
    acknowledgment = Acknowledgment(
        merchant_id=merchant.merchant_id,
        payment_id=payment_id,
        event_id=event_id,
        confirmation_number=confirmation_number,
        session_id=session_id,
        movement_id=movement_id,
        transfer_id=transfer_id,
        customer_mail_id=customer_mail_id,
        merchant_mail_id=merchant_mail_id,
        merchant_email=merchant.email,
        at=at,
        actor=actor,
    )
    began = road.clock.monotonic()
    if claimed := await road.store.acknowledge(acknowledgment):
        log.debug(
            "payment.confirmed",
            payment=payment_id.hex,
            rrn=claimed.rrn,
            state=claimed.state,
            on_session=claimed.acknowledged_on_session,
            milliseconds=round((road.clock.monotonic() - began) * 1000, 1),
        )
        return claimed
    return await _why_not(merchant, payment_id, road)


async def _why_not(merchant: Merchant, payment_id: UUID, road: Road) -> Payment:
    payment = await road.store.payment(merchant.merchant_id, payment_id)
    if payment is None:
        raise PaymentUnknown("this merchant has no payment with this id")
    if payment.state is State.APPROVED:
        # Its time is over and the sweep has not come by yet: end it here.
        payment = await _reverse_unclaimed(payment, road)
    if payment.confirmation_number:
        return payment
    if payment.state in REVERSED:
        raise NotChargedAnyMore(
            f"the payment is {payment.state}: the cardholder is not charged", payment
        )
    raise NotNow(f"the payment is {payment.state}: there is nothing to acknowledge", payment)


async def _reverse_unclaimed(payment: Payment, road: Road) -> Payment:
    reversal = reversal_of(payment, Cause.UNCLAIMED, "gateway", road, unclaimed=True)
    if reversed_now := await road.store.reverse(reversal):
        return reversed_now
    again = await road.store.payment(payment.merchant_id, payment.payment_id)
    assert again is not None, "a payment that was read cannot be gone"
    return again


async def refuse(merchant: Merchant, payment_id: UUID, *, actor: str, road: Road) -> Payment:
    """
    Turn an approval down: it is reversed at once.

    Raises:
        PaymentUnknown: This merchant has no such payment.
        NotNow: It was acknowledged, or there is nothing to refuse.
    """
    payment = await road.store.payment(merchant.merchant_id, payment_id)
    if payment is None:
        raise PaymentUnknown("this merchant has no payment with this id")
    if payment.state is State.APPROVED:
        reversal = reversal_of(payment, Cause.REFUSED, actor, road)
        moved = await road.store.reverse(reversal)
        payment = moved or await road.store.payment(merchant.merchant_id, payment_id)
        assert payment is not None
    if payment.state in REVERSED:
        return payment
    raise NotNow(f"the payment is {payment.state}: only an approval can be refused", payment)


def reversal_of(
    payment: Payment, cause: Cause, actor: str, road: Road, *, unclaimed: bool = False
) -> Reversal:
    """
    Return the row that owes the network a reversal of an approved *payment*.
    """
    now = road.clock.now()
    return Reversal(
        merchant_id=payment.merchant_id,
        payment_id=payment.payment_id,
        event_id=road.ids.new(),
        from_state=State.APPROVED,
        unclaimed_since=now if unclaimed else None,
        cause=cause,
        advice_id=road.ids.new(),
        reason_code=REASON_VOID,
        late_until=now + timedelta(seconds=road.timers.late_seconds),
        at=now,
        actor=actor,
    )
