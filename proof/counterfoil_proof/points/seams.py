"""
The seams of the product at which points stand, put on from outside.

    query NAME       a writing query, by `Database.rows`, `many` or `row`, or on a lent connection
    commit NAME      the end of a transaction of several; NAME is its first query
    migration N      one file of a migration, on a lent connection
    link write MTI   a message handed to the kernel
    reply OPERATION  an answer of the API, at its first and after its last byte
    request OPERATION  the client's own request, before it leaves and after its answer
    journal STATE    a durable step of the client's journal
    mail send        one e-mail, handed to the mail server
    webhook send     one hint, posted to the merchant

each `before` and `after`. `installed()` puts them on and takes them off again; without points
in the context (`point.current`) they cost a look and do nothing.
"""

import asyncio
import contextlib
import functools
from collections.abc import Callable, Iterator
from typing import Any

from counterfoil.api.connection import App, Exchange
from counterfoil.api.exchange import Request, Response
from counterfoil.events.posting import Poster
from counterfoil.network.connection import Connection
from counterfoil.network.line import Line
from counterfoil.receipts.mail import Mailer
from counterfoil.store.database import IN_DOUBT, Database, DatabaseAway, Lock
from counterfoil.store.migrate import migrations
from counterfoil.store.queries import query
from counterfoil_client.async_client import AsyncClient
from counterfoil_client.client import Client
from counterfoil_client.journal import Journal

from counterfoil_proof.points import catalogue
from counterfoil_proof.points.lent import Lent
from counterfoil_proof.points.point import around, current, reach

TURNS_UNTIL_SENT = 3  # Of the event loop: what was written to a transport is with the kernel then.


@contextlib.contextmanager
def installed() -> Iterator[None]:
    """
    Put a point at every seam, and take them all off again.
    """
    with contextlib.ExitStack() as stack:
        for owner, name, wrap in _SEAMS:
            plain = getattr(owner, name)
            stack.callback(setattr, owner, name, plain)
            setattr(owner, name, functools.wraps(plain)(wrap(plain)))
        yield


def _rows(plain: Any) -> Any:
    async def rows(self: Database, name: str, *arguments: Any, **options: Any) -> Any:
        points = current()
        if points is None or not catalogue.writes(name):
            return await plain(self, name, *arguments, **options)
        if points.rehearses and points.waits_at(f"query {name} before"):
            return await _rehearsed(self, name, arguments, options.get("lock"))
        if not points.rehearses:
            points.reach(f"query {name} before")
        found = await plain(self, name, *arguments, **options)
        if points.rehearses and (found or not catalogue.tells(name)):
            points.reach(f"query {name} before")
        if found or not catalogue.tells(name):
            points.reach(f"query {name} after")
        return found

    return rows


async def _rehearsed(
    database: Database, name: str, arguments: tuple[Any, ...], lock: Lock | None
) -> Any:
    """
    Run a query whose `before` is armed, and pass that point between the statement and its COMMIT.

    A worker asks many queries again and again in vain; only one that changes something passes.
    """
    try:
        async with database.acquire() as lent:
            connection = lent.connection if isinstance(lent, Lent) else lent
            async with connection.transaction():
                if lock is not None:
                    await connection.fetch(query(lock.name), *lock.arguments)
                found = await connection.fetch(query(name), *arguments)
                if found or not catalogue.tells(name):
                    reach(f"query {name} before")
    except IN_DOUBT as error:
        raise DatabaseAway(f"no answer to {name}: {type(error).__name__}") from error
    if found or not catalogue.tells(name):
        reach(f"query {name} after")
    return found


def _acquire(plain: Any) -> Any:
    def acquire(self: Database) -> Any:
        lending = plain(self)
        return lending if current() is None else _lent(lending)

    return acquire


@contextlib.asynccontextmanager
async def _lent(lending: Any) -> Any:
    async with lending as connection:
        yield Lent(connection, _names())


@functools.cache
def _names() -> dict[str, str]:
    """
    Return what each statement that changes something is called, by its text.
    """
    named = {query(name): f"query {name}" for name in catalogue.queries() if catalogue.writes(name)}
    return named | {each.text: f"migration {each.number}" for each in migrations()}


def _send(plain: Any) -> Any:
    def send(self: Connection, exchange: Any) -> Any:
        reach(f"link write {exchange.mti} before")
        return plain(self, exchange)

    return send


def _wrote(plain: Any) -> Any:
    def wrote(self: Line, exchange: Any) -> None:
        plain(self, exchange)
        reach(f"link write {exchange.mti} after")

    return wrote


def _run(plain: Any) -> Any:
    async def run(self: Exchange, app: App) -> None:
        name = catalogue.operation(self.request.method, self.request.path)
        if name is None:
            await plain(self, app)
            return

        async def watched(request: Request) -> Response:
            response = await app(request)
            reach(f"reply {name} before")
            return response

        await plain(self, watched)
        await _turns()
        reach(f"reply {name} after")

    return run


async def _turns() -> None:
    if current() is not None:
        for _ in range(TURNS_UNTIL_SENT):
            await asyncio.sleep(0)


def _requested(plain: Any) -> Any:
    def _send(self: Client, connection: Any, send: Any) -> Any:
        with around(_request(send)):
            return plain(self, connection, send)

    return _send


def _requested_later(plain: Any) -> Any:
    async def _send(self: AsyncClient, connection: Any, send: Any) -> Any:
        with around(_request(send)):
            return await plain(self, connection, send)

    return _send


def _request(send: Any) -> str:
    return f"request {catalogue.operation(send.method, send.path) or send.path}"


def _step(name: str) -> Callable[[Any], Any]:
    """
    Return a wrapper for one durable step of the journal.
    """

    def wrap(plain: Any) -> Any:
        def step(self: Journal, *arguments: Any, **options: Any) -> Any:
            with around(f"journal {name}"):
                return plain(self, *arguments, **options)

        return step

    return wrap


def _recorded(plain: Any) -> Any:
    def record(self: Journal, key: str, state: Any, payment: Any) -> None:
        with around(f"journal {state}"):
            plain(self, key, state, payment)

    return record


def _mailer(plain: Any) -> Any:
    def __init__(self: Mailer, *arguments: Any, **options: Any) -> None:  # noqa: N807
        plain(self, *arguments, **options)
        self._deliver = _delivered(self._deliver)

    return __init__


def _posted(plain: Any) -> Any:
    async def post(self: Poster, *arguments: Any) -> Any:
        with around("webhook send"):
            return await plain(self, *arguments)

    return post


def _delivered(plain: Any) -> Any:
    async def deliver(letter: Any) -> None:
        with around("mail send"):
            await plain(letter)

    return deliver


_SEAMS: list[tuple[Any, str, Callable[[Any], Any]]] = [
    (Database, "rows", _rows),
    (Database, "acquire", _acquire),
    (Connection, "send", _send),
    (Line, "wrote", _wrote),
    (Exchange, "run", _run),
    (Client, "_send", _requested),
    (AsyncClient, "_send", _requested_later),
    (Journal, "begin", _step("intended")),
    (Journal, "record", _recorded),
    (Journal, "reclaim", _step("reclaimed")),
    (Journal, "release", _step("released")),
    (Journal, "leftovers", _step("told again")),
    (Journal, "close", _step("handed over")),
    (Mailer, "__init__", _mailer),
    (Poster, "post", _posted),
]
