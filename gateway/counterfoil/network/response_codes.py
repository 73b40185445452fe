"""
What an acquirer's answer means: approved, declined, and what may be done next.

The data stand in `response_table.py`, with the date at which they were true. A code that is
not in the table is a decline that is not retried automatically.
"""

from datetime import timedelta
from enum import StrEnum

import msgspec

from counterfoil.network import response_table as table
from counterfoil.network.response_table import TABLE_AS_OF

__all__ = [
    "TABLE_AS_OF",
    "Class",
    "Meaning",
    "Retry",
    "advice",
    "ask_again",
    "meaning",
    "network_limits",
]


class Class(StrEnum):
    """
    Whose answer it is: yes, the issuer's no, "keep the card", our own fault, a fault on the way.
    """

    APPROVED = "A"
    DECLINED = "D"
    PICK_UP = "P"
    FAULTY = "F"
    TECHNICAL = "T"


class Retry(StrEnum):
    """
    Whether a new payment with the same card makes sense.
    """

    NEVER = "never"
    LATER = "later"
    AFTER_CORRECTION = "after_correction"
    OTHER_CARD = "other_card"
    SOON = "soon"


class Meaning(msgspec.Struct, frozen=True, kw_only=True):
    """
    What a response code (DE 39) says to whom.

    `category` is the network's grouping of declines: 1 never, 2 later, 3 after correction,
    4 anything else; None where no issuer has declined.
    """

    code: str
    approves: bool
    kind: Class
    retry: Retry
    category: int | None
    shopper: str
    merchant: str


class Again(msgspec.Struct, frozen=True):
    """
    After how many seconds, and how often, a technical "no" may be asked again.
    """

    after_seconds: float
    tries_max: int


class Advice(msgspec.Struct, frozen=True):
    """
    What the network advises after a decline (DE 48, tag 21).
    """

    code: str
    forbids: bool
    after: timedelta
    words: str


class Limit(msgspec.Struct, frozen=True):
    """
    How often one card may be tried for one amount at one merchant, within which time.
    """

    tries_max: int
    within: timedelta


APPROVALS = frozenset({"00", "08", "11"})
PARTIAL_APPROVAL = "10"
VERIFIED_ONLY = "85"  # "No reason to decline": says nothing about an amount.
# Too late for the host, or seen before: neither yes nor no. Somebody behind may hold the amount.
LEAVES_OPEN = frozenset({"68", "94"})

# A reversal or void that ends here is finished: accepted, nothing booked, already reversed.
REVERSAL_FINISHED = frozenset({"00", "21", "79"})
REVERSAL_ORIGINAL_UNKNOWN = "25"
LESS_REMAINS = "13"  # To a 0420 with DE 95: less remains than that already.
BATCH_CLOSED = "40"  # Of an advice: the host has closed the batch that it names.
ADVICE_ACCEPTED = frozenset({"00", "94"})
ADVICE_TRY_AGAIN = frozenset({"06", "19", "22", "28", "68", "90", "91", "92", "96"})

# Answers that speak against the host or the way behind it, when they come again and again.
HOST_FAULTS = frozenset({"06", "22", "91", "96"})

CATEGORY_NEVER = 1
ADVICE_BRANDS = frozenset({"mastercard"})  # Whose answers carry an advice: none means no retry.


def meaning(code: str, brand: str | None = None) -> Meaning:
    """
    Return what *code* says, for a card of *brand*; an unknown one is a decline without retry.
    """
    return _BY_BRAND.get((brand, code)) or _BY_CODE.get(code) or _UNKNOWN


def advice(code: str | None) -> Advice | None:
    """
    Return what an advice code says; None when there is none, or an unknown one.
    """
    return _ADVICE.get(code or "")


def counts_as_decline(code: str, brand: str) -> bool:
    """
    Whether it counts against the card: the issuer's no, and what must never be tried again.

    A fault on the way is never counted, an outage is nobody's decline.
    """
    said = meaning(code, brand)
    return said.kind in (Class.DECLINED, Class.PICK_UP) or said.category == CATEGORY_NEVER


def forbids_another(code: str, brand: str, advice_code: str | None) -> bool:
    """
    Whether the same card must not be tried again for the same amount at the same merchant.
    """
    said = advice(advice_code)
    return meaning(code, brand).category == CATEGORY_NEVER or (said is not None and said.forbids)


def ask_again(code: str, brand: str, advice_code: str | None) -> Again | None:
    """
    Return how a payment may be asked again at once, or None when it may not.

    Where the network gives advice it decides, and none of it means "at once".
    """
    if advice_code or brand in ADVICE_BRANDS:
        return None
    return _AGAIN.get(code)


def network_limits(brand: str) -> tuple[Limit, ...]:
    """
    Return the network's limits of repeated tries, for cards of *brand*.
    """
    return _LIMITS.get(brand, ())


def codes() -> tuple[Meaning, ...]:
    """
    Return all codes of the table, in order.
    """
    return tuple(_BY_CODE[code] for code in sorted(_BY_CODE))


def _meaning(
    code: str, kind: str, retry: str, category: int | None, shopper: str, merchant: str
) -> Meaning:
    return Meaning(
        code=code,
        approves=code in APPROVALS,
        kind=Class(kind),
        retry=Retry(retry),
        category=category,
        shopper=shopper,
        merchant=merchant,
    )


_UNKNOWN = _meaning(
    "",
    "D",
    "never",
    4,
    table.TRY_OTHER,
    "Declined with a code outside the table; ask the acquirer.",
)
_BY_CODE = {row[0]: _meaning(*row) for row in table.ROWS}
_BY_BRAND: dict[tuple[str | None, str], Meaning] = {
    (brand, code): _meaning(code, kind, retry, category, shopper, merchant)
    for brand, code, kind, retry, category, shopper, merchant in table.BRAND_ROWS
}
_AGAIN = {code: Again(seconds, tries) for code, seconds, tries in table.AGAIN_ROWS}
_ADVICE = {
    code: Advice(code, forbids, timedelta(hours=hours), words)
    for code, forbids, hours, words in table.ADVICE_ROWS
}
_LIMITS = {
    brand: tuple(
        Limit(tries, timedelta(days=days))
        for name, tries, days in table.LIMIT_ROWS
        if name == brand
    )
    for brand in dict.fromkeys(row[0] for row in table.LIMIT_ROWS)
}
