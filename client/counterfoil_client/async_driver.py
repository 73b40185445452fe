"""
Drive the core's steps on an event loop, over leased connections.

The journal's writes and their fsync run in a thread of their own.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

import httpx2

from counterfoil_client import connections
from counterfoil_client.calls import NO_LEASE, Calls, account, no_lease
from counterfoil_client.commands import Event, Failure, Intent, Send, Steps, Wait
from counterfoil_client.desk import Desk
from counterfoil_client.errors import (
    ConfigurationError,
    CounterfoilError,
    GatewayUnavailable,
)
from counterfoil_client.journal import Journal
from counterfoil_client.leases import AsyncLeases, NoLeaseError
from counterfoil_client.limits import Limits
from counterfoil_client.results import Payment, Recovered

T = TypeVar("T")
Outcomes = list[Recovered]

_DEFAULTS = Limits()


class AsyncDriver:
    """
    Connections, journal and the loop that carries out steps; no call of its own but `close`.
    """

    def __init__(
        self,
        base_url: str,
        key: str,
        *,
        journal: Path,
        ca: Path | None = None,
        limits: Limits = _DEFAULTS,
    ) -> None:
        access = connections.access(base_url, key, ca, limits)
        self._access = access
        self._calls = Calls(limits)
        self._journal = Journal(Path(journal), account(key))
        self._leases = AsyncLeases(lambda: connections.async_connection(access), limits)
        self._disk = ThreadPoolExecutor(max_workers=1, thread_name_prefix="counterfoil-journal")
        self._closed = False

    async def close(self) -> None:
        """
        Wait for the calls in progress and close. Says that the shop has every outcome.
        """
        await self._close(handed_over=True)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # After an exception the shop may not have stored what it got: recover() tells it again.
        await self._close(handed_over=error is None)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self._access.base_url)!r})"

    async def _move(self, intent: Intent, steps: Steps[Payment], *, own_key: bool) -> Payment:
        return await self._run(steps, no_lease(intent.key, own_key=own_key))

    async def _run(self, steps: Steps[T], busy: CounterfoilError | None = None) -> T:
        """
        Drive *steps* on one lease; raise *busy* if there is none to be had.
        """
        if self._closed:
            raise ConfigurationError("this client is closed")
        self._journal.check_process()
        desk = Desk(self._journal)
        try:
            async with self._leases.lease() as connection:
                return await self._drive(steps, desk, connection)
        except NoLeaseError:
            raise (busy or GatewayUnavailable(NO_LEASE)) from None
        finally:
            # The one disk thread does this after whatever a cancelled step still does there.
            await asyncio.shield(self._on_disk(desk.let_go))

    async def _drive(self, steps: Steps[T], desk: Desk, connection: httpx2.AsyncClient) -> T:
        event: object = None
        while True:
            try:
                command = steps.send(event)
            except StopIteration as done:
                result: T = done.value
                return result
            match command:
                case Send():
                    event = await self._send(connection, command)
                case Wait(seconds):
                    event = None
                    await asyncio.sleep(seconds)
                case _:
                    event = await self._on_disk(partial(desk.do, command))

    async def _send(self, connection: httpx2.AsyncClient, send: Send) -> Event:
        body = connections.Body(send)
        try:
            request = connections.request(connection, send, self._access.limits)
            async with asyncio.timeout(send.seconds):
                response = await connection.send(request, stream=True)
                try:
                    async for chunk in response.aiter_raw():
                        if stopped := body.add(chunk):
                            return stopped
                    return body.answer(response)
                finally:
                    await response.aclose()
        except TimeoutError:
            return Failure(detail="no answer in time", received=True)
        except (httpx2.HTTPError, OSError) as error:
            return connections.failure(error)

    async def _on_disk(self, step: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._disk, step)

    async def _close(self, *, handed_over: bool) -> None:
        if self._closed:
            return
        self._closed = True
        await self._leases.close()
        await self._on_disk(partial(self._journal.close, handed_over=handed_over))
        self._disk.shutdown(wait=False)
