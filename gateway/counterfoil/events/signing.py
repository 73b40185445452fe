"""
Standard Webhooks 1.0: secrets, signatures, headers and bodies.

A message is signed with HMAC-SHA-256 over `id.timestamp.body`; while a secret is being
rotated it carries a signature of each. The id is the event's, the same at every try.
"""

import base64
import hashlib
import hmac
from collections.abc import Callable, Sequence
from datetime import datetime

PREFIX = "whsec_"
SECRET_BYTES = 32  # Standard Webhooks takes 24 to 64.


def new_secret(random: Callable[[int], bytes]) -> bytes:
    """
    Return a new secret, raw.
    """
    return random(SECRET_BYTES)


def written_secret(secret: bytes) -> str:
    """
    Return *secret* as the merchant sees it, once: whsec_ and base64.
    """
    return PREFIX + base64.b64encode(secret).decode()


def headers(message_id: str, at: datetime, body: bytes, secrets: Sequence[bytes]) -> dict[str, str]:
    """
    Return the headers of a message sent at *at*, with one signature for each secret.
    """
    timestamp = str(int(at.timestamp()))
    signed = b".".join((message_id.encode(), timestamp.encode(), body))
    signatures = [_signature(secret, signed) for secret in secrets]
    return {
        "webhook-id": message_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": " ".join(signatures),
    }


def _signature(secret: bytes, signed: bytes) -> str:
    return "v1," + base64.b64encode(hmac.digest(secret, signed, hashlib.sha256)).decode()
