"""
What became of a payment, in words for whoever holds its receipt.

A payment that went well says nothing here: its receipt is one. Every other says plainly what it is
no receipt of, and that nothing is charged where nothing is.
"""

from typing import Any

import msgspec

from counterfoil.network.response_codes import APPROVALS, PARTIAL_APPROVAL, meaning
from counterfoil.network.response_table import TRY_OTHER


class Outcome(msgspec.Struct, frozen=True):
    """
    How it went (good, wait, bad), a headline, and what that means.
    """

    tone: str
    title: str
    words: str


_WITHDRAWN = Outcome("bad", "Withdrawn: no money comes", "This credit was taken back again.")
_CANCELLED = Outcome(
    "bad", "Cancelled: not charged", "This payment was cancelled. The card is not charged."
)
_REVERSED = Outcome(
    "bad",
    "Not charged",
    "Your bank had agreed, but the payment was not completed, and was taken back.",
)
_UNANSWERED = Outcome(
    "bad",
    "Not charged",
    "No clear answer came from your bank in time. Nothing is charged.",
)
_AGREED = APPROVALS | {PARTIAL_APPROVAL}
_OUTCOMES = {
    "processing": Outcome(
        "wait", "Not decided yet", "Your bank has not answered yet. This is no receipt."
    ),
    "approved": Outcome(
        "wait",
        "Approved, not confirmed yet",
        "Your bank agrees; the shop has yet to confirm. This is no receipt.",
    ),
    "not_sent": Outcome("bad", "Not charged", "Your bank could not be asked. Nothing was taken."),
    "unanswered": Outcome("bad", "Not checked", "Your bank gave no answer. Nothing was taken."),
    "verified": Outcome("good", "Card checked", "The card is good. Nothing was taken or held."),
    "voiding": _CANCELLED,
    "voided": _CANCELLED,
    "reversing": _REVERSED,
    "reversed": _REVERSED,
    "expired": Outcome(
        "bad", "Not charged", "The amount was held, never taken, and is free again."
    ),
}
_FULLY = Outcome("good", "Refunded in full", "All that was paid was given back.")
_IN_PART = Outcome("good", "Refunded in part", "A part of what was paid was given back.")


def outcome(facts: dict[str, Any]) -> Outcome | None:
    """
    Return what is to be said of a payment; None when it went the ordinary way.
    """
    state, refunded = facts["state"], facts["refunded_minor"]
    if facts["kind"] == "credit":
        if state in ("voiding", "voided", "reversing", "reversed"):
            return _WITHDRAWN
    elif state == "captured" and refunded:
        return _FULLY if refunded >= facts["captured_minor"] else _IN_PART
    if state == "declined":
        return Outcome("bad", "Not charged", _why_declined(facts))
    if state in ("reversing", "reversed") and facts["response_code"] not in _AGREED:
        return _UNANSWERED
    return _OUTCOMES.get(state)


def _why_declined(facts: dict[str, Any]) -> str:
    """
    Return the reason for the cardholder: never one that would teach a thief.
    """
    if facts["response_code"]:
        return meaning(facts["response_code"], facts["card_brand"]).shopper
    if facts["duplicate_of"]:
        return "This order is paid already."
    return TRY_OTHER
