"""
The legal moves of a payment.

The table below is the only place that says what may follow what. The guarded
UPDATE in the database refuses anything else too: `payments_legal_moves` in the
schema holds the same pairs, and a test compares the two.

    processing ─► not_sent · declined · approved · reversing
                  verified · unanswered (a verification, which moves nothing)
    approved   ─► authorized or captured (acknowledged) · reversing
    authorized ─► captured · voiding · expired
    captured   ─► voiding · authorized (its only capture was voided, or refused)
    voiding    ─► voided            reversing ─► reversed
    not_sent   ─► processing (tried again) · declined (screening refuses it by now)
    reversed   ─► reversing (the host approves late what it had not found)
"""

from enum import StrEnum


class State(StrEnum):
    """
    Where a payment stands.
    """

    PROCESSING = "processing"
    NOT_SENT = "not_sent"
    DECLINED = "declined"
    APPROVED = "approved"
    AUTHORIZED = "authorized"
    CAPTURED = "captured"
    VOIDING = "voiding"
    VOIDED = "voided"
    REVERSING = "reversing"
    REVERSED = "reversed"
    EXPIRED = "expired"
    VERIFIED = "verified"
    UNANSWERED = "unanswered"


class Kind(StrEnum):
    """
    What the merchant asked for.

    A sale takes at once, an authorization holds, a verification only asks. A forced capture
    is a sale whose approval came by voice; a credit gives money that was never taken here.
    """

    SALE = "sale"
    AUTHORIZATION = "authorization"
    VERIFICATION = "verification"
    FORCED = "forced"
    CREDIT = "credit"


class Cause(StrEnum):
    """
    Why a payment moved.
    """

    REQUESTED = "requested"
    ISSUER_APPROVED = "issuer_approved"
    ISSUER_DECLINED = "issuer_declined"
    ISSUER_VERIFIED = "issuer_verified"
    NOTHING_WRITTEN = "nothing_written"
    ANSWER_MISSING = "answer_missing"
    ANSWER_BAD = "answer_bad"
    APPROVED_LATE = "approved_late"
    PROCESS_ENDED = "process_ended"
    ACKNOWLEDGED = "acknowledged"
    UNCLAIMED = "unclaimed"
    REFUSED = "refused"
    CAPTURED = "captured"
    CAPTURED_FINAL = "captured_final"
    VOIDED = "voided"
    REFUNDED = "refunded"
    EXPIRED = "expired"
    CAPTURE_REFUSED = "capture_refused"
    REFUND_REFUSED = "refund_refused"
    REFUND_AGAIN = "refund_again"
    RETURNED_OUTSIDE = "returned_outside"
    HOST_ACCEPTED = "host_accepted"
    HOST_BATCH_CLOSED = "host_batch_closed"
    TRIED_AGAIN = "tried_again"
    ASKED_AGAIN = "asked_again"
    SCREENED = "screened"
    KEPT_BY_A_PERSON = "kept_by_a_person"


MOVES: frozenset[tuple[State, State]] = frozenset(
    {
        (State.PROCESSING, State.NOT_SENT),
        (State.PROCESSING, State.DECLINED),
        (State.PROCESSING, State.APPROVED),
        (State.PROCESSING, State.REVERSING),
        (State.PROCESSING, State.VERIFIED),
        (State.PROCESSING, State.UNANSWERED),
        (State.NOT_SENT, State.PROCESSING),
        (State.NOT_SENT, State.DECLINED),
        (State.APPROVED, State.AUTHORIZED),
        (State.APPROVED, State.CAPTURED),
        (State.APPROVED, State.REVERSING),
        (State.AUTHORIZED, State.CAPTURED),
        (State.AUTHORIZED, State.VOIDING),
        (State.AUTHORIZED, State.EXPIRED),
        (State.CAPTURED, State.VOIDING),
        (State.CAPTURED, State.AUTHORIZED),
        (State.VOIDING, State.VOIDED),
        (State.REVERSING, State.REVERSED),
        (State.REVERSED, State.REVERSING),
    }
)

# Only of a credit, which never charges: in a batch that the acquirer has closed by itself it can
# not be taken back, so it stands.
CREDIT_MOVES: frozenset[tuple[State, State]] = frozenset(
    {(State.VOIDING, State.CAPTURED), (State.REVERSING, State.CAPTURED)}
)

NOT_CHARGED = frozenset(
    {
        State.NOT_SENT,
        State.DECLINED,
        State.VOIDING,
        State.VOIDED,
        State.REVERSING,
        State.REVERSED,
        State.EXPIRED,
        State.VERIFIED,
        State.UNANSWERED,
    }
)
CHARGED = frozenset({State.AUTHORIZED, State.CAPTURED})


class IllegalMove(Exception):
    """
    Somebody tried to move a payment where the table does not lead.
    """


def check_move(before: State, after: State) -> None:
    """
    Raise unless *after* may follow *before*.

    Raises:
        IllegalMove: The table has no such pair: a defect, never a user's mistake.
    """
    if (before, after) not in MOVES:
        raise IllegalMove(f"{before} cannot become {after}")


def charged(state: State, kind: Kind) -> bool | None:
    """
    Return whether the cardholder pays: None while that is not decided. A credit never charges.
    """
    if state in CHARGED:
        return kind is not Kind.CREDIT
    return False if state in NOT_CHARGED else None


def possible(
    state: State,
    kind: Kind,
    *,
    authorized_minor: int,
    captured_minor: int,
    released_minor: int,
    refunded_minor: int,
    in_open_batch: bool,
    may_go_on: bool,
) -> tuple[str, ...]:
    """
    Return what the merchant can do with a payment now: names of API calls.

    `in_open_batch`: something that it took or gave stands in a batch that is still open, so that
    it can be voided. `may_go_on`: it may still be claimed, or captured: its time is not over, nor
    was it captured as often as may be.
    """
    if state is State.APPROVED:
        return ("acknowledge", "refuse", "undo") if may_go_on else ("refuse", "undo")
    if state not in CHARGED:
        return ()
    if kind is Kind.CREDIT:
        return ("void", "undo") if in_open_batch else ()
    held = authorized_minor - captured_minor - released_minor
    legal = {
        "capture": kind is Kind.AUTHORIZATION and held > 0 and may_go_on,
        "void": held > 0 or (refunded_minor == 0 and in_open_batch),
        "refund": refunded_minor < captured_minor,
        "undo": held > 0 or refunded_minor < captured_minor,
    }
    return tuple([name for name, is_legal in legal.items() if is_legal])
