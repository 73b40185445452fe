"""
What browsers report of pages: read within limits, and stripped of all that may be secret.

A report names the page's whole address, which may hold a token, and may hold a sample of a script
or an address that somebody put a card into. Kept are: which of our pages, which directive of the
policy, and what was refused, by its kind or by the last names or the network of its host.
"""

import ipaddress
import re
from collections import Counter
from collections.abc import Callable, Collection
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import msgspec

from counterfoil.clock import Clock

BODY_BYTES_MAX = 32 * 1024
REPORTS_MAX = 20  # In one body.
TYPES = ("application/csp-report", "application/reports+json", "application/json")

PAGE_MINUTE_MAX = 20  # Reports of one page that are counted within a minute,
MINUTE_MAX = 300  # and of all pages together.
MINUTE_SECONDS = 60.0

OTHER = "other"
OWN_FILE = "a file of this site"
TERMINAL = "/terminal"
OTHER_PAGE = "/"
INTEGRITY = "integrity"
DIRECTIVES = frozenset(
    (
        "base-uri",
        "connect-src",
        "default-src",
        "font-src",
        "form-action",
        "frame-ancestors",
        "frame-src",
        "img-src",
        "manifest-src",
        "media-src",
        "object-src",
        "require-trusted-types-for",
        "script-src",
        "script-src-attr",
        "script-src-elem",
        "style-src",
        "style-src-attr",
        "style-src-elem",
        "trusted-types",
        "worker-src",
    )
)
# What a report names instead of an address.
KINDS = frozenset(
    (
        "inline",
        "eval",
        "wasm-eval",
        "trusted-types-policy",
        "trusted-types-sink",
        "self",
        "data",
        "blob",
        "filesystem",
        "about",
        "javascript",
    )
)
# What is put into a page by the shopper's own browser is no trouble of the page.
EXTENSIONS = frozenset(
    (
        "chrome-extension",
        "moz-extension",
        "safari-extension",
        "safari-web-extension",
        "ms-browser-extension",
        "webkit-masked-url",
        "chrome",
        "resource",
    )
)
NETWORK = ("http", "https", "ws", "wss")
NETWORK_BITS = 32  # Eight digits: a registry gives out no smaller block to a provider.
SHORT_NAME_MAX = 3  # The last but one of `shop.co.uk`: then three names of a host say whose it is.
_NAME = re.compile(r"[a-z0-9-]{1,24}")
_DIGITS = re.compile(r"[0-9]{4}")
_PAGE = re.compile(r"/(c|l)/([A-Za-z0-9_-]{43})(?:/.*)?", re.ASCII)


class ReportedPage(NamedTuple):
    """
    A page that a report is of: its kind, and its token if it has one.
    """

    page: str
    token: str


def payment_page(path: str) -> ReportedPage | None:
    """
    Return which payment page this is; None when it is none of ours.
    """
    found = _PAGE.fullmatch(path)
    return ReportedPage(f"/{found[1]}/{{token}}", found[2]) if found else None


def merchant_page(path: str) -> ReportedPage:
    """
    Return which page of a merchant's this is: the terminal, where cards are typed, or another.
    """
    return ReportedPage(TERMINAL if f"{path}/".startswith(f"{TERMINAL}/") else OTHER_PAGE, "")


class Refusal(NamedTuple):
    """
    What a browser refused: on which of our pages, by which directive, and what.
    """

    page: str
    directive: str
    refused: str


class Report(NamedTuple):
    """
    A refusal, and the page's token by which it is told whose page it was: never kept. A page of a
    merchant's has none.
    """

    token: str
    refusal: Refusal


class Read(NamedTuple):
    """
    What one body held: each report with how often, and how many say nothing of our pages.
    """

    reports: Counter[Report]
    of_extensions: int
    of_strangers: int


class Unreadable(Exception):
    """
    It is no report.
    """


def read(
    body: bytes,
    *,
    origins: Collection[str],
    page_of: Callable[[str], ReportedPage | None] = payment_page,
) -> Read:
    """
    Return what *body* reports of the pages of *origins*, the names of one site; *page_of* says
    which page a path is.

    Raises:
        Unreadable: It is none of the two forms in which browsers report.
    """
    try:
        said = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise Unreadable from None
    found: Counter[Report] = Counter()
    extensions = strangers = 0
    for each in _reports(said)[:REPORTS_MAX]:
        address, source = _text(each, "document-uri", "documentURL"), _sources(each)
        path = _path(address, origins)
        page = page_of(path) if path is not None else None
        if page is None:
            strangers += 1
        elif any(_scheme(text) in EXTENSIONS for text in source):
            extensions += 1
        else:
            what = refused(source[0], origins=origins)
            found[Report(page.token, Refusal(page.page, _directive(each), what))] += 1
    return Read(found, extensions, strangers)


def refused(text: str, *, origins: Collection[str]) -> str:
    """
    Return what was refused, by its kind or the last names of its host.
    """
    scheme = _scheme(text)
    if text in KINDS or scheme in KINDS:
        return text if text in KINDS else scheme
    try:
        parts = urlsplit(text)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return OTHER
    if scheme not in NETWORK or not host:
        return OTHER
    if f"{scheme}://{parts.netloc}" in origins:
        return OWN_FILE
    return f"{scheme}://{_host(host)}" + (f":{port}" if port else "")


def _host(host: str) -> str:
    """
    Return the last names of a host; what stands before may have been made of what was typed. Of
    IPv6 stay the first NETWORK_BITS, which say whose it is and are too few for a card's number.
    """
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        names = host.rstrip(".").split(".")
    else:
        if address.version == 4:
            return str(address)
        return str(ipaddress.ip_network((address, NETWORK_BITS), strict=False))
    is_short = len(names) > 1 and len(names[-2]) <= SHORT_NAME_MAX
    last = names[-3 if is_short else -2 :]
    return ".".join(each if _may_be_kept(each) else "..." for each in last)


def _may_be_kept(name: str) -> bool:
    return _NAME.fullmatch(name) is not None and _DIGITS.search(name) is None


def _reports(said: Any) -> list[dict[str, Any]]:
    """
    Return the bodies of the reports in either form.
    """
    if isinstance(said, dict):
        one = said.get("csp-report")
        bodies: list[Any] = [one]
    elif isinstance(said, list):
        bodies = [_body(each) for each in said]
    else:
        bodies = []
    if not bodies or not all(isinstance(each, dict) for each in bodies):
        raise Unreadable
    return bodies


def _body(report: Any) -> Any:
    """
    Return a report's body, with the page's address in it, and marked if it is of the integrity.
    """
    if not isinstance(report, dict) or not isinstance(report.get("body"), dict):
        return None
    body = {"documentURL": report.get("url"), **report["body"]}
    if report.get("type") == "integrity-violation":
        body["effectiveDirective"] = INTEGRITY
    return body


def _sources(report: dict[str, Any]) -> tuple[str, str]:
    blocked = _text(report, "blocked-uri", "blockedURL")
    return blocked, _text(report, "source-file", "sourceFile")


def _directive(report: dict[str, Any]) -> str:
    said = _text(report, "effective-directive", "effectiveDirective", "violated-directive")
    name = said.partition(" ")[0]
    return name if name in DIRECTIVES or name == INTEGRITY else OTHER


def _text(report: dict[str, Any], *names: str) -> str:
    for name in names:
        if isinstance(value := report.get(name), str):
            return value
    return ""


def _scheme(text: str) -> str:
    return text.partition(":")[0].lower() if ":" in text else text.lower()


def _path(address: str, origins: Collection[str]) -> str | None:
    """
    Return the path of a page of *origins*; None when the address is none, or another site's.
    """
    try:
        parts = urlsplit(address)
    except ValueError:
        return None
    return parts.path if f"{parts.scheme}://{parts.netloc}" in origins else None


class Budget:
    """
    How many reports are counted within a minute: so many of one page, so many of all.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._ends = 0.0
        self._counted: Counter[str] = Counter()

    def takes(self, page: str, times: int) -> bool:
        """
        Count so many reports of a *page*, by its token or its merchant; False when too many.
        """
        now = self._clock.monotonic()
        if now >= self._ends:
            self._counted.clear()
            self._ends = now + MINUTE_SECONDS
        all_together, of_page = self._counted.total() + times, self._counted[page] + times
        if all_together > MINUTE_MAX or of_page > PAGE_MINUTE_MAX:
            return False
        self._counted[page] = of_page
        return True
