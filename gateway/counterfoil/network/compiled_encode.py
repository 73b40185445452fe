"""
Generate the function that encodes messages of one set of fields.

The caller's dict is unpacked in its own order, neighbouring fields are joined and checked
together, and the whole message is encoded at once. The generated function returns None, or
raises AttributeError, LookupError, TypeError or ValueError, for anything it does not like;
`generic` then makes the error, or fills and writes what is merely unusual.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any, cast

from counterfoil.network.content import TRACK, is_signed_amount
from counterfoil.network.encodings import Encoding
from counterfoil.network.fields import FILLERS, FieldSpec
from counterfoil.network.generic import MTI_DIGITS, Profile, bitmap_of
from counterfoil.network.message import MESSAGE_BYTES_MAX, FieldsView

Encode = Callable[[str, FieldsView], bytes | None]


def compile_encoder(order: Sequence[int], profile: Profile) -> Encode:
    """
    Return an encoder for dicts whose keys are the fields *order*, in this order.
    """
    numbers = sorted(order)
    source = _Source(profile.encoding, numbers)
    for number in numbers:
        source.field(number, profile.spec_of(number))
    names: dict[str, Any] = source.names | {
        "CHARSET": profile.encoding.charset,
        "TRACK": TRACK,
        "is_signed_amount": is_signed_amount,
        "from_hex": bytes.fromhex,
    }
    # Only integers from the checked table and names made here reach the source.
    exec(compile(source.text(order), "<compiled ISO 8583 encoder>", "exec"), names)  # noqa: S102
    return cast("Encode", names["encode"])


@functools.lru_cache(maxsize=512)
def lengths_text(digits: int, length_max: int) -> tuple[str, ...]:
    """
    Return the spellings of the lengths 0 to *length_max* in *digits* digits.
    """
    return tuple(f"{length:0{digits}d}" for length in range(length_max + 1))


@functools.lru_cache(maxsize=512)
def lengths_packed(digits: int, length_max: int) -> tuple[bytes, ...]:
    """
    Return the packed lengths 0 to *length_max*, *digits* nibbles each.
    """
    return tuple(bytes.fromhex(text) for text in lengths_text(digits, length_max))


class _Source:
    """
    The source of one encoder while it is written, field by field.
    """

    def __init__(self, encoding: Encoding, numbers: list[int]) -> None:
        self.encoding = encoding
        self.names: dict[str, object] = {}
        self.lines: list[str] = []
        self.pieces: list[str] = []  # Expressions of bytes that make up the message.
        self.parts: list[str] = []  # Replacement fields of the piece being collected.
        self.digits = False  # Whether the piece being collected is packed digits.
        self.run: list[tuple[int, FieldSpec]] = []  # Fixed neighbours of one kind.
        bitmap = bitmap_of(numbers, encoding)
        self._part("mti", digits=encoding.packed)
        if encoding.hexadecimal:
            self.parts.append(bitmap.decode("ascii"))
        else:
            self.names["BITMAP"] = bitmap
            self._piece("BITMAP")

    def text(self, order: Sequence[int]) -> str:
        """Return the whole function."""
        self._end_run()
        self._end_piece()
        names = ", ".join(f"f{number}" for number in order)
        head = [
            f"{names}, = fields.values()" if order else "",
            f"if len(mti) != {MTI_DIGITS} or not mti.isdecimal(): return None",
        ]
        tail = [
            f"wire = {' + '.join(self.pieces)}",
            f"if len(wire) > {MESSAGE_BYTES_MAX}: return None",
            "return wire",
        ]
        body = "\n    ".join(line for line in [*head, *self.lines, *tail] if line)
        return f"def encode(mti, fields):\n    {body}\n"

    def field(self, number: int, spec: FieldSpec) -> None:
        """Write the statements for one field."""
        if self.run and (not spec.fixed or spec.kind != self.run[-1][1].kind):
            self._end_run()
        value = f"f{number}"
        if spec.kind == "b":
            self._binary(value, spec)
        elif spec.fixed:
            self.run.append((number, spec))
        else:
            self._variable(value, spec)

    def _end_run(self) -> None:
        """Join fixed neighbours of one kind, and check length and content of all at once."""
        if not self.run:
            return
        kind = self.run[0][1].kind
        packed = kind == "n" and self.encoding.packed
        joined = ""
        width = 0
        for number, spec in self.run:
            value = f"f{number}"
            self._fill(value, spec)
            lead, trail = FILLERS[spec.pad] if packed and spec.length % 2 else ("", "")
            joined += f"{lead}{{{value}}}{trail}"
            width += spec.length + len(lead) + len(trail)
            if kind == "x":
                self._refuse_unless(f"is_signed_amount({value})")
        name = f"r{self.run[0][0]}"
        each = [f"f{number}" for number, _ in self.run]
        self.lines.append(f'{name} = f"{joined}"')
        # Each value was filled to its width, so the sum tells if any is too long.
        # A filler that is no digit needs the check of each value, not of the sum.
        checked = [name] if all(_fills_with_digits(spec) for _, spec in self.run) else each
        checks = [check for part in checked for check in _checks(kind, part)]
        self._refuse_unless(f"len({name}) == {width}", *checks)
        self._part(name, digits=packed)
        self.run = []

    def _fill(self, value: str, spec: FieldSpec) -> None:
        """Fill a fixed value that is too short, as its kind wants it."""
        short = f"if len({value}) < {spec.length}: "
        if spec.kind == "n":
            zeros = f'{value}.rjust({spec.length}, "0")'
            self.lines.append(short + f"{value} = {zeros} if {value} else None")
        elif spec.kind in ("an", "ans"):
            self.lines.append(short + f"{value} = {value}.ljust({spec.length})")
        else:
            self.lines.append(short + "return None")

    def _variable(self, value: str, spec: FieldSpec) -> None:
        """Put the length in front of a variable text field."""
        if spec.kind == "n":
            self._refuse_unless(f"{value}.isdecimal()")
        else:
            # Bytes have no isprintable, so they never get past here.
            self._refuse_unless(f"{value}.isprintable()", *_checks(spec.kind, value))
        self._length(value, spec)
        if spec.kind == "n" and self.encoding.packed:
            lead, trail = FILLERS[spec.pad]
            odd = f"'{lead}' + {value}" if lead else f"{value} + '{trail}'"
            self._part(f"{value} if len({value}) % 2 == 0 else {odd}", digits=True)
        else:
            self._part(value)

    def _binary(self, value: str, spec: FieldSpec) -> None:
        """Write a binary field, raw or as hex."""
        self._refuse_unless(f"type({value}) is bytes")
        if not spec.fixed:
            self._length(value, spec)
            self._piece(value)
            return
        self._refuse_unless(f"len({value}) == {spec.length}")
        if self.encoding.hexadecimal:
            self._part(f"{value}.hex().upper()")
        else:
            self._piece(value)

    def _length(self, value: str, spec: FieldSpec) -> None:
        """Write the length of a variable field; one beyond the greatest is an IndexError."""
        if self.encoding.packed:
            digits = 2 * self.encoding.length_bytes(spec.length_digits)
            table = f"PACKED_{digits}_{spec.length}"
            self.names[table] = lengths_packed(digits, spec.length)
            self._piece(f"{table}[len({value})]")
        else:
            table = f"TEXT_{spec.length_digits}_{spec.length}"
            self.names[table] = lengths_text(spec.length_digits, spec.length)
            self._part(f"{table}[len({value})]")

    def _part(self, expression: str, *, digits: bool = False) -> None:
        """Add text, or packed digits, to the piece being collected."""
        if self.parts and self.digits != digits:
            self._end_piece()
        self.digits = digits
        self.parts.append(f"{{{expression}}}")

    def _piece(self, expression: str) -> None:
        """Add an expression of bytes to the message."""
        self._end_piece()
        self.pieces.append(expression)

    def _end_piece(self) -> None:
        """Turn the collected text or digits into bytes."""
        if not self.parts:
            return
        name = f"t{len(self.pieces)}"
        joined = "".join(self.parts)
        self.parts = []
        self.lines.append(f'{name} = f"{joined}"')
        if self.digits:
            self.pieces.append(f"from_hex({name})")
            return
        self._refuse_unless(f"{name}.isascii()", f"{name}.isprintable()")
        self.pieces.append(f"{name}.encode(CHARSET)")

    def _refuse_unless(self, *checks: str) -> None:
        """Write the statement that gives up unless all *checks* hold."""
        self.lines.append(f"if not ({' and '.join(checks)}): return None")


def _fills_with_digits(spec: FieldSpec) -> bool:
    """
    Say whether the content of a fixed field stays digits when it is filled.
    """
    return spec.length % 2 == 0 or "f" not in FILLERS[spec.pad]


def _checks(kind: str, value: str) -> list[str]:
    """
    Return the checks of the content of *value*, or of several of one kind joined.
    """
    return {
        "n": [f"{value}.isdecimal()"],
        "an": [f"{value}.isalnum()"],
        "z": [f"not {value}.strip(TRACK)"],
    }.get(kind, [])
