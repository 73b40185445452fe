"""
What stands in the database as a name, as people read it: states, kinds, and how good that is.
"""

from datetime import datetime

from counterfoil.payments.lifecycle import Kind, State
from counterfoil.payments.payment import Payment

KINDS = {
    Kind.SALE: "Sale",
    Kind.AUTHORIZATION: "Authorization",
    Kind.VERIFICATION: "Card check",
    Kind.FORCED: "Voice approval",
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
    if payment.state is State.CAPTURED:
        if payment.kind is Kind.CREDIT:
            return "Given"
        if payment.refunded_minor:
            all_of_it = payment.refunded_minor == payment.captured_minor
            return "Refunded" if all_of_it else "Partly refunded"
    return STATES[payment.state]


def tone(payment: Payment) -> str:
    """
    Return how good that is: good, wait, bad, or nothing of these.
    """
    if payment.state in _WAIT:
        return "wait"
    if payment.state in _BAD:
        return "bad"
    return "good" if payment.state in _GOOD and not payment.refunded_minor else ""


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
