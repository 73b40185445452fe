"""
Put the shop together: books, client, till and pages. The only module that knows them all.
"""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from counterfoil_client import AsyncClient
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware

from counterfoil_shop import pages
from counterfoil_shop.books import Books
from counterfoil_shop.guards import LOOPBACK_HOSTS, SHOP_HEADERS, Logged, WithHeaders
from counterfoil_shop.till import Till


def build(folder: Path, *, gateway: str, key: str, authority: Path | None) -> Starlette:
    """
    The shop whose books and journal are in *folder* and which charges through *gateway*.

    Raises:
        ConfigurationError: No client can be made of the address, the key and the authority.
        JournalFailed: The client's journal cannot be opened.
    """
    books = Books(books_path(folder))
    client = AsyncClient(gateway, key, ca=authority, journal=folder / "journal.db")

    @contextlib.asynccontextmanager
    async def opened(app: Starlette) -> AsyncIterator[None]:
        with contextlib.closing(books):
            async with client, Till(books, client) as till:
                app.state.till = till
                yield

    return Starlette(
        routes=pages.ROUTES,
        exception_handlers=pages.FAULTS,
        lifespan=opened,
        middleware=[
            Middleware(Logged),
            Middleware(WithHeaders, headers=SHOP_HEADERS),
            Middleware(TrustedHostMiddleware, allowed_hosts=LOOPBACK_HOSTS, www_redirect=False),
        ],
    )


def folder_of(state: Path) -> Path:
    """
    The shop's own folder below the demo's.
    """
    return state / "shop"


def books_path(folder: Path) -> Path:
    """
    Where the order book lies in the shop's folder.
    """
    return folder / "orders.db"
