"""
The listener for monitors: /metrics, /healthz and /readyz of one process, on a port of its own.

Not on the API's port: behind a proxy everybody comes from the loopback, and what a shop's
payments come to is nobody else's business. Every process has one, the worker too. A port that is
taken stops nothing: payments are worth more than their counts.
"""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import msgspec
import structlog
import uvicorn

from counterfoil.listening import SERVER_OPTIONS, bound

LISTENERS_CONNECTIONS_MAX = 32
KEEP_ALIVE_SECONDS = 5
STOP_SECONDS_MAX = 2.0

Scope = dict[str, Any]  # ASGI's, as uvicorn hands it over.
Send = Callable[[dict[str, Any]], Awaitable[None]]

# A path's page: status, content type, body.
Page = tuple[int, str, bytes]
Pages = dict[str, Callable[[], Awaitable[Page]]]

log = structlog.get_logger("metrics")


def json_page(status: int, content: msgspec.Struct) -> Page:
    """
    Return *content* as a page.
    """
    return status, "application/json", msgspec.json.encode(content)


class _Server(uvicorn.Server):
    """
    Leaves the process's signals to the process.
    """

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """
        Capture none.
        """
        yield


@contextlib.asynccontextmanager
async def listening(pages: Pages, host: str, port: int) -> AsyncIterator[None]:
    """
    Serve *pages* over plain HTTP on *host* and *port* while the block runs; port 0: not at all.
    """
    listener = _bind(host, port) if port else None
    if listener is None:
        yield
        return
    server = _Server(
        uvicorn.Config(
            _application(pages),
            **SERVER_OPTIONS,
            http="httptools",
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=int(STOP_SECONDS_MAX),
            limit_concurrency=LISTENERS_CONNECTIONS_MAX,
        )
    )
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    serving.add_done_callback(_ended)
    log.info("metrics_served", host=host, port=listener.getsockname()[1])
    try:
        yield
    finally:
        server.should_exit = True
        _, late = await asyncio.wait({serving}, timeout=STOP_SECONDS_MAX)
        for each in late:
            each.cancel()


def _bind(host: str, port: int) -> socket.socket | None:
    try:
        listener = bound(host, port)
        listener.listen(LISTENERS_CONNECTIONS_MAX)
    except OSError as error:
        log.error(
            "metrics_not_served",
            host=host,
            port=port,
            reason=f"{error.strerror}: choose another port in [metrics]; payments go on",
        )
        return None
    return listener


def _ended(serving: "asyncio.Task[None]") -> None:
    if not serving.cancelled() and (fault := serving.exception()):
        log.error("metrics_not_served", reason=f"{type(fault).__name__}; payments go on")


def _application(pages: Pages) -> Callable[[Scope, object, Send], Awaitable[None]]:
    async def answer(scope: Scope, _: object, send: Send) -> None:
        assert scope["type"] == "http", "neither websockets nor a lifespan are served"
        page = pages.get(scope["path"])
        if page is None:
            status, kind, body = 404, "text/plain", ("There is: " + ", ".join(pages)).encode()
        elif scope["method"] not in ("GET", "HEAD"):
            status, kind, body = 405, "text/plain", b"Only GET."
        else:
            status, kind, body = await page()
        headers = [(b"content-type", kind.encode()), (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        body = b"" if scope["method"] == "HEAD" else body
        await send({"type": "http.response.body", "body": body})

    return answer
