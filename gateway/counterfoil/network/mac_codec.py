"""
A codec that closes what it writes with a MAC, and accepts nothing without the right one.

The MAC is the last field: 64, or 128 if there is a second bitmap. It covers all bytes of the
message before itself, from the MTI on, with its own bit already set (protocols 1.9).
"""

import hmac

from counterfoil.network.codec import Codec
from counterfoil.network.mac import MAC_BYTES, MacKey
from counterfoil.network.message import FieldsView, Message, MessageError

FIELD, FIELD_OF_TWO_BITMAPS = 64, 128
FIELDS = (FIELD, FIELD_OF_TWO_BITMAPS)


class WrongMac(Exception):
    """
    A message whose MAC is missing or wrong. It must not be acted on.

    Attributes:
        mti: What the message claims to be.
    """

    def __init__(self, mti: str, sentence: str) -> None:
        super().__init__(sentence)
        self.mti = mti


class MacCodec:
    """
    Encodes and decodes like the codec inside; message types in *exempt* carry no MAC.
    """

    def __init__(self, codec: Codec, key: MacKey, *, exempt: tuple[str, ...] = ()) -> None:
        self.profile = codec.profile
        self._codec = codec
        self._key = key
        self._exempt = frozenset(exempt)
        self._hexadecimal = codec.profile.encoding.hexadecimal
        self._width = MAC_BYTES * (2 if self._hexadecimal else 1)

    def encode(self, mti: str, fields: FieldsView) -> bytes:
        """
        Return the message on the wire, closed with its MAC, without framing.

        Raises:
            MessageError: As for `Codec.encode`, or the MAC's field is taken.
        """
        if mti in self._exempt:
            return self._codec.encode(mti, fields)
        for number in FIELDS:
            if number in fields:
                raise MessageError(number, f"Field {number} is for the MAC, which is made here.")
        two_bitmaps = any(number > FIELD for number in fields)
        last = FIELD_OF_TWO_BITMAPS if two_bitmaps else FIELD
        wire = self._codec.encode(mti, {**fields, last: bytes(MAC_BYTES)})
        covered = wire[: -self._width]
        mac = self._key.mac(covered)
        # As this encoding writes fixed binary fields.
        return covered + (mac.hex().upper().encode("ascii") if self._hexadecimal else mac)

    def decode(self, wire: bytes) -> Message:
        """
        Read one whole message, without framing, and check its MAC.

        Raises:
            MessageError: As for `Codec.decode`.
            WrongMac: The MAC is missing or wrong.
        """
        message = self._codec.decode(wire)
        if message.mti in self._exempt:
            return message
        last = next(reversed(message.fields), 0)
        found = message.fields.get(last)
        if last not in FIELDS or not isinstance(found, bytes):
            raise WrongMac(message.mti, "The message does not end with a MAC.")
        if not hmac.compare_digest(self._key.mac(wire[: -self._width]), found):
            raise WrongMac(message.mti, f"The MAC in field {last} is wrong.")
        return message
