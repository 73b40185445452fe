"""
Encode and decode messages of one profile, fast.

For each shape of message (its bitmap on the way in, the keys of its dict on the way out)
the codec compiles a function once. A peer can send any bitmap, so their number is bounded:
only a message that decoded well earns a compiled function, and shapes beyond the limit go
through the generic loop, which gives the same answers slower.
"""

from counterfoil.network import generic
from counterfoil.network.compiled_decode import Decode, compile_decoder
from counterfoil.network.compiled_encode import Encode, compile_encoder
from counterfoil.network.encodings import Encoding
from counterfoil.network.fields import FieldTable
from counterfoil.network.message import MESSAGE_BYTES_MAX, FieldsView, Message

VARIANTS_MAX = 128  # Compiled functions in each direction.
MTIS_MAX = 128  # Message types remembered by their bytes.

REFUSALS = (AttributeError, LookupError, TypeError, ValueError)


class Codec:
    """
    Encodes and decodes the messages of one field table in one encoding.
    """

    def __init__(
        self, table: FieldTable, encoding: Encoding, *, variants_max: int = VARIANTS_MAX
    ) -> None:
        self.profile = generic.Profile(table, encoding)
        self.variants_max = variants_max
        self._encoders: dict[tuple[int, ...], Encode] = {}
        self._decoders: dict[bytes, Decode] = {}
        self._mtis: dict[bytes, str] = {}
        self._mti_bytes = encoding.mti_bytes
        self._bitmap_bytes = encoding.bitmap_bytes
        # From this value on, the first byte of a bitmap announces a second one.
        self._two_bitmaps = ord("8") if encoding.hexadecimal else 0x80

    def encode(self, mti: str, fields: FieldsView) -> bytes:
        """
        Return the message on the wire, without framing.

        Fixed n fields that are too short are filled with zeros on the left, an and ans
        fields with blanks on the right.

        Raises:
            MessageError: A field is unknown, too long, or holds what its kind does not
                allow.
        """
        compiled = self._encoders.get(tuple(fields))
        if compiled is not None:
            try:
                wire = compiled(mti, fields)
            except REFUSALS:
                wire = None
            if wire is not None:
                return wire
        wire = generic.encode(mti, fields, self.profile)
        order = tuple(fields)
        if order not in self._encoders and len(self._encoders) < self.variants_max:
            self._encoders[order] = compile_encoder(order, self.profile)
        return wire

    def decode(self, wire: bytes) -> Message:
        """
        Read one whole message, without framing.

        Raises:
            MessageError: Truncated, too long, trailing bytes, an unknown field, or content
                that its kind does not allow.
        """
        start = self._mti_bytes
        mti = self._mtis.get(wire[:start])
        if mti is not None and start < len(wire) <= MESSAGE_BYTES_MAX:
            twice = wire[start] >= self._two_bitmaps
            end = start + self._bitmap_bytes * (2 if twice else 1)
            compiled = self._decoders.get(wire[start:end])
            if compiled is not None:
                try:
                    fields = compiled(wire)
                except REFUSALS:
                    fields = None
                if fields is not None:
                    return Message(mti, fields)
        return self._decode_slowly(wire)

    def _decode_slowly(self, wire: bytes) -> Message:
        """
        Decode with the generic loop, and compile this shape for the next time.
        """
        message = generic.decode(wire, self.profile)
        start = self._mti_bytes
        if len(self._mtis) < MTIS_MAX:
            self._mtis[wire[:start]] = message.mti
        twice = wire[start] >= self._two_bitmaps
        end = start + self._bitmap_bytes * (2 if twice else 1)
        bitmap = wire[start:end]
        if bitmap not in self._decoders and len(self._decoders) < self.variants_max:
            numbers = tuple(message.fields)
            self._decoders[bitmap] = compile_decoder(numbers, self.profile, start=end)
        return message
