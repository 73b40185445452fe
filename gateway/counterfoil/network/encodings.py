"""
The four encodings of a message, as data.

One field table serves all of them (protocols 1.2): an encoding only says how digits, text,
lengths, bitmap and binary fields look on the wire.
"""

import itertools
from typing import Literal

import msgspec

CODE_PAGE = "cp037"  # EBCDIC of the United States; a dialect may name another.

EncodingName = Literal["ascii_bin", "ascii_hex", "bcd", "ebcdic"]


class Encoding(msgspec.Struct, frozen=True):
    """
    How the parts of a message look on the wire.

    Attributes:
        name: What configuration and command line call it.
        charset: Of MTI, text, and of digits and lengths that are not packed.
        packed: MTI, n fields and lengths are packed, two digits a byte. An odd count gets
            a leading zero nibble, or what the field's row says; a length still counts
            digits or characters.
        hexadecimal: The bitmap and fixed binary fields are upper-case hex characters.
    """

    name: EncodingName
    charset: str = "ascii"
    packed: bool = False
    hexadecimal: bool = False

    @property
    def mti_bytes(self) -> int:
        """How many bytes the MTI takes."""
        return 2 if self.packed else 4

    @property
    def bitmap_bytes(self) -> int:
        """How many bytes one bitmap takes."""
        return 16 if self.hexadecimal else 8

    def length_bytes(self, length_digits: int) -> int:
        """
        Return how many bytes a length of *length_digits* digits takes.
        """
        return (length_digits + 1) // 2 if self.packed else length_digits


ENCODINGS: dict[EncodingName, Encoding] = {
    "ascii_bin": Encoding("ascii_bin"),
    "ascii_hex": Encoding("ascii_hex", hexadecimal=True),
    "bcd": Encoding("bcd", packed=True),
    "ebcdic": Encoding("ebcdic", charset=CODE_PAGE),
}


def encoding_named(name: EncodingName, *, code_page: str = CODE_PAGE) -> Encoding:
    """
    Return the encoding called *name*; *code_page* is a Python codec and counts for EBCDIC.

    Raises:
        ValueError: The code page is unknown, not single-byte, or cannot carry printable ASCII.
    """
    encoding = ENCODINGS[name]
    if name != "ebcdic" or code_page == CODE_PAGE:
        return encoding
    if not _is_usable(code_page):
        raise ValueError(f"Code page {code_page!r} is no single-byte code with printable ASCII.")
    return msgspec.structs.replace(encoding, charset=code_page)


def _is_usable(code_page: str) -> bool:
    """
    Say whether *code_page* carries printable ASCII, one character a byte.
    """
    printable = bytes(range(0x20, 0x7F)).decode("ascii")
    pairs = bytes(byte for pair in itertools.product(range(256), repeat=2) for byte in pair)
    try:
        # A code with longer sequences would make one character of some pair.
        single = len(pairs.decode(code_page, "replace")) == len(pairs)
        return single and printable.encode(code_page).decode(code_page) == printable
    except (LookupError, ValueError):
        return False
