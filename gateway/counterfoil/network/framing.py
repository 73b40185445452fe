"""
Where a message begins and ends on a TCP connection.

A frame is a length, perhaps a fixed header, the message, perhaps a fixed trailer. Which
form a host uses is data (protocols 1.2); the default is two bytes, big-endian, counting
what follows. No I/O here: bytes in, whole messages out.
"""

from collections.abc import Iterator
from typing import Literal

import msgspec

from counterfoil.network.message import MESSAGE_BYTES_MAX

LengthForm = Literal["bin2", "bin4", "ascii4", "bcd2", "hex4"]

LENGTH_BYTES: dict[LengthForm, int] = {"bin2": 2, "bin4": 4, "ascii4": 4, "bcd2": 2, "hex4": 4}


class FramingError(Exception):
    """
    Bytes that are no frame. What follows cannot be read either: close the connection.
    """


class Framing(msgspec.Struct, frozen=True):
    """
    The form of a frame.

    Attributes:
        length: How the length is spelled.
        counts_itself: Whether the length includes its own bytes.
        header: Fixed bytes between length and message, counted by the length.
        trailer: Fixed bytes after the message, counted by the length.
    """

    length: LengthForm = "bin2"
    counts_itself: bool = False
    header: bytes = b""
    trailer: bytes = b""

    def frame(self, message: bytes) -> bytes:
        """
        Return *message* in its frame.
        """
        content = self.header + message + self.trailer
        count = len(content) + (LENGTH_BYTES[self.length] if self.counts_itself else 0)
        return _spelled(count, self.length) + content


class Deframer:
    """
    Cuts the bytes that arrive on one connection into messages.
    """

    def __init__(self, framing: Framing, *, message_bytes_max: int = MESSAGE_BYTES_MAX) -> None:
        self.framing = framing
        self._width = LENGTH_BYTES[framing.length]
        self._around = len(framing.header) + len(framing.trailer)
        self._content_max = message_bytes_max + self._around
        self._rest = b""

    def feed(self, data: bytes) -> Iterator[bytes]:
        """
        Yield the messages that *data* completes; a length of zero is a keep-alive, ignored.

        Messages in front of a faulty frame are yielded before the fault is raised.

        Raises:
            FramingError: A length is no number or too large, or header or trailer differ.
        """
        if self._rest:
            data = self._rest + data
        at = 0
        while len(data) - at >= self._width:
            begin = at + self._width
            count = self._count(data[at:begin])
            if len(data) - begin < count:
                break
            at = begin + count
            if count:
                yield self._message(data[begin:at])
        self._rest = data[at:]

    def _count(self, raw: bytes) -> int:
        """Return how many bytes follow the length *raw*."""
        count = _read(raw, self.framing.length)
        if count and self.framing.counts_itself:
            count -= self._width
        if not 0 <= count <= self._content_max:
            raise FramingError(f"A frame announces a length outside 0 to {self._content_max}.")
        return count

    def _message(self, content: bytes) -> bytes:
        """Return *content* without header and trailer."""
        if not self._around:
            return content
        header, trailer = self.framing.header, self.framing.trailer
        fits = len(content) >= self._around
        if not (fits and content.startswith(header) and content.endswith(trailer)):
            raise FramingError("A frame's header or trailer is not the one agreed on.")
        return content[len(header) : len(content) - len(trailer)]


def _spelled(count: int, form: LengthForm) -> bytes:
    """
    Return *count* spelled as *form* wants it.
    """
    if form in ("bin2", "bin4"):
        return count.to_bytes(LENGTH_BYTES[form], "big")
    if form == "bcd2":
        return bytes.fromhex(f"{count:04d}")
    return (f"{count:04d}" if form == "ascii4" else f"{count:04X}").encode("ascii")


def _read(raw: bytes, form: LengthForm) -> int:
    """
    Return the number that *raw* spells.
    """
    if form in ("bin2", "bin4"):
        return int.from_bytes(raw, "big")
    digits = raw.hex().encode("ascii") if form == "bcd2" else raw
    if form == "hex4" and digits.isalnum():
        try:
            return int(digits, 16)
        except ValueError:
            pass
    elif digits.isdigit():
        return int(digits)
    raise FramingError("A frame's length is not a number.")
