"""
What an acquirer's answer means: approved, declined, and what may be done next.

The table follows protocols of 1987-style hosts as processors publish them. Networks
change their rules, so it carries the date at which it was true; a code that is not
in it is a decline that is not retried automatically.
"""

from datetime import date
from enum import StrEnum

import msgspec

TABLE_AS_OF = date(2026, 11, 1)


class Retry(StrEnum):
    """
    Whether a new payment with the same card makes sense.
    """

    NEVER = "never"
    LATER = "later"
    AFTER_CORRECTION = "after_correction"
    OTHER_CARD = "other_card"
    SOON = "soon"


class Meaning(msgspec.Struct, frozen=True):
    """
    What a response code (DE 39) says to whom.
    """

    approves: bool
    retry: Retry
    shopper: str
    merchant: str


APPROVALS = frozenset({"00", "08", "11"})
PARTIAL_APPROVAL = "10"
VERIFIED_ONLY = "85"  # "No reason to decline": says nothing about an amount.

# A reversal or void that ends here is finished: accepted, nothing booked, already reversed.
REVERSAL_FINISHED = frozenset({"00", "21", "79"})
REVERSAL_ORIGINAL_UNKNOWN = "25"
BATCH_CLOSED = "40"  # Of an advice: the host has closed the batch that it names.
ADVICE_ACCEPTED = frozenset({"00", "94"})
ADVICE_TRY_AGAIN = frozenset({"06", "19", "22", "28", "68", "90", "91", "92", "96"})

# Answers that speak against the host or the way behind it, when they come again and again.
HOST_FAULTS = frozenset({"06", "91", "96"})

_TRY_OTHER = "Your card was declined. Please use another card."
_ASK_BANK = "Your bank declined the payment. Please use another card or call your bank."
_LATER = "The payment could not be completed. Please try again in a few minutes."
_CHECK = "Some card details are not right. Please check them and try again."
_SHOP = "We cannot take this payment just now. Please try another card or contact the shop."


def meaning(code: str) -> Meaning:
    """
    Return what *code* says; an unknown one is a decline without automatic retry.
    """
    return _TABLE.get(code, _UNKNOWN)


def _no(retry: Retry, shopper: str, merchant: str) -> Meaning:
    return Meaning(False, retry, shopper, merchant)


_YES = Meaning(True, Retry.NEVER, "Approved.", "Approved.")
_UNKNOWN = _no(Retry.NEVER, _TRY_OTHER, "Declined with a code outside the table; ask the acquirer.")
_STOLEN = _no(
    Retry.NEVER,
    _TRY_OTHER,
    "The issuer wants the card kept (lost, stolen or fraud). Do not retry, do not say why.",
)

_TABLE: dict[str, Meaning] = {
    "00": _YES,
    "08": _YES,
    "11": _YES,
    "85": _no(Retry.NEVER, _SHOP, "The card was verified only; nothing was authorized."),
    "10": _no(
        Retry.OTHER_CARD, _TRY_OTHER, "Approved for a part only; this shop takes all or nothing."
    ),
    "01": _no(Retry.OTHER_CARD, _ASK_BANK, "Refer to the issuer: ask for a voice authorization."),
    "02": _no(Retry.OTHER_CARD, _ASK_BANK, "Refer to the issuer, special condition."),
    "03": _no(
        Retry.NEVER, _SHOP, "The acquirer does not know this merchant: check the merchant id."
    ),
    "05": _no(Retry.LATER, _ASK_BANK, "Do not honor: the issuer gives no reason."),
    "06": _no(Retry.SOON, _LATER, "An error at the host. One retry after a pause."),
    "12": _no(Retry.NEVER, _SHOP, "Invalid transaction: the host does not allow it as sent."),
    "13": _no(Retry.AFTER_CORRECTION, _SHOP, "Invalid amount."),
    "14": _no(Retry.AFTER_CORRECTION, _CHECK, "Invalid card number."),
    "15": _no(Retry.NEVER, _TRY_OTHER, "No such issuer."),
    "19": _no(Retry.SOON, _LATER, "Re-enter the transaction, once."),
    "21": _no(Retry.NEVER, _SHOP, "The host took no action."),
    "22": _no(Retry.SOON, _LATER, "Suspected malfunction at the host."),
    "25": _no(Retry.NEVER, _SHOP, "The host does not find the original."),
    "28": _no(Retry.SOON, _LATER, "The host's files are being updated."),
    "30": _no(
        Retry.NEVER, _SHOP, "The host could not read the message: report this to the operator."
    ),
    "38": _no(Retry.AFTER_CORRECTION, _CHECK, "Allowable PIN tries exceeded."),
    "39": _no(Retry.OTHER_CARD, _TRY_OTHER, "No credit account behind this card."),
    "40": _no(Retry.NEVER, _SHOP, "The host does not support this function."),
    "46": _no(Retry.NEVER, _TRY_OTHER, "The account is closed. Remove the stored card."),
    "51": _no(
        Retry.LATER,
        "There is not enough money on the card. Please use another one.",
        "Insufficient funds.",
    ),
    "52": _no(Retry.OTHER_CARD, _TRY_OTHER, "No checking account behind this card."),
    "53": _no(Retry.OTHER_CARD, _TRY_OTHER, "No savings account behind this card."),
    "54": _no(
        Retry.AFTER_CORRECTION,
        "The card has expired. Please check the date or use another one.",
        "Expired card.",
    ),
    "55": _no(Retry.AFTER_CORRECTION, _CHECK, "Wrong PIN."),
    "57": _no(Retry.NEVER, _TRY_OTHER, "This card may not be used for this kind of payment."),
    "58": _no(
        Retry.NEVER, _SHOP, "This terminal may not do this: check its set-up at the acquirer."
    ),
    "59": _no(Retry.NEVER, _ASK_BANK, "Suspected fraud."),
    "61": _no(Retry.LATER, _ASK_BANK, "Over the card's amount limit."),
    "62": _no(Retry.OTHER_CARD, _TRY_OTHER, "Restricted card."),
    "63": _no(Retry.NEVER, _SHOP, "Security violation."),
    "65": _no(Retry.LATER, _ASK_BANK, "Over the card's limit of uses."),
    "68": _no(Retry.SOON, _LATER, "The answer came too late at the host."),
    "70": _no(Retry.AFTER_CORRECTION, _CHECK, "The issuer asks for a PIN."),
    "75": _no(Retry.LATER, _ASK_BANK, "PIN tries exceeded."),
    "76": _no(Retry.NEVER, _SHOP, "The host finds another original than the one named."),
    "77": _no(Retry.NEVER, _SHOP, "The message does not agree with its original."),
    "78": _no(Retry.OTHER_CARD, _ASK_BANK, "The card is blocked, or not yet in use."),
    "79": _no(Retry.NEVER, _SHOP, "Already reversed at the host."),
    "80": _no(Retry.SOON, _LATER, "A date was wrong at the host."),
    "81": _no(Retry.SOON, _LATER, "A cryptographic error at the host."),
    "82": _no(
        Retry.AFTER_CORRECTION,
        "The security code is not right. Please check it and try again.",
        "Security code or cryptogram wrong.",
    ),
    "88": _no(Retry.SOON, _LATER, "A cryptographic error at the host."),
    "90": _no(Retry.SOON, _LATER, "The host is changing its business day: retry after a minute."),
    "91": _no(Retry.SOON, _LATER, "The issuer cannot be reached. At most two retries."),
    "92": _no(Retry.NEVER, _SHOP, "The host finds no route for this card."),
    "93": _no(Retry.NEVER, _TRY_OTHER, "Cannot be completed: against the law."),
    "94": _no(Retry.NEVER, _SHOP, "The host saw this trace number before."),
    "95": _no(Retry.NEVER, _SHOP, "The host's totals differ from ours."),
    "96": _no(Retry.SOON, _LATER, "The host has a malfunction. At most two retries."),
    "1A": _no(
        Retry.AFTER_CORRECTION, _ASK_BANK, "The issuer wants strong customer authentication."
    ),
    "N7": _no(
        Retry.AFTER_CORRECTION,
        "The security code is not right. Please check it and try again.",
        "Security code wrong.",
    ),
    "R0": _no(Retry.NEVER, _TRY_OTHER, "The cardholder stopped this payment."),
    "R1": _no(Retry.NEVER, _TRY_OTHER, "The cardholder stopped all such payments."),
    "R3": _no(Retry.NEVER, _TRY_OTHER, "The cardholder stopped all payments to this merchant."),
    **dict.fromkeys(("04", "07", "33", "34", "35", "36", "41", "43"), _STOLEN),
}
