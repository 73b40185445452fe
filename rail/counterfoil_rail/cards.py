"""
The cards of the sandbox: whose they are by BIN, and which always behave the same.

What a reader may try stands in `TEST_CARDS`; `counterfoil-rail cards` prints it.
A card number lives in memory for one message and is never written anywhere.
"""

import hmac
from dataclasses import dataclass
from typing import NamedTuple

LIMIT_MINOR = 10**15  # A thousand times the largest amount of DE 4: a card in a load test lasts.
PAN_DIGITS_MIN = 12
PAN_DIGITS_MAX = 19

WRONG_NUMBER = "14"
NO_ISSUER = "15"

ISSUER_A = "A"
ISSUER_B = "B"


@dataclass(frozen=True, slots=True)
class TestCard:
    """
    A well-known card: the response code it always gets, or the small balance it has.
    """

    number: str
    response_code: str
    meaning: str
    limit_minor: int = LIMIT_MINOR


TEST_CARDS = (
    TestCard("4111111111111111", "00", "approved"),
    TestCard("4242424242424242", "00", "approved"),
    TestCard("5555555555554444", "00", "approved (Mastercard)"),
    TestCard("2223003122003222", "00", "approved (Mastercard, 2-series)"),
    TestCard("378282246310005", "00", "approved (American Express)"),
    TestCard("6011111111111117", "00", "approved (Discover)"),
    TestCard("4000000000001000", "00", "approved up to a balance of 10000 minor units", 10_000),
    TestCard("4000000000000002", "05", "do not honour"),
    TestCard("4000000000009995", "51", "insufficient funds"),
    TestCard("4000000000000069", "54", "expired card"),
    TestCard("4000000000000127", "82", "wrong CVV"),
    TestCard("4000000000009987", "41", "lost card"),
    TestCard("4000000000009979", "43", "stolen card"),
    TestCard("4000000000000119", "96", "system malfunction"),
)

_DOUBLED = str.maketrans("0123456789", "0246813579")  # The digit sum of twice each digit.
_BY_NUMBER = {card.number: card for card in TEST_CARDS}

# First and last six-digit BIN of each range, in ascending order.
_ROUTES = (
    (222100, 272099, "mastercard", ISSUER_B),
    (340000, 349999, "amex", ISSUER_B),
    (370000, 379999, "amex", ISSUER_B),
    (400000, 499999, "visa", ISSUER_A),
    (500000, 599999, "mastercard", ISSUER_B),
    (601100, 601199, "discover", ISSUER_B),
    (650000, 659999, "discover", ISSUER_B),
)


class Card(NamedTuple):
    """
    What may be written down about a card, and what its number alone decides.

    `ref` is HMAC-SHA256 of the whole number under the rail's own key; `refusal` is
    the response code its number alone earns (14, 15, or a well-known card's), or "".
    """

    ref: bytes
    bin: str
    last4: str
    brand: str
    issuer: str
    limit_minor: int
    refusal: str

    @property
    def is_no_card(self) -> bool:
        """
        Tell whether the number is not one that an issuer may have given out.
        """
        return self.refusal in {WRONG_NUMBER, NO_ISSUER}


def read_card(number: str, key: bytes) -> Card:
    """
    Describe the card of *number*, routed by its BIN; its reference is keyed by *key*.
    """
    brand, issuer = _route(number)
    known = _BY_NUMBER.get(number)
    return Card(
        ref=hmac.digest(key, number.encode(), "sha256"),
        bin=number[:6],
        last4=number[-4:],
        brand=brand,
        issuer=issuer,
        limit_minor=known.limit_minor if known else LIMIT_MINOR,
        refusal=_refusal(number, issuer, known),
    )


def luhn_holds(number: str) -> bool:
    """
    Tell whether the last digit of *number* is its Luhn check digit.
    """
    doubled = number[-2::-2].translate(_DOUBLED)
    return (sum(map(int, number[::-2])) + sum(map(int, doubled))) % 10 == 0


def _route(number: str) -> tuple[str, str]:
    bin_number = int(number[:6])
    for first, last, brand, issuer in _ROUTES:
        if first <= bin_number <= last:
            return brand, issuer
    return "unknown", ""


def _refusal(number: str, issuer: str, known: TestCard | None) -> str:
    if not PAN_DIGITS_MIN <= len(number) <= PAN_DIGITS_MAX or not luhn_holds(number):
        return WRONG_NUMBER
    if not issuer:
        return NO_ISSUER
    return known.response_code if known and known.response_code != "00" else ""
