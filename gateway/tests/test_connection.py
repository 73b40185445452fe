"""
A client's connection: what comes in, what goes out, and how long either is waited for.
"""

import asyncio
import gc
from typing import Any

import pytest
import uvicorn
from counterfoil.api import connection as module
from counterfoil.api.connection import App, Connection
from counterfoil.api.exchange import ClientGone, Request, Response
from counterfoil.listening import SERVER_OPTIONS
from payment_stage import until
from uvicorn.server import ServerState

GET = b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n"
POST = b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\n"
AGAIN = 3  # Turns of the loop in which nothing more happens.


class Line(asyncio.Transport):
    """
    The server's end of a connection whose client is this test.
    """

    def __init__(self) -> None:
        super().__init__({"peername": ("192.0.2.1", 40000), "sockname": ("127.0.0.1", 8443)})
        self.writes: list[bytes] = []
        self.is_over = False
        self.reading = True

    def write(self, data: Any) -> None:
        assert not self.is_over
        self.writes.append(bytes(data))

    def close(self) -> None:
        self.is_over = True

    def abort(self) -> None:
        self.is_over = True

    def is_closing(self) -> bool:
        return self.is_over

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    @property
    def said(self) -> bytes:
        return b"".join(self.writes)


def connected(app: App, *, most: int | None = None) -> tuple[Connection, Line]:
    """Connect a client to *app*."""
    config = uvicorn.Config(
        app,
        **SERVER_OPTIONS,
        http=Connection,
        limit_concurrency=most,  # type: ignore[arg-type]
    )
    state = ServerState()
    state.default_headers = [(b"date", b"now")]
    made, line = Connection(config, state, {}), Line()
    made.connection_made(line)
    return made, line


async def turns() -> None:
    for _ in range(AGAIN):
        await asyncio.sleep(0)


async def echo(request: Request) -> Response:
    """Answer with what was asked."""
    body = request.body.at_hand()
    more = body is None
    body = body or b""
    while more:
        part, more = await request.body.part()
        body += part
    return Response(f"{request.method} {request.path} ".encode() + body)


def answers(said: bytes) -> list[bytes]:
    """Return the bodies of the answers in *said*, each as long as its head says."""
    bodies = []
    while said:
        head, _, rest = said.partition(b"\r\n\r\n")
        length = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0])
        bodies.append(rest[:length])
        said = rest[length:]
    return bodies


async def test_an_answer_is_written_in_one_piece() -> None:
    """Head and body: one record of TLS."""
    connection, line = connected(echo)

    connection.data_received(POST + b"body")
    await turns()

    assert line.writes == [
        b"HTTP/1.1 200 OK\r\ndate: now\r\ncontent-type: application/json\r\n"
        b"content-length: 12\r\n\r\nPOST /a body"
    ]
    assert not line.is_over


async def test_requests_that_were_sent_at_once_are_answered_in_their_order() -> None:
    """The second waits for the answer to the first, whatever it could be told meanwhile."""
    gate = asyncio.Event()
    begun: list[str] = []

    async def app(request: Request) -> Response:
        begun.append(request.path)
        if request.path == "/a":
            await gate.wait()
        return await echo(request)

    connection, line = connected(app)
    connection.data_received(GET + GET.replace(b"/a", b"/b") + GET.replace(b"/a", b"/c"))
    await turns()
    assert (begun, line.writes, line.reading) == (["/a"], [], False)
    gate.set()
    await until(lambda: len(line.writes) == 3)

    assert answers(line.said) == [b"GET /a ", b"GET /b ", b"GET /c "]
    assert line.reading


async def test_requests_do_not_pile_up_behind_one_another() -> None:
    """However many a client sends without waiting: no more are read while some are unanswered."""
    connection, line = connected(echo)
    at_once = 500
    queued = []
    for _ in range(10):
        if line.reading:
            connection.data_received(GET * at_once)
        await asyncio.sleep(0)
        queued.append(len(connection.pipeline))

    assert 0 < max(queued) < at_once
    await until(lambda: len(line.writes) == at_once)
    assert line.reading


@pytest.mark.parametrize("together", [True, False])
async def test_a_request_that_is_none_takes_no_answer_of_the_one_before(together: bool) -> None:
    """A payment under way is answered as what became of it, never with a 400; then it ends."""
    gate = asyncio.Event()

    async def app(request: Request) -> Response:
        await gate.wait()
        return await echo(request)

    connection, line = connected(app)
    for piece in [POST + b"body" + b"no\x00request\r\n\r\n", b""] if together else [
        POST + b"body", b"no\x00request\r\n\r\n",
    ]:  # fmt: skip
        connection.data_received(piece)
        await turns()
    connection.data_received(GET)
    assert (line.writes, line.is_over) == ([], False)
    gate.set()
    await turns()

    assert answers(line.said) == [b"POST /a body"]
    assert b"\r\nconnection: close\r\n" in line.said
    assert line.is_over


@pytest.mark.parametrize(
    "before", [b"", GET, POST.replace(b"Content-Length: 4", b"Transfer-Encoding: chunked")]
)
async def test_a_request_that_is_none_is_a_400(before: bytes) -> None:
    """The first one, a later one, and one whose body is none."""
    begun: list[str] = []

    async def app(request: Request) -> Response:
        try:
            return await echo(request)
        except ClientGone:
            begun.append("gone")
            return Response(b"no", 400)

    connection, line = connected(app)
    connection.data_received(before)
    await turns()
    line.writes.clear()
    connection.data_received(b"no\x00request\r\n\r\n")
    await turns()

    assert line.said.startswith(b"HTTP/1.1 400 ")
    assert line.said.count(b"HTTP/1.1") == 1
    assert line.is_over
    assert begun == ["gone"] * before.startswith(b"POST")


@pytest.mark.parametrize("protocol", [b"h2c", b"websocket"])
@pytest.mark.parametrize("method", [b"GET", b"POST"])
async def test_what_follows_a_request_for_another_protocol_is_no_request(
    protocol: bytes, method: bytes
) -> None:
    """What a proxy takes for its body, or for that protocol, would else be a request of its own."""
    begun: list[str] = []

    async def app(request: Request) -> Response:
        begun.append(request.path)
        return await echo(request)

    smuggled = GET.replace(b"/a", b"/smuggled")
    length = str(len(smuggled)).encode() if method == b"POST" else b"0"
    head = b"%b /a HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: %b\r\nContent-Length: %b\r\n\r\n"
    for together in (True, False):
        connection, line = connected(app)
        connection.data_received(head % (method, protocol, length) + smuggled * together)
        await turns()
        if not line.is_over:
            connection.data_received(smuggled)
            await turns()
        assert line.said.count(b"HTTP/1.1 ") == 1
        assert line.is_over

    assert begun == ["/a", "/a"]


async def test_head_is_answered_with_the_length_of_what_get_would_say() -> None:
    """And without it."""
    connection, line = connected(echo)

    connection.data_received(GET.replace(b"GET", b"HEAD"))
    await turns()

    assert line.said.endswith(b"content-length: 8\r\n\r\n")


@pytest.mark.parametrize(
    "request_", [GET.replace(b"1.1", b"1.0"), GET.replace(b"Host: x", b"Connection: close")]
)
async def test_a_client_that_wants_one_answer_gets_one(request_: bytes) -> None:
    """HTTP/1.0, or it says so: the connection ends after it."""
    connection, line = connected(echo)

    connection.data_received(request_)
    await turns()

    assert b"\r\nconnection: close\r\n" in line.said
    assert line.is_over


async def test_an_answer_may_end_the_connection() -> None:
    """After a body that nobody wants to read to its end."""

    async def app(_: Request) -> Response:
        return Response(b"no", 413, {"connection": "close"})

    connection, line = connected(app)
    connection.data_received(POST)
    await turns()

    assert line.said.startswith(b"HTTP/1.1 413 ")
    assert line.said.count(b"connection: close") == 1
    assert line.is_over


async def test_who_expects_to_be_asked_is_asked_when_the_body_is_wanted() -> None:
    """`100 Continue` once, and not to a client whose body is not read."""
    asking = POST.replace(b"Host: x", b"Expect: 100-continue")
    connection, line = connected(echo)
    connection.data_received(asking)
    await turns()
    assert line.writes == [b"HTTP/1.1 100 Continue\r\n\r\n"]
    connection.data_received(b"body")
    await turns()
    assert answers(b"".join(line.writes[1:])) == [b"POST /a body"]

    connection, line = connected(refusing)
    connection.data_received(asking)
    await turns()
    assert line.said.startswith(b"HTTP/1.1 401 ")
    assert line.is_over, "who was not asked may send the body, or another request"


async def test_who_sends_the_body_unasked_keeps_its_connection() -> None:
    """It is all here: the next request is one."""
    connection, line = connected(echo)

    connection.data_received(POST.replace(b"Host: x", b"Expect: 100-continue") + b"body")
    await turns()
    connection.data_received(GET)
    await turns()

    assert answers(line.said) == [b"POST /a body", b"GET /a "]
    assert not line.is_over


async def test_a_client_of_the_old_protocol_is_never_asked() -> None:
    """RFC 9110, 10.1.1: to HTTP/1.0 `100 Continue` is the answer."""
    connection, line = connected(echo)

    connection.data_received(
        POST.replace(b"Host: x", b"Expect: 100-continue").replace(b"1.1", b"1.0")
    )
    await turns()
    connection.data_received(b"body")
    await turns()

    assert answers(line.said) == [b"POST /a body"]


async def test_a_body_is_at_hand_when_all_of_it_has_come() -> None:
    """Not before; then the rest is asked for, part by part."""
    seen: list[bytes | None] = []

    async def app(request: Request) -> Response:
        seen.append(request.body.at_hand())
        return await echo(request)

    connection, line = connected(app)
    connection.data_received(POST + b"bo")
    await turns()
    connection.data_received(b"dy")
    await turns()
    connection.data_received(POST + b"more")
    await turns()

    assert seen == [None, b"more"]
    assert answers(line.said) == [b"POST /a body", b"POST /a more"]


@pytest.mark.parametrize("value", ["a\r\nset-cookie: b", "a\nb", "a\rb", "a\x00b"])
async def test_no_header_of_an_answer_begins_another_one(value: str) -> None:
    """ASVS 4: what would split an answer is a fault, and the answer says nothing of it."""

    async def app(_: Request) -> Response:
        return Response(b"{}", 200, {"allow": value})

    connection, line = connected(app)
    connection.data_received(GET)
    await turns()

    assert line.said.startswith(b"HTTP/1.1 500 ")
    assert b"allow" not in line.said
    assert b"cookie" not in line.said
    assert line.is_over


@pytest.mark.parametrize("error", [RuntimeError("4111111111111111"), asyncio.CancelledError()])
async def test_a_fault_of_the_application_itself_is_a_bare_500(
    error: BaseException, capsys: pytest.CaptureFixture[str]
) -> None:
    """Or the end of the process's patience: the client hears of it, and the log by type alone."""

    async def app(_: Request) -> Response:
        raise error

    connection, line = connected(app)
    connection.data_received(GET)
    await turns()

    assert answers(line.said) == [b"Internal Server Error"]
    assert line.is_over
    logged = capsys.readouterr().out
    assert type(error).__name__ in logged
    assert "4111111111111111" not in logged


async def test_who_hangs_up_within_the_body_is_told_apart() -> None:
    """And nothing is written to nobody."""
    ended: list[str] = []

    async def app(request: Request) -> Response:
        try:
            return await echo(request)
        except ClientGone:
            ended.append("gone")
            return Response(b"{}")

    connection, line = connected(app)
    connection.data_received(POST + b"bo")
    await turns()
    connection.connection_lost(None)
    await turns()

    assert ended == ["gone"]
    assert line.writes == []


async def test_who_hangs_up_after_several_requests_is_answered_none_of_them() -> None:
    """The one under way ends by itself; those behind it are not begun."""
    gate = asyncio.Event()
    begun: list[str] = []

    async def app(request: Request) -> Response:
        begun.append(request.path)
        await gate.wait()
        return Response(b"{}")

    connection, line = connected(app)
    connection.data_received(GET + GET)
    await turns()
    connection.connection_lost(ConnectionResetError())
    gate.set()
    await turns()

    assert begun == ["/a"]
    assert line.writes == []


async def test_a_client_that_reads_nothing_is_sent_nothing_more() -> None:
    """Its answers do not pile up in our memory."""
    connection, line = connected(echo)
    connection.pause_writing()
    connection.data_received(GET)
    await turns()
    assert line.writes == []
    connection.resume_writing()
    await turns()

    assert answers(line.said) == [b"GET /a "]


async def test_a_client_that_reads_nothing_for_long_is_let_go(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It holds no connection for ever by asking more than it reads."""
    monkeypatch.setattr(module, "UNREAD_SECONDS_MAX", 0.05)
    connection, line = connected(echo)
    connection.pause_writing()
    connection.data_received(GET + GET)
    await until(lambda: line.is_over)
    connection.connection_lost(None)
    await turns()

    assert line.writes == []


async def test_a_client_too_many_is_told_so_and_let_go() -> None:
    """Everybody else is served."""
    connection, line = connected(echo, most=1)

    connection.data_received(GET)
    await turns()

    assert line.said.startswith(b"HTTP/1.1 503 ")
    assert line.is_over


async def test_headers_have_their_time_however_they_trickle(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """From the connection's beginning, and from the first byte of each further request."""
    monkeypatch.setattr(module, "HEADER_SECONDS_MAX", 0.1)
    for before in (b"", GET):
        connection, line = connected(echo)
        if before:
            connection.data_received(before)
            await turns()
            assert len(line.writes) == 1
        pieces = iter([b"GET /"])
        async with asyncio.timeout(5):
            while not line.is_over:
                connection.data_received(next(pieces, b"a"))
                await asyncio.sleep(0.02)
        assert len(line.writes) == bool(before)
        connection.connection_lost(None)


async def test_an_idle_connection_is_kept_for_a_while_and_a_busy_one_for_as_long_as_it_takes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each answer begins the while anew."""
    monkeypatch.setattr(module, "KEEP_ALIVE_SECONDS", 0.2)
    slow = asyncio.Event()

    async def app(request: Request) -> Response:
        if request.path == "/slow":
            await slow.wait()
        return await echo(request)

    connection, line = connected(app)
    for _ in range(4):
        connection.data_received(GET)
        await asyncio.sleep(0.1)
    assert len(line.writes) == 4
    connection.data_received(GET.replace(b"/a", b"/slow"))
    await asyncio.sleep(0.4)
    assert not line.is_over
    slow.set()
    await until(lambda: line.is_over)

    assert len(line.writes) == 5


async def refusing(_: Request) -> Response:
    """Answer before the body was read."""
    return Response(b"no", 401)


async def test_what_follows_a_body_is_no_header() -> None:
    """A trailer says nothing about its request, nor about the next one."""
    seen: list[list[str]] = []

    async def app(request: Request) -> Response:
        await echo(request)
        seen.append(request.every_header(b"idempotency-key"))
        return Response(b"{}")

    chunked = b"POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\nIdempotency-Key: a\r\n\r\n"
    connection, line = connected(app)
    connection.data_received(chunked + b"1\r\nx\r\n")
    await turns()
    connection.data_received(b"0\r\nIdempotency-Key: b\r\n\r\n" + GET)
    await until(lambda: len(line.writes) == 2)

    assert seen == [["a"], []]


async def test_a_body_that_comes_after_its_answer_has_an_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In bytes, and in seconds: who was refused holds no connection for ever."""
    head = b"POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
    connection, line = connected(refusing)
    connection.data_received(head)
    await turns()
    sent = 0
    while not line.is_over:
        connection.data_received(b"10000\r\n" + b" " * 65_536 + b"\r\n")
        sent += 65_536
        assert sent <= module.MESSAGE_BYTES_MAX
    assert line.said.startswith(b"HTTP/1.1 401 ")

    monkeypatch.setattr(module, "KEEP_ALIVE_SECONDS", 0.1)
    connection, line = connected(refusing)
    connection.data_received(head)
    async with asyncio.timeout(5):
        while not line.is_over:
            await asyncio.sleep(0.02)
            connection.data_received(b"1\r\nx\r\n")


async def test_the_rest_of_a_body_and_the_next_request_may_come_together(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The wait of the first does not end the second."""
    monkeypatch.setattr(module, "KEEP_ALIVE_SECONDS", 0.1)

    async def app(request: Request) -> Response:
        if request.method == "GET":
            await asyncio.sleep(0.3)
        return Response(b"{}")

    connection, line = connected(app)
    connection.data_received(POST + b"bo")
    await turns()
    connection.data_received(b"dy" + GET)
    await until(lambda: len(line.writes) == 2)


async def test_a_request_leaves_nothing_for_the_garbage_collector() -> None:
    """It looks seldom: what a payment leaves behind would lie there until then."""
    connection, line = connected(echo)
    gc.collect()
    gc.disable()
    try:
        for _ in range(50):
            connection.data_received(POST + b"body")
            await turns()
        found = gc.collect()
    finally:
        gc.enable()

    assert len(line.writes) == 50
    assert found < 50


async def test_more_headers_than_fit_end_the_connection() -> None:
    """Before they are whole."""
    connection, line = connected(echo)
    connection.data_received(b"GET /a HTTP/1.1\r\nX: ")
    async with asyncio.timeout(5):
        while not line.is_over:
            connection.data_received(b"x" * 65_536)
            await asyncio.sleep(0)


async def test_when_the_process_stops_a_busy_connection_gets_its_answer() -> None:
    """As its last; an idle one ends at once."""
    gate = asyncio.Event()

    async def app(request: Request) -> Response:
        await gate.wait()
        return await echo(request)

    (busy, busy_line), (idle, idle_line) = connected(app), connected(app)
    busy.data_received(GET)
    await turns()
    for each in (busy, idle):
        each.shutdown()
    assert (busy_line.is_over, idle_line.is_over) == (False, True)
    gate.set()
    await turns()

    assert b"\r\nconnection: close\r\n" in busy_line.said
    assert busy_line.is_over
