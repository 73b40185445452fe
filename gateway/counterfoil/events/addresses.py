"""
Where a webhook may go: addresses that are everybody's, never our own network.

A merchant chooses the address, so it could name a machine that only we can reach (server-side
request forgery, ASVS 13.2.4). The form of the URL is checked when it is stored; the address
is checked after the name was resolved, and the connection goes to that very address.
"""

import ipaddress
import re
from urllib.parse import SplitResult, quote, unquote, urlsplit

from counterfoil.cards import ORDER_LENGTHS, holds_card_number

URL_CHARACTERS_MAX = 500
PORT_MAX = 9999
# Of other services: mail, files, names, shells, directories. Browsers send nothing there either
# (WHATWG Fetch, "port blocking").
PORTS_OF_OTHERS = frozenset({21, 22, 23, 25, 53, 110, 139, 143, 389, 465, 514, 587, 636, 993, 995})

_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_NAME = rf"(?:{_LABEL}\.)+[A-Za-z](?:[A-Za-z0-9-]{{0,61}}[A-Za-z0-9])"
_PORT = r"(?::[1-9][0-9]{0,3})?"
_PATH = r"(?:/[A-Za-z0-9._~!$&'()*+,;=:@%/-]*)?(?:\?[A-Za-z0-9._~!$&'()*+,;=:@%/?-]*)?"
_LOOPBACK = r"http://(?:localhost|127\.0\.0\.1|\[::1\])(?::[1-9][0-9]{0,4})?"

# https to a name, or (test mode, when configured) http to this machine itself.
URL = rf"^(?:https://{_NAME}{_PORT}|{_LOOPBACK}){_PATH}\Z"

_STRANGE = re.compile(r"[^A-Za-z0-9._~!$&'()*+,;=:@%/?#\[\]-]")

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
# Names that lead somewhere within one network only: mDNS (RFC 6762), home networks (RFC 8375), and
# what ICANN keeps for private use.
_PRIVATE_NAME = re.compile(r"(?:^|\.)(?:local|internal|home\.arpa)$")
PRIVATE_NAME = "{host} is a name of a private network: webhooks go to public hosts only."

# As system libraries read them: 127.1, 0x7f.1, 2130706433.
_NUMBERS = re.compile(r"(?:0x[0-9a-f]*|[0-9]+)(?:\.(?:0x[0-9a-f]*|[0-9]+)){0,3}\.?")
_PORT_END = r"^[^:]*(?::[0-9]+)?$"
FORM = (
    "Send an https URL with a public host name, a port below 10000 or none, and no user, password "
    "or fragment; spaces and other characters written as %20."
)
EXAMPLE = "https://hooks.shop.example/payments"

_TRANSLATED = ipaddress.IPv6Network("64:ff9b::/96")  # NAT64, RFC 6052.
_COMPATIBLE = ipaddress.IPv6Network("::/96")  # IPv4-compatible, RFC 4291, 2.5.5.1.


class AddressRefused(Exception):
    """
    A webhook may not go there; the message says why and what would be right.
    """


def check_url(url: str, *, loopback: bool) -> None:
    """
    Refuse a URL that is not of the form URL, or could only lead to this machine or its network.

    *loopback* allows both, in test mode.

    Raises:
        AddressRefused: Another form, plain HTTP, a name that means this machine, or a card's
            number in it (of the lengths that an order's number is looked at for: services number
            their hooks with 17 digits and more).
    """
    if card_stands_in(url):
        raise AddressRefused("A card's number stands here: leave it out.")
    if len(url) > URL_CHARACTERS_MAX or not re.match(URL, url):
        raise AddressRefused(_fault_of(url))
    parts = urlsplit(url)
    host = (parts.hostname or "").lower().rstrip(".")
    if parts.scheme != "https" and not loopback:
        raise AddressRefused(
            "Use https: plain http goes to this machine only, in test mode, when the operator "
            "has set [webhooks] allow_loopback."
        )
    if parts.port in PORTS_OF_OTHERS:
        raise AddressRefused(
            f"Port {parts.port} is another service's: leave it out, or correct it."
        )
    if _PRIVATE_NAME.search(host) and not loopback:
        raise AddressRefused(PRIVATE_NAME.format(host=host))
    if (host == "localhost" or host.endswith(".localhost")) and not loopback:
        raise AddressRefused("This name means the gateway's own machine; use a public one.")


def card_stands_in(url: str) -> bool:
    """
    Return whether an address has a card's number in it, also one that is written with %20.
    """
    return holds_card_number(unquote(url), ORDER_LENGTHS)


def _fault_of(url: str) -> str:
    """
    Return what is wrong with a URL that is not of the form URL, in words; the first of all.
    """
    if len(url) > URL_CHARACTERS_MAX:
        return f"This is too long: write up to {URL_CHARACTERS_MAX} characters."
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        return f"This cannot be read as an address: write one such as {EXAMPLE}."
    if private := _private(host):
        return private
    return (
        _fault_of_characters(url, host)
        or _fault_of_beginning(url, parts.scheme, host)
        or _fault_of_rest(url, parts)
    )


def _fault_of_characters(url: str, host: str) -> str | None:
    if "@" in urlsplit(url).netloc:
        return "Leave user and password out: each message is signed instead."
    if _STRANGE.search(host):
        return "Write the host's name with letters a to z, digits, hyphens and dots only."
    strange = _STRANGE.search(url)
    if strange is None:
        return None
    if strange[0].isspace():
        return "A space stands in this: take it out, or write it as %20."
    if not strange[0].isprintable():
        return "A character that cannot be seen stands in this: write the address anew."
    return f"{strange[0]} cannot stand in an address: write it as {quote(strange[0])}."


def _fault_of_beginning(url: str, scheme: str, host: str) -> str | None:
    if scheme == "https" and not url.startswith(scheme):
        return "Write https:// in small letters."
    if scheme != "https":
        return f"Write it with https:// at its beginning, such as {EXAMPLE}."
    return None if host else f"No host is named behind https://: write one, such as {EXAMPLE}."


def _fault_of_rest(url: str, parts: SplitResult) -> str:
    if "#" in url:
        return "Leave # and what follows it out: it is never sent."
    try:
        port = parts.port
    except ValueError:
        port = 0
    if (port is not None and not 1 <= port <= PORT_MAX) or not re.search(_PORT_END, parts.netloc):
        return f"Choose a port from 1 to {PORT_MAX}, in digits, or none."
    return _fault_of_name(parts.hostname or "") or FORM


def _fault_of_name(host: str) -> str | None:
    """
    Return what is wrong with a host that could be a name, and is none of a public machine.
    """
    if _NUMBERS.fullmatch(host):
        return f"An address in numbers is no name: write one such as {EXAMPLE}."
    if "." not in host.rstrip("."):
        return f"Write the host's whole public name, such as {EXAMPLE}."
    if host.endswith("."):
        return "Leave the dot at the end of the host's name out."
    if ".." in host or host.startswith("."):
        return "Two dots stand beside each other in the host's name, or one at its beginning."
    if any(each.startswith("-") or each.endswith("-") for each in host.split(".")):
        return "No part of the host's name begins or ends with a hyphen."
    return None


def _private(host: str) -> str | None:
    """
    Return what is wrong with a host that is an address, and not everybody's, in words.
    """
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return None
    if allowed(str(address), loopback=False):
        return f"An address in numbers is no name: write one such as {EXAMPLE}."
    kind = "of this machine" if address.is_loopback else "in a private or reserved network"
    return f"{address} is an address {kind}: write a public host's name, such as {EXAMPLE}."


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
