"""
The look at the payment pages, once an hour, over the public address, as a browser gets them.

PCI DSS 11.6.1. It fetches the specimen, which is made like every payment page and takes nothing,
and the page of one open checkout, if there is one; then each script and style that they load. A
page that is looked at has no row, no try and no payment for it. What differs from policy and
inventory is an alarm, and stays one until a person has seen to it.
"""

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path

import httpcore2
import msgspec
import structlog

from counterfoil.checkouts import comparing
from counterfoil.checkouts.checkout import page_token
from counterfoil.checkouts.comparing import Difference, Headers
from counterfoil.checkouts.inventory import of_payment_pages
from counterfoil.checkouts.policy import SPECIMEN
from counterfoil.clock import Clock
from counterfoil.config import Configuration
from counterfoil.outside.alarms import Bell
from counterfoil.store.page_looks import PageLookStore
from counterfoil.tls import identity_in
from counterfoil.vault import Vault

LOOK_EVERY = timedelta(hours=1)  # PCI DSS 11.6.1 asks for one a week.
TRY_AGAIN_AFTER = timedelta(minutes=1)
STALE_AFTER = timedelta(hours=3)
OPEN_FOR = timedelta(minutes=5)  # A page that closes sooner is not looked at.
FETCH_SECONDS_MAX = 10.0
PAGE_BYTES_MAX = 1_000_000
REASON_CHARACTERS_MAX = 300
CHANGED = "payment_pages_changed"
NOT_SEEN = "payment_pages_not_seen"
# What a browser says: whoever serves others another page than us must not know us by this.
AS_A_BROWSER = {
    "Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
    "Accept-Language": "en-US,en;q=0.9",
    "Sec-Fetch-Dest": "document",
    "Sec-Fetch-Mode": "navigate",
    "Sec-Fetch-Site": "none",
    "Upgrade-Insecure-Requests": "1",
    "User-Agent": "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 "
    "(KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36",
}

log = structlog.get_logger("pages")


class Fetched(msgspec.Struct, frozen=True):
    """
    What came for an address.
    """

    status: int
    headers: list[tuple[str, str]]
    body: bytes


class NotFetched(Exception):
    """
    Nothing came; the sentence says why.
    """


Fetch = Callable[[str], Awaitable[Fetched]]


class Look:
    """
    Looks for one process. *fetch* gets what is at an address of the payment pages.
    """

    def __init__(
        self, store: PageLookStore, vault: Vault, clock: Clock, *, origin: str, fetch: Fetch
    ) -> None:
        self._store = store
        self._vault = vault
        self._clock = clock
        self._origin = origin
        self._fetch = fetch
        self._bell = Bell(clock)

    async def look_if_due(self) -> int:
        """
        Look, if the last time was LOOK_EVERY ago and nobody else does it; return 0: then pause.
        """
        now = self._clock.now()
        if await self._store.begin(now, every=LOOK_EVERY, again=TRY_AGAIN_AFTER):
            await self.look()
        return 0

    async def look(self) -> list[Difference] | None:
        """
        Look now, and keep what was found; None when the specimen could not be fetched.
        """
        try:
            found = await self._differences()
        except NotFetched as error:
            await self._not_seen(str(error)[:REASON_CHARACTERS_MAX])
            return None
        await self._store.end(self._clock.now(), found)
        self._bell.quiet(NOT_SEEN)
        if waits := [row["what"] for row in await self._store.open()]:
            self._bell.ring(CHANGED, what=waits, see="counterfoil pages look")
        else:
            self._bell.quiet(CHANGED)
        return found

    async def _not_seen(self, reason: str) -> None:
        await self._store.fail(self._clock.now(), reason)
        last = await self._store.last()
        if last is not None and last.is_older_than(STALE_AFTER, self._clock.now()):
            self._bell.ring(NOT_SEEN, reason=reason)

    async def _differences(self) -> list[Difference]:
        specimen = await self._fetched(SPECIMEN)
        if 300 <= specimen.status < 400:
            return [Difference(f"page {SPECIMEN}", "status 200", f"status {specimen.status}")]
        if specimen.status != 200:
            raise NotFetched(f"{self._origin}{SPECIMEN} answers with status {specimen.status}")
        addresses = comparing.addresses_of(_text(specimen))
        found = _of(specimen)
        page = await self._open_page()
        if page is not None:
            found += _of(page)
            addresses |= comparing.addresses_of(_text(page))
        for each in of_payment_pages():
            file = await self._fetched(addresses.get(each.file, each.path))
            found += comparing.of_file(each, file.status, file.body)
        return list(dict.fromkeys(found))

    async def _open_page(self) -> Fetched | None:
        """
        Return the page of an open checkout; None when there is none, or it was not open after all.
        """
        open_one = await self._store.open_checkout(self._clock.now() + OPEN_FOR)
        if open_one is None:
            return None
        page = await self._fetched(f"/c/{page_token(self._vault, *open_one)}")
        return page if page.status == 200 and b'class="card pay-form"' in page.body else None

    async def _fetched(self, path: str) -> Fetched:
        return await self._fetch(f"{self._origin}{path}")


def _of(page: Fetched) -> list[Difference]:
    return comparing.of_headers(page.headers) + comparing.of_page(_text(page))


def _text(page: Fetched) -> str:
    return page.body.decode("utf-8", "replace")


async def fetch_over_https(configuration: Configuration, url: str) -> Fetched:
    """
    Return what is at *url*, over a connection of its own.

    Raises:
        NotFetched: Nothing came, too much, or from somebody whose certificate is not believed.
    """
    try:
        async with asyncio.timeout(FETCH_SECONDS_MAX):
            return await _fetched(configuration, url)
    except TimeoutError:
        raise NotFetched(f"no answer within {FETCH_SECONDS_MAX:g} s") from None
    except (
        httpcore2.TimeoutException,
        httpcore2.NetworkError,
        httpcore2.ProtocolError,
        ssl.SSLError,
        OSError,
    ) as error:
        raise NotFetched(f"{type(error).__name__}: {error}") from None


async def _fetched(configuration: Configuration, url: str) -> Fetched:
    context = await asyncio.to_thread(_trusting, configuration)
    headers = [(name.encode(), text.encode()) for name, text in AS_A_BROWSER.items()]
    async with (
        httpcore2.AsyncConnectionPool(ssl_context=context) as pool,
        pool.stream("GET", url, headers=headers) as answer,
    ):
        body = b""
        async for part in answer.aiter_stream():
            body += part
            if len(body) > PAGE_BYTES_MAX:
                raise NotFetched(f"more than {PAGE_BYTES_MAX} bytes came")
        said: Headers = (
            (name.decode("latin-1"), text.decode("latin-1")) for name, text in answer.headers
        )
        return Fetched(answer.status, list(said), body)


def _trusting(configuration: Configuration) -> ssl.SSLContext:
    """
    Return what believes the system's authorities, and the certificate that this machine serves.
    """
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    own = identity_in(configuration.folder / "tls").authority
    served = Path(configuration.api.certificate) if configuration.api.certificate else own
    if served is not None and served.exists():
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        context.load_verify_locations(served)
    return context
