"""
Leases: a call holds one connection from its first request to its acknowledgment.

At most `connections_max` exist; who finds none free waits, and then gives up before
anything is written or sent. The one used last is used next, because it is warm.
"""

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Callable, Iterator

import httpx2

from counterfoil_client.limits import Limits


class NoLeaseError(Exception):
    """
    All connections are in use. Never leaves this library.
    """


class Leases:
    """
    The connections of a `Client`.
    """

    def __init__(self, connect: Callable[[], httpx2.Client], limits: Limits) -> None:
        self._connect = connect
        self._limits = limits
        self._free = threading.Semaphore(limits.connections_max)
        self._idle: list[httpx2.Client] = []
        self._guard = threading.Lock()

    @contextlib.contextmanager
    def lease(self) -> Iterator[httpx2.Client]:
        """
        Hold one connection. httpx2 replaces it inside if it died.
        """
        if not self._free.acquire(timeout=self._limits.lease_seconds):
            raise NoLeaseError
        try:
            with self._guard:
                client = self._idle.pop() if self._idle else None
            client = client or self._connect()
            try:
                yield client
            finally:
                with self._guard:
                    self._idle.append(client)
        finally:
            self._free.release()

    def close(self) -> None:
        """
        Wait for the calls in progress, then close every connection.
        """
        for _ in range(self._limits.connections_max):
            self._free.acquire(timeout=self._limits.call_seconds)
        with self._guard:
            for client in self._idle:
                client.close()
            self._idle.clear()


class AsyncLeases:
    """
    The connections of an `AsyncClient`.
    """

    def __init__(self, connect: Callable[[], httpx2.AsyncClient], limits: Limits) -> None:
        self._connect = connect
        self._limits = limits
        self._free = asyncio.Semaphore(limits.connections_max)
        self._idle: list[httpx2.AsyncClient] = []

    @contextlib.asynccontextmanager
    async def lease(self) -> AsyncIterator[httpx2.AsyncClient]:
        """
        Hold one connection. httpx2 replaces it inside if it died.
        """
        try:
            async with asyncio.timeout(self._limits.lease_seconds):
                await self._free.acquire()
        except TimeoutError:
            raise NoLeaseError from None
        client = self._idle.pop() if self._idle else self._connect()
        try:
            yield client
        finally:
            self._idle.append(client)
            self._free.release()

    async def close(self) -> None:
        """
        Wait for the calls in progress, then close every connection.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._limits.call_seconds):
                for _ in range(self._limits.connections_max):
                    await self._free.acquire()
        for client in self._idle:
            await client.aclose()
        self._idle.clear()
