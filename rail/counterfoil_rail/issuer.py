"""
The two issuers: who says yes or no to a payment, after how long, and with what marks.

Both follow the same rules; which one a card belongs to is decided by its BIN. The
rules stand in the order in which they are asked: card, expiry, cents; the account's
balance is asked last, by the books.
"""

import random
from dataclasses import dataclass

from counterfoil_rail.cards import Card

DELAY_MS_MAX = 60_000

# Cents rule: these amounts get their last two digits as the response code, when it is one.
CENTS_FROM_MINOR = 9000_00
CENTS_TO_MINOR = 9099_99
CENTS_CODES = frozenset(
    {"01", "02", "03", "04", "05", "06", "07", "12", "13", "14", "15", "51", "52", "53", "54", "55"}
    | {"19", "22", "33", "34", "35", "36", "38", "39", "41", "43", "46", "57", "58", "59", "61"}
    | {"62", "63", "65", "70", "75", "78", "82", "90", "91", "92", "93", "96"}
)
PARTLY_APPROVED = "10"  # By the cents rule: the half is approved.
NEVER_ANSWERS = "68"  # By the cents rule: the issuer stays silent, and so does the host.

APPROVED = "00"
EXPIRED = "54"
WRONG_CVV = "82"

NO_ADDRESS = {"88": "U", "77": "R"}  # The end of a postal code: the AVS letter.
CVV_LETTERS = {"9": "N", "8": "U", "7": "P", "6": "S"}  # A CVV of this digit alone.


@dataclass(frozen=True, slots=True)
class DelayRange:
    """
    How long an issuer takes, in milliseconds: always the same, or between two bounds.
    """

    low_ms: int = 0
    high_ms: int = 0

    @classmethod
    def parse(cls, text: str) -> "DelayRange":
        """
        Read `500` or `300-800`.

        Raises:
            ValueError: Neither, or out of bounds; the message says what is accepted.
        """
        low, _, high = text.partition("-")
        numbers = [low, high or low]
        if all(number.isascii() and number.isdigit() for number in numbers):
            delay = cls(int(numbers[0]), int(numbers[1]))
            if delay.low_ms <= delay.high_ms <= DELAY_MS_MAX:
                return delay
        raise ValueError(
            f"an issuer's delay is milliseconds, or LOW-HIGH, up to {DELAY_MS_MAX}: {text!r}"
        )

    def __str__(self) -> str:
        """
        Return what `parse` reads.
        """
        low, high = self.low_ms, self.high_ms
        return str(low) if low == high else f"{low}-{high}"


class Issuers:
    """
    Both issuers, with one source of randomness: a seed repeats their delays and codes.
    """

    def __init__(self, *, seed: int | None = None) -> None:
        self._random = random.Random(seed)  # noqa: S311 -- not secret, and must be repeatable.

    def decide(self, card: Card, *, amount_minor: int, expiry: str, this_month: str) -> str:
        """
        Return the response code that card, expiry (YYMM) and cents decide; balance aside.
        """
        if card.refusal:
            return card.refusal
        if expiry and expiry < this_month:
            return EXPIRED
        if CENTS_FROM_MINOR <= amount_minor <= CENTS_TO_MINOR:
            return _code_by_cents(amount_minor)
        return APPROVED

    def decide_unasked(self, card: Card, *, amount_minor: int, expiry: str, this_month: str) -> str:
        """
        Return the code for what is booked without the issuer's leave: only a number that is
        none, an expiry that is past and the cents speak against it.
        """
        if card.is_no_card:
            return card.refusal
        if expiry and expiry < this_month:
            return EXPIRED
        code = APPROVED
        if CENTS_FROM_MINOR <= amount_minor <= CENTS_TO_MINOR:
            code = _code_by_cents(amount_minor)
        return APPROVED if code == PARTLY_APPROVED else code

    def approval_code(self) -> str:
        """
        Return a new approval code (DE 38).
        """
        return f"{self._random.randrange(1, 1_000_000):06d}"

    def delay_seconds(self, delay: DelayRange) -> float:
        """
        Return how long the issuer takes this time.
        """
        if delay.low_ms == delay.high_ms:
            return delay.low_ms / 1000
        return self._random.uniform(delay.low_ms, delay.high_ms) / 1000


def verification_results(private: dict[str, str], response_code: str) -> str:
    """
    Return DE 44: the AVS letter and the CVV letter.

    A postal code (tag 08) that ends in 88 or 77 finds no address: U unavailable, R try again.
    Else one that ends in 9 and a street (tag 09) that begins with 9 do not match, all others
    do. A CVV (tag 02) of nines does not match, eights and sevens are not checked.
    """
    postal, street = private.get("08", "").strip(), private.get("09", "").strip()
    return _avs_letter(postal, street) + _cvv_letter(private.get("02", "").strip(), response_code)


def _avs_letter(postal: str, street: str) -> str:
    if not postal and not street:
        return "U"
    if postal.endswith(tuple(NO_ADDRESS)):
        return NO_ADDRESS[postal[-2:]]
    postal_matches = bool(postal) and not postal.endswith("9")
    street_matches = bool(street) and not street.startswith("9")
    if postal_matches and street_matches:
        return "Y"
    if postal_matches:
        return "Z"
    return "A" if street_matches else "N"


def _cvv_letter(cvv: str, response_code: str) -> str:
    if response_code == WRONG_CVV:
        return "N"
    if not cvv:
        return "P"
    return CVV_LETTERS.get(cvv[0], "M") if len(set(cvv)) == 1 else "M"


def _code_by_cents(amount_minor: int) -> str:
    code = f"{amount_minor % 100:02d}"
    return code if code in CENTS_CODES | {NEVER_ANSWERS, PARTLY_APPROVED} else APPROVED
