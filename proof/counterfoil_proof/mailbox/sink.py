"""
A mail server that takes everything and keeps nothing: it stands for one on another machine.

For measurements: what a mail server costs is none of the gateway's, so this one costs little.
"""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from counterfoil_proof.mailbox.smtp import HOST_NAME, SESSIONS_MAX

LINE_BYTES_MAX = 2_000  # RFC 5321, 4.5.3.1: 512 for a command, more with extensions.
TEXT_ENDS = b"\r\n.\r\n"
WELL = b"250 2.0.0 OK\r\n"
ANSWERS = {
    b"EHLO": f"250-{HOST_NAME}\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 SMTPUTF8\r\n".encode(),
    b"DATA": b"354 End with a dot\r\n",
    b"QUIT": b"221 2.0.0 Bye\r\n",
    **dict.fromkeys((b"HELO", b"MAIL", b"RCPT", b"RSET", b"NOOP"), WELL),
}


@asynccontextmanager
async def forgetting_mail(listener: socket.socket) -> AsyncIterator[None]:
    """
    Take mail on *listener* as long as the context is open, and forget it.
    """
    sessions: set[asyncio.Transport] = set()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Session(sessions), sock=listener)
    try:
        yield
    finally:
        server.close()
        for transport in tuple(sessions):
            transport.abort()
        await server.wait_closed()


class _Session(asyncio.Protocol):
    """
    One connection: commands, and the text of a message, which is dropped as it comes.
    """

    def __init__(self, sessions: set[asyncio.Transport]) -> None:
        self._sessions = sessions
        self._unread = b""
        self._unsent: list[bytes] = []
        self._in_text = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """
        Greet, unless there are too many already.
        """
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        if len(self._sessions) >= SESSIONS_MAX:
            transport.write(b"421 4.3.2 Too many connections\r\n")
            transport.close()
            return
        self._sessions.add(transport)
        transport.write(f"220 {HOST_NAME} forgets what it takes\r\n".encode())

    def connection_lost(self, error: Exception | None) -> None:
        """
        Forget the connection.
        """
        self._sessions.discard(self._transport)

    def data_received(self, data: bytes) -> None:
        """
        Answer each command and each end of a text; what came at once is answered at once.
        """
        self._unread += data
        leaves = False
        while not leaves and (self._skip_text() if self._in_text else self._answer_command()):
            leaves = self._unsent[-1] == ANSWERS[b"QUIT"]
        if len(self._unread) > LINE_BYTES_MAX:
            self._unsent.append(b"500 5.5.2 Line too long\r\n")
            leaves = True
        self._transport.write(b"".join(self._unsent))
        self._unsent.clear()
        if leaves:
            self._transport.close()

    def _skip_text(self) -> bool:
        _, end, rest = self._unread.partition(TEXT_ENDS)
        if not end:
            self._unread = self._unread[1 - len(TEXT_ENDS) :]
            return False
        self._unread, self._in_text = rest, False
        self._unsent.append(WELL)
        return True

    def _answer_command(self) -> bool:
        line, end, rest = self._unread.partition(b"\r\n")
        if not end:
            return False
        word = line[:4].upper()
        self._in_text = word == b"DATA"
        # A text that is empty ends with the line end of its command.
        self._unread = end + rest if self._in_text else rest
        self._unsent.append(ANSWERS.get(word, b"500 5.5.1 Unknown\r\n"))
        return True
