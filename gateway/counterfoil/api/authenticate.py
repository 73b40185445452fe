"""
Who is calling: the secret key in the Authorization header.
"""

from counterfoil.api.exchange import Request
from counterfoil.api.problems import Problem
from counterfoil.clock import Clock
from counterfoil.store.merchants import ApiKey, KeyCache

PREFIXES = {"test": "sk_test_", "live": "sk_live_"}
SECRET_CHARACTERS_MAX = 128


async def authenticate(request: Request, keys: KeyCache, mode: str, clock: Clock) -> ApiKey:
    """
    Return the caller's key.

    Raises:
        Problem: Missing, unknown, of the other mode, revoked or expired.
    """
    scheme, _, secret = request.header(b"authorization").partition(" ")
    secret = secret.strip()
    if scheme.lower() != "bearer" or not secret:
        raise Problem("key_missing", "Send your secret key: Authorization: Bearer sk_...")
    if _mode_of(secret) not in (mode, None):
        raise Problem(
            "key_of_other_mode",
            f"This gateway works in {mode} mode; use a key that starts with {PREFIXES[mode]}.",
        )
    if len(secret) > SECRET_CHARACTERS_MAX or not secret.isascii():
        raise Problem("key_unknown", "No such key. Copy it again, whole, or make a new one.")
    key = await keys.key(secret)
    if key is None:
        raise Problem("key_unknown", "No such key. Copy it again, whole, or make a new one.")
    if key.revoked_at:
        raise Problem("key_revoked", f"Revoked at {key.revoked_at:%Y-%m-%d %H:%M} UTC.")
    if key.expires_at and key.expires_at <= clock.now():
        raise Problem("key_expired", f"Expired at {key.expires_at:%Y-%m-%d %H:%M} UTC.")
    return key


def _mode_of(secret: str) -> str | None:
    for mode, prefix in PREFIXES.items():
        if secret.startswith(prefix):
            return mode
    return None
