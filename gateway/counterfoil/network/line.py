"""
One line to an acquirer: connects, signs on, listens for silence, and connects again.

A line is what stays when connections come and go. No message but the sign-on itself leaves
before the host has accepted it, and a request for a key if its MACs are wrong; a host that
says nothing for a while is asked for an echo.
"""

import asyncio
import math
import random
import socket
import ssl
from collections.abc import Callable
from typing import Any

from counterfoil.network.connection import Connection
from counterfoil.network.hub import Hub
from counterfoil.network.mac_codec import WrongMac
from counterfoil.network.message import Fields, Message, MessageError
from counterfoil.network.mux import Exchange
from counterfoil.network.outcome import Answered, Outcome
from counterfoil.network.tls import Tls

SIGN_ON, SIGN_OFF, ECHO = "001", "002", "301"  # Field 70, protocols 1.8.
NETWORK_MANAGEMENT_REQUEST = "0800"
NETWORK_MANAGEMENT_ANSWER = "0810"
KEY_EXCHANGE = ("101", "161")  # Working keys come from a file, not over the line.
ACCEPTED = "00"
NOT_SUPPORTED = "40"
ECHOED = (7, 11, 15, 32, 33, 70)  # What an 0810 gives back of an 0800.


class Line:
    """
    One line; `run` keeps it up until it is cancelled.

    Attributes:
        connection: The present connection, if any.
        signed_on: Whether the host accepts requests on it.
        wrong_macs: How many messages had a wrong MAC since the start.
    """

    def __init__(
        self,
        number: int,
        hub: Hub,
        *,
        tls: ssl.SSLContext | None,
        chance: Callable[[], float] = random.random,
        sockets: Callable[[int, int], socket.socket] = socket.socket,
    ) -> None:
        self.number = number
        self.hub = hub
        self.connection: Connection | None = None
        self.signed_on = False
        self._tls = tls
        self._chance = chance
        self._sockets = sockets
        self._sign_on_at = 0.0
        self.wrong_macs = 0
        self._wrong_in_a_row = 0  # Also over several connections.
        self._key_asked: asyncio.Future[Outcome] | None = None
        self._woken: asyncio.Future[None] | None = None  # Ends the wait for an echo early.

    async def run(self) -> None:
        """
        Connect and sign on, again and again, with growing pauses in between.
        """
        settings = self.hub.settings
        pause = settings.reconnect_seconds_first
        while True:
            if await self._session():
                pause = settings.reconnect_seconds_first
            swing = settings.reconnect_jitter * (2 * self._chance() - 1)
            await asyncio.sleep(pause * (1 + swing))
            pause = min(2 * pause, settings.reconnect_seconds_max)

    async def sign_off(self) -> None:
        """
        Tell the host that we go.
        """
        if self.signed_on and self.connection is not None:
            self._sign_on_at = math.inf
            self._now_signed_off()
            await self._manage(self.connection, SIGN_OFF, self.hub.settings.sign_off_seconds)

    async def _session(self) -> bool:
        """
        Keep one connection until it is lost; say whether the host accepted our sign-on.
        """
        try:
            async with asyncio.timeout(self.hub.settings.connect_seconds):
                connection = await self._connect()
        except (OSError, TimeoutError) as error:
            self.hub.event("connect_failed", line=self.number, reason=_reason(error))
            return False
        self.connection = connection
        self.hub.event("link_up", line=self.number)
        try:
            if not await self._sign_on(connection):
                return False
            await self._watch(connection)
            return True
        finally:
            connection.close("the line was stopped")
            self.connection = None

    async def _connect(self) -> Connection:
        """
        Open a connection to the first address of the host that takes one.
        """
        settings = self.hub.settings
        addresses = await asyncio.get_running_loop().getaddrinfo(
            settings.host, settings.port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP
        )
        failure = OSError("the host has no address")
        for family, _, _, _, address in addresses:
            try:
                return await self._connect_to(family, address)
            except OSError as error:
                failure = error
        raise failure

    async def _connect_to(self, family: int, address: tuple[Any, ...]) -> Connection:
        """
        Open a connection to *address*, with TLS if there is to be any.
        """
        settings = self.hub.settings
        loop = asyncio.get_running_loop()
        sock = self._sockets(family, socket.SOCK_STREAM)
        try:
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if hasattr(socket, "TCP_USER_TIMEOUT"):
                milliseconds = int(settings.unacknowledged_seconds * 1000)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, milliseconds)
            await loop.sock_connect(sock, address)
            tls = None
            if self._tls is not None:
                tls = Tls(self._tls, settings.host)
                await tls.handshake(sock)
            return Connection(
                sock,
                self,
                clock=self.hub.clock,
                framing=self.hub.dialect.framing,
                queue_max=settings.queue_messages_max,
                tls=tls,
            )
        except BaseException:
            sock.close()
            raise

    async def _sign_on(self, connection: Connection) -> bool:
        """
        Sign on, and say whether the host accepted it; if not, the connection is closed.
        """
        outcome = await self._manage(connection, SIGN_ON, self.hub.settings.sign_on_seconds)
        if isinstance(outcome, Answered) and outcome.response_code == ACCEPTED:
            self._now_signed_on()
            return True
        if not connection.closed.done():
            refused = isinstance(outcome, Answered)
            connection.close("the sign-on was " + ("refused" if refused else "not answered"))
        return False

    def _now_signed_on(self) -> None:
        """
        Open the line for requests.
        """
        if not self.signed_on:
            self.signed_on = True
            self.hub.event("signed_on", line=self.number)
            self.hub.signed_on_changed()

    def _now_signed_off(self) -> None:
        """
        Close the line for requests.
        """
        if self.signed_on:
            self.signed_on = False
            self.hub.event("signed_off", line=self.number)
            self.hub.signed_on_changed()

    async def _watch(self, connection: Connection) -> None:
        """
        Ask for an echo when the host is silent; return when the connection is lost.
        """
        settings = self.hub.settings
        loop = asyncio.get_running_loop()
        misses = 0
        while not connection.closed.done():
            quiet_until = connection.last_inbound + settings.echo_after_seconds
            wake_at = quiet_until if self.signed_on else min(quiet_until, self._sign_on_at)
            if wake_at > loop.time():
                self._woken = loop.create_future()
                either: list[asyncio.Future[Any]] = [connection.closed, self._woken]
                await asyncio.wait(
                    either,
                    timeout=wake_at - loop.time(),
                    return_when=asyncio.FIRST_COMPLETED,
                )
                misses = 0
            elif not self.signed_on and self._sign_on_at <= loop.time():
                await self._sign_on(connection)
            else:
                misses = await self._echo(connection, misses)

    async def _echo(self, connection: Connection, misses: int) -> int:
        """
        Ask for one echo and return how many in a row are missed; one too many closes.
        """
        settings = self.hub.settings
        heard_at = connection.last_inbound
        await self._manage(connection, ECHO, settings.echo_answer_seconds)
        if connection.last_inbound > heard_at:
            return 0
        misses += 1
        self.hub.event("echo_missed", line=self.number, misses=misses)
        if misses >= settings.echo_misses_max:
            connection.close(f"the host left {misses} echo requests unanswered")
        return misses

    async def _manage(self, connection: Connection, code: str, seconds: float) -> Outcome:
        """
        Send one 0800 with *code* in field 70 and return its outcome.
        """
        return await self._ask(connection, code, seconds)

    def _ask(self, connection: Connection, code: str, seconds: float) -> "asyncio.Future[Outcome]":
        """
        Send one 0800 with *code* in field 70; the future gets its outcome.
        """
        fields: Fields = {
            7: self.hub.clock.now().strftime("%m%d%H%M%S"),
            11: self.hub.next_stan(),
            33: self.hub.settings.institution_id,
            70: code,
        }
        return self.hub.submit(
            connection,
            NETWORK_MANAGEMENT_REQUEST,
            fields,
            send_before=self.hub.clock.monotonic() + seconds,
            answer_within=seconds,
        )

    def wrote(self, exchange: Exchange) -> None:
        """Pass on what the connection tells."""
        self.hub.wrote(exchange)

    def not_sent(self, exchange: Exchange, reason: str) -> None:
        """Pass on what the connection tells."""
        self.hub.not_sent(exchange, reason)

    def lost(self, reason: str) -> None:
        """Close the line for requests until it is connected again."""
        self._now_signed_off()
        assert self.connection is not None
        self.hub.lost(self.connection, reason)
        self.hub.event("link_down", line=self.number, reason=reason)

    def received(self, wire: bytes) -> None:
        """Read one message; answer it if it is an 0800, else pass it on."""
        assert self.connection is not None
        try:
            message = self.hub.dialect.codec.decode(wire)
        except MessageError as error:
            self.hub.event("bad_frame", line=self.number, field=error.field, reason=str(error))
            self.connection.close(f"what arrived cannot be read: {error}")
            return
        except WrongMac as error:
            self._refuse(self.connection, error)
            return
        self._wrong_in_a_row = 0
        if message.mti[:3] == NETWORK_MANAGEMENT_REQUEST[:3]:
            self._answer(self.connection, message)
        else:
            self.hub.received(message)

    def _refuse(self, connection: Connection, error: WrongMac) -> None:
        """
        Count a message with a wrong MAC and act on nothing in it; ask for a new key if there
        are several in a row.
        """
        row = self.hub.dialect.profile.mac
        assert row is not None, "only a dialect with a MAC finds one wrong"
        self.wrong_macs += 1
        self._wrong_in_a_row += 1
        self.hub.event(
            "bad_mac",
            line=self.number,
            mti=error.mti,
            reason=str(error),
            in_a_row=self._wrong_in_a_row,
        )
        asked = self._key_asked is not None and not self._key_asked.done()
        if self._wrong_in_a_row >= row.failures_max and not asked:
            self._wrong_in_a_row = 0
            self.hub.event("key_requested", line=self.number, code=row.key_request)
            seconds = self.hub.settings.key_request_seconds
            self._key_asked = self._ask(connection, row.key_request, seconds)

    def _answer(self, connection: Connection, request: Message) -> None:
        """
        Answer the host's 0800: yes, also when we are signed off; but a key that we did not
        take must not be thought agreed on.
        """
        code = request.text(70)
        fields = {number: request.fields[number] for number in ECHOED if number in request.fields}
        fields[39] = NOT_SUPPORTED if code in KEY_EXCHANGE else ACCEPTED
        wire = self.hub.dialect.codec.encode(NETWORK_MANAGEMENT_ANSWER, fields)
        frame = self.hub.dialect.framing.frame(wire)
        reply = Exchange(
            NETWORK_MANAGEMENT_ANSWER,
            fields,
            frame,
            send_before=self.hub.clock.monotonic() + self.hub.settings.echo_answer_seconds,
        )
        connection.send(reply)
        self.hub.event(
            "key_refused" if code in KEY_EXCHANGE else "network_management",
            line=self.number,
            code=code,
        )
        if code == SIGN_ON:
            self._now_signed_on()
        elif code == SIGN_OFF and self.signed_on:
            self._now_signed_off()
            loop = asyncio.get_running_loop()
            self._sign_on_at = loop.time() + self.hub.settings.sign_on_again_seconds
            if self._woken is not None and not self._woken.done():
                self._woken.set_result(None)


def _reason(error: Exception) -> str:
    """
    Return what went wrong while connecting, in a few words.
    """
    if isinstance(error, TimeoutError) and not error.args:
        return "no connection in time"
    return str(error)
