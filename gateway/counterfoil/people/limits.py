"""
How often somebody may try to sign in: each account, and each network address.

Accounts are counted by who they are. Addresses, and names that nobody has, fall into a fixed number
of buckets by a keyed digest, so that strangers fill no table and cannot choose their bucket.
"""

import ipaddress
from collections.abc import Callable
from datetime import timedelta
from uuid import UUID

import msgspec

ACCOUNT_TRIES_MAX = 10  # PCI DSS 8.3.4
ADDRESS_TRIES_MAX = 50  # Many people may share one.
BUCKETS = 1 << 16
COUNTED_FOR = timedelta(hours=24)
LOCKED_FOR = timedelta(minutes=30)
IPV6_PREFIX = 64  # What one subscriber has.

Digest = Callable[[bytes], bytes]


class Limit(msgspec.Struct, frozen=True):
    """
    Who is counted, and how many wrong tries they have.
    """

    subject: str
    tries_max: int
    counted_for: timedelta = COUNTED_FOR
    locked_for: timedelta = LOCKED_FOR


def of_account(user_id: UUID | None, email: str, digest: Digest) -> Limit:
    """
    Return the limit of a person; of a stranger by the name they say, which looks the same to them.
    """
    subject = f"user:{user_id.hex}" if user_id else f"stranger:{_bucket(digest, email.lower())}"
    return Limit(subject, ACCOUNT_TRIES_MAX)


def of_address(address: str, digest: Digest) -> Limit | None:
    """
    Return the limit of a network address; none of this machine itself, where a proxy may stand.
    """
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        network = address
    else:
        # On a socket for both, an IPv4 address comes wrapped: its /64 would be all of them.
        parsed = getattr(parsed, "ipv4_mapped", None) or parsed
        if parsed.is_loopback:
            return None
        wide = IPV6_PREFIX if parsed.version == 6 else parsed.max_prefixlen
        network = str(ipaddress.ip_network((parsed, wide), strict=False))
    return Limit(f"address:{_bucket(digest, network)}", ADDRESS_TRIES_MAX, LOCKED_FOR)


def _bucket(digest: Digest, text: str) -> int:
    return int.from_bytes(digest(text.encode())[:4], "big") % BUCKETS
