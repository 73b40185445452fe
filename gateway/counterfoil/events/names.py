"""
The names of webhook endpoints, looked up apart from everything else.

A merchant chooses the name, and with it the name server, which may say nothing for half a
minute. The system's look-up cannot be ended, so each takes a thread until it ends by itself:
of threads that only webhooks use, so that neither the line to an acquirer nor the mail waits.
"""

import asyncio
import socket
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

LOOKED_UP_AT_ONCE_MAX = 64


class Names:
    """
    Looks names up, one look-up of a name at a time: whoever asks meanwhile waits for the same.
    """

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(LOOKED_UP_AT_ONCE_MAX, "webhook-names")
        self._under_way: dict[tuple[str, int], asyncio.Future[list[Any]]] = {}

    async def resolve(self, host: str, port: int) -> list[str]:
        """
        Return the addresses of a name, in the system's order.

        Raises:
            TimeoutError: Too many others are being looked up.
            OSError: It has none.
        """
        found = await asyncio.shield(self._look_up(host, port))
        return list(dict.fromkeys(str(info[4][0]) for info in found))

    def _look_up(self, host: str, port: int) -> "asyncio.Future[list[Any]]":
        name = (host, port)
        if known := self._under_way.get(name):
            return known
        if len(self._under_way) >= LOOKED_UP_AT_ONCE_MAX:
            raise TimeoutError(f"{LOOKED_UP_AT_ONCE_MAX} others are being looked up")
        ask = partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
        asked = asyncio.get_running_loop().run_in_executor(self._threads, ask)
        self._under_way[name] = asked
        asked.add_done_callback(partial(self._ended, name))
        return asked

    def _ended(self, name: tuple[str, int], asked: "asyncio.Future[list[Any]]") -> None:
        del self._under_way[name]
        if not asked.cancelled():
            asked.exception()  # Whoever waited has it; perhaps nobody waited so long.
