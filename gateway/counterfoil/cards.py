"""
Card numbers: check, brand, expiry, and what may be shown of them.

A `Card` holds clear data and exists only between the request and the vault; its
repr shows brand and last four, so that no log or traceback can show more.
"""

import calendar
import functools
import itertools
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
GROUP_DIGITS = 4  # As cards are printed; people who type them by heart make shorter groups.
GROUPINGS = ((4, 6, 5), (4, 6, 4))  # American Express, and Diners Club with fourteen digits.
HALVES = (8, 8)
MORE_BESIDE_MAX = 1  # Beside a card's number its date may stand (4242/4242/4242/4242/1230).
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
    Return the first number in *text* that must be a card's: in any script's digits, in any groups
    with blanks and dashes, in a card's groups with another sign.

    Its first digits, how many there are (of *lengths*) and the check digit must fit a scheme, so
    that few other numbers are taken for one. What stands beside it does not hide it.
    """
    if len(text) < PAN_DIGITS_IN_TEXT_MIN:
        return None
    plain = _with_plain_digits(text)
    if len(_digits_of(plain)) < PAN_DIGITS_IN_TEXT_MIN:
        return None
    for reading in (plain, plain.replace(_JOINT, "")) if _JOINT in plain else (plain,):
        for run in _LONG_RUN.findall(reading):
            groups, between = _GROUP.findall(run), _GROUP.split(run)[1:-1]
            for digits, first, last in _rows_of_groups(groups):
                if (
                    len(digits) in lengths
                    and brand(digits) != "other"
                    and length_fits(digits)
                    and luhn_holds(digits)
                    and _is_one_number(groups, between, first, last)
                ):
                    return digits
    return None


def says_number(text: str, number: str) -> bool:
    """
    Return whether the digits of *text* say *number*, in any script, whatever stands between them.

    For a card that is known: of its own order no text may say it.
    """
    return number.encode() in _digits_of(_with_plain_digits(text))


def _with_plain_digits(text: str) -> str:
    """
    Return *text* with the digits 0 to 9 for those of other scripts, of full width and of ornament.

    Marks and signs that cannot be seen fall away. Where they stand between two digits, or one
    script meets another (a raised 2 behind a number), a joint is left: there a number may end.
    """
    if text.isascii() or sum(map(str.isdigit, text)) < PAN_DIGITS_MIN:
        return text
    read: list[str] = []
    zero, is_parted = 0, False
    for sign in text:
        if unicodedata.category(sign) in _MARKS:
            is_parted = True
            continue
        plain = _plain_digits(sign)
        if plain:
            zero_before, zero = zero, ord(sign) - int(plain)  # Where the digits of a script begin.
            if (is_parted or zero != zero_before) and read and read[-1].isdecimal():
                read.append(_JOINT)
        read.append(plain or sign)
        is_parted = False
    return "".join(read)


def _plain_digits(sign: str) -> str:
    """
    Return the digits 0 to 9 that *sign* stands for; none, if it is another sign or a fraction.
    """
    if not sign.isnumeric():
        return ""
    digit = unicodedata.digit(sign, None)
    plain = unicodedata.normalize("NFKC", sign) if digit is None else str(digit)
    return plain if plain.isdecimal() else ""


def _digits_of(text: str) -> bytes:
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


def _is_one_number(groups: list[str], between: list[str], first: int, last: int) -> bool:
    """
    Return whether the *groups* from *first* to *last*, with this *between* them, are one number.

    With blanks and dashes any are. Other signs stand in dates, amounts, references and lists too:
    there it must be one sign all along, and the groups of a card, or all alike in no longer list.
    """
    within = between[first:last]
    if _BLANKS_AND_DASHES.fullmatch("".join(within)):
        return True
    signs = [each.strip() for each in within]
    *sizes, rest = map(len, groups[first : last + 1])
    if len(set(signs)) > 1:
        return False
    if (*sizes, rest) == HALVES:
        return signs == within and signs[0] not in _OF_PAIRS
    if signs != within and (signs[0] in _OF_LISTS or sizes[0] < GROUP_DIGITS):
        return False
    if (*sizes, rest) in GROUPINGS:
        return True
    are_alike = len(set(sizes)) == 1 and rest <= sizes[0] <= GROUP_DIGITS
    return are_alike and not _is_in_a_list(groups, between, first, last)


def _is_in_a_list(groups: list[str], between: list[str], first: int, last: int) -> bool:
    """
    Return whether more groups than a date go on before *first* and behind *last* as the row does,
    with its sign and as long.
    """
    row = (len(groups[first]), between[first].strip())
    before = itertools.takewhile(
        lambda at: (len(groups[at]), between[at].strip()) == row, range(first - 1, -1, -1)
    )
    behind = itertools.takewhile(
        lambda at: (len(groups[at]), between[at - 1].strip()) == row, range(last + 1, len(groups))
    )
    beside = itertools.islice(itertools.chain(before, behind), MORE_BESIDE_MAX + 1)
    return len(list(beside)) > MORE_BESIDE_MAX


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

# Stands where a number may end, and may go on; a sign that cannot be seen, as all that it is for.
_JOINT = "\u200b"
_MARKS = frozenset({"Mn", "Me", "Cf"})

# Digits in groups; dashes are the one of the keyboard, of typesetters and of full width. Up to
# three signs may stand between two groups, but no letter.
_GROUP = re.compile(r"[0-9]+")
_LONG_RUN = re.compile(r"[0-9](?:[\W_]{0,3}[0-9]){12,}")
_BLANKS_AND_DASHES = re.compile(rf"[\s\-\u2010-\u2015\u2212\ufe58\ufe63\uff0d{_JOINT}]*")
_OF_LISTS = frozenset(",;")  # With a blank behind it: 4001, 4002, 4003, 4004.
_OF_PAIRS = frozenset(",;/")  # Telephones, orders, parts of a path: 61234567/91234567.

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
