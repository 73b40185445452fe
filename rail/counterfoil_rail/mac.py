"""
Message authentication codes, computed here block by block as the standards tell it.

The retail MAC is ISO 9797-1 algorithm 3 with padding 1 (ANSI X9.19): single DES from block to
block under the left half of the key, and the last block through the right half and back. The
other is AES-CMAC (RFC 4493). Of either, eight bytes close a message.
"""

from collections.abc import Callable

from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives.ciphers import Cipher, modes
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.cmac import CMAC

MAC_BYTES = 8
BLOCK_BYTES = 8
KEY_BYTES = {"retail": (16,), "aes_cmac": (16, 24, 32)}

MacOf = Callable[[bytes], bytes]


def mac_with(algorithm: str, key: bytes) -> MacOf:
    """
    Return what makes the MAC of some bytes under *key*.

    Raises:
        ValueError: The key has not the size that *algorithm* wants.
    """
    sizes = KEY_BYTES[algorithm]
    if len(key) not in sizes:
        wanted = " or ".join(map(str, sizes))
        raise ValueError(f"the key of the MAC must have {wanted} bytes for {algorithm}: {len(key)}")
    if algorithm == "retail":
        return lambda covered: retail_mac(key, covered)
    return lambda covered: aes_mac(key, covered)


def retail_mac(key: bytes, covered: bytes) -> bytes:
    """
    Return the retail MAC of *covered*, filled with zeros to whole blocks.
    """
    # Three times the same key is single DES.
    left = Cipher(TripleDES(key[:BLOCK_BYTES] * 3), modes.ECB())  # noqa: S305 -- single blocks.
    right = Cipher(TripleDES(key[BLOCK_BYTES:] * 3), modes.ECB())  # noqa: S305
    encrypt = left.encryptor().update
    block = bytes(BLOCK_BYTES)
    for at in range(0, len(covered), BLOCK_BYTES):
        filled = covered[at : at + BLOCK_BYTES].ljust(BLOCK_BYTES, b"\0")
        block = encrypt(bytes(a ^ b for a, b in zip(block, filled, strict=True)))
    return encrypt(right.decryptor().update(block))


def aes_mac(key: bytes, covered: bytes) -> bytes:
    """
    Return the first eight bytes of the AES-CMAC of *covered*.
    """
    mac = CMAC(AES(key))
    mac.update(covered)
    return mac.finalize()[:MAC_BYTES]
