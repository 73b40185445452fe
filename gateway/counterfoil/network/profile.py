"""
A dialect's file, as it is spelled: what an acquirer wants on the wire, as data.

JSON with the members of `Profile`. Here is what each may hold; whether they fit together
is checked in `dialect`, when a file is loaded.
"""

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from counterfoil.network.encodings import CODE_PAGE, EncodingName
from counterfoil.network.framing import (
    HEADER_BYTES_MAX,
    TRAILER_BYTES_MAX,
    Form,
    Framing,
)
from counterfoil.network.mac import Algorithm
from counterfoil.network.tlv import Tag

NAME_CHARACTERS_MAX = 64
MAC_EXEMPT_MAX = 64

HEX_PAIRS = r"^([0-9A-Fa-f]{2})*\Z"

Hex = Annotated[str, Meta(pattern=HEX_PAIRS, max_length=2 * HEADER_BYTES_MAX)]
Trailer = Annotated[str, Meta(pattern=HEX_PAIRS, max_length=2 * TRAILER_BYTES_MAX)]
Address = Annotated[str, Meta(pattern=r"^[0-9A-Fa-f]{4}\Z")]
Printable = Annotated[str, Meta(pattern=r"^[ -~]+\Z", max_length=HEADER_BYTES_MAX)]
Mti = Annotated[str, Meta(pattern=r"^[0-9]{4}\Z")]


class Tpdu(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="tpdu", tag_field="kind"):
    """
    Five bytes: an identifier, the address they go to, the address they come from.

    A message of the host has the two addresses swapped.
    """

    to: Address
    sender: Address = msgspec.field(name="from")
    id: Annotated[str, Meta(pattern=r"^[0-9A-Fa-f]{2}\Z")] = "60"

    def sent(self, _charset: str) -> bytes:
        """
        Return the header of our messages.
        """
        return bytes.fromhex(self.id + self.to + self.sender)

    def expected(self, _charset: str) -> bytes:
        """
        Return the header of the host's messages.
        """
        return bytes.fromhex(self.id + self.sender + self.to)


class FixedText(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="text", tag_field="kind"
):
    """
    The same text before every message, in both directions unless `answer` says otherwise;
    in the characters of the encoding.
    """

    text: Printable
    answer: Printable | None = None

    def sent(self, charset: str) -> bytes:
        """
        Return the header of our messages.
        """
        return self.text.encode(charset)

    def expected(self, charset: str) -> bytes:
        """
        Return the header of the host's messages.
        """
        return (self.text if self.answer is None else self.answer).encode(charset)


class FixedBytes(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="bytes", tag_field="kind"
):
    """
    The same bytes before every message, in both directions unless `answer` says otherwise.
    """

    hex: Hex
    answer: Hex | None = None

    def sent(self, _charset: str) -> bytes:
        """
        Return the header of our messages.
        """
        return bytes.fromhex(self.hex)

    def expected(self, _charset: str) -> bytes:
        """
        Return the header of the host's messages.
        """
        return bytes.fromhex(self.hex if self.answer is None else self.answer)


class FramingRow(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """
    How a message is framed.

    Attributes:
        form: How the length is spelled, or `stx_etx`.
        counts_itself: Whether the length includes its own bytes.
        header: What stands between length and message, counted by the length.
        trailer: What stands after the message, counted by the length; in hex.
    """

    form: Form = "bin2"
    counts_itself: bool = False
    header: Tpdu | FixedText | FixedBytes | None = None
    trailer: Trailer = ""

    def framing(self, charset: str) -> Framing:
        """
        Return the framing ready for use; a text header is written in *charset*.
        """
        return Framing(
            self.form,
            self.counts_itself,
            b"" if self.header is None else self.header.sent(charset),
            bytes.fromhex(self.trailer),
            None if self.header is None else self.header.expected(charset),
        )


class MacRow(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """
    How messages are authenticated; the key stands in no profile.

    Attributes:
        algorithm: `retail` is ISO 9797-1 algorithm 3 with padding 1 (X9.19); `aes_cmac` is
            RFC 4493, the first eight bytes.
        exempt: Message types that carry no MAC, in both directions.
        failures_max: After so many wrong ones in a row a key exchange is asked for.
        key_request: Field 70 of the 0800 that asks for it.
    """

    algorithm: Algorithm
    exempt: Annotated[tuple[Mti, ...], Meta(max_length=MAC_EXEMPT_MAX)] = ()
    failures_max: Annotated[int, Meta(ge=1, le=100)] = 3
    key_request: Annotated[str, Meta(pattern=r"^[0-9]{3}\Z")] = "162"


class Profile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """
    A dialect as its file spells it.

    Attributes:
        fields: The file of the field table, beside this one or shipped.
        rows: Rows that replace those of the table by field number; null takes a field out.
        tags: Tags of field 48 besides those of `tags.json`, which they may not redefine.
        match: Fields that find the request to an answer, besides the MTI's class.
        match_network_management: The same for 08xx messages.
        echo: Fields that an answer must give back unchanged when the request had them.
        code_page: A Python codec, for the encoding `ebcdic`.
        mac: How messages are authenticated, if they are.
    """

    name: Annotated[str, Meta(min_length=1, max_length=NAME_CHARACTERS_MAX)]
    fields: str
    match: tuple[int, ...]
    match_network_management: tuple[int, ...]
    echo: tuple[int, ...]
    rows: dict[str, dict[str, Any] | None] = {}
    tags: dict[str, Tag] = {}
    encoding: EncodingName = "ascii_bin"
    code_page: str = CODE_PAGE
    framing: FramingRow = FramingRow()
    mac: MacRow | None = None
