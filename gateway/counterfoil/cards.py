"""
Card numbers: check, brand, expiry, and what may be shown of them.

A `Card` holds clear data and exists only between the request and the vault; its
repr shows brand and last four, so that no log or traceback can show more.
"""

import calendar
import functools
import re
import unicodedata
from collections.abc import Container, Iterator
from datetime import UTC, date, datetime
from typing import Any

import msgspec

PAN_DIGITS_MIN = 12
PAN_DIGITS_MAX = 19
PAN_DIGITS_IN_TEXT_MIN = 13  # Fewer in a text are a telephone number more often than a card's.
# So many have nearly all cards. Shops number orders with 13 digits (a moment in milliseconds), and
# with 17 to 19 (a moment and a counter): of those one in ten has a check digit that fits.
ORDER_LENGTHS = (15, 16)
TEXT_LENGTHS = range(PAN_DIGITS_IN_TEXT_MIN, PAN_DIGITS_MAX + 1)
GROUP_DIGITS = range(4, 9)  # Of the groups of a number, but for the last one; an RRN has twelve.
BRAND_DIGITS = 4  # More are never needed to tell a scheme.
EXPIRY_YEARS_MAX = 25  # Further ahead than any issuer prints: a typing mistake.


class Card(msgspec.Struct, frozen=True, repr_omit_defaults=True):
    """
    A card as keyed, in the clear: number, expiry, security code if given.
    """

    number: str
    expiry_month: int
    expiry_year: int
    cvv: str | None = None

    def __repr__(self) -> str:
        """
        Return brand and last four, nothing else.
        """
        return f"Card({brand(self.number)} {self.last_four})"

    __str__ = __repr__

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        """
        Show a pretty-printer no more than anybody else.
        """
        return [("card", f"{brand(self.number)} {self.last_four}")]

    @property
    def last_four(self) -> str:
        """
        The last four digits of the number.
        """
        return self.number[-4:]

    @property
    def bin(self) -> str:
        """
        The first six digits: who issued it.
        """
        return self.number[:6]


def luhn_holds(number: str) -> bool:
    """
    Return whether the last digit is the check digit of the others (ISO/IEC 7812-1, annex B).
    """
    digits = number.encode().translate(_VALUES)
    return (sum(digits[-1::-2]) + sum(digits[-2::-2].translate(_DOUBLED))) % 10 == 0


def masked(number: str) -> str:
    """
    Return the number with all but its last four digits as stars.
    """
    return "*" * max(len(number) - 4, 0) + number[-4:]


def brand(number: str) -> str:
    """
    Return the scheme by the number's first digits, `other` when none is known.
    """
    return _brand_of(number[:BRAND_DIGITS])


@functools.lru_cache(maxsize=10_000)
def _brand_of(first: str) -> str:
    for name, low, high, width in _RANGES:
        if low <= int(first[:width] or 0) <= high:
            return name
    return "other"


def length_fits(number: str) -> bool:
    """
    Return whether the number has as many digits as its scheme gives out; of no scheme, as any does.
    """
    return len(number) in _LENGTHS.get(brand(number), _ANY_LENGTH)


def holds_card_number(text: str, lengths: Container[int] = TEXT_LENGTHS) -> bool:
    """
    Return whether *text* holds what must be a card's number, however it is written.
    """
    return card_number_in(text, lengths) is not None


def card_number_in(text: str, lengths: Container[int] = TEXT_LENGTHS) -> str | None:
    """
    Return the first number in *text* that must be a card's: in any script's digits, in any groups.

    Its first digits, how many there are (of *lengths*) and the check digit must fit a scheme, so
    that few other numbers are taken for one. What stands beside it does not hide it.
    """
    if len(text) < PAN_DIGITS_IN_TEXT_MIN:
        return None
    plain = with_plain_digits(text)
    if len(digits_of(plain)) < PAN_DIGITS_IN_TEXT_MIN:
        return None
    for run in _LONG_RUN.findall(plain):
        groups, between = _GROUP.findall(run), _GROUP.split(run)[1:-1]
        for digits, first, last in _rows_of_groups(groups):
            if (
                len(digits) in lengths
                and brand(digits) != "other"
                and length_fits(digits)
                and luhn_holds(digits)
                and _is_one_number(groups[first : last + 1], between[first:last])
            ):
                return digits
    return None


def with_plain_digits(text: str) -> str:
    """
    Return *text* with the digits 0 to 9 for those of other scripts, of full width and of ornament.

    Marks and signs that cannot be seen fall away: they stand between digits and part nothing.
    """
    if text.isascii() or sum(map(str.isdigit, text)) < PAN_DIGITS_MIN:
        return text
    seen = (each for each in unicodedata.normalize("NFKC", text) if not _is_mark(each))
    return "".join(str(unicodedata.decimal(each, each)) for each in seen)


def digits_of(text: str) -> bytes:
    """
    Return the digits 0 to 9 of *text*, without all that stands between them.
    """
    return text.encode("ascii", "ignore").translate(None, _NO_DIGITS)


def _rows_of_groups(groups: list[str]) -> Iterator[tuple[str, int, int]]:
    """
    Return each row of neighbouring groups that is as long as a card's number may be: its digits,
    its first group and its last.
    """
    for first in range(len(groups)):
        digits = ""
        for last in range(first, len(groups)):
            digits += groups[last]
            if len(digits) > PAN_DIGITS_MAX:
                break
            if len(digits) >= PAN_DIGITS_IN_TEXT_MIN:
                yield digits, first, last


def _is_one_number(groups: list[str], between: list[str]) -> bool:
    """
    Return whether groups with this *between* them are read as one number.

    With blanks and dashes any are. A date, an amount or a list has other signs in it, and a group
    of one to three digits; an RRN has twelve: there the groups must be as on a card, or all alike.
    """
    if _BLANKS_AND_DASHES.fullmatch("".join(between)):
        return True
    *sizes, last = map(len, groups)
    if all(each in GROUP_DIGITS for each in sizes) and last <= max(GROUP_DIGITS):
        return True
    are_alike = len(set(between)) == len(set(sizes)) == 1
    return are_alike and last <= sizes[0] < min(GROUP_DIGITS)


def _is_mark(letter: str) -> bool:
    return unicodedata.category(letter) in ("Mn", "Me", "Cf")


def expired(month: int, year: int, now: datetime) -> bool:
    """
    Return whether the card's last day, the end of *month*, has passed everywhere on Earth.
    """
    today = now.astimezone(UTC).date()
    if (year, month) > (today.year, today.month):
        return False
    last_day = date(year, month, calendar.monthrange(year, month)[1])
    return (today - last_day).days > 1


# What each digit (its byte) counts, and what it counts when it is doubled.
_VALUES = bytes(byte % 16 for byte in range(256))
_DOUBLED = bytes([0, 2, 4, 6, 8, 1, 3, 5, 7, 9, *range(10, 256)])

_NO_DIGITS = bytes(byte for byte in range(256) if byte not in b"0123456789")

# Digits in groups; dashes are the one of the keyboard and those of typesetters. Any other single
# sign may stand between two groups, but no letter.
_GROUP = re.compile(r"[0-9]+")
_BLANKS_AND_DASHES = re.compile(r"[\s\-\u2010-\u2015]*")
_LONG_RUN = re.compile(r"[0-9](?:(?:[\s\-\u2010-\u2015]{0,3}|[^\w\s\-\u2010-\u2015]|_)[0-9]){12,}")

_ANY_LENGTH = range(PAN_DIGITS_MIN, PAN_DIGITS_MAX + 1)
_LENGTHS: dict[str, Container[int]] = {
    "visa": (13, 16, 18, 19),
    "mastercard": (16,),
    "amex": (15,),
    "discover": range(16, 20),
    "jcb": range(16, 20),
    "diners": range(14, 20),
    "unionpay": range(16, 20),
}

# First digits of each scheme: name, from, to, how many digits are compared.
_RANGES = (
    ("visa", 4, 4, 1),
    ("mastercard", 51, 55, 2),
    ("mastercard", 2221, 2720, 4),
    ("amex", 34, 34, 2),
    ("amex", 37, 37, 2),
    ("discover", 6011, 6011, 4),
    ("discover", 644, 649, 3),
    ("discover", 65, 65, 2),
    ("jcb", 3528, 3589, 4),
    ("diners", 300, 305, 3),
    ("diners", 36, 36, 2),
    ("diners", 38, 39, 2),
    ("unionpay", 62, 62, 2),
    ("maestro", 50, 50, 2),
    ("maestro", 56, 58, 2),
)
