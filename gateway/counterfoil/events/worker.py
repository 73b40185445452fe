"""
The worker process: sweeps, forwards, mails; each in a loop of its own.

A fault in one loop is logged and tried again after a pause; it never ends the
others. Any number of workers may run: rows are claimed by lease.
"""

import asyncio
import signal
import time
from collections.abc import Awaitable, Callable

import asyncpg
import msgspec
import structlog

from counterfoil.measures import Measures
from counterfoil.routing.routes import NoRoute
from counterfoil.store.database import DatabaseAway
from counterfoil.vault import VaultClosed

FAULT_SECONDS = 1.0

# What a round may meet and survive; anything else is a defect and ends the worker loudly.
FAULTS = (DatabaseAway, asyncpg.PostgresError, NoRoute, VaultClosed)

log = structlog.get_logger("worker")

Round = Callable[[], Awaitable[int]]


class Duty(msgspec.Struct, frozen=True):
    """
    One thing to do again and again: a round returns how much it did; 0 means pause.

    Attributes:
        finish: Ends what rounds left under way, once there are no more rounds.
    """

    name: str
    round: Round
    pause_seconds: float
    finish: Callable[[], Awaitable[None]] | None = None


async def work(duties: list[Duty], measures: Measures | None = None) -> None:
    """
    Work until SIGINT or SIGTERM; a round that has begun is finished.
    """
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopping.set)
    log.info("working", duties=[each.name for each in duties])
    await asyncio.gather(*(keep_at(each, stopping, measures) for each in duties))


async def keep_at(duty: Duty, stopping: asyncio.Event, measures: Measures | None = None) -> None:
    """
    Do one duty, round after round, until told to stop.
    """
    measures = measures or Measures()
    while not stopping.is_set():
        began = time.monotonic()
        try:
            done = await duty.round()
            pause = 0.0 if done else duty.pause_seconds
            if done:
                measures.duties.of(duty.name).add(time.monotonic() - began)
        except FAULTS as error:
            measures.failures.add(duty.name)
            log.warning("round_failed", duty=duty.name, reason=f"{type(error).__name__}: {error}")
            pause = FAULT_SECONDS
        try:
            await asyncio.wait_for(stopping.wait(), pause)
        except TimeoutError:
            continue
    if duty.finish:
        await duty.finish()
