"""
Message authentication codes: the two algorithms that hosts ask for, and their keys.

Pure functions of bytes. Where in a message a MAC stands, and what it covers, is `mac_codec`.
"""

from typing import Literal

import msgspec
from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives.ciphers import Cipher, modes
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.cmac import CMAC

Algorithm = Literal["retail", "aes_cmac"]

MAC_BYTES = 8
DES_BYTES = 8  # Of a block, and of a key with its parity bits.
RETAIL_KEY_BYTES = 2 * DES_BYTES
AES_KEY_BYTES = (16, 24, 32)
KEY_TEXT_CHARACTERS_MAX = 256
PARITY = 0xFE  # The lowest bit of each byte of a DES key is no part of it.


class MacKeyError(Exception):
    """
    A key that cannot be used. The sentence never shows it.
    """


class MacKey(msgspec.Struct, frozen=True):
    """
    The key of one acquirer, checked for its algorithm; no repr shows it.
    """

    algorithm: Algorithm
    raw: bytes

    def __repr__(self) -> str:
        return f"MacKey({self.algorithm!r}, check value {self.check_value})"

    @property
    def check_value(self) -> str:
        """The check value (KCV) by which people compare keys, in hex."""
        return check_value(self.algorithm, self.raw)

    def mac(self, data: bytes) -> bytes:
        """
        Return the MAC of *data*, eight bytes.
        """
        return retail_mac(self.raw, data) if self.algorithm == "retail" else aes_mac(self.raw, data)


def read_key(algorithm: Algorithm, text: str) -> MacKey:
    """
    Return the key that *text* spells: hex, and behind a blank its check value if one is known.

    Raises:
        MacKeyError: No hex, of the wrong size, weak, or not the key of the check value.
    """
    words = text[: KEY_TEXT_CHARACTERS_MAX + 1].split()
    if len(text) > KEY_TEXT_CHARACTERS_MAX or not 1 <= len(words) <= 2:
        raise MacKeyError("A MAC key is hex, and behind a blank its check value if there is one.")
    try:
        raw = bytes.fromhex(words[0])
    except ValueError:
        raise MacKeyError("The MAC key is not hex.") from None
    if fault := _fault(algorithm, raw):
        raise MacKeyError(f"The MAC key {fault}.")
    key = MacKey(algorithm, raw)
    if len(words) > 1 and words[1].upper() != key.check_value:
        raise MacKeyError("The MAC key does not have the check value that stands behind it.")
    return key


def retail_mac(key: bytes, data: bytes) -> bytes:
    """
    Return the MAC of ISO 9797-1, algorithm 3 with DES and padding 1 (ANSI X9.19).

    *key* has two halves; *data* is filled with zero bytes to whole blocks.
    """
    left = key[:DES_BYTES]
    filled = data + bytes(-len(data) % DES_BYTES) or bytes(DES_BYTES)
    chain = _des_cbc(left, filled[:-DES_BYTES])
    last = bytes(a ^ b for a, b in zip(chain, filled[-DES_BYTES:], strict=True))
    # Single DES up to here; the last block is encrypted, decrypted and encrypted again.
    encryptor = Cipher(TripleDES(key + left), modes.ECB()).encryptor()  # noqa: S305
    return encryptor.update(last) + encryptor.finalize()


def aes_mac(key: bytes, data: bytes) -> bytes:
    """
    Return the first eight bytes of the AES-CMAC (RFC 4493) of *data*.
    """
    return _cmac(key, data)[:MAC_BYTES]


def check_value(algorithm: Algorithm, key: bytes) -> str:
    """
    Return the check value of *key*: three bytes of an encrypted zero block for DES, five of
    the CMAC of one for AES (ANSI X9.24-1:2017), in upper-case hex.
    """
    if algorithm == "aes_cmac":
        return _cmac(key, bytes(16))[:5].hex().upper()
    encryptor = Cipher(TripleDES(key + key[:DES_BYTES]), modes.ECB()).encryptor()  # noqa: S305
    return (encryptor.update(bytes(DES_BYTES)) + encryptor.finalize())[:3].hex().upper()


def _fault(algorithm: Algorithm, raw: bytes) -> str | None:
    """
    Return why *raw* is no key for *algorithm*, or None.
    """
    if algorithm == "aes_cmac":
        return None if len(raw) in AES_KEY_BYTES else "must have 16, 24 or 32 bytes for aes_cmac"
    if len(raw) != RETAIL_KEY_BYTES:
        return f"must have {RETAIL_KEY_BYTES} bytes for retail: two halves"
    halves = {bytes(byte & PARITY for byte in half) for half in (raw[:DES_BYTES], raw[DES_BYTES:])}
    return "has two equal halves: that would be single DES" if len(halves) == 1 else None


def _des_cbc(key: bytes, data: bytes) -> bytes:
    """
    Return the last block of *data* under single DES in CBC mode; zeros if there is none.
    """
    if not data:
        return bytes(DES_BYTES)
    # Three times the same key is single DES.
    encryptor = Cipher(TripleDES(key * 3), modes.CBC(bytes(DES_BYTES))).encryptor()
    return (encryptor.update(data) + encryptor.finalize())[-DES_BYTES:]


def _cmac(key: bytes, data: bytes) -> bytes:
    """
    Return the AES-CMAC of *data*.
    """
    mac = CMAC(AES(key))
    mac.update(data)
    return mac.finalize()
