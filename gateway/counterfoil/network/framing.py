"""
Where a message begins and ends on a TCP connection.

A frame is a length, perhaps a header, the message, perhaps a trailer; or a text between STX
and ETX with a check character. Which form a host uses is data (protocols 1.2); the default
is two bytes, big-endian, counting what follows. No I/O here: bytes in, whole messages out.
"""

from collections.abc import Iterator
from functools import reduce
from operator import xor
from typing import Literal

import msgspec

from counterfoil.network.message import MESSAGE_BYTES_MAX

LengthForm = Literal["bin2", "bin2_zeros", "vml", "bin4", "ascii4", "bcd2", "hex4"]
Form = LengthForm | Literal["stx_etx"]

LENGTH_BYTES: dict[LengthForm, int] = {
    "bin2": 2,
    "bin2_zeros": 4,  # Two of length, two of zero.
    "vml": 4,  # Two of length, two reserved: zero from us, and not looked at from the host.
    "bin4": 4,
    "ascii4": 4,
    "bcd2": 2,
    "hex4": 4,
}
HEADER_BYTES_MAX = 64
TRAILER_BYTES_MAX = 8
BINARY_LENGTH_BYTES = {"bin2": 2, "bin2_zeros": 2, "vml": 2, "bin4": 4}
RESERVED = bytes(2)
HEX_EITHER_CASE = b"0123456789ABCDEFabcdef"

STX, ETX = 0x02, 0x03


class FramingError(Exception):
    """
    Bytes that are no frame. What follows cannot be read either: close the connection.
    """


class Framing(msgspec.Struct, frozen=True):
    """
    The form of a frame.

    Attributes:
        form: How the length is spelled, or `stx_etx` for a frame without one.
        counts_itself: Whether the length includes its own bytes.
        header: Bytes between length (or STX) and message, counted by the length.
        trailer: Bytes after the message, counted by the length.
        answer_header: The header that the host puts there, if it is another.
    """

    form: Form = "bin2"
    counts_itself: bool = False
    header: bytes = b""
    trailer: bytes = b""
    answer_header: bytes | None = None

    def frame(self, message: bytes) -> bytes:
        """
        Return *message* in its frame.
        """
        content = self.header + message + self.trailer
        if self.form == "stx_etx":
            assert ETX not in content, "a dialect with STX and ETX encodes to text only"
            return _between_stx_and_etx(content)
        count = len(content) + (LENGTH_BYTES[self.form] if self.counts_itself else 0)
        return _spelled(count, self.form) + content

    @property
    def expected_header(self) -> bytes:
        """What stands before a message of the host."""
        return self.header if self.answer_header is None else self.answer_header


class Deframer:
    """
    Cuts the bytes that arrive on one connection into messages.
    """

    def __init__(self, framing: Framing, *, message_bytes_max: int = MESSAGE_BYTES_MAX) -> None:
        self.framing = framing
        self._header = framing.expected_header
        self._around = len(self._header) + len(framing.trailer)
        self._content_max = message_bytes_max + self._around
        self._rest = b""
        self._seen = 0  # Of the rest, how many bytes hold no ETX.

    def feed(self, data: bytes) -> Iterator[bytes]:
        """
        Yield the messages that *data* completes; an empty frame is a keep-alive, ignored.

        Messages in front of a faulty frame are yielded before the fault is raised.

        Raises:
            FramingError: A length is no number or too large, header, trailer or check
                character differ, or a frame does not begin or end where it must.
        """
        if self._rest:
            data = self._rest + data
        if self.framing.form == "stx_etx":
            return self._between_stx_and_etx(data)
        return self._behind_lengths(data, self.framing.form)

    def _behind_lengths(self, data: bytes, form: LengthForm) -> Iterator[bytes]:
        """Yield the messages whose length stands in front."""
        width = LENGTH_BYTES[form]
        at = 0
        while len(data) - at >= width:
            begin = at + width
            count = self._count(data[at:begin], form, width)
            if len(data) - begin < count:
                break
            at = begin + count
            if count and (message := self._message(data[begin:at])):
                yield message
        self._rest = data[at:]

    def _between_stx_and_etx(self, data: bytes) -> Iterator[bytes]:
        """Yield the messages between STX and ETX, each followed by its check character."""
        at = 0
        while at < len(data):
            if data[at] != STX:
                raise FramingError("A frame does not begin with STX.")
            end = data.find(ETX, at + 1 + self._seen)
            if (end if end >= 0 else len(data)) - at - 1 > self._content_max:
                raise FramingError(f"A frame has no ETX within {self._content_max} bytes.")
            if end < 0 or end + 1 == len(data):
                self._seen = (len(data) if end < 0 else end) - at - 1
                break
            content = data[at + 1 : end]
            if check_character(content) != data[end + 1]:
                raise FramingError("The check character (LRC) of a frame is wrong.")
            at, self._seen = end + 2, 0
            if content and (message := self._message(content)):
                yield message
        self._rest = data[at:]

    def _count(self, raw: bytes, form: LengthForm, width: int) -> int:
        """Return how many bytes follow the length *raw*."""
        count = _read(raw, form)
        if count and self.framing.counts_itself:
            count -= width
        if not 0 <= count <= self._content_max:
            raise FramingError(f"A frame announces a length outside 0 to {self._content_max}.")
        return count

    def _message(self, content: bytes) -> bytes:
        """Return *content* without header and trailer."""
        if not self._around:
            return content
        header, trailer = self._header, self.framing.trailer
        fits = len(content) >= self._around
        if not (fits and content.startswith(header) and content.endswith(trailer)):
            raise FramingError("A frame's header or trailer is not the one agreed on.")
        return content[len(header) : len(content) - len(trailer)]


def check_character(content: bytes) -> int:
    """
    Return the LRC of *content*: the exclusive or of all bytes behind STX, ETX included.
    """
    return reduce(xor, content, ETX)


def _between_stx_and_etx(content: bytes) -> bytes:
    """
    Return *content* between STX and ETX, with its check character behind.
    """
    return bytes((STX,)) + content + bytes((ETX, check_character(content)))


def _spelled(count: int, form: LengthForm) -> bytes:
    """
    Return *count* spelled as *form* wants it.
    """
    if form in ("bin2", "bin4"):
        return count.to_bytes(LENGTH_BYTES[form], "big")
    if form in ("bin2_zeros", "vml"):
        return count.to_bytes(2, "big") + RESERVED
    if form == "bcd2":
        return bytes.fromhex(f"{count:04d}")
    return (f"{count:04d}" if form == "ascii4" else f"{count:04X}").encode("ascii")


def _read(raw: bytes, form: LengthForm) -> int:
    """
    Return the number that *raw* spells.
    """
    if (width := BINARY_LENGTH_BYTES.get(form)) is not None:
        if form == "bin2_zeros" and raw[width:] != RESERVED:
            raise FramingError("A frame's length is not followed by two zero bytes.")
        return int.from_bytes(raw[:width], "big")
    if form == "hex4" and not raw.strip(HEX_EITHER_CASE):
        return int(raw, 16)
    digits = raw.hex().encode("ascii") if form == "bcd2" else raw
    if form != "hex4" and digits.isdigit():
        return int(digits)
    raise FramingError("A frame's length is not a number.")
