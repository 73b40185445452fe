"""
A receiver of webhooks on this machine: it keeps what comes, and answers by a script.
"""

import asyncio
import json
import ssl
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple


class Received(NamedTuple):
    """One message as it arrived."""

    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Receiver:
    """
    Answers with the next status of its script, and 200 when there is none left.

    A status of 0 hangs up without an answer; of -1 never answers.
    """

    def __init__(self, *script: int) -> None:
        self.script = deque(script)
        self.received: list[Received] = []
        self.answer = b""
        self.more = ""
        self.port = 0
        self.at_once = 0
        self.at_once_max = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hooks"

    @asynccontextmanager
    async def serving(self, tls: ssl.SSLContext | None = None) -> AsyncIterator["Receiver"]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=tls)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                headers = {
                    name.strip().lower(): value.strip()
                    for name, _, value in (line.partition(":") for line in head.split("\r\n")[1:])
                }
                body = await reader.readexactly(int(headers["content-length"]))
                self.received.append(Received(headers, body))
                self.at_once += 1
                self.at_once_max = max(self.at_once, self.at_once_max)
                status = self.script.popleft() if self.script else 200
                if status < 0:
                    await asyncio.sleep(60)
                self.at_once -= 1
                if status == 0:
                    return
                writer.write(
                    f"HTTP/1.1 {status} Told\r\nContent-Length: {len(self.answer)}\r\n"
                    f"{self.more}\r\n".encode()
                    + self.answer
                )
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            writer.close()
