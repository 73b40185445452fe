"""
Encode and decode a message field by field: the reference.

Slow, and exact about what is wrong. The codec comes here for the first message of every
shape, for shapes beyond the number it compiles, and whenever the compiled code meets
anything it does not like: so every error is made here, and nowhere else.
"""

import msgspec

from counterfoil.network.content import HEX, consists_of, fault_of, padded
from counterfoil.network.encodings import Encoding
from counterfoil.network.fields import FILLERS, FieldSpec, FieldTable, Pad
from counterfoil.network.message import (
    MESSAGE_BYTES_MAX,
    SECONDARY_BITMAP,
    UNUSED_FIELD,
    Fields,
    FieldsView,
    Message,
    MessageError,
)

MTI_DIGITS = 4
BITMAP_BITS = 64

FILLER_FAULTS: dict[Pad, str] = {
    "left_0": "does not begin with a zero nibble",
    "right_0": "does not end with a zero nibble",
    "right_f": "does not end with an F nibble",
}


class Profile(msgspec.Struct, frozen=True):
    """
    What a message of one acquirer looks like: its field table and its encoding.
    """

    table: FieldTable
    encoding: Encoding

    def spec_of(self, number: int) -> FieldSpec:
        """
        Return the row of the table for field *number*.

        Raises:
            MessageError: The field may not be used.
        """
        if number in (SECONDARY_BITMAP, UNUSED_FIELD):
            raise MessageError(number, f"Field {number} is not used.")
        spec = self.table.get(number)
        if spec is None:
            raise MessageError(number, f"Field {number} is not in the field table.")
        return spec


def decode(wire: bytes, profile: Profile) -> Message:
    """
    Read one whole message.

    Raises:
        MessageError: Truncated, too long, trailing bytes, an unknown field, or content
            that its kind does not allow.
    """
    if len(wire) > MESSAGE_BYTES_MAX:
        raise MessageError(None, f"The message is longer than {MESSAGE_BYTES_MAX} bytes.")
    reader = _Reader(wire, profile.encoding)
    mti = reader.mti()
    fields: Fields = {}
    for number in reader.bitmaps():
        fields[number] = reader.field(number, profile.spec_of(number))
    if reader.at != len(wire):
        raise MessageError(None, f"{len(wire) - reader.at} bytes follow the last field.")
    return Message(mti, fields)


def encode(mti: str, fields: FieldsView, profile: Profile) -> bytes:
    """
    Write one message; fixed fields that are too short are filled by kind.

    Raises:
        MessageError: A field is unknown, too long, or holds what its kind does not allow.
    """
    if not isinstance(mti, str) or len(mti) != MTI_DIGITS or not (mti.isascii() and mti.isdigit()):
        raise MessageError(None, "The MTI must be four digits.")
    if any(type(number) is not int for number in fields):
        raise MessageError(None, "Field numbers must be integers.")
    encoding = profile.encoding
    numbers = sorted(fields)
    specs = [(number, profile.spec_of(number)) for number in numbers]
    parts = [_digits(mti, encoding), bitmap_of(numbers, encoding)]
    for number, spec in specs:
        parts.append(_encoded(number, spec, fields[number], encoding))
    wire = b"".join(parts)
    if len(wire) > MESSAGE_BYTES_MAX:
        raise MessageError(None, f"The message is longer than {MESSAGE_BYTES_MAX} bytes.")
    return wire


def bitmap_of(numbers: list[int], encoding: Encoding) -> bytes:
    """
    Return the bitmap, or both, that announce the fields *numbers*.
    """
    bits = BITMAP_BITS
    value = 0
    if any(number > BITMAP_BITS for number in numbers):
        bits = 2 * BITMAP_BITS
        value = 1 << (bits - SECONDARY_BITMAP)
    for number in numbers:
        value |= 1 << (bits - number)
    raw = value.to_bytes(bits // 8, "big")
    return raw.hex().upper().encode("ascii") if encoding.hexadecimal else raw


class _Reader:
    """
    A place in a message that is being read.
    """

    def __init__(self, wire: bytes, encoding: Encoding) -> None:
        self.wire = wire
        self.encoding = encoding
        self.at = 0

    def mti(self) -> str:
        """Read the message type."""
        raw = self._take(None, self.encoding.mti_bytes)
        mti = raw.hex() if self.encoding.packed else self._text(raw)
        if not (mti.isascii() and mti.isdigit()):
            raise MessageError(None, "The MTI is not four digits.")
        return mti

    def bitmaps(self) -> list[int]:
        """Read one bitmap, or two, and return the numbers of the fields that follow."""
        bits = self._bitmap()
        numbers = [n for n in range(1, BITMAP_BITS + 1) if bits >> (BITMAP_BITS - n) & 1]
        if SECONDARY_BITMAP in numbers:
            numbers.remove(SECONDARY_BITMAP)
            bits = self._bitmap()
            numbers += [
                n + BITMAP_BITS for n in range(1, BITMAP_BITS + 1) if bits >> (BITMAP_BITS - n) & 1
            ]
        return numbers

    def field(self, number: int, spec: FieldSpec) -> str | bytes:
        """Read the field *number* as *spec* describes it."""
        length = spec.length if spec.fixed else self._length(number, spec)
        if spec.kind == "b":
            return self._binary(number, length, fixed=spec.fixed)
        if spec.kind == "n" and self.encoding.packed:
            value = self._packed(number, length, spec)
        else:
            value = self._text(self._take(number, length))
        if fault := fault_of(spec, value):
            raise MessageError(number, f"Field {number} {fault}.")
        return value

    def _take(self, number: int | None, count: int) -> bytes:
        """Read *count* bytes."""
        end = self.at + count
        if end > len(self.wire):
            place = "before the first field" if number is None else f"inside field {number}"
            raise MessageError(number, f"The message ends {place}.")
        raw = self.wire[self.at : end]
        self.at = end
        return raw

    def _text(self, raw: bytes) -> str:
        """Return *raw* as text; what the charset does not know becomes no ASCII character."""
        return raw.decode(self.encoding.charset, "replace")

    def _bitmap(self) -> int:
        """Read one bitmap as a number."""
        raw = self._take(None, self.encoding.bitmap_bytes)
        if self.encoding.hexadecimal:
            digits = self._text(raw)
            if not consists_of(digits, HEX):
                raise MessageError(None, "The bitmap is not upper-case hex.")
            return int(digits, 16)
        return int.from_bytes(raw, "big")

    def _length(self, number: int, spec: FieldSpec) -> int:
        """Read the length of a variable field."""
        raw = self._take(number, self.encoding.length_bytes(spec.length_digits))
        digits = raw.hex() if self.encoding.packed else self._text(raw)
        if not (digits.isascii() and digits.isdigit()):
            raise MessageError(number, f"The length of field {number} is not a number.")
        if int(digits) > spec.length:
            raise MessageError(number, f"Field {number} is longer than {spec.length}.")
        return int(digits)

    def _packed(self, number: int, length: int, spec: FieldSpec) -> str:
        """Read *length* packed digits."""
        digits = self._take(number, (length + 1) // 2).hex()
        if length % 2 == 0:
            return digits
        lead, trail = FILLERS[spec.pad]
        if not (digits.startswith(lead) and digits.endswith(trail)):
            raise MessageError(number, f"Field {number} {FILLER_FAULTS[spec.pad]}.")
        return digits[len(lead) : len(digits) - len(trail)]

    def _binary(self, number: int, length: int, *, fixed: bool) -> bytes:
        """Read *length* binary bytes."""
        if not (fixed and self.encoding.hexadecimal):
            return self._take(number, length)
        digits = self._text(self._take(number, 2 * length))
        if not consists_of(digits, HEX):
            raise MessageError(number, f"Field {number} is not upper-case hex.")
        return bytes.fromhex(digits)


def _encoded(number: int, spec: FieldSpec, value: str | bytes, encoding: Encoding) -> bytes:
    """
    Return field *number* as it goes on the wire, with its length in front if variable.
    """
    if not isinstance(value, bytes if spec.kind == "b" else str):
        needed = "bytes" if spec.kind == "b" else "text"
        raise MessageError(number, f"Field {number} must be given as {needed}.")
    if isinstance(value, str):
        value = padded(spec, value)
    if len(value) > spec.length:
        raise MessageError(number, f"Field {number} is longer than {spec.length}.")
    if spec.fixed and len(value) < spec.length:
        raise MessageError(number, f"Field {number} is shorter than {spec.length}.")
    if isinstance(value, bytes):
        content = value
        if spec.fixed and encoding.hexadecimal:
            content = value.hex().upper().encode("ascii")
    elif fault := fault_of(spec, value):
        raise MessageError(number, f"Field {number} {fault}.")
    elif spec.kind == "n":
        content = _digits(value, encoding, spec.pad)
    else:
        content = value.encode(encoding.charset)
    if spec.fixed:
        return content
    return _digits(f"{len(value):0{spec.length_digits}d}", encoding) + content


def _digits(digits: str, encoding: Encoding, pad: Pad = "left_0") -> bytes:
    """
    Return *digits* as they go on the wire: packed, or as text.
    """
    if encoding.packed:
        lead, trail = FILLERS[pad] if len(digits) % 2 else ("", "")
        return bytes.fromhex(lead + digits + trail)
    return digits.encode(encoding.charset)
