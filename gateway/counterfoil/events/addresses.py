"""
Where a webhook may go: addresses that are everybody's, never our own network.

A merchant chooses the address, so it could name a machine that only we can reach (server-side
request forgery, ASVS 13.2.4). The form of the URL is checked when it is stored; the address
is checked after the name was resolved, and the connection goes to that very address.
"""

import ipaddress
import re
from urllib.parse import urlsplit

URL_CHARACTERS_MAX = 500

_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_NAME = rf"(?:{_LABEL}\.)+[A-Za-z](?:[A-Za-z0-9-]{{0,61}}[A-Za-z0-9])"
_PORT = r"(?::[1-9][0-9]{0,3})?"
_PATH = r"(?:/[A-Za-z0-9._~!$&'()*+,;=:@%/-]*)?(?:\?[A-Za-z0-9._~!$&'()*+,;=:@%/?-]*)?"
_LOOPBACK = r"http://(?:localhost|127\.0\.0\.1|\[::1\])(?::[1-9][0-9]{0,4})?"

# https to a name, or (test mode, when configured) http to this machine itself.
URL = rf"^(?:https://{_NAME}{_PORT}|{_LOOPBACK}){_PATH}\Z"

# Not public either, whatever the library's table says.
_NOT_PUBLIC = tuple(
    ipaddress.ip_network(each)
    for each in (
        "192.0.0.0/24",  # Protocol assignments, RFC 6890; one cloud's metadata at .192.
        "192.88.99.0/24",  # 6to4 relays, RFC 7526.
        "168.63.129.16/32",  # One cloud's host, from every machine in it.
        "64:ff9b:1::/48",  # Local NAT64, RFC 8215.
    )
)
FORM = (
    "Send an https URL with a public host name, a port below 10000 or none, and no user, password "
    "or fragment."
)

_TRANSLATED = ipaddress.IPv6Network("64:ff9b::/96")  # NAT64, RFC 6052.
_COMPATIBLE = ipaddress.IPv6Network("::/96")  # IPv4-compatible, RFC 4291, 2.5.5.1.


class AddressRefused(Exception):
    """
    A webhook may not go there; the message says why and what would be right.
    """


def check_url(url: str, *, loopback: bool) -> None:
    """
    Refuse a URL that is not of the form URL, or could only lead to this machine, unless *loopback*.

    Raises:
        AddressRefused: Another form, plain HTTP, or a name that means this machine.
    """
    if len(url) > URL_CHARACTERS_MAX or not re.match(URL, url):
        raise AddressRefused(_private(url) or FORM)
    parts = urlsplit(url)
    host = (parts.hostname or "").lower().rstrip(".")
    if parts.scheme != "https" and not loopback:
        raise AddressRefused(
            "Use https: plain http goes to this machine only, in test mode, when the operator "
            "has set [webhooks] allow_loopback."
        )
    if (host == "localhost" or host.endswith(".localhost")) and not loopback:
        raise AddressRefused("This name means the gateway's own machine; use a public one.")


def _private(url: str) -> str | None:
    """
    Return what is wrong with a URL of an address that is not everybody's, in words.
    """
    try:
        address = ipaddress.ip_address(urlsplit(url).hostname or "")
    except ValueError:
        return None
    if allowed(str(address), loopback=False):
        return f"An address is no name, and has no certificate. {FORM}"
    kind = "of this machine" if address.is_loopback else "in a private or reserved network"
    return f"{address} is an address {kind}: webhooks go to public hosts only. {FORM}"


def allowed(address: str, *, loopback: bool) -> bool:
    """
    Return whether a webhook may go to this IP address: it is public, or loopback and that is meant.

    Private, link-local (with the metadata services), shared, multicast, reserved and unspecified
    addresses are not; nor is an IPv6 address that stands for such an IPv4 address.
    """
    return all(_public(each, loopback=loopback) for each in _meant(ipaddress.ip_address(address)))


Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def _meant(address: Address) -> list[Address]:
    """
    Return the addresses that packets to *address* may reach: its own, or those within it.
    """
    if isinstance(address, ipaddress.IPv4Address) or address.is_loopback:
        return [address]
    if address.scope_id is not None:
        return [ipaddress.ip_address(str(address).partition("%")[0])]
    if address.ipv4_mapped:
        return [address.ipv4_mapped]
    if address.sixtofour:
        return [address.sixtofour]
    if address.teredo:
        return [*address.teredo]
    if address in _TRANSLATED or address in _COMPATIBLE:
        return [ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)]
    return [address]


def _public(address: Address, *, loopback: bool) -> bool:
    if address.is_loopback:
        return loopback
    if any(address in each for each in _NOT_PUBLIC):
        return False
    if isinstance(address, ipaddress.IPv6Address) and address.is_site_local:
        return False
    return (
        address.is_global
        and not address.is_multicast
        and not address.is_reserved
        and not address.is_unspecified
    )
