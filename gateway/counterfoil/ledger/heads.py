"""
A signed head: the end of a merchant's chain on one day, signed with a key outside the database.

Whoever holds the database can rewrite a journal and build its whole chain anew (chain.py); he
cannot sign it. A head is a line of ten words with one space between them, and the last word is
the Ed25519 signature (RFC 8032) of what stands before it:

    counterfoil-head-1 MERCHANT NUMBER DAY BLOCK HASH PREVIOUS KEY SIGNED_AT SIGNATURE

    NUMBER     of this merchant's heads, from 1 without a gap
    DAY        the UTC day on which it was signed
    BLOCK HASH the last block of the chain then, and its hash
    PREVIOUS   SHA-256 of the whole line before, signature and all; of the first: 32 zero bytes
    KEY        the first 16 digits of the SHA-256 of the public key

The same line is made from a row of `signed_heads`, and stands in the file (head_file.py).
"""

import hashlib
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime
from pathlib import Path
from uuid import UUID

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from counterfoil import ids
from counterfoil.keyfile import KeyFileRefused, load_key
from counterfoil.store.heads import SignedHead

FORMAT = "counterfoil-head-1"
WORDS = 10
KEY_ID_DIGITS = 16
NO_HEAD_BEFORE = bytes(32)
_LENGTHS = (32, 32, KEY_ID_DIGITS, 64)
_TIME = "%Y-%m-%dT%H:%M:%S.%fZ"


class SigningKey:
    """
    The private key that signs heads; its public half is for whoever verifies them.
    """

    def __init__(self, seed: bytes) -> None:
        self._private = Ed25519PrivateKey.from_private_bytes(seed)
        self.public = self._private.public_key().public_bytes_raw()
        self.key_id = key_id_of(self.public)

    def sign(self, text: str) -> bytes:
        """
        Return the signature of *text*.
        """
        return self._private.sign(text.encode())


def load_signing_key(path: Path) -> SigningKey:
    """
    Return the key in *path*.

    Raises:
        KeyFileRefused: Missing, of the wrong size, readable by others, or somebody else's.
    """
    if not path.exists():
        raise KeyFileRefused(
            f"no signing key at {path}: put it back from its copy (docs: keys and backups); "
            "`counterfoil migrate` makes one only where no head was signed yet"
        )
    return SigningKey(load_key(path))


def key_id_of(public: bytes) -> str:
    """
    Return how heads name the key.
    """
    return hashlib.sha256(public).hexdigest()[:KEY_ID_DIGITS]


def signed(
    key: SigningKey,
    merchant_id: UUID,
    block: int,
    block_hash: bytes,
    *,
    after: SignedHead | None,
    at: datetime,
) -> SignedHead:
    """
    Return the head that follows *after*, signed *at* this time for its UTC day.
    """
    at = at.astimezone(UTC)
    bare = SignedHead(
        merchant_id=merchant_id,
        number=after.number + 1 if after else 1,
        day=at.date(),
        block=block,
        hash=block_hash,
        previous=digest_of(after) if after else NO_HEAD_BEFORE,
        key_id=key.key_id,
        signed_at=at,
        signature=b"",
    )
    return msgspec.structs.replace(bare, signature=key.sign(text_of(bare)))


def text_of(head: SignedHead) -> str:
    """
    Return what is signed.
    """
    words = (
        FORMAT,
        ids.written(ids.MERCHANT, head.merchant_id),
        str(head.number),
        head.day.isoformat(),
        str(head.block),
        head.hash.hex(),
        head.previous.hex(),
        head.key_id,
        head.signed_at.astimezone(UTC).strftime(_TIME),
    )
    return " ".join(words)


def line_of(head: SignedHead) -> str:
    """
    Return the whole line, without its newline.
    """
    return f"{text_of(head)} {head.signature.hex()}"


def head_of(line: str) -> SignedHead | None:
    """
    Return the head that *line* is, or None if it is none; its signature is not looked at.
    """
    words = line.split(" ")
    if len(words) != WORDS or words[0] != FORMAT:
        return None
    try:
        head = SignedHead(
            merchant_id=UUID(hex=words[1].removeprefix(f"{ids.MERCHANT}_")),
            number=int(words[2]),
            day=date.fromisoformat(words[3]),
            block=int(words[4]),
            hash=bytes.fromhex(words[5]),
            previous=bytes.fromhex(words[6]),
            key_id=words[7],
            signed_at=datetime.strptime(words[8], _TIME).replace(tzinfo=UTC),
            signature=bytes.fromhex(words[9]),
        )
    except ValueError:
        return None
    lengths = (len(head.hash), len(head.previous), len(head.key_id), len(head.signature))
    return head if line_of(head) == line and lengths == _LENGTHS else None


def digest_of(head: SignedHead) -> bytes:
    """
    Return the digest by which the next head names *head*.
    """
    return hashlib.sha256(line_of(head).encode()).digest()


def by_key_id(public_keys: Iterable[bytes]) -> dict[str, bytes]:
    """
    Return public keys by the names that heads give them.
    """
    return {key_id_of(each): each for each in public_keys}


def is_signed_by(head: SignedHead, keys: Mapping[str, bytes]) -> bool:
    """
    Return whether the signature of *head* is that of one of *keys*, by their ids.
    """
    public = keys.get(head.key_id)
    if public is None:
        return False
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(head.signature, text_of(head).encode())
    except InvalidSignature:
        return False
    return True
