"""
Second factors as they are made and compared: codes of authenticator apps, recovery codes.
"""

import hashlib
import hmac
import secrets
from datetime import datetime
from uuid import UUID

import pyotp
import segno

STEP_SECONDS = 30
CODE_DIGITS = 6
STEPS_BESIDE = 1  # Clocks that go a little wrong.
RECOVERY_CODES = 10
RECOVERY_CHARACTERS = 16  # 80 bits: no list of hashes is searched for one.
_ALPHABET = "abcdefghijkmnpqrstuvwxyz23456789"
_GROUP = 4


def new_secret() -> str:
    """
    Return the secret of an authenticator app, in base 32.
    """
    return pyotp.random_base32()


def address_of(secret: str, email: str, issuer: str) -> str:
    """
    Return the `otpauth:` address that an app reads.
    """
    return pyotp.TOTP(secret).provisioning_uri(name=email, issuer_name=issuer)


def picture_of(address: str) -> str:
    """
    Return the QR code of *address* as a `data:` address: dark on white, whatever the page is.
    """
    code = segno.make(address, error="m", micro=False)
    return code.svg_data_uri(scale=6, border=4, dark="#000", light="#fff")


def plain(code: str) -> str:
    """
    Return *code* as it is compared: without blanks and hyphens, in small letters.
    """
    return "".join(code.split()).replace("-", "").lower()


def is_app_code(code: str) -> bool:
    """
    Return whether *code* looks as those of an app do.
    """
    return len(code) == CODE_DIGITS and code.isascii() and code.isdigit()


def step_of(secret: str, code: str, now: datetime) -> int | None:
    """
    Return the time step to which *code* belongs, if it is of now or right beside.
    """
    made, found = pyotp.TOTP(secret), None
    current = int(now.timestamp()) // STEP_SECONDS
    for step in range(current - STEPS_BESIDE, current + STEPS_BESIDE + 1):
        if hmac.compare_digest(made.generate_otp(step).encode(), code.encode()):
            found = step
    return found


def new_recovery_codes() -> list[str]:
    """
    Return codes of which each signs in once, as people read them: `abcd-efgh-jkmn-pqrs`.
    """
    return [_grouped(_random_code()) for _ in range(RECOVERY_CODES)]


def hash_of_recovery(user_id: UUID, code: str) -> bytes:
    """
    Return what is kept of a person's recovery code.
    """
    return hashlib.sha256(user_id.bytes + plain(code).encode()).digest()


def _random_code() -> str:
    return "".join(secrets.choice(_ALPHABET) for _ in range(RECOVERY_CHARACTERS))


def _grouped(code: str) -> str:
    return "-".join(code[at : at + _GROUP] for at in range(0, len(code), _GROUP))
