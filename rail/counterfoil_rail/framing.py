"""
Where a message begins and ends on a connection.

Four kinds of frame: a length of two bytes, big-endian, or of four digits, before what it counts;
and text between STX and ETX with a check character behind. A header may stand before every message.
"""

from dataclasses import dataclass
from functools import reduce
from operator import xor
from typing import Literal, NamedTuple

MESSAGE_BYTES_MAX = 4096
LENGTH_BYTES = {"binary": 2, "digits": 4}
STX, ETX = b"\x02", b"\x03"
CHECK_BYTES = 1


class FramingError(Exception):
    """
    Bytes that are no frame: the link is closed, for *reason*.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Cut(NamedTuple):
    """
    One message, and where what comes after it begins; a keep-alive is an empty one.
    """

    message: bytes
    end: int


@dataclass(frozen=True, slots=True)
class Framing:
    """
    How messages are framed: *header* stands before a gateway's, *answer_header* before ours.
    """

    kind: Literal["binary", "digits", "stx_etx"] = "binary"
    header: bytes = b""
    answer_header: bytes = b""

    def put(self, message: bytes) -> bytes:
        """
        Frame a message of ours.
        """
        assert len(message) <= MESSAGE_BYTES_MAX
        content = self.answer_header + message
        if self.kind == "binary":
            return len(content).to_bytes(LENGTH_BYTES["binary"], "big") + content
        if self.kind == "digits":
            return b"%04d%b" % (len(content), content)
        assert ETX not in content, "a dialect with STX and ETX is text"
        return STX + content + ETX + _check(content + ETX)

    def cut(self, data: bytearray, start: int) -> Cut | None:
        """
        Cut the frame that begins at *start*; None when it is not whole yet.

        Raises:
            FramingError: It cannot be one.
        """
        if self.kind == "stx_etx":
            return self._cut_text(data, start)
        begin = start + LENGTH_BYTES[self.kind]
        if len(data) < begin:
            return None
        length = self._length(data[start:begin])
        if length > MESSAGE_BYTES_MAX + len(self.header):
            raise FramingError("over_length")
        end = begin + length
        if len(data) < end:
            return None
        return Cut(self._without_header(data[begin:end]) if length else b"", end)

    def _length(self, spelled: bytearray) -> int:
        if self.kind == "binary":
            return int.from_bytes(spelled, "big")
        if not spelled.isdigit():
            raise FramingError("bad_length")
        return int(spelled)

    def _cut_text(self, data: bytearray, start: int) -> Cut | None:
        if len(data) > start and data[start : start + 1] != STX:
            raise FramingError("no_stx")
        etx = data.find(ETX, start)
        if (etx if etx >= 0 else len(data)) - start > MESSAGE_BYTES_MAX + len(self.header) + 1:
            raise FramingError("over_length")
        end = etx + len(ETX) + CHECK_BYTES
        if etx < 0 or len(data) < end:
            return None
        if data[end - CHECK_BYTES : end] != _check(data[start + 1 : etx + 1]):
            raise FramingError("wrong_check")
        content = data[start + 1 : etx]
        return Cut(self._without_header(content) if content else b"", end)

    def _without_header(self, content: bytearray) -> bytes:
        if not content.startswith(self.header):
            raise FramingError("other_header")
        return bytes(content[len(self.header) :])


def _check(covered: bytes | bytearray) -> bytes:
    """
    Return the check character: all bytes behind STX, ETX included, one upon the other.
    """
    return bytes((reduce(xor, covered, 0),))
