"""
A proxy before PostgreSQL that cuts a connection at a statement: before it ran, or after its COMMIT.

It reads just enough of the protocol to know which statement a Bind is for. What it cuts off is
what a crash, a switchover or a firewall cuts off: the client cannot tell the two apart.
"""

import asyncio
import shutil
import tempfile
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Literal

from counterfoil.store.queries import query

SOCKET = ".s.PGSQL.5432"
READ_BYTES = 65_536
READY, IDLE = b"Z\0\0\0\5", b"I"  # Ready for the next query; in no transaction.

Cut = Literal["not committed", "committed"]


class DatabaseProxy:
    """
    Listens in a folder of its own and passes everything on to the real server's socket.
    """

    def __init__(self, target: str, folder: Path) -> None:
        self.host = str(folder)
        self.cuts = 0
        self._target = target
        self._armed: deque[tuple[str, Cut]] = deque()
        self._pipes: set[_Pipe] = set()
        self._is_away = False

    def cut_at(self, name: str, how: Cut, times: int = 1) -> None:
        """Cut the connections on which the next so many runs of query *name* come."""
        self._armed.extend([(query(name), how)] * times)

    def go_away(self) -> None:
        """Cut every connection and take no more, as a server that is down."""
        self._is_away = True
        for pipe in list(self._pipes):
            pipe.close()

    def come_back(self) -> None:
        """Take connections again."""
        self._is_away = False

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry one connection until either side ends it."""
        if self._is_away:
            writer.close()
            return
        to_server = await asyncio.open_unix_connection(f"{self._target}/{SOCKET}")
        pipe = _Pipe(self, (reader, writer), to_server)
        self._pipes.add(pipe)
        try:
            await pipe.run()
        finally:
            self._pipes.discard(pipe)

    def cut_for(self, statement: str) -> Cut | None:
        """Say whether this run of *statement* is to be cut, and count it."""
        if not self._armed or self._armed[0][0] != statement:
            return None
        self.cuts += 1
        return self._armed.popleft()[1]


class _Pipe:
    """
    One connection, both ways.
    """

    def __init__(
        self,
        proxy: DatabaseProxy,
        client: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        server: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    ) -> None:
        self._proxy = proxy
        self._from_client, self._to_client = client
        self._from_server, self._to_server = server
        self._statements: dict[bytes, str] = {}
        self._in_transaction = False
        self._at_commit: Cut | None = None
        self._swallows = False

    async def run(self) -> None:
        """Carry bytes until one side ends."""
        ways = [asyncio.create_task(self._up()), asyncio.create_task(self._down())]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self.close()
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)

    def close(self) -> None:
        """End both sides."""
        self._to_client.close()
        self._to_server.close()

    async def _up(self) -> None:
        start = await self._from_client.readexactly(4)
        rest = await self._from_client.readexactly(int.from_bytes(start, "big") - 4)
        self._to_server.write(start + rest)
        while True:
            kind = await self._from_client.readexactly(1)
            size = await self._from_client.readexactly(4)
            body = await self._from_client.readexactly(int.from_bytes(size, "big") - 4)
            if kind == b"P":
                name, statement, _ = body.split(b"\0", 2)
                self._statements[name] = statement.decode()
            how = self._cut_at(kind, body)
            if how == "not committed":
                return
            self._swallows = self._swallows or how == "committed"
            self._to_server.write(kind + size + body)

    def _cut_at(self, kind: bytes, body: bytes) -> Cut | None:
        """
        Say whether to cut here: at a statement that commits itself, or at its transaction's COMMIT.
        """
        if kind == b"Q" and body.startswith(b"COMMIT"):
            how, self._at_commit = self._at_commit, None
            return how
        if kind != b"B":
            return None
        _, name, _ = body.split(b"\0", 2)
        how = self._proxy.cut_for(self._statements[name])
        if not self._in_transaction:
            return how
        self._at_commit = self._at_commit or how
        return None

    async def _down(self) -> None:
        while data := await self._from_server.read(READ_BYTES):
            ready = data[-1:] if data[-6:-1] == READY else b""
            if ready:
                self._in_transaction = ready != IDLE
            if not self._swallows:
                self._to_client.write(data)
            elif ready == IDLE:
                return


@asynccontextmanager
async def proxied(
    parameters: dict[str, str],
) -> AsyncIterator[tuple[DatabaseProxy, dict[str, str]]]:
    """
    Lend a proxy before the server of *parameters*, and the parameters that lead through it.
    """
    folder = Path(tempfile.mkdtemp(prefix="cf-proxy-"))
    proxy = DatabaseProxy(parameters["host"], folder)
    server = await asyncio.start_unix_server(proxy.serve, folder / SOCKET)
    try:
        yield proxy, {**parameters, "host": proxy.host}
    finally:
        proxy.go_away()
        server.close()
        shutil.rmtree(folder)
