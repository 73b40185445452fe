"""
The way back to the shop: to which addresses it leads, and how what it says is signed.

A return is a hint, signed so that a shop can show the right page at once; the money is told by the
feed, by webhooks and by `GET /v1/checkouts/{id}`, whether the browser comes back or not.
"""

import hashlib
import hmac
import ipaddress
from collections.abc import Collection, Mapping
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import msgspec

from counterfoil.checkouts.checkout import URL_CHARACTERS_MAX

ORIGINS_MAX = 20
FORM = "counterfoil-return-1"
# What a return says, in the order in which it is signed.
SIGNED = ("checkout", "status", "payment", "confirmation", "at")
ADDED = (*SIGNED, "signature")


class ReturnRefused(Exception):
    """
    A payment page does not lead to this address; the words say why.
    """


class Said(msgspec.Struct, frozen=True, kw_only=True):
    """
    What a return says: `at` is when, in seconds since 1970.
    """

    checkout: str
    status: str
    payment: str
    confirmation: str
    at: str


def checked_origin(text: str, *, is_test: bool) -> str:
    """
    Return *text* if it is an origin to which a payment page may lead.

    Raises:
        ReturnRefused: It is none: https, and in test mode http to this machine.
    """
    origin = origin_of(text, is_test=is_test)
    if text != origin:
        raise ReturnRefused(f"write the bare origin, such as {origin}")
    return origin


def check_return(url: str, allowed: Collection[str], *, is_test: bool) -> None:
    """
    Raise unless *url* stands on one of the *allowed* origins, exactly.

    Raises:
        ReturnRefused: It does not, or is no address at all.
    """
    origin = origin_of(url, is_test=is_test)
    if origin not in allowed:
        raise ReturnRefused(
            f"{origin} is not among the merchant's return origins: add it on the page "
            "for developers, or have the operator do so (`merchant set --return-origin`)"
        )
    asked = {name for name, _ in parse_qsl(urlsplit(url).query, keep_blank_values=True)}
    if taken := asked & set(ADDED):
        raise ReturnRefused(f"the return adds `{min(taken)}` itself: name yours otherwise")


def origin_of(url: str, *, is_test: bool) -> str:
    """
    Return the origin of *url*, as browsers see it.

    Raises:
        ReturnRefused: Not https (or, in test mode, http to this machine), or not an address.
    """
    if len(url) > URL_CHARACTERS_MAX or not (url.isascii() and url.isprintable()) or " " in url:
        raise ReturnRefused(f"an address has up to {URL_CHARACTERS_MAX} printable characters")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise ReturnRefused("this is no address") from None
    if not host or "@" in parts.netloc or "\\" in url or parts.fragment:
        raise ReturnRefused("an address has a host, and neither a user nor a fragment")
    if parts.scheme != "https" and not (is_test and parts.scheme == "http" and _is_loopback(host)):
        raise ReturnRefused("only https is led to, and in test mode http on this machine")
    shown = f"[{host}]" if ":" in host else host
    usual = {"https": 443, "http": 80}[parts.scheme]
    return f"{parts.scheme}://{shown}" + (f":{port}" if port not in (None, usual) else "")


def signed_return(url: str, said: Said, secret: str) -> str:
    """
    Return *url* with what a return says, signed with the checkout's own *secret*.
    """
    added = {**msgspec.structs.asdict(said), "signature": signature(said, secret)}
    parts = urlsplit(url)
    query = "&".join(filter(None, (parts.query, urlencode(added))))
    return urlunsplit((parts.scheme, parts.netloc, parts.path or "/", query, ""))


def signature(said: Said, secret: str) -> str:
    """
    Return HMAC-SHA-256 of what is said: the form's name and the values, a line each.
    """
    values: Mapping[str, str] = msgspec.structs.asdict(said)
    signed = "\n".join((FORM, *(values[name] for name in SIGNED)))
    return hmac.new(secret.encode(), signed.encode(), hashlib.sha256).hexdigest()


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
