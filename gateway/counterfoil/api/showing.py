"""
Show payments with what is possible for each: the one place that asks whether a batch is open.

A payment that is read, listed or refused costs one statement more, for a whole page too, and
only if it was claimed. The answer to an acknowledgment costs none while the payment is young.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from counterfoil.api.answers import payment_answer
from counterfoil.api.bodies import PaymentAnswer
from counterfoil.api.desk import Desk
from counterfoil.payments.lifecycle import CHARGED
from counterfoil.payments.payment import Payment, Placed, possible_now
from counterfoil.store.database import DatabaseAway

YOUNG = timedelta(seconds=10)

_NOWHERE = Placed()


async def show(payment: Payment, desk: Desk) -> PaymentAnswer:
    """
    Return *payment* as its merchant sees it; without a database, by what this process remembers:
    what was done is told all the same.
    """
    if payment.state not in CHARGED:
        return _shown(payment, _NOWHERE, desk)
    try:
        return (await show_all([payment], desk))[0]
    except DatabaseAway:
        return show_as_remembered(payment, desk)


async def show_all(payments: Sequence[Payment], desk: Desk) -> list[PaymentAnswer]:
    """
    Return *payments*, all of one merchant, as it sees them.
    """
    claimed = [each for each in payments if each.state in CHARGED]
    placed = await desk.road.store.placed(claimed) if claimed else {}
    return [_shown(each, placed.get(each.payment_id, _NOWHERE), desk) for each in payments]


async def show_claimed(payment: Payment, desk: Desk) -> PaymentAnswer:
    """
    Return a *payment* that was claimed just now: a young one goes by this process's memory.
    """
    now = desk.road.clock.now()
    if now - payment.created_at > YOUNG:
        return await show(payment, desk)
    return show_as_remembered(payment, desk, now)


def show_as_remembered(payment: Payment, desk: Desk, now: datetime | None = None) -> PaymentAnswer:
    """
    Return *payment* by what this process remembers of open batches, without asking the database.

    The memory may be behind a close that another process has begun.
    """
    is_open = payment.batch_number == desk.road.batches.remembered(
        payment.merchant_id, payment.acquirer, payment.terminal_id, payment.currency
    )
    return _shown(payment, Placed(in_open_batch=is_open), desk, now)


def _shown(
    payment: Payment, placed: Placed, desk: Desk, now: datetime | None = None
) -> PaymentAnswer:
    names = possible_now(payment, placed, now or desk.road.clock.now())
    return payment_answer(payment, desk.mode, names)
