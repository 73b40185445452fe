"""
The vault: card numbers sealed one by one, each to its own row.

AES-256-GCM with a random 96-bit nonce; the additional data bind format, merchant,
token and key id, so that a ciphertext moved to another row does not open (PCI DSS
3.5, ASVS 11.3). Look-ups use an HMAC-SHA-256 of the whole number under a key of
its own, made different for every merchant. The security code is never sealed: it
is never stored at all.
"""

import hashlib
import hmac
import os
from uuid import UUID

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.keywrap import (
    InvalidUnwrap,
    aes_key_unwrap,
    aes_key_wrap,
)

from counterfoil.cards import Card
from counterfoil.ids import uuid_of
from counterfoil.plainly import SaidPlainly

TOKEN_BYTES = 16
NONCE_BYTES = 12
DATA_KEY_BYTES = 32
_FORMAT = b"counterfoil-card-1"
_SECRET_FORMAT = b"counterfoil-webhook-1"


class VaultClosed(SaidPlainly):
    """
    The key-encryption key does not open the data keys of this database.
    """


class Sealed(msgspec.Struct, frozen=True):
    """
    A card as it lies in the database.
    """

    token: UUID
    key_id: str
    nonce: bytes
    ciphertext: bytes
    fingerprint: bytes


class SealedSecret(msgspec.Struct, frozen=True):
    """
    The secret of a webhook endpoint as it lies in the database.
    """

    key_id: str
    nonce: bytes
    ciphertext: bytes


class KeptCard(msgspec.Struct, frozen=True):
    """
    What comes back out: number and expiry (YYMM), never a security code.
    """

    number: str
    expiry: str

    def __repr__(self) -> str:
        """
        Return the last four digits, nothing else.
        """
        return f"KeptCard(...{self.number[-4:]})"

    __str__ = __repr__


class WrappedKey(msgspec.Struct, frozen=True):
    """
    A data key as the database holds it.
    """

    key_id: str
    purpose: str
    wrapped: bytes


def new_data_key(purpose: str, key_encryption_key: bytes) -> WrappedKey:
    """
    Make a data key for *purpose*, wrapped.
    """
    wrapped = aes_key_wrap(key_encryption_key, os.urandom(DATA_KEY_BYTES))
    return WrappedKey(f"{purpose}-{os.urandom(4).hex()}", purpose, wrapped)


PURPOSES = ("card", "fingerprint", "confirmation", "webhook")


class Vault:
    """
    Seals and opens cards; also holds the keys of fingerprints and confirmation numbers.
    """

    def __init__(self, keys: list[WrappedKey], key_encryption_key: bytes) -> None:
        self.learn(keys, key_encryption_key)

    def learn(self, keys: list[WrappedKey], key_encryption_key: bytes) -> None:
        """
        Take *keys*, oldest first: the last of each purpose seals, every one of them opens.

        A process that runs learns of a rotated key this way.

        Raises:
            VaultClosed: One does not open, or a purpose has none; nothing has changed then.
        """
        opened = {key.key_id: _unwrap(key, key_encryption_key) for key in keys}
        active = {key.purpose: key.key_id for key in keys}
        if missing := [purpose for purpose in PURPOSES if purpose not in active]:
            raise VaultClosed(f"no data key for {missing[0]}: run `counterfoil migrate`")
        self._ciphers = {
            key.key_id: AESGCM(opened[key.key_id]) for key in keys if key.purpose == "card"
        }
        self._card_key_id = active["card"]
        self._secret_ciphers = {
            key.key_id: AESGCM(opened[key.key_id]) for key in keys if key.purpose == "webhook"
        }
        self._secret_key_id = active["webhook"]
        self._keyed = hmac.new(opened[active["fingerprint"]], digestmod=hashlib.sha256)
        self.confirmation_key = opened[active["confirmation"]]

    def seal(self, card: Card, merchant_id: UUID, fingerprint: bytes | None = None) -> Sealed:
        """
        Seal *card* under a new random token; its *fingerprint* is made here unless it is known.
        """
        chance = os.urandom(TOKEN_BYTES + NONCE_BYTES)
        token = uuid_of(int.from_bytes(chance[:TOKEN_BYTES], "big"))
        nonce = chance[TOKEN_BYTES:]
        clear = f"{card.number}={card.expiry_year % 100:02d}{card.expiry_month:02d}".encode()
        ciphertext = self._ciphers[self._card_key_id].encrypt(
            nonce, clear, _bound_to(merchant_id, token, self._card_key_id)
        )
        if fingerprint is None:
            fingerprint = self.fingerprint(card.number, merchant_id)
        return Sealed(token, self._card_key_id, nonce, ciphertext, fingerprint)

    def open(
        self, merchant_id: UUID, token: UUID, key_id: str, nonce: bytes, ciphertext: bytes
    ) -> KeptCard:
        """
        Return the card that was sealed as *token* of *merchant_id*.

        Raises:
            VaultClosed: Another row's ciphertext, a damaged one, or an unknown key.
        """
        cipher = self._ciphers.get(key_id)
        if cipher is None:
            raise VaultClosed(f"the vault has no key {key_id}")
        try:
            clear = cipher.decrypt(nonce, ciphertext, _bound_to(merchant_id, token, key_id))
        except InvalidTag as error:
            raise VaultClosed("a sealed card does not belong to its row, or was damaged") from error
        number, _, expiry = clear.decode().partition("=")
        return KeptCard(number, expiry)

    def seal_secret(self, secret: bytes, merchant_id: UUID, endpoint_id: UUID) -> SealedSecret:
        """
        Seal the *secret* of a webhook endpoint to its row, under a data key of its own purpose.
        """
        nonce, key_id = os.urandom(NONCE_BYTES), self._secret_key_id
        bound = _bound_to(merchant_id, endpoint_id, key_id, _SECRET_FORMAT)
        ciphertext = self._secret_ciphers[key_id].encrypt(nonce, secret, bound)
        return SealedSecret(key_id, nonce, ciphertext)

    def open_secret(self, sealed: SealedSecret, merchant_id: UUID, endpoint_id: UUID) -> bytes:
        """
        Return the secret that was sealed for this endpoint.

        Raises:
            VaultClosed: Another row's ciphertext, a damaged one, or an unknown key.
        """
        cipher = self._secret_ciphers.get(sealed.key_id)
        if cipher is None:
            raise VaultClosed(f"the vault has no key {sealed.key_id}")
        bound = _bound_to(merchant_id, endpoint_id, sealed.key_id, _SECRET_FORMAT)
        try:
            return cipher.decrypt(sealed.nonce, sealed.ciphertext, bound)
        except InvalidTag as error:
            raise VaultClosed(
                "a sealed secret does not belong to its endpoint, or was damaged"
            ) from error

    def sealed_anew(
        self, merchant_id: UUID, token: UUID, key_id: str, nonce: bytes, ciphertext: bytes
    ) -> tuple[str, bytes, bytes]:
        """
        Return a sealed card under the newest key, bound to the same row: key id, nonce, ciphertext.

        Raises:
            VaultClosed: It does not open.
        """
        kept = self.open(merchant_id, token, key_id, nonce, ciphertext)
        fresh = os.urandom(NONCE_BYTES)
        sealed = self._ciphers[self._card_key_id].encrypt(
            fresh,
            f"{kept.number}={kept.expiry}".encode(),
            _bound_to(merchant_id, token, self._card_key_id),
        )
        return self._card_key_id, fresh, sealed

    @property
    def card_key_id(self) -> str:
        """
        The key under which new cards are sealed.
        """
        return self._card_key_id

    def fingerprint(self, number: str, merchant_id: UUID) -> bytes:
        """
        Return the keyed fingerprint of a whole card number, different for every merchant.
        """
        return self.keyed_digest(b"card", merchant_id, number.encode())

    def keyed_digest(self, domain: bytes, merchant_id: UUID, content: bytes) -> bytes:
        """
        Return HMAC-SHA-256 of *content*, bound to what it is for and whose it is.
        """
        keyed = self._keyed.copy()  # Half the work, that on the key, is done once.
        keyed.update(b"\0".join((domain, merchant_id.bytes, content)))
        return keyed.digest()


def _bound_to(merchant_id: UUID, token: UUID, key_id: str, form: bytes = _FORMAT) -> bytes:
    return b"|".join((form, merchant_id.bytes, token.bytes, key_id.encode()))


def _unwrap(key: WrappedKey, key_encryption_key: bytes) -> bytes:
    try:
        return aes_key_unwrap(key_encryption_key, key.wrapped)
    except InvalidUnwrap as error:
        raise VaultClosed(
            f"the key file does not open data key {key.key_id}: it is not the key with which this "
            "database was made. Restore the right one; nothing was changed"
        ) from error
