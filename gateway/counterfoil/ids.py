"""
Identifiers, made in the application.

Objects are named by a UUIDv7 (RFC 9562, 5.7) behind a prefix that says what they
are (`pay_0198...`): they sort by the time they were made, and no database sequence
stands in the way of many machines.
"""

import os
import re
import struct
from collections.abc import Callable
from datetime import datetime
from uuid import UUID, SafeUUID

from counterfoil.clock import Clock

PAYMENT = "pay"
MOVEMENT = "mov"
MERCHANT = "mer"
KEY = "key"
BATCH = "bat"
FINDING = "fnd"
EVENT = "evt"
ENDPOINT = "whe"
DELIVERY = "whd"
CHECKOUT = "chk"
LINK = "lnk"
SALE = "tsl"
SAVED_CARD = "crd"
SESSION = "ses"
PASSKEY = "psk"
PAGE_REPORT = "rpt"

SEVERAL_MAX = 256  # Identifiers at once.

_set_number = UUID.__dict__["int"].__set__
_set_safety = UUID.__dict__["is_safe"].__set__
_UNKNOWN = SafeUUID.unknown
_HEX = re.compile(r"[0-9a-f]{32}")
_VERSION_7 = 7 << 76 | 2 << 62  # With the variant of RFC 9562.
_RANDOM_BITS = (1 << 62) - 1
_TAILS = struct.Struct(f">{SEVERAL_MAX}Q")  # Their randomness: a call costs more than they do.


class UnreadableId(ValueError):
    """
    A text that is no identifier of the kind that was expected.
    """


class Ids:
    """
    Makes UUIDv7s that never go backwards within one process.
    """

    def __init__(self, clock: Clock, random: Callable[[int], bytes] = os.urandom) -> None:
        self._clock = clock
        self._random = random
        self._tails: list[int] = []
        self._last = 0

    def new(self) -> UUID:
        """
        Return the next identifier: 48 bits of milliseconds, a rising 12-bit count, 62 random bits.
        """
        return self.several(1)[0]

    def several(self, count: int, at: datetime | None = None) -> list[UUID]:
        """
        Return the next *count* identifiers, made *at* a moment that was just now.
        """
        assert 1 <= count <= SEVERAL_MAX
        milliseconds = int((at or self._clock.now()).timestamp() * 1000)
        first = max(milliseconds << 12, self._last + 1)
        self._last = first + count - 1
        if len(self._tails) < count:
            self._tails += _TAILS.unpack(self._random(_TAILS.size))
        tails = self._tails
        return [
            uuid_of(
                (stamp >> 12) << 80
                | (stamp & 0xFFF) << 64
                | _VERSION_7
                | tails.pop() & _RANDOM_BITS
            )
            for stamp in range(first, first + count)
        ]


def uuid_of(number: int) -> UUID:
    """
    Return the UUID of a 128-bit *number*, as `UUID(int=number)`.

    Its constructor looks for seven forms of input, which costs more than all else of a new one.
    """
    made = object.__new__(UUID)
    _set_number(made, number)
    _set_safety(made, _UNKNOWN)
    return made


def first_at(moment: datetime) -> UUID:
    """
    Return the smallest identifier of *moment*: those made before it are smaller.
    """
    return uuid_of(int(moment.timestamp() * 1000) << 80 | _VERSION_7)


def written(prefix: str, identifier: UUID) -> str:
    """
    Return *identifier* as people and programs outside see it: `pay_<32 hex digits>`.
    """
    return f"{prefix}_{identifier.hex}"


def read(prefix: str, text: str) -> UUID:
    """
    Return the identifier in *text*.

    Raises:
        UnreadableId: *text* does not read `<prefix>_<32 hex digits>`.
    """
    head, _, digits = text.partition("_")
    if head != prefix or not _HEX.fullmatch(digits):
        raise UnreadableId(f"expected {prefix}_ and 32 hex digits")
    return uuid_of(int(digits, 16))
