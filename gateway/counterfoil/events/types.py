"""
The types of events: a closed list, in past participles.

Stands between the histories (`payment_events`, `movement_events`, `batch_events`,
`deposit_events`, `webhook_endpoint_events`, `checkout_events`) and the *feed*: the words under
which a history's row is looked up are made by the query `number_events`. A row without a word here
is still told, as `<source>.changed`, so that nothing is ever missing from the feed.
"""

from counterfoil.payments.lifecycle import State

SOURCES = ("payment", "movement", "batch", "deposit", "endpoint", "checkout")
UNTOLD_STATES = frozenset({State.PROCESSING})  # Who asked is waiting for the answer.

# A payment whose state changed: by its new state.
_STATES = {
    "payment not_sent": "payment.not_sent",
    "payment declined": "payment.declined",
    "payment approved": "payment.approved",
    "payment authorized": "payment.authorized",
    "payment captured": "payment.captured",
    "payment voiding": "payment.void_begun",
    "payment voided": "payment.voided",
    "payment reversing": "payment.reversal_begun",
    "payment reversed": "payment.reversed",
    "payment expired": "payment.expired",
    "payment verified": "payment.verified",
    "payment unanswered": "payment.unanswered",
}

# A movement that changed its payment's amounts and not its state: by its kind and the cause.
_CAUSES = {
    "capture captured": "payment.captured",
    "capture captured_final": "payment.captured",
    "capture capture_refused": "capture.refused",
    "capture host_accepted": "capture.accepted",
    "refund refunded": "payment.refunded",
    "refund refund_refused": "refund.refused",
    "refund refund_again": "refund.asked_again",
    "refund returned_outside": "refund.returned_outside",
    "refund host_accepted": "refund.accepted",
    "refund host_batch_closed": "refund.owed",
    "void voided": "payment.released",
    "void host_accepted": "void.accepted",
    "void void_refused": "void.refused",
    "void release_refused": "void.refused",
    # No command: a hold that lapsed, or the rest of one after the last capture.
    "hold expired": "payment.released",
    "hold host_accepted": "release.accepted",
    "hold release_refused": "release.refused",
    # A movement that stays what it is, in another batch.
    "capture stays host_batch_closed": "capture.postponed",
    "refund stays host_batch_closed": "refund.postponed",
}

# A movement that goes on by itself: by its kind and its new state.
_MOVEMENTS = {
    f"{kind} {state}": f"{kind}.{word}"
    for kind in ("capture", "refund", "void")
    for state, word in {
        "pending": "postponed",
        "batched": "batched",
        "settled": "settled",
        "funded": "funded",
        "done": "done",
        "undone": "undone",
        "failed": "failed",
    }.items()
}

_BATCHES = {
    "batch open": "batch.opened",
    "batch closing": "batch.close_begun",
    "batch totalling": "batch.totalled",
    "batch uploading": "batch.upload_begun",
    "batch closed": "batch.closed",
    "batch needs_a_person": "batch.held",
}

_DEPOSITS = {
    "deposit announced": "deposit.announced",
    "deposit partly_paid": "deposit.partly_paid",
    "deposit funded": "deposit.funded",
    "deposit overpaid": "deposit.overpaid",
    "deposit returned": "deposit.returned",
    "deposit without_report": "deposit.unannounced",
}

_ENDPOINTS = {
    "endpoint enabled": "endpoint.enabled",
    "endpoint disabled": "endpoint.disabled",
    "endpoint deleted": "endpoint.deleted",
    "endpoint rotated": "endpoint.rotated",
    "endpoint changed": "endpoint.changed",
}

# A checkout, once: how it ended.
_CHECKOUTS = {
    "checkout paid": "checkout.paid",
    "checkout expired": "checkout.expired",
    "checkout cancelled": "checkout.cancelled",
}

# The feed itself, after a restore: numbers were left out, and what they told is lost.
_FEED = {"feed resumed": "feed.resumed"}

TYPES: dict[str, str] = {
    **_STATES,
    **_CAUSES,
    **_MOVEMENTS,
    **_BATCHES,
    **_DEPOSITS,
    **_ENDPOINTS,
    **_CHECKOUTS,
    **_FEED,
}

ALL_TYPES: tuple[str, ...] = tuple(
    sorted({*TYPES.values(), *(f"{source}.changed" for source in SOURCES)})
)
