"""
Finds one example of every page that a signed-in person can reach by links.
"""

import re
from collections.abc import Iterable, Iterator
from urllib.parse import urlsplit

from counterfoil.web.visit import Page as Route
from playwright.async_api import Page

PAGES_MAX = 200
_LINKS = "[...document.querySelectorAll('a[href]')].map(each => each.href)"
_NAME = re.compile(r"\\\{\w+\\\}")


class Crawl:
    """
    Walks from link to link, to each of *routes* once; files to be saved are left alone.
    """

    def __init__(self, routes: Iterable[Route], origin: str) -> None:
        self._origin = origin
        self._patterns = {
            each.path: re.compile(_NAME.sub("[^/]+", re.escape(each.path)))
            for each in routes
            if each.method == "GET" and not each.path.endswith((".csv", ".pdf", ".json", ".svg"))
        }
        self._seen: set[str] = set()
        self.found: list[str] = []

    async def walk(self, page: Page, first: str = "/") -> list[str]:
        """Return the address of one page of each route that links lead to, in their order."""
        waiting = [f"{self._origin}{first}"]
        while waiting and len(self.found) < PAGES_MAX:
            address = waiting.pop(0)
            await page.goto(address)
            for link in (page.url, *await page.evaluate(_LINKS)):
                for new in self._news(link):
                    self.found.append(new)
                    waiting.append(new)
        return self.found

    def unseen(self) -> set[str]:
        """Return the routes that no link led to."""
        return set(self._patterns) - self._seen

    def _news(self, link: str) -> Iterator[str]:
        parts = urlsplit(link)
        if f"{parts.scheme}://{parts.netloc}" != self._origin:
            return
        for route, pattern in self._patterns.items():
            if route not in self._seen and pattern.fullmatch(parts.path):
                self._seen.add(route)
                yield link.partition("#")[0]
