"""
What an endpoint has at hand: the road of a payment, the keys, the limits.
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Literal, TypeVar
from uuid import UUID

import structlog

from counterfoil.api.authenticate import authenticate
from counterfoil.api.exchange import Request
from counterfoil.api.problems import Problem
from counterfoil.checkouts.opening import Checkouts
from counterfoil.events.endpoints import Endpoints
from counterfoil.events.feed import Feed
from counterfoil.payments.refusals import Refused
from counterfoil.payments.road import Road
from counterfoil.routing.routes import NoRoute
from counterfoil.store.batches import BatchStore
from counterfoil.store.database import DatabaseAway
from counterfoil.store.deposits import DepositStore
from counterfoil.store.merchants import ApiKey, KeyCache
from counterfoil.store.search import SearchStore
from counterfoil.store.writer import QueueFull

RETRY_SECONDS = 1
EXPECTED = (Refused, Problem, DatabaseAway, QueueFull, NoRoute)

log = structlog.get_logger("api")

T = TypeVar("T")


class Desk:
    """
    Shared by all requests of one gateway process.
    """

    def __init__(
        self,
        *,
        road: Road,
        keys: KeyCache,
        batches: BatchStore,
        deposits: DepositStore,
        feed: Feed,
        endpoints: Endpoints,
        checkouts: Checkouts,
        search: Callable[[UUID], SearchStore],
        mode: Literal["test", "live"],
        body_bytes_max: int,
        payments_at_once_max: int,
    ) -> None:
        self.road = road
        self.keys = keys
        self.batches = batches
        self.deposits = deposits
        self.feed = feed
        self.endpoints = endpoints
        self.checkouts = checkouts
        self.search = search  # Of one merchant.
        self.mode = mode
        self.body_bytes_max = body_bytes_max
        self._at_once_max = payments_at_once_max
        self._tasks: set[asyncio.Task[Any]] = set()
        self._stopping = False

    async def money_task(
        self, work: Coroutine[Any, Any, T], *, seconds_max: float | None = None
    ) -> T:
        """
        Run *work* in a task of its own: a client that hangs up does not stop money half-way.

        Raises:
            TimeoutError: It was still under way after *seconds_max*, and goes on.
            Problem: Too many are under way, or the process is stopping; nothing was begun.
        """
        if self._stopping or len(self._tasks) >= self._at_once_max:
            work.close()
            code = "stopping" if self._stopping else "busy"
            raise Problem(code, "Nothing was begun; try again.", retry_after_seconds=RETRY_SECONDS)
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        if not await _is_done(task, seconds_max):
            raise TimeoutError
        return task.result()

    @property
    def under_way(self) -> int:
        """
        How many requests that move money have no answer yet.
        """
        return len(self._tasks)

    async def finish(self, seconds_max: float) -> int:
        """
        Take no more work and wait for what is under way; return how much did not end in time.
        """
        self._stopping = True
        if not self._tasks:
            return 0
        _, unfinished = await asyncio.wait(set(self._tasks), timeout=seconds_max)
        return len(unfinished)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (fault := task.exception()) and not isinstance(fault, EXPECTED):
            # Its caller may have hung up, so it is told here too; type only, values may be secret.
            log.error("money_task_failed", type=type(fault).__name__)


async def _is_done(task: asyncio.Task[Any], seconds_max: float | None) -> bool:
    """
    Wait for *task*, and say whether it has ended; who waits may be cancelled, the task goes on.

    What asyncio has for it (`shield` within `timeout`, or `wait`) costs twice as much, and stands
    on the road of every payment.
    """
    loop = asyncio.get_running_loop()
    told: asyncio.Future[None] = loop.create_future()

    def tell(_: object = None) -> None:
        if not told.done():
            told.set_result(None)

    task.add_done_callback(tell)
    patience = loop.call_later(seconds_max, tell) if seconds_max is not None else None
    try:
        await told
    finally:
        task.remove_done_callback(tell)
        if patience is not None:
            patience.cancel()
    return task.done()


async def caller(request: Request, desk: Desk) -> ApiKey:
    """
    Return the key with which *request* was made.
    """
    return await authenticate(request, desk.keys, desk.mode, desk.road.clock)
