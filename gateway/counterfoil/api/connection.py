"""
A client's connection: uvicorn's, with an end to everything that a stranger could draw out, and
with our own exchange of request and answer in place of ASGI's messages.

An answer goes out in one piece: one record of TLS, one write. While a connection is busy no timer
is set for it; one that waits is looked at when the first of its waits may be over.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from urllib.parse import unquote

import httptools
import structlog
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from counterfoil.api.exchange import ClientGone, Request, Response

KEEP_ALIVE_SECONDS = 75
FAREWELL_SECONDS_MAX = 1.0  # For an idle client to answer the end of its TLS session; most do not.
HEADER_BYTES_MAX = 16_384
HEADER_SECONDS_MAX = 20.0
READ_BYTES = 262_144  # What one read may bring of the body that follows the headers.
MESSAGE_BYTES_MAX = 8_388_608  # Twice what is read of a body that is thrown away.
UNREAD_SECONDS_MAX = 75.0  # For a client to read an answer, before it gets the next one.

App = Callable[[Request], Awaitable[Response]]

log = structlog.get_logger("api")


class Exchange:
    """
    One request and its answer on a connection. What uvicorn's protocol looks at has its names:
    `body`, `more_body`, `message_event`, `disconnected`, `response_complete`, `keep_alive`.
    """

    __slots__ = (
        "_done", "_flow", "_more_headers", "_transport", "_waits_for_100", "body", "disconnected",
        "keep_alive", "message_event", "more_body", "request", "response_complete",
    )  # fmt: skip

    def __init__(self, connection: "Connection", *, keep_alive: bool, expects_100: bool) -> None:
        self.request: Request
        self.body = bytearray()
        self.more_body = True
        self.message_event = asyncio.Event()
        self.disconnected = False
        self.response_complete = False
        self.keep_alive = keep_alive
        self._waits_for_100 = expects_100
        self._transport = connection.transport
        self._flow: FlowControl = connection.flow
        self._more_headers = connection.server_state.default_headers
        self._done = connection.on_response_complete

    async def run(self, app: App) -> None:
        """
        Let *app* answer. A fault of its own, or a process that waits no longer, is a bare 500.
        """
        try:
            answer = self._written(await app(self.request))
        except BaseException as error:  # noqa: BLE001 - also a task that is ended by uvicorn.
            log.error("request_not_answered", type=type(error).__name__)
            answer = self._written(_bare(500))
        try:
            if self._flow.write_paused and not self.disconnected:
                await self._until_read()
            if not self.disconnected:
                self._send(answer)
        finally:
            del self.request, self._done  # Rings, which only the garbage collector would find.

    async def _until_read(self) -> None:
        """
        Wait until the client has read what it was sent; one that does not is let go.
        """
        try:
            async with asyncio.timeout(UNREAD_SECONDS_MAX):
                await self._flow.drain()
        except TimeoutError:
            self.disconnected = True
            self._transport.abort()

    def _written(self, response: Response) -> bytes:
        if response.headers.get("connection") == "close":
            self.keep_alive = False
        if self._waits_for_100 and self.more_body:
            self.keep_alive = False  # Nobody knows whether a body follows, or the next request.
        return response.written(
            self.request.method, self._more_headers, keeps_alive=self.keep_alive
        )

    def _send(self, answer: bytes) -> None:
        self._waits_for_100 = False
        self._transport.write(answer)
        self.response_complete = True
        self.message_event.set()
        if not self.keep_alive:
            self._transport.close()
        self._done()

    def at_hand(self) -> bytes | None:
        """
        Return the body if all of it is here.
        """
        if self.more_body or self.disconnected:
            return None
        return bytes(self.body)

    async def part(self) -> tuple[bytes, bool]:
        """
        Wait for the next part of the body; return it, and whether there are more.

        Raises:
            ClientGone: The connection has ended.
        """
        if self._waits_for_100 and not self._transport.is_closing():
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            self._waits_for_100 = False
        if not self.disconnected:
            self._flow.resume_reading()
            await self.message_event.wait()
            self.message_event.clear()
        if self.disconnected:
            raise ClientGone
        part = bytes(self.body)
        self.body.clear()
        return part, self.more_body


class Connection(HttpToolsProtocol):
    """
    HTTP with an end to what a stranger may send before the request begins: bytes and seconds; to
    how long an idle client is waited for, and one whose request was answered before its body came;
    and, when the process stops, one that says nothing more.
    """

    app: App
    cycle: Exchange | None  # type: ignore[assignment]
    pipeline: deque[Exchange]  # type: ignore[assignment]

    _current: Exchange | None = None  # Being answered; `cycle` is the last one that has begun.
    _is_deaf = False  # What comes is no HTTP any more: nothing of it is looked at.
    _in_headers = True
    _bytes = 0  # Of the message that comes in.
    _headers_by: float | None = None
    _idle_by: float | None = None
    _look_at = 0.0
    _looks: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """
        Begin to count.
        """
        super().connection_made(transport)
        self._headers_by = self._wait(HEADER_SECONDS_MAX)

    def data_received(self, data: bytes) -> None:
        """
        Count what comes.
        """
        if self._is_deaf:
            return
        self._bytes += len(data)
        most = MESSAGE_BYTES_MAX
        if self._in_headers:
            self._idle_by = None
            most = HEADER_BYTES_MAX + READ_BYTES
        if self._bytes > most:
            self.transport.abort()
            return
        super().data_received(data)
        if self._is_deaf:
            self._headers_by = None
        elif self._in_headers and self._bytes and self._headers_by is None:
            self._headers_by = self._wait(HEADER_SECONDS_MAX)

    def on_message_begin(self) -> None:
        """
        A request begins.
        """
        self.url = b""
        self.headers = []
        self.expect_100_continue = False

    def on_header(self, name: bytes, value: bytes) -> None:
        """
        Take a header; what calls itself one after the body is none.
        """
        if self._in_headers:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """
        The headers are whole: from here on the body has its own limits.
        """
        self._in_headers = False
        self._headers_by = self._idle_by = None
        before, self.cycle = self.cycle, self._exchange()
        if before is None or before.response_complete:
            self._begin(self.cycle)
        else:  # It is sent before the answer to the last one: it waits, and so does what follows.
            self.flow.pause_reading()
            self.pipeline.appendleft(self.cycle)

    def on_message_complete(self) -> None:
        """
        The next request on this connection begins with its own headers.
        """
        super().on_message_complete()
        self._in_headers, self._bytes = True, 0

    def on_response_complete(self) -> None:
        """
        An answer is out; if it was this connection's last, it is not waited for any longer.
        """
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            self._part()
            return
        if self.pipeline:
            self._begin(self.pipeline.pop())
        else:
            self.flow.resume_reading()
            self._idle_by = self._wait(KEEP_ALIVE_SECONDS)

    def send_400_response(self, msg: str) -> None:
        """
        Say that a request is none; after the answers that are still owed, with no word of its own:
        it would be taken for one of them.
        """
        self._is_deaf = True
        last = self.cycle
        if last is None or last.response_complete:
            super().send_400_response(msg)
        elif last is self._current and last.more_body:  # It is this one's body that is none.
            last.disconnected = True
            last.message_event.set()
            super().send_400_response(msg)
        else:
            last.keep_alive = False

    def _unsupported_upgrade_warning(self) -> None:
        """
        Hear nothing more: after a request that asks for another protocol comes what is no body to
        the parser, and must be no request to us. Its answer is the last.
        """
        self._is_deaf = True

    def connection_lost(self, exc: Exception | None) -> None:
        """
        Nothing is waited for any more.
        """
        if self._looks is not None:
            self._looks.cancel()
            self._looks = None
        if self._current is not None:
            self._current.disconnected = not self._current.response_complete
            self._current.message_event.set()
        super().connection_lost(exc)

    def shutdown(self) -> None:
        """
        The process stops: an idle connection ends now, a busy one after its answer.
        """
        super().shutdown()
        self._part()

    def _exchange(self) -> Exchange:
        """
        Return the exchange that begins with the headers that have come.

        Raises:
            httptools.HttpParserError: The address is none.
        """
        url = httptools.parse_url(self.url)
        path = url.path.decode("ascii")
        is_old = self.parser.get_http_version() == "1.0"  # It knows neither.
        exchange = Exchange(
            self,
            keep_alive=(
                not is_old and self.parser.should_keep_alive() and not self.parser.should_upgrade()
            ),
            expects_100=self.expect_100_continue and not is_old,
        )
        exchange.request = Request(
            self.parser.get_method().decode("ascii"),
            unquote(path) if "%" in path else path,
            query=url.query or b"",
            headers=self.headers,
            client=self.client,
            body=exchange,
        )
        return exchange

    def _begin(self, exchange: Exchange) -> None:
        self._current = exchange
        task = self.loop.create_task(exchange.run(self._app_now()))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    def _app_now(self) -> App:
        """
        Return who answers: the application, unless more is under way than is allowed.
        """
        most = self.limit_concurrency
        if most is None or (len(self.connections) < most and len(self.tasks) < most):
            return self.app
        log.warning("too_many_connections", most=most)
        return _too_many

    def _wait(self, seconds: float) -> float:
        """
        See to it that this connection is looked at in so many seconds; return when that is.
        """
        at = self.loop.time() + seconds
        if self._looks is None or self._look_at > at:
            if self._looks is not None:
                self._looks.cancel()
            self._looks, self._look_at = self.loop.call_at(at, self._look), at
        return at

    def _look(self) -> None:
        self._looks = None
        now = self.loop.time()
        if self._headers_by is not None and now >= self._headers_by:
            self.transport.abort()
        elif self._idle_by is not None and now >= self._idle_by:
            self.transport.close()
        elif waits := [each for each in (self._headers_by, self._idle_by) if each is not None]:
            self._wait(min(waits) - now)

    def _part(self) -> None:
        if self.transport.is_closing():
            self.loop.call_later(FAREWELL_SECONDS_MAX, self.transport.abort)


async def _too_many(_: Request) -> Response:
    return _bare(503)


def _bare(status: int) -> Response:
    """
    Return what is said where the application has no word.
    """
    words = HTTPStatus(status).phrase.encode("ascii")
    return Response(words, status, {"connection": "close"}, "text/plain")
