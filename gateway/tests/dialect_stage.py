"""
A host's side of the wire in the shipped dialects, which shares no code with the gateway.

Frames are cut and made by hand, messages read and written with pyiso8583, MACs made of single
DES steps and of the library's AES-CMAC.
"""

import asyncio
from collections.abc import Callable
from typing import Any

import iso8583
from counterfoil.network.dialect import Dialect, load_dialect
from counterfoil.network.mac import read_key
from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives.ciphers import Cipher, modes
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.cmac import CMAC
from test_iso8583_oracle import witness

RETAIL = "0123456789ABCDEFFEDCBA9876543210"
AES_KEY = "2B7E151628AED2A6ABF7158809CF4F3C"
Wire = dict[str, str]
NOT_CARRIED = ("h", "p", "1", "64", "128")  # Made anew on each side.
NAMES = ["gw87", "gw87-bcd", "gw87-ebcdic", "gw87-hex"]


def dialect_named(name: str) -> Dialect:
    if name == "gw87-bcd":
        return load_dialect(name, mac_key=read_key("retail", RETAIL))
    if name == "gw87-ebcdic":
        return load_dialect(name, mac_key=read_key("aes_cmac", AES_KEY))
    return load_dialect(name)


def des_mac(covered: bytes) -> bytes:
    """Return the retail MAC, block by block, as the standard tells it."""
    left, right = bytes.fromhex(RETAIL[:16]), bytes.fromhex(RETAIL[16:])
    one = Cipher(TripleDES(left * 3), modes.ECB())
    two = Cipher(TripleDES(right * 3), modes.ECB())
    covered += bytes(-len(covered) % 8)
    block = bytes(8)
    for at in range(0, len(covered), 8):
        mixed = bytes(a ^ b for a, b in zip(block, covered[at : at + 8], strict=True))
        block = one.encryptor().update(mixed)
    return one.encryptor().update(two.decryptor().update(block))


def aes_mac(covered: bytes) -> bytes:
    mac = CMAC(AES(bytes.fromhex(AES_KEY)))
    mac.update(covered)
    return mac.finalize()[:8]


class Speech:
    """
    How a host reads and writes in one dialect.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        table = dialect_named(name).table
        encodings: Any = {"gw87-bcd": "bcd", "gw87-ebcdic": "ebcdic", "gw87-hex": "ascii_hex"}
        self.spec = witness(table, encodings.get(name, "ascii_bin"))
        self.mac_of: Callable[[str, bytes], bytes | None] = self.right_mac

    def right_mac(self, mti: str, covered: bytes) -> bytes | None:
        """Return the MAC that this dialect wants, or None."""
        if self.name == "gw87-bcd":
            return des_mac(covered)
        return aes_mac(covered) if self.name == "gw87-ebcdic" and mti[1] != "8" else None

    async def take(self, reader: asyncio.StreamReader) -> bytes:
        """Cut one frame, by hand."""
        if self.name == "gw87-hex":
            text = await reader.readuntil(b"\x03")
            lrc = (await reader.readexactly(1))[0]
            total = 0
            for byte in text[1:]:
                total ^= byte
            assert text.startswith(b"\x02ISO016000055")
            assert total == lrc
            return text[13:-1]
        if self.name == "gw87-ebcdic":
            content = await reader.readexactly(int(await reader.readexactly(4)))
        else:
            content = await reader.readexactly(int.from_bytes(await reader.readexactly(2), "big"))
        if self.name == "gw87-bcd":
            assert content.startswith(bytes.fromhex("6000870001"))
            return content[5:]
        return content

    def framed(self, message: bytes) -> bytes:
        """Put one message into a frame, by hand."""
        if self.name == "gw87-hex":
            text = b"ISO016000055" + message + b"\x03"
            total = 0
            for byte in text:
                total ^= byte
            return b"\x02" + text + bytes((total,))
        if self.name == "gw87-ebcdic":
            return b"%04d" % len(message) + message
        if self.name == "gw87-bcd":
            message = bytes.fromhex("6000010087") + message
        return len(message).to_bytes(2, "big") + message

    def read(self, wire: bytes) -> Wire:
        """Read one message and check its MAC."""
        message, _ = iso8583.decode(wire, self.spec)
        expected = self.right_mac(message["t"], wire[:-8])
        if expected is None:
            assert "64" not in message
            assert "128" not in message
        else:
            last = "128" if any(int(n) > 64 for n in message if n.isdigit()) else "64"
            assert message[last] == expected.hex().upper()
        return message

    def written(self, message: Wire) -> bytes:
        """Write one message, with a MAC if there is to be one."""
        last = "128" if any(int(n) > 64 for n in message if n.isdigit()) else "64"
        plain, _ = iso8583.encode(dict(message), self.spec)
        if self.mac_of(message["t"], b"") is None:
            return bytes(plain)
        wire, _ = iso8583.encode(message | {last: "00" * 8}, self.spec)
        mac = self.mac_of(message["t"], bytes(wire[:-8]))
        assert mac is not None
        return bytes(wire[:-8]) + mac
