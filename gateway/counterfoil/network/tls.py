"""
TLS to an acquirer, over a socket that we write to ourselves.

Python's own TLS transports buffer what they are given, and a buffered request could leave
after its deadline. Here encryption is a pair of byte buffers: what `encrypt` returns goes
to the socket in the same synchronous step.
"""

import asyncio
import socket
import ssl
from pathlib import Path

READ_BYTES = 65_536


def client_context(
    authority: Path | None = None, *, certificate: Path | None = None, key: Path | None = None
) -> ssl.SSLContext:
    """
    Return a context for TLS 1.2 or newer that verifies the acquirer.

    *authority* replaces the system's authorities; *certificate* and *key* are what the
    acquirer knows us by, if it asks.
    """
    context = ssl.create_default_context(cafile=authority)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if certificate is not None:
        context.load_cert_chain(certificate, key)
    return context


class Tls:
    """
    One TLS session as a client: plain text on one side, records on the other.
    """

    def __init__(self, context: ssl.SSLContext, server_name: str) -> None:
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._session = context.wrap_bio(
            self._incoming, self._outgoing, server_hostname=server_name
        )

    async def handshake(self, sock: socket.socket) -> None:
        """
        Shake hands over *sock*, which is connected and non-blocking.

        Raises:
            OSError: The connection broke, or the certificate is not to be trusted
                (`ssl.SSLError` is an OSError).
        """
        loop = asyncio.get_running_loop()
        while True:
            try:
                self._session.do_handshake()
            except ssl.SSLWantReadError:
                await loop.sock_sendall(sock, self._outgoing.read())
                data = await loop.sock_recv(sock, READ_BYTES)
                if not data:
                    raise ConnectionResetError("closed during the TLS handshake") from None
                self._incoming.write(data)
            else:
                await loop.sock_sendall(sock, self._outgoing.read())
                return

    def encrypt(self, data: bytes) -> bytes:
        """
        Return the records that carry *data*, after anything the session itself has to say.
        """
        self._session.write(data)
        return self._outgoing.read()

    def decrypt(self, records: bytes) -> bytes:
        """
        Return what is readable after *records* arrived: nothing, if a record is incomplete.

        Raises:
            ssl.SSLError: The records are not genuine, or the session was closed.
        """
        self._incoming.write(records)
        plain = bytearray()
        try:
            while chunk := self._session.read(READ_BYTES):
                plain += chunk
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError:
            if not plain:
                raise
        return bytes(plain)

    def pending(self) -> bytes:
        """
        Return records that the session has to send by itself (a key update's answer).
        """
        return self._outgoing.read()
