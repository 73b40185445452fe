"""
What stands in the database as a name, as people read it: states, kinds, and how good that is.
"""

from datetime import datetime

from counterfoil.payments.lifecycle import Kind, State
from counterfoil.payments.payment import Payment
from counterfoil.terminal.sale import is_question

ASKED_ONLY = "Asked, not charged"
KINDS = {
    Kind.SALE: "Sale",
    Kind.AUTHORIZATION: "Authorization",
    Kind.VERIFICATION: "Card check",
    Kind.FORCED: "Voice code",
    Kind.CREDIT: "Credit",
}
STATES = {
    State.PROCESSING: "On its way",
    State.NOT_SENT: "Not sent",
    State.DECLINED: "Declined",
    State.APPROVED: "Waits to be claimed",
    State.AUTHORIZED: "Authorized",
    State.CAPTURED: "Paid",
    State.VOIDING: "Being voided",
    State.VOIDED: "Voided",
    State.REVERSING: "Being reversed",
    State.REVERSED: "Reversed",
    State.EXPIRED: "Lapsed",
    State.VERIFIED: "Card is good",
    State.UNANSWERED: "No answer",
}
_GOOD = {State.AUTHORIZED, State.CAPTURED, State.VERIFIED}
_WAIT = {State.PROCESSING, State.APPROVED, State.VOIDING, State.REVERSING}
_BAD = {State.DECLINED, State.UNANSWERED, State.NOT_SENT}


def state_words(payment: Payment) -> str:
    """
    Return how *payment* stands, in two or three words.
    """
    return _standing_of(payment)[1]


def tone(payment: Payment) -> str:
    """
    Return how good that is: good, wait, bad, or nothing of these.
    """
    return _standing_of(payment)[0]


def _standing_of(payment: Payment) -> tuple[str, str]:
    return standing(
        payment.state,
        payment.kind,
        captured_minor=payment.captured_minor,
        refunded_minor=payment.refunded_minor,
        is_asked_only=is_question(payment),
    )


def standing(
    state: State, kind: Kind, *, captured_minor: int, refunded_minor: int, is_asked_only: bool
) -> tuple[str, str]:
    """
    Return how good it is and in words how a payment stands: the same on every page.

    `is_asked_only`: a clerk was asked whether to charge a double, and nothing was charged.
    """
    if is_asked_only:
        return "", ASKED_ONLY
    if state is State.CAPTURED and kind is Kind.CREDIT:
        return "good", "Given"
    if state is State.CAPTURED and refunded_minor:
        return "", "Refunded" if refunded_minor == captured_minor else "Partly refunded"
    if state in _WAIT:
        return "wait", STATES[state]
    if state in _BAD:
        return "bad", STATES[state]
    return "good" if state in _GOOD else "", STATES[state]


def kind_words(payment: Payment) -> str:
    """
    Return what was asked for.
    """
    return KINDS[payment.kind]


def left_text(until: datetime, now: datetime) -> str:
    """
    Return how long it is *until* a moment, as the script of the page says it too.
    """
    seconds = max(int((until - now).total_seconds()), 0)
    hours, minutes = seconds // 3600, seconds % 3600 // 60
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {seconds % 60} s" if minutes else f"{seconds} s"
