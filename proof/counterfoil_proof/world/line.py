"""
One connection to the database server, without an event loop: send a statement, wait, read.

While a statement runs the world stands still, so nothing else could be done meanwhile. asyncpg does
the speaking; what it waits for is read from the socket by a plain blocking call. That costs a
third of what a turn of a second event loop costs, for each of the statements of a universe.
"""

import asyncio
import os
import socket
from collections.abc import Coroutine
from typing import Any, TypeVar

import asyncpg

T = TypeVar("T")

READ_BYTES_MAX = 256 * 1024


class Line:
    """
    A connection that was opened on an event loop, and is no longer read by it.
    """

    def __init__(
        self,
        connection: "asyncpg.Connection[asyncpg.Record]",
        transport: asyncio.Transport,
        protocol: asyncio.Protocol,
    ) -> None:
        transport.pause_reading()
        opened = transport.get_extra_info("socket")
        self.connection = connection
        self._heard = protocol.data_received
        self._socket = socket.socket(fileno=os.dup(opened.fileno()))
        self._socket.setblocking(True)  # For the transport too: it is the same open socket.

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """
        Carry out *work*, which waits for nothing but this connection.

        Raises:
            ConnectionResetError: The server has gone.
        """
        try:
            while True:
                waits_for = work.send(None)
                if waits_for is None:  # A pause for others, of whom there are none.
                    continue
                waits_for._asyncio_future_blocking = False
                while not waits_for.done():
                    self._read()
        except StopIteration as end:
            result: T = end.value
            return result

    def close(self) -> None:
        """
        Hang up.
        """
        self.connection.terminate()
        self._socket.close()

    def _read(self) -> None:
        data = self._socket.recv(READ_BYTES_MAX)
        if not data:
            raise ConnectionResetError("the database server of the world has gone")
        self._heard(data)
