"""
Finish what a crash left open, and answer `resolve`: the core's other half, without I/O.

A sale that may never have been sent is never sent by recovery: there is no card to send.
The gateway is asked instead, and a key that it never saw is fenced.
"""

from collections.abc import Callable
from typing import Literal

import msgspec

from counterfoil_client import wire
from counterfoil_client.answers import NOT_SENT, Refused
from counterfoil_client.commands import (
    OPEN_STATES,
    Intent,
    Leftovers,
    Reclaim,
    Reclaimed,
    Record,
    Recorded,
    State,
    Steps,
    TakeLeftovers,
    Wait,
)
from counterfoil_client.core import NoAnswerError, acknowledge, conclude, find_out, repeat, unknown
from counterfoil_client.errors import OutcomeUnknown
from counterfoil_client.limits import BUSY_SECONDS
from counterfoil_client.pace import Pace
from counterfoil_client.results import Payment, Recovered, Resolution

Outcome = Literal["paid", "not_charged", "never_sent", "done", "unknown"]

UNREACHABLE = "the gateway could not be reached; call recover() again"
UNDECIDED = "the gateway does not say whether it is charged; call recover() again"


def recover(new_pace: Callable[[], Pace]) -> Steps[list[Recovered]]:
    """
    Finish every open intent that no live process is working on, and report outcomes that
    a process may have died with. When the gateway cannot be reached, the rest is `unknown`.
    """
    leftovers: Leftovers = yield TakeLeftovers()
    outcomes = [_outcome(each, each.payment, was_open=False) for each in leftovers.finished]
    reachable = True
    for key in leftovers.open_keys:
        claim: Reclaimed = yield Reclaim(key)
        recorded = claim.recorded
        if recorded is None or recorded.state not in OPEN_STATES:
            continue
        if not reachable:
            outcomes.append(_unknown(recorded, UNREACHABLE))
            continue
        try:
            payment = yield from _finish(recorded, new_pace())
            outcomes.append(_outcome(recorded, payment))
        except OutcomeUnknown as failure:
            reachable = failure.answered
            outcomes.append(_unknown(recorded, str(failure)))
    return outcomes


def resolve(key: str, pace: Pace) -> Steps[Resolution]:
    """
    Find out what became of *key* and finish it: an approval is acknowledged.

    Raises:
        OutcomeUnknown: No answer in time.
    """
    recorded = yield from _reclaim(key, pace)
    if recorded is not None and recorded.state in OPEN_STATES:
        payment = yield from _finish(recorded, pace)
    else:
        payment = yield from find_out(key, pace)
        if payment is not None and payment.awaits_acknowledgment:
            payment = yield from acknowledge(key, payment.id, pace.acknowledging())
    return Resolution(status="never_seen" if payment is None else "seen", payment=payment)


def _reclaim(key: str, pace: Pace) -> Steps[Recorded | None]:
    """
    Claim *key* from the journal; wait while a call is using it.
    """
    while True:
        claim: Reclaimed = yield Reclaim(key)
        if not claim.busy:
            return claim.recorded
        if pace.left_seconds() <= BUSY_SECONDS:
            raise OutcomeUnknown("another call is using this key", idempotency_key=key)
        yield Wait(BUSY_SECONDS)


def _finish(recorded: Recorded, pace: Pace) -> Steps[Payment | None]:
    """
    Bring one open intent to its end: the payment, or None when it is fenced.
    """
    intent = recorded.intent
    if recorded.state is State.APPROVED and recorded.payment is not None:
        return (yield from conclude(intent, recorded.payment, pace))
    payment = yield from find_out(intent.key, pace)
    if payment is None:
        payment = yield from _with_movement(intent, pace)
    if payment is None:
        yield Record(intent.key, State.NEVER_SENT)
        return None
    if payment.state == NOT_SENT:
        yield Record(intent.key, State.REFUSED, payment)
        return payment
    return (yield from conclude(intent, payment, pace))


def _with_movement(intent: Intent, pace: Pace) -> Steps[Payment | None]:
    """
    Return the payment if it carries the movement that *intent* asked for.

    "Never seen" about a refund is checked a second time, because a refund that was made
    would be made again.
    """
    if intent.payment_id is None:
        return None
    try:
        payment = yield from repeat(wire.get(intent.payment_id), Payment, pace.stage())
    except NoAnswerError as silent:
        raise unknown(intent.key, silent) from None
    if isinstance(payment, Refused):
        return None
    made = any(movement.idempotency_key == intent.key for movement in payment.movements)
    return payment if made else None


def _outcome(recorded: Recorded, payment: Payment | None, *, was_open: bool = True) -> Recovered:
    told = _told(recorded, payment)
    found = msgspec.structs.replace(told, outcome=_word(recorded, payment), was_open=was_open)
    return msgspec.structs.replace(found, reason=UNDECIDED) if found.outcome == "unknown" else found


def _word(recorded: Recorded, payment: Payment | None) -> Outcome:
    if payment is None:
        return "not_charged" if recorded.state is State.REFUSED else "never_sent"
    if not recorded.intent.awaits_acknowledgment or payment.credited:
        return "done"
    if payment.charged is False:
        return "not_charged"
    return "paid" if payment.paid else "unknown"


def _unknown(recorded: Recorded, reason: str) -> Recovered:
    return msgspec.structs.replace(_told(recorded, recorded.payment), reason=reason)


def _told(recorded: Recorded, payment: Payment | None) -> Recovered:
    intent = recorded.intent
    return Recovered(
        idempotency_key=intent.key,
        kind=intent.kind,
        outcome="unknown",
        payment=payment,
        payment_id=payment.id if payment else intent.payment_id,
        order=intent.order,
        amount_minor=intent.amount_minor,
        currency=intent.currency,
    )
