"""
The gateway process: HTTPS in front, the road behind, a clean end.
"""

import asyncio
import contextlib
import json
import os
import signal
import socket
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import structlog
import uvicorn

from counterfoil.api.application import application
from counterfoil.api.bodies import Readiness
from counterfoil.api.connection import App, Connection
from counterfoil.api.desk import Desk
from counterfoil.listening import BACKLOG, SERVER_OPTIONS, bound, held
from counterfoil.plainly import SaidPlainly
from counterfoil.tls import Identity, server_context

HOLD_TRIES_MAX = 10
HOLD_PAUSE_SECONDS = 0.1
GRACE_SECONDS = 30
API_PORT = "[api] port (COUNTERFOIL_API_PORT)"
CONNECTIONS_MAX = 10_000
PAGES_CONNECTIONS_MAX = 1_000

log = structlog.get_logger("api")


class PortTaken(SaidPlainly):
    """
    Another program listens there.
    """


async def serve(
    desk: Desk,
    checks: Callable[[], Awaitable[Readiness]],
    *,
    listener: socket.socket,
    identity: Identity,
    serving_path: Path,
) -> None:
    """
    Serve HTTPS on *listener* until SIGINT or SIGTERM, then finish what is under way.

    Raises:
        PortTaken: Another program has begun to listen there meanwhile.
    """
    _listen(listener)
    listening = asyncio.create_task(desk.keys.listen())
    server = _server(
        application(desk, checks), identity, Connection, CONNECTIONS_MAX, desk.feed.end_waits
    )
    _announce(serving_path, listener)
    try:
        await server.serve(sockets=[listener])
    finally:
        listening.cancel()
        _retract(serving_path)
        if unfinished := await desk.finish(GRACE_SECONDS):
            log.warning("stopped_with_payments_under_way", payments=unfinished)
        await desk.road.store.drain()


async def serve_pages(
    pages: Any, *, listeners: list[socket.socket], identity: Identity, serving_path: Path
) -> None:
    """
    Serve the ASGI application *pages* over HTTPS on *listeners*, which listen already, until
    SIGINT or SIGTERM, then finish what is under way.
    """
    server = _server(pages, identity, "httptools", PAGES_CONNECTIONS_MAX, lambda: None)
    _announce(serving_path, listeners[0])
    try:
        await server.serve(sockets=listeners)
    finally:
        _retract(serving_path)


class _Server(uvicorn.Server):
    """
    Stops at a signal and returns. Uvicorn's own would then raise the signal once more, and
    the process would end before our own end: the payments under way, the lease, the link.
    """

    def __init__(self, config: uvicorn.Config, on_exit: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_exit = on_exit

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """
        Listen for SIGINT and SIGTERM from now on, until the process has ended.
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._exit, number)
        yield

    def _exit(self, number: int) -> None:
        self._on_exit()
        self.handle_exit(number, None)


def _server(
    app: App, identity: Identity, http: Any, connections_max: int, on_exit: Callable[[], None]
) -> uvicorn.Server:
    config = uvicorn.Config(
        app,
        **SERVER_OPTIONS,
        http=http,
        date_header=True,
        ssl_certfile=str(identity.certificate),
        ssl_keyfile=str(identity.private_key),
        timeout_graceful_shutdown=GRACE_SECONDS,
        limit_concurrency=connections_max,
        backlog=BACKLOG,
    )
    config.load()
    config.ssl = server_context(identity)
    return _Server(config, on_exit)


def bind(host: str, port: int, *, shared: bool = False, setting: str = API_PORT) -> socket.socket:
    """
    Bind the port, before anything else is begun; nobody is listened to yet. Other gateway
    processes of the installation may have a *shared* one too. *setting* says where it was chosen.

    Raises:
        PortTaken: Another program listens there. One that only starts, as we do, is met later:
            `serve` raises the same then.
    """
    try:
        return bound(host, port, shared=shared)
    except OSError as error:
        raise _taken(host, port, error, setting) from error


def hold(host: str, port: int) -> socket.socket:
    """
    Keep the port for the gateway processes that share it, for as long as the socket is open. Port
    0: one that is free; the socket knows which.

    Raises:
        PortTaken: Another program has it, and not only for the moment in which the processes of
            an installation that was killed come to their end.
    """
    for _ in range(HOLD_TRIES_MAX - 1):
        with contextlib.suppress(OSError):
            return held(host, port)
        time.sleep(HOLD_PAUSE_SECONDS)
    try:
        return held(host, port)
    except OSError as error:
        raise _taken(host, port, error) from error


def _listen(listener: socket.socket) -> None:
    """
    Begin to listen: another program may have begun between then and now.
    """
    try:
        listener.listen(BACKLOG)
    except OSError as error:
        host, port = listener.getsockname()[:2]
        raise _taken(host, port, error) from error


def _taken(host: str, port: int, error: OSError, setting: str = API_PORT) -> PortTaken:
    return PortTaken(
        f"cannot listen on {host} port {port}: {error.strerror}. Stop the other program, or set "
        f"{setting}"
    )


def _retract(path: Path) -> None:
    path.unlink(missing_ok=True)


def _announce(path: Path, listener: socket.socket) -> None:
    """
    Say where we listen, for programs and for `doctor`.
    """
    host, port = listener.getsockname()[:2]
    part = path.with_suffix(".part")
    part.write_text(json.dumps({"host": host, "port": port, "pid": os.getpid()}))
    part.rename(path)
    log.info("listening", host=host, port=port)
