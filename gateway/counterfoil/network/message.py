"""
A message of ISO 8583, and the error for one that cannot be read or written.

Everything in `network` speaks in these two: fields are keyed by their number, text as
`str`, binary as `bytes`.
"""

from collections.abc import Mapping

import msgspec

MESSAGE_BYTES_MAX = 4096  # protocols 1.2: what an acquirer link accepts.
FIELD_NUMBER_MAX = 128
SECONDARY_BITMAP = 1  # Bit 1 says that a second bitmap follows; it is never a field.
UNUSED_FIELD = 65  # Some read bit 65 as "third bitmap", so nobody may use it.

Fields = dict[int, str | bytes]
FieldsView = Mapping[int, str | bytes]


class Message(msgspec.Struct, frozen=True):
    """
    A decoded message: its MTI and its fields, in full width as they were on the wire.
    """

    mti: str
    fields: Fields

    def text(self, number: int) -> str:
        """
        Return text field *number*, or an empty string if it is absent or binary.
        """
        value = self.fields.get(number, "")
        return value if isinstance(value, str) else ""

    def __repr__(self) -> str:
        return f"Message({self.mti!r}, {shape_of(self.fields)})"


def shape_of(fields: FieldsView) -> str:
    """
    Return which fields there are, without their values: what a `repr` may show.
    """
    return f"fields {' '.join(str(number) for number in fields)}"


class MessageError(Exception):
    """
    A message that cannot be encoded or decoded.

    The sentence names the field and the rule, never the value: what is wrong may well be
    part of a card number.

    Attributes:
        field: The field's number, or None if the fault lies outside any field.
    """

    def __init__(self, field: int | None, sentence: str) -> None:
        super().__init__(sentence)
        self.field = field
