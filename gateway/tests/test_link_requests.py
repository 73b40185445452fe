"""
The link to an acquirer, against a scripted host that speaks through pyiso8583.

Everything here crosses real sockets. What the host does to a request is the story of each
test: it answers late, twice, wrongly, in pieces, or not at all.
"""

import asyncio
import contextlib
import ipaddress
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextvars import ContextVar
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import iso8583
import pytest
from counterfoil.clock import SystemClock
from counterfoil.network.dialect import default_table, load_dialect
from counterfoil.network.link import AcquirerLink, LinkSettings
from counterfoil.network.message import Fields, Message, MessageError
from counterfoil.network.outcome import Answered, BadAnswer, Late, NotSent, OutcomeUnknown
from counterfoil.network.tls import client_context
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

DIALECT = load_dialect()
CARD = "4111111111111111"
Wire = dict[str, str]
Script = Callable[["Session", Wire], Awaitable[None]]

FIXED = {"data_enc": "ascii", "len_enc": "ascii", "len_type": 0}
SPEC: dict[str, Any] = {
    "h": FIXED | {"max_len": 0},
    "t": FIXED | {"max_len": 4},
    "p": FIXED | {"data_enc": "b", "max_len": 8},
    "1": FIXED | {"data_enc": "b", "max_len": 8},
} | {
    str(number): {
        "data_enc": "b" if row.kind == "b" else "ascii",
        "len_enc": "ascii",
        "len_type": row.length_digits,
        "max_len": row.length,
    }
    for number, row in default_table().items()
}

ECHOED = ("2", "3", "4", "7", "11", "12", "13", "32", "33", "37", "41", "42", "49", "70")


def answer_to(request: Wire, **fields: str) -> Wire:
    """Return the approving answer to *request*, with some *fields* (`f39=...`) replaced."""
    answer = {key: request[key] for key in ECHOED if key in request} | {"39": "00"}
    answer["t"] = request["t"][:2] + str(int(request["t"][2]) + 1) + "0"
    return answer | {key.removeprefix("f"): value for key, value in fields.items()}


def framed(message: Wire) -> bytes:
    wire, _ = iso8583.encode(dict(message), SPEC)
    return struct.pack(">H", len(wire)) + wire


class Session:
    """One connection as the host sees it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def receive(self) -> Wire:
        (length,) = struct.unpack(">H", await self.reader.readexactly(2))
        message, _ = iso8583.decode(await self.reader.readexactly(length), SPEC)
        return message

    async def send(self, *messages: Wire) -> None:
        self.writer.write(b"".join(framed(message) for message in messages))
        await self.writer.drain()


async def approve(session: Session, request: Wire) -> None:
    await session.send(answer_to(request))


class Host:
    """An acquirer whose answers to requests and to 0800 are scripts."""

    def __init__(self) -> None:
        self.script: Script = approve
        self.management: Script = approve
        self.received: list[Wire] = []
        self.managed: list[str] = []
        self.sessions: list[Session] = []
        self.reading = asyncio.Event()
        self.reading.set()
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def open(self, *, tls: ssl.SSLContext | None = None, buffer: int | None = None) -> int:
        listener = socket.create_server(("127.0.0.1", 0))
        if buffer is not None:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        self._server = await asyncio.start_server(self._serve, sock=listener, ssl=tls, limit=2048)
        return int(listener.getsockname()[1])

    async def close(self) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        for session in self.sessions:
            session.writer.close()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        session = Session(reader, writer)
        self.sessions.append(session)
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while True:
                message = await session.receive()
                if message["t"] == "0800":
                    self.managed.append(message["70"])
                    await self.management(session, message)
                elif message["t"] != "0810":
                    self.received.append(message)
                    await self.script(session, message)
                await self.reading.wait()


class JumpingClock(SystemClock):
    """The machine's clock, which a test can set forward as a pause of the process would."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def monotonic(self) -> float:
        return super().monotonic() + self.ahead


class Setup:
    """A host, a link to it, and everything that the link told."""

    def __init__(self) -> None:
        self.host = Host()
        self.clock = JumpingClock()
        self.late: list[Late] = []
        self.unmatched: list[Message] = []
        self.duplicates: list[Message] = []
        self.events: list[tuple[str, dict[str, Any]]] = []
        self.stan = 0
        self.links: list[AcquirerLink] = []

    async def connect(
        self, *, tls: ssl.SSLContext | None = None, wait: float = 2.0, **settings: Any
    ) -> AcquirerLink:
        """Start a link with patience fit for a test; wait until it is signed on."""
        quick = {
            "reconnect_seconds_first": 0.02,
            "reconnect_seconds_max": 0.1,
            "drain_seconds": 0.05,
            "sign_off_seconds": 0.2,
            "sign_on_seconds": 0.5,
            "institution_id": "987654",
            "host": "127.0.0.1",
        }
        link = AcquirerLink(
            LinkSettings(**(quick | settings)),
            DIALECT,
            self.clock,
            tls=tls,
            on_late=self.late.append,
            on_unmatched=self.unmatched.append,
            on_duplicate=self.duplicates.append,
            on_event=lambda name, **details: self.events.append((name, details)),
        )
        self.links.append(link)
        await link.start()
        await link.wait_ready(wait)
        return link

    def sale(self, **fields: str) -> Fields:
        self.stan += 1
        sale: Fields = {
            2: CARD,
            3: "000000",
            4: "000000004200",
            7: "1123064500",
            11: f"{self.stan:06d}",
            37: f"632706{self.stan:06d}",
            41: "TERM0001",
            48: "0203123",
            49: "840",
        }
        return sale | {int(key.removeprefix("f")): value for key, value in fields.items()}

    async def request(self, link: AcquirerLink, fields: Fields | None = None, **how: Any) -> Any:
        """Request a sale with a deadline in one second and a second for the answer."""
        send_before = self.clock.monotonic() + how.pop("send_within", 1.0)
        answer_within = how.pop("answer_within", 1.0)
        return await link.request(
            how.pop("mti", "0200"),
            fields or self.sale(),
            send_before=send_before,
            answer_within=answer_within,
        )

    def named(self, name: str) -> list[dict[str, Any]]:
        return [details for event, details in self.events if event == name]


@pytest.fixture
async def setup() -> AsyncIterator[Setup]:
    """A host that listens nowhere yet, and links that end with the test."""
    it = Setup()
    yield it
    for link in it.links:
        await link.stop()
    if it.host._server is not None:
        await it.host.close()


async def until(true: Callable[[], object], seconds: float = 3.0) -> None:
    """Wait for something to become true."""
    async with asyncio.timeout(seconds):
        while not true():  # noqa: ASYNC110  # Whatever it is, it has no event.
            await asyncio.sleep(0.005)


async def silence(_session: Session, _request: Wire) -> None:
    """Answer nothing."""


async def test_a_request_is_answered(setup: Setup):
    """The answer comes back with its fields and the time it came."""
    link = await setup.connect(port=await setup.host.open())

    outcome = await setup.request(link)

    assert isinstance(outcome, Answered)
    assert outcome.mti == "0210"
    assert outcome.response_code == "00"
    assert outcome.fields[37] == "632706000001"
    assert outcome.at.utcoffset() == timedelta(0)
    assert setup.host.received[0]["2"] == CARD
    assert CARD not in repr(outcome)


async def test_nothing_is_sent_before_the_sign_on_is_accepted(setup: Setup):
    """0800/001 comes first; until its 0810 a request is proof of not sent."""
    sign_on = asyncio.Event()

    async def hesitate(session: Session, request: Wire) -> None:
        await sign_on.wait()
        await session.send(answer_to(request))

    setup.host.management = hesitate
    link = await setup.connect(port=await setup.host.open(), sign_on_seconds=30, wait=0.1)

    assert not link.ready
    assert await setup.request(link) == NotSent("the link is down")
    sign_on.set()
    assert await link.wait_ready(2)
    assert isinstance(await setup.request(link), Answered)
    assert setup.host.managed == ["001"]


@pytest.mark.parametrize("refusal", ["91", None])
async def test_a_sign_on_that_is_refused_or_unanswered_is_tried_anew(
    setup: Setup, refusal: str | None
):
    """The link closes the connection, waits, and signs on again."""

    async def refuse(session: Session, request: Wire) -> None:
        if len(setup.host.sessions) > 1:
            await session.send(answer_to(request))
        elif refusal:
            await session.send(answer_to(request, f39=refusal))

    setup.host.management = refuse
    link = await setup.connect(port=await setup.host.open(), sign_on_seconds=0.1)

    assert link.ready
    assert len(setup.host.sessions) == 2


async def test_many_requests_share_a_line_and_answers_come_in_any_order(setup: Setup):
    """Each answer finds its own request by MTI class, terminal, STAN and time."""
    waiting: list[tuple[Session, Wire]] = []

    async def shuffle(session: Session, request: Wire) -> None:
        waiting.append((session, request))
        if len(waiting) == 200:
            for to, answered in reversed(waiting):
                await to.send(answer_to(answered, f38=answered["11"]))

    setup.host.script = shuffle
    link = await setup.connect(port=await setup.host.open())
    sales = [setup.sale(f41=f"TERM{number % 7:04d}") for number in range(200)]

    outcomes = await asyncio.gather(*(setup.request(link, sale) for sale in sales))

    for sale, outcome in zip(sales, outcomes, strict=True):
        assert isinstance(outcome, Answered)
        assert outcome.fields[38] == sale[11]
    assert link.outstanding == 0


async def test_short_values_match_the_full_width_of_the_answer(setup: Setup):
    """A terminal id or an amount that the codec fills still finds its answer."""
    link = await setup.connect(port=await setup.host.open())

    outcome = await setup.request(link, setup.sale(f41="T1", f4="4200"))

    assert isinstance(outcome, Answered)
    assert outcome.fields[41] == "T1      "


async def test_several_lines_are_used_in_turn(setup: Setup):
    """With N connections each signs on, and requests are spread over them."""
    used: list[Session] = []

    async def note(session: Session, request: Wire) -> None:
        used.append(session)
        await approve(session, request)

    setup.host.script = note
    link = await setup.connect(port=await setup.host.open(), connections=3)
    await until(lambda: len(setup.named("signed_on")) == 3)

    await asyncio.gather(*(setup.request(link) for _ in range(9)))

    assert sorted(used.count(session) for session in setup.host.sessions) == [3, 3, 3]


async def test_f08_no_answer_in_time_is_an_unknown_outcome(setup: Setup):
    """T1 counts from the first byte written."""
    setup.host.script = silence
    link = await setup.connect(port=await setup.host.open())

    outcome = await setup.request(link, answer_within=0.1)

    assert outcome == OutcomeUnknown("no answer in 0.1 s")
    await until(lambda: setup.named("no_answer"))


async def test_f08_an_answer_after_its_time_is_handed_over_as_late(setup: Setup):
    """The request stays unknown; the answer goes to whoever keeps the books, once."""

    async def dawdle(session: Session, request: Wire) -> None:
        await asyncio.sleep(0.2)
        await session.send(answer_to(request), answer_to(request))

    setup.host.script = dawdle
    link = await setup.connect(port=await setup.host.open())

    outcome = await setup.request(link, answer_within=0.1)
    await until(lambda: setup.duplicates)

    assert isinstance(outcome, OutcomeUnknown)
    (late,) = setup.late
    assert (late.state, late.request_mti, late.key.mti) == ("timed_out", "0200", "0210")
    assert isinstance(late.outcome, Answered)
    assert late.outcome.fields[11] == "000001"
    assert not setup.unmatched


async def test_a_late_key_is_forgotten_after_the_late_window(setup: Setup):
    """Ten minutes later an answer belongs to nothing we know."""

    async def dawdle(session: Session, request: Wire) -> None:
        await asyncio.sleep(0.1)
        setup.clock.ahead += 601
        await session.send(answer_to(request))

    setup.host.script = dawdle
    link = await setup.connect(port=await setup.host.open())

    await setup.request(link, answer_within=0.05)
    await until(lambda: setup.unmatched)

    assert setup.unmatched[0].fields[11] == "000001"
    assert not setup.late


async def test_f08_a_cut_after_the_write_is_an_unknown_outcome(setup: Setup):
    """The host may have acted on what it read; the link comes back by itself."""

    async def cut(session: Session, _request: Wire) -> None:
        session.writer.transport.abort()

    setup.host.script = cut
    link = await setup.connect(port=await setup.host.open())

    outcome = await setup.request(link)

    assert isinstance(outcome, OutcomeUnknown)
    assert setup.named("link_down") or not link.ready
    setup.host.script = approve
    assert await link.wait_ready(2)
    assert isinstance(await setup.request(link), Answered)


async def test_f08_an_answer_on_the_next_connection_is_late(setup: Setup):
    """A host may answer what it read before the cut; the outcome stays unknown."""
    seen: list[Wire] = []

    async def cut(session: Session, request: Wire) -> None:
        seen.append(request)
        session.writer.transport.abort()

    setup.host.script = cut
    link = await setup.connect(port=await setup.host.open())
    await setup.request(link)
    await link.wait_ready(2)

    await setup.host.sessions[-1].send(answer_to(seen[0]))
    await until(lambda: setup.late)

    assert setup.late[0].state == "connection_lost"


async def test_f08_a_duplicate_answer_is_ignored_and_told(setup: Setup):
    """The first one counts."""

    async def twice(session: Session, request: Wire) -> None:
        await session.send(answer_to(request), answer_to(request, f39="05"))

    setup.host.script = twice
    link = await setup.connect(port=await setup.host.open())

    outcome = await setup.request(link)
    await until(lambda: setup.duplicates)

    assert outcome.response_code == "00"
    assert setup.duplicates[0].fields[39] == "05"


@pytest.mark.parametrize("wrong", [{"f11": "999999"}, {"f41": "TERM0002"}, {"f7": "1123064501"}])
async def test_f21_an_answer_with_another_key_is_unmatched(setup: Setup, wrong: dict[str, str]):
    """A wrong STAN, terminal or time: nobody's answer, and an alarm for people."""

    async def misdirect(session: Session, request: Wire) -> None:
        await session.send(answer_to(request, **wrong))

    setup.host.script = misdirect
    link = await setup.connect(port=await setup.host.open())

    outcome = await setup.request(link, answer_within=0.1)

    assert isinstance(outcome, OutcomeUnknown)
    assert len(setup.unmatched) == 1


@pytest.mark.parametrize(
    ("wrong", "number"),
    [
        ({"f4": "000000004201"}, 4),
        ({"f4": "000000004201", "f39": "10"}, 4),
        ({"f49": "978"}, 49),
        ({"f37": "999999999999"}, 37),
    ],
)
async def test_an_answer_that_contradicts_its_request_is_bad(
    setup: Setup, wrong: dict[str, str], number: int
):
    """The amount above all: such an approval must be reversed, not believed."""

    async def contradict(session: Session, request: Wire) -> None:
        await session.send(answer_to(request, **wrong))

    setup.host.script = contradict
    link = await setup.connect(port=await setup.host.open())

    outcome = await setup.request(link)

    assert isinstance(outcome, BadAnswer)
    assert outcome.reason == f"field {number} differs from the request's"
    assert outcome.fields is not None
    assert CARD not in repr(outcome)
    await until(lambda: setup.named("bad_answer"))


async def test_an_answer_without_response_code_is_bad(setup: Setup):
    """Without field 39 it says neither yes nor no."""

    async def mumble(session: Session, request: Wire) -> None:
        answer = answer_to(request)
        del answer["39"]
        await session.send(answer)

    setup.host.script = mumble
    link = await setup.connect(port=await setup.host.open())

    assert (await setup.request(link)).reason == "field 39 is missing"


async def test_a_partial_approval_may_have_a_smaller_amount(setup: Setup):
    """39=10: what the issuer gives is in field 4."""

    async def give_half(session: Session, request: Wire) -> None:
        await session.send(answer_to(request, f4="000000002100", f39="10"))

    setup.host.script = give_half
    link = await setup.connect(port=await setup.host.open())

    outcome = await setup.request(link)

    assert isinstance(outcome, Answered)
    assert outcome.fields[4] == "000000002100"


async def test_a_repeat_takes_the_place_of_the_message_it_repeats(setup: Setup):
    """0421 after a silent 0420: the answer to either is the answer to the repeat."""

    async def second_time(session: Session, request: Wire) -> None:
        if request["t"] == "0421":
            await session.send(answer_to(request))

    setup.host.script = second_time
    link = await setup.connect(port=await setup.host.open())
    reversal = setup.sale()

    first = await setup.request(link, reversal, mti="0420", answer_within=0.05)
    second = await setup.request(link, reversal, mti="0421")

    assert isinstance(first, OutcomeUnknown)
    assert isinstance(second, Answered)
    assert second.mti == "0430"


async def test_a_key_that_is_outstanding_is_not_sent_again(setup: Setup):
    """Two answers to one key could not be told apart."""
    setup.host.script = silence
    link = await setup.connect(port=await setup.host.open())
    sale = setup.sale()

    first = asyncio.create_task(setup.request(link, sale, answer_within=0.2))
    await asyncio.sleep(0)

    assert isinstance(await setup.request(link, sale), NotSent)
    assert isinstance(await first, OutcomeUnknown)
    assert len(setup.host.received) == 1


async def test_split_and_merged_segments_are_understood(setup: Setup):
    """One byte at a time, then two answers and two keep-alives in one segment."""

    async def by_the_byte(session: Session, request: Wire) -> None:
        for byte in framed(answer_to(request)):
            session.writer.write(bytes([byte]))
            await session.writer.drain()

    setup.host.script = by_the_byte
    link = await setup.connect(port=await setup.host.open())
    assert isinstance(await setup.request(link), Answered)

    requests: list[Wire] = []

    async def together(session: Session, request: Wire) -> None:
        requests.append(request)
        if len(requests) == 2:
            frames = [framed(answer_to(each)) for each in requests]
            session.writer.write(b"\0\0" + frames[0] + b"\0\0" + frames[1])

    setup.host.script = together
    outcomes = await asyncio.gather(setup.request(link), setup.request(link))
    assert all(isinstance(outcome, Answered) for outcome in outcomes)


async def test_an_empty_secondary_bitmap_in_an_answer_is_accepted(setup: Setup):
    """Some hosts always send sixteen bytes of bitmap."""

    async def both_bitmaps(session: Session, request: Wire) -> None:
        wire, _ = iso8583.encode(answer_to(request), SPEC)
        wire[4] |= 0x80
        wire[12:12] = bytes(8)
        session.writer.write(struct.pack(">H", len(wire)) + wire)

    setup.host.script = both_bitmaps
    link = await setup.connect(port=await setup.host.open())

    assert isinstance(await setup.request(link), Answered)


@pytest.mark.parametrize(
    "garbage",
    [b"\xff\xff", b"\x00\x04abcd", b"\x00\x0c0210" + b"\xff" * 8],
    ids=["too long", "no MTI", "cut short"],
)
async def test_what_cannot_be_read_closes_the_line(setup: Setup, garbage: bytes):
    """Everything outstanding on it is unknown; an answer in front of it still counts."""
    requests: list[Wire] = []

    async def babble(session: Session, request: Wire) -> None:
        requests.append(request)
        if len(requests) == 2:
            session.writer.write(framed(answer_to(requests[0])) + garbage)

    setup.host.script = babble
    link = await setup.connect(port=await setup.host.open())

    good, bad = await asyncio.gather(setup.request(link), setup.request(link))

    assert isinstance(good, Answered)
    assert isinstance(bad, OutcomeUnknown)
    assert await link.wait_ready(2)
    assert len(setup.host.sessions) == 2


async def test_an_echo_is_asked_after_silence_and_missing_ones_close_the_line(setup: Setup):
    """Three misses in a row, and the link connects anew."""

    async def deaf(session: Session, request: Wire) -> None:
        if request["70"] == "001":
            await session.send(answer_to(request))

    setup.host.management = deaf
    await setup.connect(
        port=await setup.host.open(), echo_after_seconds=0.1, echo_answer_seconds=0.05
    )
    await until(lambda: len(setup.host.managed) >= 5)

    assert setup.host.managed[:5] == ["001", "301", "301", "301", "001"]
    assert [miss["misses"] for miss in setup.named("echo_missed")[:3]] == [1, 2, 3]


async def test_any_byte_from_the_host_counts_as_life(setup: Setup):
    """Keep-alives alone keep a line up on which no echo is answered."""

    async def hum(session: Session, request: Wire) -> None:
        if request["70"] == "001":
            await session.send(answer_to(request))
        else:
            session.writer.write(b"\0\0")

    setup.host.management = hum
    await setup.connect(
        port=await setup.host.open(), echo_after_seconds=0.02, echo_answer_seconds=0.03
    )
    await until(lambda: setup.host.managed.count("301") >= 6)

    assert len(setup.host.sessions) == 1
    assert not setup.named("echo_missed")


async def test_an_answered_echo_keeps_the_line(setup: Setup):
    """0810 to 0800/301, again and again."""
    link = await setup.connect(port=await setup.host.open(), echo_after_seconds=0.02)
    await until(lambda: setup.host.managed.count("301") >= 3)

    assert link.ready
    assert len(setup.host.sessions) == 1


async def test_the_hosts_own_0800_is_always_answered(setup: Setup):
    """Its fields come back with 39=00, in cutover as in echo."""
    await setup.connect(port=await setup.host.open())
    session = setup.host.sessions[0]
    for task in setup.host._tasks:
        task.cancel()
    await asyncio.sleep(0.01)

    call = {"t": "0800", "7": "1123064500", "11": "000777", "15": "1124", "70": "201"}
    await session.send(call)
    answer = await asyncio.wait_for(session.receive(), 2)

    assert answer["t"] == "0810"
    assert {key: answer[key] for key in call if key != "t"} == {
        key: value for key, value in call.items() if key != "t"
    }
    assert answer["39"] == "00"


async def test_a_host_that_signs_off_gets_no_requests_until_it_signs_on(setup: Setup):
    """And is asked again after a while, should it forget."""
    link = await setup.connect(port=await setup.host.open(), sign_on_again_seconds=0.3)
    session = setup.host.sessions[0]
    call = {"t": "0800", "7": "1123064500", "11": "000778"}

    await session.send(call | {"70": "002"})
    await until(lambda: not link.ready)
    assert await setup.request(link) == NotSent("the link is down")
    await session.send(call | {"70": "001"})
    await until(lambda: link.ready)
    await session.send(call | {"70": "002"})
    await until(lambda: not link.ready)

    assert await link.wait_ready(2)
    assert setup.host.managed == ["001", "001"]
    assert len(setup.host.sessions) == 1


async def test_stop_waits_for_answers_signs_off_and_takes_nothing_more(setup: Setup):
    """What is answered in time is answered; then 0800/002 and the connection ends."""

    async def in_a_moment(session: Session, request: Wire) -> None:
        await asyncio.sleep(0.1)
        await session.send(answer_to(request))

    setup.host.script = in_a_moment
    link = await setup.connect(port=await setup.host.open(), drain_seconds=2)
    running = asyncio.create_task(setup.request(link))
    await until(lambda: setup.host.received)

    stopping = asyncio.create_task(link.stop())
    await asyncio.sleep(0)
    assert isinstance(await setup.request(link), NotSent)
    await stopping

    assert isinstance(await running, Answered)
    assert setup.host.managed == ["001", "002"]


async def test_stop_leaves_an_unknown_outcome_where_no_answer_came(setup: Setup):
    """Nobody waits for ever, and nobody is told what is not known."""
    setup.host.script = silence
    link = await setup.connect(port=await setup.host.open())
    running = asyncio.create_task(setup.request(link))
    await until(lambda: setup.host.received)

    await link.stop()

    assert isinstance(await running, OutcomeUnknown)


async def test_without_a_host_a_request_is_not_sent_and_the_link_keeps_trying(setup: Setup):
    """The pauses grow; when the host is there, so is the link."""
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    listener.close()
    link = AcquirerLink(
        LinkSettings(
            host="127.0.0.1",
            port=port,
            institution_id="1",
            reconnect_seconds_first=0.01,
            reconnect_seconds_max=0.04,
        ),
        DIALECT,
        setup.clock,
        on_event=lambda name, **details: setup.events.append((name, details)),
    )
    setup.links.append(link)
    await link.start()

    assert await setup.request(link) == NotSent("the link is down")
    await until(lambda: len(setup.named("connect_failed")) > 3)
    server = await asyncio.start_server(setup.host._serve, "127.0.0.1", port)
    setup.host._server = server
    assert await link.wait_ready(2)


async def test_a_message_that_cannot_be_encoded_is_the_callers_mistake(setup: Setup):
    """It raises before anything is queued."""
    link = await setup.connect(port=await setup.host.open())

    with pytest.raises(MessageError):
        await setup.request(link, setup.sale(f4="42.00"))
    assert link.outstanding == 0


async def test_f20_the_outcome_of_a_cancelled_request_goes_to_on_late(setup: Setup):
    """The handler died; the payment must not be forgotten."""

    async def dawdle(session: Session, request: Wire) -> None:
        await asyncio.sleep(0.1)
        await session.send(answer_to(request))

    setup.host.script = dawdle
    link = await setup.connect(port=await setup.host.open())
    handler = asyncio.create_task(setup.request(link))
    await until(lambda: setup.host.received)

    handler.cancel()
    await until(lambda: setup.late)

    assert setup.late[0].state == "abandoned"
    assert isinstance(setup.late[0].outcome, Answered)
    assert link.outstanding == 0


async def test_f20_an_outcome_that_meets_the_cancellation_is_not_lost(setup: Setup):
    """Outcome and cancellation in one turn of the loop: on_late gets the outcome."""
    setup.host.script = silence
    link = await setup.connect(port=await setup.host.open())
    handler = asyncio.create_task(setup.request(link))
    await until(lambda: setup.host.received)
    connection = link._lines[0].connection
    assert connection is not None

    connection.close("cut")
    handler.cancel()
    await until(lambda: setup.late)

    assert handler.cancelled()
    assert setup.late[0].state == "abandoned"
    assert setup.late[0].outcome == OutcomeUnknown("cut")


async def test_f20_a_request_cancelled_before_it_is_written_never_is(setup: Setup):
    """And that is told, too."""
    link = await setup.connect(port=await setup.host.open())
    handler = asyncio.create_task(setup.request(link))
    await asyncio.sleep(0)
    handler.cancel()
    await until(lambda: setup.late)

    assert setup.late[0].outcome == NotSent("the caller was cancelled")
    assert isinstance(await setup.request(link), Answered)
    assert len(setup.host.received) == 1


async def test_events_show_messages_masked(setup: Setup):
    """The journal gets what was sent and answered, without card number and CVV2."""
    link = await setup.connect(port=await setup.host.open())
    await setup.request(link)
    await until(lambda: len(setup.named("answered")) == 2)

    sent = next(details for details in setup.named("sent") if details["mti"] == "0200")
    answered = next(details for details in setup.named("answered") if details["mti"] == "0210")
    assert sent["fields"][2] == "************1111"
    assert sent["fields"][48] == "0203***"
    assert answered["milliseconds"] > 0
    assert CARD not in str(setup.events)


async def test_a_callback_that_raises_does_no_harm(setup: Setup):
    """The link goes on; the loop's exception handler is told."""
    told: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
    link = await setup.connect(port=await setup.host.open())

    def fail(_message: Message) -> None:
        raise ZeroDivisionError

    link.on_unmatched = fail
    await setup.host.sessions[0].send(answer_to({"t": "0200", "11": "000999"}))
    await until(lambda: told)

    assert isinstance(await setup.request(link), Answered)


async def test_an_answered_request_keeps_neither_its_card_nor_its_answer(setup: Setup):
    """It is timed until its deadline, among thousands: no card number waits there, nothing else."""
    link = await setup.connect(port=await setup.host.open())

    assert isinstance(await setup.request(link), Answered)
    timed = [exchange for _, _, exchange in link._mux._deadlines if exchange.mti == "0200"]

    assert [(each.fields, each.frame, each.future) for each in timed] == [({}, b"", None)]


async def test_calls_of_one_turn_are_made_in_order_and_each_in_its_own_context(setup: Setup):
    """So a line of the log about a request bears its payment; one that raises holds up no other."""
    told: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
    link = await setup.connect(port=await setup.host.open())
    payment: ContextVar[str] = ContextVar("payment")
    heard: list[tuple[str, str]] = []

    def hear(name: str, **_details: Any) -> None:
        heard.append((name, payment.get()))
        if name == "second":
            raise ZeroDivisionError

    link.on_event = hear
    for name in ("first", "second", "third"):
        token = payment.set(f"of the {name}")
        link.event(name)
        payment.reset(token)
    assert heard == []
    await until(lambda: len(heard) == 3)

    assert heard == [(name, f"of the {name}") for name in ("first", "second", "third")]
    assert [type(each["exception"]) for each in told] == [ZeroDivisionError]


def certificates(folder: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Return contexts for host and link, each with a certificate the other trusts."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "acquirer.test")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]),
            critical=False,
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem, secret = folder / "certificate.pem", folder / "key.pem"
    pem.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    secret.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    host = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=pem)
    host.verify_mode = ssl.CERT_REQUIRED
    host.load_cert_chain(pem, secret)
    return host, client_context(pem, certificate=pem, key=secret)


async def test_the_link_speaks_tls_with_a_client_certificate(setup: Setup, tmp_path: Path):
    """Requests, answers and deadlines are the same behind TLS."""
    host, ours = certificates(tmp_path)
    link = await setup.connect(port=await setup.host.open(tls=host), tls=ours)

    outcomes = await asyncio.gather(*(setup.request(link) for _ in range(300)))

    assert all(isinstance(outcome, Answered) for outcome in outcomes)
    late = await setup.request(link, send_within=0)
    assert late == NotSent("the send deadline passed")


@pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
async def test_f09_a_host_that_stops_reading_gets_nothing_after_the_deadline(
    setup: Setup, tmp_path: Path, secure: bool
):
    """What the kernel took is unknown; all else is proof of not sent, and never arrives."""
    host, ours = certificates(tmp_path) if secure else (None, None)
    link = await setup.connect(port=await setup.host.open(tls=host, buffer=4096), tls=ours)
    setup.host.script = silence
    setup.host.reading.clear()
    big = {"f46": "x" * 999, "f47": "x" * 999, "f54": "x" * 99}

    requests = []
    for _ in range(4000):
        sale = setup.sale(**big)
        requests.append(asyncio.create_task(setup.request(link, sale, answer_within=0.5)))
    await asyncio.sleep(0.3)
    setup.clock.ahead += 100
    outcomes = await asyncio.gather(*requests)
    setup.host.reading.set()
    await link.wait_ready(2)
    assert isinstance(await setup.request(link, answer_within=0.1), OutcomeUnknown)

    unsent = {f"{n + 1:06d}" for n, outcome in enumerate(outcomes) if isinstance(outcome, NotSent)}
    unknown = {f"{n + 1:06d}" for n, it in enumerate(outcomes) if isinstance(it, OutcomeUnknown)}
    arrived = {request["11"] for request in setup.host.received}
    assert len(unsent) + len(unknown) == 4000
    assert min(len(unsent), len(unknown)) > 0
    assert not arrived & unsent
    assert arrived - {"004001"} <= unknown
    reasons = {outcome.reason for outcome in outcomes}
    assert "the queue of the line is full" in reasons
    assert reasons & {"the send deadline passed", "a message was still half sent at its deadline"}


async def test_a_host_with_an_untrusted_certificate_gets_nothing(setup: Setup, tmp_path: Path):
    """Not even the sign-on."""
    host, _ = certificates(tmp_path)
    await setup.host.open(tls=host)
    assert setup.host._server is not None
    port = setup.host._server.sockets[0].getsockname()[1]
    link = AcquirerLink(
        LinkSettings(host="127.0.0.1", port=port, institution_id="1"),
        DIALECT,
        setup.clock,
        tls=client_context(),
        on_event=lambda name, **details: setup.events.append((name, details)),
    )
    setup.links.append(link)
    await link.start()
    await until(lambda: setup.named("connect_failed"))

    assert "certificate" in setup.named("connect_failed")[0]["reason"]
    assert setup.host.managed == []
