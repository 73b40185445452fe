"""
One rail as a process: opens its folder, listens, and stops cleanly when it is told to.
"""

import asyncio
import contextlib
import os
import signal
import sqlite3
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from counterfoil_rail.books import Books
from counterfoil_rail.clock import Clock, system_clock
from counterfoil_rail.closings import Closings
from counterfoil_rail.control import ControlPort
from counterfoil_rail.dialects import GW87, Dialect
from counterfoil_rail.faults import Faults
from counterfoil_rail.holds import HOLD_SECONDS
from counterfoil_rail.host import AcquirerHost
from counterfoil_rail.issuer import DelayRange, Issuers
from counterfoil_rail.link import ECHO_IDLE_SECONDS, Link
from counterfoil_rail.log import Log
from counterfoil_rail.settlement.day import BusinessDays
from counterfoil_rail.store import (
    account_key,
    locked,
    open_writable,
    prepare_folder,
    rail_folder,
    write_private_json,
)

SERVING_FILE = "serving.json"
BACKLOG_MAX = 64


@dataclass(frozen=True, slots=True)
class Settings:
    """
    How a rail is run. Port 0 takes a free one; a seed repeats delays and approval codes;
    *statements* None leaves the forms of bank statements as they were.

    For simulations: *card_key* None keeps the folder's own key of the card references;
    without *is_durable* commits are not synced to the disk.
    """

    state: Path
    host: str = "127.0.0.1"
    port: int = 0
    issuer_delay: DelayRange = field(default_factory=DelayRange)
    seed: int | None = None
    faults: Mapping[str, str] = field(default_factory=dict)
    idle_seconds: float = ECHO_IDLE_SECONDS
    clock: Clock = system_clock
    statements: str | None = None
    hold_seconds: float = HOLD_SECONDS
    dialect: Dialect = GW87
    card_key: bytes | None = None
    is_durable: bool = True


@dataclass(frozen=True, slots=True)
class Rail:
    """
    A rail that is open; with port 0 it has no socket, and `Link(rail.host)` connects to it.
    """

    host: AcquirerHost
    faults: Faults
    days: BusinessDays
    port: int = 0


@contextlib.contextmanager
def opened(settings: Settings, log: Log) -> Iterator[Rail]:
    """
    Open a rail without any socket; at the end it stops as if its process had died.

    All its time is the settings' clock and the loop's timers, all its chance their seed.

    Raises:
        StoreError: Its folder cannot be used.
        FaultError: A fault of the settings is not one.
    """
    folder = prepare_folder(settings.state)
    with locked(folder):
        connection = open_writable(folder, is_durable=settings.is_durable)
        books = Books(connection)
        try:
            rail = _assemble(settings, books, connection, folder, log)
            try:
                yield rail
            finally:
                rail.host.stop()
        finally:
            books.close()


@contextlib.asynccontextmanager
async def running(settings: Settings, log: Log) -> AsyncIterator[Rail]:
    """
    Run a rail for as long as the context lasts.

    Raises:
        StoreError: Its folder cannot be used.
        FaultError: A fault of the settings is not one.
        OSError: Its address cannot be had.
    """
    folder = rail_folder(settings.state)
    with opened(settings, log) as rail:
        control = ControlPort(rail.host, rail.faults, rail.days, log)
        async with _listening(settings, rail.host, control, folder, log) as port:
            yield replace(rail, port=port)


async def serve(settings: Settings, log: Log) -> None:
    """
    Run a rail until SIGTERM or SIGINT.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signal_number, stop.set)
    async with running(settings, log):
        await stop.wait()
    log.event("stopped")


@contextlib.asynccontextmanager
async def _listening(
    settings: Settings, host: AcquirerHost, control: ControlPort, folder: Path, log: Log
) -> AsyncIterator[int]:
    """
    Listen for gateways and for the control port; write down where.
    """
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: Link(host, idle_seconds=settings.idle_seconds),
        settings.host,
        settings.port,
        backlog=BACKLOG_MAX,
    )
    try:
        await control.open(folder)
        port = int(server.sockets[0].getsockname()[1])
        where = {"host": settings.host, "port": port, "pid": os.getpid()}
        write_private_json(folder / SERVING_FILE, where)
        log.event("listening", **where, dialect=settings.dialect.name)
        yield port
    finally:
        (folder / SERVING_FILE).unlink(missing_ok=True)
        control.close(folder)
        server.close()
        host.finish()
        for link in list(host.links):
            link.close("stopping")
        await asyncio.sleep(0)  # Lets the links hear of their end before the books close.


def _assemble(
    settings: Settings, books: Books, connection: sqlite3.Connection, folder: Path, log: Log
) -> Rail:
    faults = _faults(settings)
    days = BusinessDays(
        books,
        connection,
        folder,
        faults=faults,
        clock=settings.clock,
        statements=settings.statements,
    )
    host = AcquirerHost(
        books,
        closings=Closings(connection),
        today=lambda: days.today,
        card_key=settings.card_key or account_key(folder, connection),
        issuers=Issuers(seed=settings.seed),
        faults=faults,
        clock=settings.clock,
        log=log,
        hold_seconds=settings.hold_seconds,
        dialect=settings.dialect,
    )
    host.expire_holds()
    return Rail(host, faults, days)


def _faults(settings: Settings) -> Faults:
    faults = Faults(settings.issuer_delay)
    for name, value in settings.faults.items():
        faults.set(name, value)
    return faults
