"""
A request whose send deadline has passed is never written.

On a single connection with a clock and a socket in the test's hands, and with a whole
process that is stopped and continued while it sends.
"""

import asyncio
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import iso8583
import pytest
from counterfoil.clock import SystemClock
from counterfoil.network.connection import Connection
from counterfoil.network.dialect import default_table
from counterfoil.network.framing import Framing
from counterfoil.network.mux import Exchange

FRAME_BYTES = 3000
FIXED = {"data_enc": "ascii", "len_enc": "ascii", "len_type": 0}


class HandClock(SystemClock):
    """A clock that stands still until the test moves it, also in the middle of a step."""

    def __init__(self) -> None:
        self.time = 100.0
        self.jump_after: int | None = None

    def monotonic(self) -> float:
        if self.jump_after is not None:
            self.jump_after -= 1
            if self.jump_after < 0:
                return self.time + 1000
        return self.time


class Told:
    """Owner of a connection: remembers what it is told."""

    def __init__(self) -> None:
        self.written: list[Exchange] = []
        self.unsent: list[tuple[Exchange, str]] = []
        self.reasons: list[str] = []

    def wrote(self, exchange: Exchange) -> None:
        exchange.written_at = 0.0
        self.written.append(exchange)

    def not_sent(self, exchange: Exchange, reason: str) -> None:
        assert exchange.written_at is None
        self.unsent.append((exchange, reason))

    def received(self, wire: bytes) -> None:
        raise AssertionError("nobody sends anything here")

    def lost(self, reason: str) -> None:
        self.reasons.append(reason)


class Pair:
    """A connection over a socket pair with small buffers, whose far end the test reads."""

    def __init__(self, *, queue_max: int = 50) -> None:
        near, self.far = socket.socketpair()
        near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 20_000)
        near.setblocking(False)
        self.far.setblocking(False)
        self.clock = HandClock()
        self.told = Told()
        self.connection = Connection(
            near, self.told, clock=self.clock, framing=Framing(), queue_max=queue_max
        )

    def exchange(self, mark: int, *, seconds: float = 5.0) -> Exchange:
        frame = Framing().frame(bytes([mark]) * FRAME_BYTES)
        return Exchange("0200", {}, frame, send_before=self.clock.time + seconds)

    def arrived(self) -> bytes:
        data = b""
        while True:
            try:
                chunk = self.far.recv(1_000_000)
            except BlockingIOError:
                return data
            if not chunk:
                return data
            data += chunk

    async def fill(self, count: int, *, seconds: float = 5.0) -> list[Exchange]:
        exchanges = [self.exchange(mark, seconds=seconds) for mark in range(count)]
        for exchange in exchanges:
            assert self.connection.send(exchange) is None
        await asyncio.sleep(0.01)
        return exchanges


@pytest.fixture
async def pair() -> "Iterator[Pair]":
    """A pair that is closed after the test."""
    it = Pair()
    yield it
    it.connection.close("the test is over")
    it.far.close()


async def test_messages_of_one_turn_leave_together(pair: Pair):
    """One send for all that was queued before the loop comes round."""
    exchanges = await pair.fill(3)

    assert pair.told.written == exchanges
    assert len(pair.arrived()) == 3 * (FRAME_BYTES + 2)


async def test_f09_a_deadline_that_passed_in_the_queue_is_not_sent(pair: Pair):
    """The process paused between the queue and the socket."""
    late, good = pair.exchange(1, seconds=1), pair.exchange(2, seconds=9)
    pair.connection.send(late)
    pair.connection.send(good)
    pair.clock.time += 5
    await asyncio.sleep(0.01)

    assert pair.told.unsent == [(late, "the send deadline passed")]
    assert pair.told.written == [good]
    assert bytes([1]) not in pair.arrived()


async def test_f09_the_clock_is_read_last_before_the_send(pair: Pair):
    """A pause after the messages were put together is noticed as well."""
    exchange = pair.exchange(1)
    pair.connection.send(exchange)
    pair.clock.jump_after = 1
    await asyncio.sleep(0.01)

    assert pair.told.unsent == [(exchange, "the send deadline passed")]
    assert pair.arrived() == b""


async def test_what_the_kernel_does_not_take_is_sent_when_it_does(pair: Pair):
    """In order, whole, and each exactly once."""
    exchanges = await pair.fill(40)
    assert pair.connection.blocked
    assert 0 < len(pair.told.written) < 40

    data = b""
    for _ in range(100):
        data += pair.arrived()
        await asyncio.sleep(0.002)

    assert data == b"".join(Framing().frame(bytes([mark]) * FRAME_BYTES) for mark in range(40))
    assert pair.told.written == exchanges
    assert not pair.connection.blocked


async def test_the_queue_is_bounded(pair: Pair):
    """What does not fit is refused at once: nothing of it was sent."""
    await pair.fill(50)
    refused = 0
    while (reason := pair.connection.send(pair.exchange(99))) is None:
        refused += 1
        assert refused <= 50

    assert reason == "the queue of the line is full"


async def test_f09_behind_a_full_kernel_buffer_deadlines_pass_without_a_byte(pair: Pair):
    """What became late while blocked is reported as not sent, and never arrives."""
    exchanges = await pair.fill(40, seconds=1)
    half = pair.told.written[-1]
    later = pair.exchange(99, seconds=60)
    pair.connection.send(later)

    pair.clock.time += 2
    await asyncio.sleep(0.15)

    # The message that is half out cannot be finished in time: the connection goes.
    assert pair.told.reasons == ["a message was still half sent at its deadline"]
    unsent = [exchange for exchange, _ in pair.told.unsent]
    assert unsent == [*exchanges[len(pair.told.written) :], later]
    data = pair.arrived()
    whole, rest = divmod(len(data), FRAME_BYTES + 2)
    assert whole == len(pair.told.written) - 1
    assert 0 < rest < FRAME_BYTES + 2
    assert half is exchanges[whole]


async def test_a_kernel_that_takes_more_after_a_pause_gets_nothing_late(pair: Pair):
    """Blocked, paused beyond every deadline, then writable again: not one byte more."""
    await pair.fill(40, seconds=1)
    pair.clock.time += 2
    written = len(pair.told.written)
    first = pair.arrived()
    await asyncio.sleep(0.2)

    assert pair.arrived() == b""
    assert len(first) % (FRAME_BYTES + 2) > 0
    assert len(pair.told.written) == written


async def test_what_is_queued_on_a_broken_connection_is_not_sent(pair: Pair):
    """The far end is gone; whatever is still here has not left."""
    await pair.fill(40)
    written = len(pair.told.written)
    pair.far.close()
    await asyncio.sleep(0.05)

    assert len(pair.told.reasons) == 1
    assert len(pair.told.written) + len(pair.told.unsent) == 40
    assert len(pair.told.written) == written
    assert pair.connection.send(pair.exchange(1)) == "the link is down"


SENDER = """
import asyncio, sys
from counterfoil.clock import SystemClock
from counterfoil.network.dialect import load_dialect
from counterfoil.network.link import AcquirerLink, LinkSettings

clock = SystemClock()

async def send(link, number):
    deadline = clock.monotonic() + 0.2
    for _ in range(number % 4):
        await asyncio.sleep(0)
    fields = {3: "0", 7: "1123064500", 11: f"{number % 1000000:06d}", 41: "T1",
              46: repr(deadline), 48: "x" * 900}
    await link.request("0200", fields, send_before=deadline, answer_within=0.2)

async def main():
    settings = LinkSettings(host="127.0.0.1", port=int(sys.argv[1]), institution_id="1")
    link = AcquirerLink(settings, load_dialect(), clock)
    await link.start()
    assert await link.wait_ready(5)
    number = 0
    while True:
        tasks = [asyncio.ensure_future(send(link, number + n)) for n in range(30)]
        number += 30
        await asyncio.sleep(0.001)

if sys.argv[2] == "uvloop":
    import uvloop
    uvloop.run(main())
else:
    asyncio.run(main())
"""


class Witness(threading.Thread):
    """A host that signs a link on and notes how late each request arrives."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.lateness: list[float] = []
        rows = default_table().items()
        self.spec = {
            "h": FIXED | {"max_len": 0},
            "t": FIXED | {"max_len": 4},
            "p": FIXED | {"data_enc": "b", "max_len": 8},
            "1": FIXED | {"data_enc": "b", "max_len": 8},
        } | {
            str(number): FIXED | {"len_type": row.length_digits, "max_len": row.length}
            for number, row in rows
        }

    def run(self) -> None:
        sock, _ = self.listener.accept()
        with sock, sock.makefile("rb") as stream:
            while head := stream.read(2):
                wire = stream.read(struct.unpack(">H", head)[0])
                arrived = SystemClock().monotonic()
                message, _ = iso8583.decode(wire, self.spec)
                if message["t"] == "0200":
                    self.lateness.append(arrived - float(message["46"]))
                    continue
                answer = {key: message[key] for key in ("7", "11", "33", "70")}
                wire, _ = iso8583.encode(answer | {"t": "0810", "39": "00"}, self.spec)
                sock.sendall(struct.pack(">H", len(wire)) + wire)


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_f09_a_process_that_was_stopped_writes_nothing_late(loop: str):
    """SIGSTOP in full flight, longer than the deadline: what it held is never sent."""
    witness = Witness()
    witness.start()
    port = str(witness.listener.getsockname()[1])
    with subprocess.Popen([sys.executable, "-c", SENDER, port, loop]) as sender:
        try:
            wait_for(lambda: len(witness.lateness) > 100)
            for _ in range(2):
                sender.send_signal(signal.SIGSTOP)
                time.sleep(0.8)
                before = len(witness.lateness)
                sender.send_signal(signal.SIGCONT)
                wait_for(lambda seen=before: len(witness.lateness) > seen + 100)
        finally:
            sender.send_signal(signal.SIGCONT)
            sender.kill()
    witness.listener.close()

    # The time on the way counts too; what a stopped process held would be 0.6 s late.
    assert max(witness.lateness) < 0.4


def wait_for(true: object) -> None:
    """Wait up to ten seconds for something to become true."""
    assert callable(true)
    until = time.monotonic() + 10
    while not true():
        assert time.monotonic() < until
        time.sleep(0.01)
