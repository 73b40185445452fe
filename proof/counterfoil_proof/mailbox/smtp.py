"""
The mailbox's SMTP side: takes a message for anybody, answers 250 when it is on disk.
"""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiosmtpd.smtp import SMTP, Envelope, Session

from counterfoil_proof.mailbox.messages import (
    MESSAGE_BYTES_MAX,
    RECIPIENTS_MAX,
    MailboxFullError,
    Messages,
)

IDLE_SECONDS_MAX = 60
SESSIONS_MAX = 100
HOST_NAME = "mailbox.sandbox"


class Handler:
    """
    What the SMTP server asks at each step.
    """

    def __init__(self, messages: Messages) -> None:
        self._messages = messages

    async def handle_EHLO(  # noqa: N802 (the library's name)
        self, server: SMTP, session: Session, envelope: Envelope, name: str, said: list[str]
    ) -> list[str]:
        """
        Say also that commands may come together (RFC 2920): they are read one by one.
        """
        session.host_name = name
        return [said[0], "250-PIPELINING", *said[1:]]

    async def handle_RCPT(  # noqa: N802 (the library's name)
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        """
        Take any recipient, up to the most a message may have.
        """
        if len(envelope.rcpt_tos) >= RECIPIENTS_MAX:
            return "452 4.5.3 Too many recipients"
        envelope.rcpt_tos.append(address)
        envelope.rcpt_options.extend(options)
        return "250 2.1.5 OK"

    async def handle_DATA(  # noqa: N802 (the library's name)
        self, server: SMTP, session: Session, envelope: Envelope
    ) -> str:
        """
        Keep the message, and only then say so.
        """
        content = envelope.original_content or b""
        try:
            name = await self._messages.keep(envelope.mail_from or "", envelope.rcpt_tos, content)
        except MailboxFullError:
            return "452 4.2.2 The sandbox mailbox is full"
        except OSError:
            return "451 4.3.0 The message could not be stored; try again"
        return f"250 2.0.0 Kept as {name}"


@asynccontextmanager
async def taking_mail(messages: Messages, listener: socket.socket) -> AsyncIterator[None]:
    """
    Take mail on *listener* as long as the context is open.
    """
    sessions: set[asyncio.Transport] = set()
    server = await asyncio.get_running_loop().create_server(
        lambda: _Session(Handler(messages), sessions), sock=listener
    )
    try:
        yield
    finally:
        server.close()
        for transport in tuple(sessions):
            transport.abort()
        await server.wait_closed()


class _Session(SMTP):
    """
    One connection; counted, so that a stop ends it and a flood does not pile up.
    """

    def __init__(self, handler: Handler, sessions: set[asyncio.Transport]) -> None:
        super().__init__(
            handler,
            data_size_limit=MESSAGE_BYTES_MAX,
            enable_SMTPUTF8=True,
            hostname=HOST_NAME,
            ident="Counterfoil sandbox mailbox",
            timeout=IDLE_SECONDS_MAX,
        )
        self._sessions = sessions

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """
        Begin, unless there are too many already.
        """
        assert isinstance(transport, asyncio.Transport)
        if len(self._sessions) >= SESSIONS_MAX:
            transport.write(b"421 4.3.2 Too many connections\r\n")
            transport.close()
            return
        self._sessions.add(transport)
        super().connection_made(transport)

    def connection_lost(self, error: Exception | None) -> None:
        """
        Forget the connection.
        """
        if self.transport in self._sessions:
            self._sessions.discard(self.transport)
            super().connection_lost(error)
