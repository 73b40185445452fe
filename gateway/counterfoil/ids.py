"""
Identifiers, made in the application.

Objects are named by a UUIDv7 (RFC 9562, 5.7) behind a prefix that says what they
are (`pay_0198...`): they sort by the time they were made, and no database sequence
stands in the way of many machines.
"""

import os
import re
from collections.abc import Callable
from datetime import datetime
from uuid import UUID

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

_HEX = re.compile(r"[0-9a-f]{32}")
_RANDOM_BYTES = 8
_RANDOM_AT_ONCE = 256  # Identifiers for which randomness is fetched together: a call costs more.


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
        self._kept = b""
        self._at = 0
        self._last = 0

    def new(self) -> UUID:
        """
        Return the next identifier: 48 bits of milliseconds, a rising 12-bit count, 62 random bits.
        """
        milliseconds = int(self._clock.now().timestamp() * 1000)
        stamp = max(milliseconds << 12, self._last + 1)
        self._last = stamp
        at = self._at
        if at >= len(self._kept):
            self._kept, at = self._random(_RANDOM_BYTES * _RANDOM_AT_ONCE), 0
        self._at = at + _RANDOM_BYTES
        tail = int.from_bytes(self._kept[at : self._at], "big") & ((1 << 62) - 1)
        number = ((stamp >> 12) << 80) | (7 << 76) | ((stamp & 0xFFF) << 64) | (2 << 62) | tail
        return UUID(int=number)


def first_at(moment: datetime) -> UUID:
    """
    Return the smallest identifier of *moment*: those made before it are smaller.
    """
    return UUID(int=(int(moment.timestamp() * 1000) << 80) | (7 << 76) | (2 << 62))


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
    return UUID(hex=digits)
