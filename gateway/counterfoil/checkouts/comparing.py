"""
What of a payment page that has arrived is not as it should be: headers, marks, scripts and styles.

What should be there is known from here: the policy and the inventory. What is found in a page is
told by its hash or its name, never as it stands: it may hold anything. A header is told as it came.
"""

import re
from collections.abc import Iterable
from html.parser import HTMLParser
from typing import NamedTuple

from counterfoil.checkouts.inventory import PATH, Listed, integrity_of, of_payment_pages
from counterfoil.checkouts.policy import HEADERS

TEXT_CHARACTERS_MAX = 300
# Headers that a payment page has not, because each lets something in or leads away.
UNWANTED = ("Access-Control-Allow-Origin", "Link", "Refresh", "Service-Worker-Allowed")
# Marks that a payment page has not.
FOREIGN_TAGS = frozenset(
    ("applet", "base", "embed", "frame", "frameset", "iframe", "object", "portal", "style")
)
LINKS = ("icon", "stylesheet")
ADDRESSES = ("action", "data", "formaction", "href", "poster", "src", "srcset", "xlink:href")

# What a browser and a parser may take differently: a comment may hide a script from one of them.
_NO_ELEMENT = re.compile(r"<(?!!doctype html>)[!?]", re.IGNORECASE)
_SCRIPT = re.compile(r"<script", re.IGNORECASE)

Headers = Iterable[tuple[str, str]]


class Difference(NamedTuple):
    """
    One thing that is not as it should be.
    """

    what: str
    expected: str
    found: str


def of_headers(headers: Headers) -> list[Difference]:
    """
    Return the headers that differ from those that we send: changed, doubled, missing, added.
    """
    arrived: dict[str, list[str]] = {}
    for name, text in headers:
        arrived.setdefault(name.lower(), []).append(text.strip())
    wanted = {**{name: [text] for name, text in HEADERS.items()}, **{each: [] for each in UNWANTED}}
    return [
        _difference(f"header {name}", " | ".join(texts), " | ".join(arrived.get(name.lower(), [])))
        for name, texts in wanted.items()
        if arrived.get(name.lower(), []) != texts
    ]


def of_page(html: str) -> list[Difference]:
    """
    Return what in a page's marks differs from the inventory, or stands in no page of ours.
    """
    seen = _Seen()
    seen.feed(html)
    seen.close()
    if _NO_ELEMENT.search(html) or len(_SCRIPT.findall(html)) != seen.scripts:
        seen.add("mark that is no element", "none", integrity_of(html.encode()))
    missing = [
        _difference(f"{_kind(each)} {each.path}", each.integrity, "not in the page")
        for each in of_payment_pages()
        if each.path not in seen.loaded
    ]
    return seen.differences + missing


def of_file(listed: Listed, status: int, content: bytes) -> list[Difference]:
    """
    Return whether a file that was fetched is another one than the inventory lists.
    """
    found = integrity_of(content) if status == 200 else f"status {status}"
    if found == listed.integrity:
        return []
    return [_difference(f"{_kind(listed)} {listed.path}", listed.integrity, found)]


def addresses_of(html: str) -> dict[str, str]:
    """
    Return where the page loads the listed files from: their addresses, by name.
    """
    seen = _Seen()
    seen.feed(html)
    seen.close()
    return {path.removeprefix(PATH): address for path, address in seen.loaded.items()}


class _Seen(HTMLParser):
    """
    Reads a page, and notes what it loads and what should not be there.
    """

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.differences: list[Difference] = []
        self.loaded: dict[str, str] = {}  # Address, by path, of what is listed and has its hash.
        self.scripts = 0
        self._listed = {each.path: each for each in of_payment_pages()}
        self._inline: list[str] | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """
        Look at a mark and its attributes.
        """
        said = {name: text or "" for name, text in attrs}
        if tag == "script":
            self._script(said)
        elif tag == "link":
            self._link(said)
        elif tag in FOREIGN_TAGS:
            self.add(f"mark {tag}", "none", "one")
        elif tag == "meta" and "http-equiv" in said:
            self.add("mark meta with http-equiv", "none", "one")
        for name, text in said.items():
            self._attribute(tag, name, text)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """
        Look at a mark that closes itself.
        """
        self.handle_starttag(tag, attrs)

    def handle_data(self, data: str) -> None:
        """
        Collect a script that is written into the page.
        """
        if self._inline is not None:
            self._inline.append(data)

    def handle_endtag(self, tag: str) -> None:
        """
        Note a script that is written into the page.
        """
        if tag == "script" and self._inline is not None:
            self._note_inline()

    def close(self) -> None:
        """
        End, also where a script has no end.
        """
        super().close()
        if self._inline is not None:
            self._inline.append(self.rawdata or "...")
            self._note_inline()

    def _note_inline(self) -> None:
        text = "".join(self._inline or ())
        self._inline = None
        if text.strip():
            self.add("script in the page", "none", integrity_of(text.encode()))

    def _script(self, said: dict[str, str]) -> None:
        self.scripts += 1
        self._inline = []
        if "src" in said:
            self._loads("script", said["src"], said.get("integrity", ""))

    def _link(self, said: dict[str, str]) -> None:
        kinds = said.get("rel", "").lower().split()
        if "stylesheet" in kinds:
            self._loads("style", said.get("href", ""), said.get("integrity", ""))
        if not kinds or any(each not in LINKS for each in kinds):
            self.add("mark link", " or ".join(LINKS), " ".join(kinds) or "none")

    def _loads(self, kind: str, address: str, integrity: str) -> None:
        path = address.partition("?")[0]
        listed = self._listed.get(path)
        if listed is None or _kind(listed) != kind:
            self.add(f"{kind} that is not listed", "none", integrity_of(address.encode()))
        elif integrity != listed.integrity:
            said = "another" if integrity else "none"
            self.add(f"{kind} {path}", listed.integrity, f"in its tag: {said}")
            self.loaded[path] = address
        else:
            self.loaded[path] = address

    def _attribute(self, tag: str, name: str, text: str) -> None:
        if name.startswith("on"):
            self.add("script in an attribute", "none", integrity_of(text.encode()))
        elif name in ("style", "srcdoc", "ping"):
            self.add(f"attribute {name}", "none", integrity_of(text.encode()))
        elif name in ADDRESSES and not _is_ours(text):
            self.add(f"address in {tag}", "of this site", integrity_of(text.encode()))

    def add(self, what: str, expected: str, found: str) -> None:
        """
        Note a difference.
        """
        self.differences.append(_difference(what, expected, found))


def _is_ours(address: str) -> bool:
    is_path = address.startswith("/") and not address.startswith(("//", "/\\"))
    return is_path or address.startswith("#") or not address


def _kind(listed: Listed) -> str:
    return "script" if listed.is_script else "style"


def _difference(what: str, expected: str, found: str) -> Difference:
    texts = (each[:TEXT_CHARACTERS_MAX] or "none" for each in (what, expected, found))
    return Difference(*texts)
