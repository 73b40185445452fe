"""
Serve an app on this machine's own loopback address, and say where.

The demo's pages speak plain HTTP and therefore to this machine only: another host is
refused. The sandbox mailbox, the shop's neighbour in the demo, serves its pages with the
same functions.
"""

import asyncio
import contextlib
import fcntl
import ipaddress
import json
import logging
import os
import signal
import socket
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import uvicorn
from starlette.types import ASGIApp

from counterfoil_shop import log

CONNECTIONS_MAX = 256
STOP_SECONDS_MAX = 5  # For answers under way when a stop is asked for.
BACKLOG = 128

_logger = logging.getLogger(__name__)


class CannotListenError(Exception):
    """
    The host is not this machine's own, or the port is taken. The message says what to do.
    """


class AlreadyRunningError(RuntimeError):
    """
    Another process of the same kind works in this folder; stop that one first.
    """


def listen(host: str, port: int) -> socket.socket:
    """
    Bind *port* of the loopback address *host*; port 0 lets the system choose.

    Raises:
        CannotListenError: Other machines could reach that host, or the port is taken.
    """
    address = ipaddress.ip_address("127.0.0.1" if host == "localhost" else _address(host))
    if not address.is_loopback:
        raise CannotListenError(
            f"{host} is not a loopback address; plain HTTP is for 127.0.0.1 only."
        )
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((str(address), port))
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise CannotListenError(f"{host}:{port}: {error.strerror}; choose another port.") from None
    listener.setblocking(False)
    return listener


async def serve(app: ASGIApp, listener: socket.socket, on_ready: Callable[[], None]) -> None:
    """
    Serve *app* until SIGTERM or SIGINT; *on_ready* is called once it answers.
    """
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        limit_concurrency=CONNECTIONS_MAX,
        timeout_graceful_shutdown=STOP_SECONDS_MAX,
        lifespan="on",
    )
    await _Server(config, on_ready).serve(sockets=[listener])


def port_of(listener: socket.socket) -> int:
    """
    The port that *listener* is bound to.
    """
    return int(listener.getsockname()[1])


@contextlib.contextmanager
def alone(folder: Path) -> Iterator[None]:
    """
    Hold *folder*, made private to this user, for this process alone.

    Raises:
        AlreadyRunningError: Another process holds it.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        raise AlreadyRunningError(f"Another process already serves {folder}.") from None
    try:
        yield
    finally:
        os.close(lock)


@contextlib.contextmanager
def announced(path: Path, facts: Mapping[str, object]) -> Iterator[Callable[[], None]]:
    """
    Keep the file *path* with *facts* while something serves: gone before, gone afterwards.

    Yields the function that writes it, in one step: a reader sees all of it or no file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)

    def announce() -> None:
        _write_at_once(path, facts)
        log.event(_logger, "serving", **facts)

    try:
        yield announce
    finally:
        path.unlink(missing_ok=True)


class _Server(uvicorn.Server):
    """
    A server that says when it is ready and that ends a stop by signal with exit code 0.
    """

    def __init__(self, config: uvicorn.Config, on_ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_ready = on_ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """
        Start, then announce.
        """
        await super().startup(sockets)
        if self.started:
            self._on_ready()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """
        Take SIGTERM and SIGINT as wishes to stop, and do not raise them again afterwards.
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.handle_exit, number, None)
        try:
            yield
        finally:
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.remove_signal_handler(number)


def _address(host: str) -> str:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        raise CannotListenError(f"{host} is no loopback address; use 127.0.0.1.") from None
    return host


def _write_at_once(path: Path, facts: Mapping[str, object]) -> None:
    draft = path.with_suffix(".tmp")
    with draft.open("w") as file:
        json.dump(dict(facts), file)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
