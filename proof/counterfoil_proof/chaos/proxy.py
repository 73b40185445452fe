"""
A TCP proxy that breaks connections in the ways in which networks do.

`pass` is a network that works. `reset` ends what stands and takes nothing new; `stall` holds
every byte back, in both directions; `half` lets requests through and holds the answers back, as a
half-open connection does; `drop` swallows what is sent meanwhile: when the network is well again,
what stood is broken, because bytes are missing.
"""

import asyncio
import contextlib
import socket
import struct
from collections.abc import Sequence
from typing import Literal

Mode = Literal["pass", "reset", "stall", "half", "drop"]
Address = tuple[str, int]

READ_BYTES_MAX = 65_536
CONNECTIONS_MAX = 500
CONNECT_SECONDS_MAX = 2.0
LOOPBACK = "127.0.0.1"
_RESET_AT_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER with no time: close sends RST.


class Proxy:
    """
    Listens on a port of its own and forwards to the targets in turn; a dead one is passed over.
    """

    def __init__(self, port: int, targets: Sequence[Address]) -> None:
        self.port = port
        self.connections = 0
        self._targets = list(targets)
        self._next = 0
        self._mode: Mode = "pass"
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._broken: set[_Pair] = set()
        self._pairs: set[_Pair] = set()
        self._server: asyncio.Server | None = None

    async def open(self) -> None:
        """
        Begin to listen.
        """
        self._server = await asyncio.start_server(self._serve, LOOPBACK, self.port)

    async def close(self) -> None:
        """
        End every connection and listen no more.
        """
        if self._server is not None:
            self._server.close()
        self._flowing.set()
        for pair in list(self._pairs):
            pair.reset()

    @property
    def mode(self) -> Mode:
        """
        How the network is now.
        """
        return self._mode

    def set(self, mode: Mode) -> None:
        """
        Let the network be so from now on.
        """
        if self._mode == "drop" and mode != "drop":
            for pair in list(self._broken):
                pair.reset()
            self._broken.clear()
        self._mode = mode
        if mode in ("stall", "half"):
            self._flowing.clear()
        else:
            self._flowing.set()
        if mode == "reset":
            for pair in list(self._pairs):
                pair.reset()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._mode == "reset" or len(self._pairs) >= CONNECTIONS_MAX:
            _reset(writer)
            return
        try:
            there = await self._connect()
        except (OSError, TimeoutError):
            _reset(writer)
            return
        self.connections += 1
        pair = _Pair(writer, there[1])
        self._pairs.add(pair)
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(self._pump(reader, there[1], pair, is_answer=False))
                both.create_task(self._pump(there[0], writer, pair, is_answer=True))
        except* (OSError, EOFError):
            pass
        finally:
            self._pairs.discard(pair)
            self._broken.discard(pair)
            pair.reset()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """
        Connect to the next target that listens.
        """
        failure: Exception = OSError("nobody listens")
        for _ in self._targets:
            host, port = self._targets[self._next % len(self._targets)]
            self._next += 1
            try:
                return await asyncio.wait_for(
                    asyncio.open_connection(host, port), CONNECT_SECONDS_MAX
                )
            except (OSError, TimeoutError) as error:
                failure = error
        raise failure

    async def _pump(
        self,
        source: asyncio.StreamReader,
        sink: asyncio.StreamWriter,
        pair: "_Pair",
        *,
        is_answer: bool,
    ) -> None:
        """
        Forward one direction until its end, which ends the other one, too.
        """
        while data := await source.read(READ_BYTES_MAX):
            if self._mode == "stall" or (self._mode == "half" and is_answer):
                await self._flowing.wait()
            if self._mode == "drop":
                self._broken.add(pair)
                continue
            sink.write(data)
            await sink.drain()
        raise EOFError


class _Pair:
    """
    The two halves of one forwarded connection.
    """

    def __init__(self, here: asyncio.StreamWriter, there: asyncio.StreamWriter) -> None:
        self._both = (here, there)

    def reset(self) -> None:
        """
        End both halves at once.
        """
        for writer in self._both:
            _reset(writer)


def _reset(writer: asyncio.StreamWriter) -> None:
    """
    Close with RST: nobody is told politely that it is over.
    """
    sock = writer.get_extra_info("socket")
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_AT_CLOSE)
    writer.transport.abort()
