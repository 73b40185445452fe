"""
The field table: what each field of a message is made of.

A table is JSON that reads like the standard's own: for each field number its kind, its
length and the number of length digits (`lv`, 0 for a fixed field). It is checked once,
here; everything behind it trusts it.
"""

from collections.abc import Mapping
from typing import Literal

import msgspec

from counterfoil.network.message import FIELD_NUMBER_MAX, MESSAGE_BYTES_MAX, SECONDARY_BITMAP

TABLE_BYTES_MAX = 1_000_000
LENGTH_DIGITS_MAX = 3  # LLL; nothing longer fits into a message of 4096 bytes with others.
SIGNED_LENGTH_MIN = 2  # C or D and one digit.

Kind = Literal["n", "an", "ans", "z", "x", "b"]
Pad = Literal["left_0", "right_0", "right_f"]

# The nibble before and the nibble behind an odd number of packed digits.
FILLERS: dict[Pad, tuple[str, str]] = {
    "left_0": ("0", ""),
    "right_0": ("", "0"),
    "right_f": ("", "f"),
}


class TableError(Exception):
    """
    A field table that cannot be used. The sentence says which field and what to change.
    """


class FieldSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """
    One row of the table.

    Attributes:
        kind: n digits, an letters and digits, ans printable, z track, x signed amount,
            b binary.
        length: Exact length of a fixed field, greatest length of a variable one: digits
            or characters; bytes if the kind is b.
        length_digits: 0 for a fixed field, else how many digits its length has.
        name: For people.
        pad: Where an odd number of packed digits is filled, and with what (n only; no
            other encoding than `bcd` packs).
    """

    kind: Kind
    length: int = msgspec.field(name="len")
    length_digits: int = msgspec.field(name="lv")
    name: str = ""
    pad: Pad = "left_0"

    @property
    def fixed(self) -> bool:
        """Whether every value has the same length."""
        return self.length_digits == 0


FieldTable = dict[int, FieldSpec]


def load_table(raw: bytes | str) -> FieldTable:
    """
    Read and check a field table in the form of `dialects/gw87.fields.json`.

    Raises:
        TableError: The table cannot be used; the sentence says what to change.
    """
    if len(raw) > TABLE_BYTES_MAX:
        raise TableError(f"The field table is larger than {TABLE_BYTES_MAX} bytes.")
    try:
        rows = msgspec.json.decode(raw)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise TableError(f"The field table is not JSON: {error}") from None
    if not isinstance(rows, dict) or not rows:
        raise TableError("The field table is not a JSON object with at least one field.")
    table = {_number(key): _spec(key, row) for key, row in rows.items()}
    return dict(sorted(table.items()))


def with_rows(table: FieldTable, rows: Mapping[str, object]) -> FieldTable:
    """
    Return *table* with *rows* put in by field number; a row that is None takes the field out.

    Raises:
        TableError: A row cannot be used; the sentence says what to change.
    """
    changed = dict(table)
    for key, row in rows.items():
        number = _number(key)
        if row is None:
            changed.pop(number, None)
        else:
            changed[number] = _spec(key, row)
    return dict(sorted(changed.items()))


def _number(key: str) -> int:
    """
    Return the field number that *key* spells.
    """
    number = int(key) if key.isascii() and key.isdecimal() and len(key) <= 3 else 0
    if str(number) != key or not SECONDARY_BITMAP < number <= FIELD_NUMBER_MAX:
        raise TableError(f'Field "{key[:20]}" is not a number from 2 to {FIELD_NUMBER_MAX}.')
    return number


def _spec(key: str, row: object) -> FieldSpec:
    """
    Return *row* as a checked spec.
    """
    try:
        spec = msgspec.convert(row, FieldSpec)
    except msgspec.ValidationError as error:
        raise TableError(f"Field {key}: {error}") from None
    if not 0 <= spec.length_digits <= LENGTH_DIGITS_MAX:
        raise TableError(f"Field {key}: lv must be from 0 to {LENGTH_DIGITS_MAX}.")
    if spec.pad != "left_0" and spec.kind != "n":
        raise TableError(f"Field {key}: pad is for digits (kind n) only.")
    longest = MESSAGE_BYTES_MAX if spec.fixed else 10**spec.length_digits - 1
    shortest = SIGNED_LENGTH_MIN if spec.kind == "x" else 1
    if not shortest <= spec.length <= longest:
        raise TableError(f"Field {key}: len must be from {shortest} to {longest}.")
    return spec
