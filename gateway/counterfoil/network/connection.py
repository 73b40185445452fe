"""
One TCP connection to an acquirer, and the promise about deadlines.

A request whose send deadline has passed is never written, also after a pause of the whole
process. So no transport with a buffer of its own stands between us and the kernel: the
deadline is checked and `send` called in one synchronous step, what the kernel does not
take stays here in a bounded queue, and its deadline is checked again before the next try.
A message of which a part is out is finished before its deadline or never: then the
connection is closed, so that the host cannot read it.

The messages of one turn of the event loop leave in one `send`.
"""

import asyncio
import math
import socket
import ssl
from collections import deque
from typing import Protocol

from counterfoil.clock import Clock
from counterfoil.network.framing import Deframer, Framing, FramingError
from counterfoil.network.mux import Exchange
from counterfoil.network.tls import READ_BYTES, Tls

SEND_BYTES_MAX = 65_536  # In one send; what more there is follows in the next.
BLOCKED_CHECK_SECONDS = 0.1  # How often deadlines are checked while nothing can be sent.


class Owner(Protocol):
    """
    Who is told what happens on a connection. None of these may raise.
    """

    def wrote(self, exchange: Exchange) -> None:
        """
        The first byte of *exchange* was handed to the kernel.
        """
        ...

    def not_sent(self, exchange: Exchange, reason: str) -> None:
        """
        No byte of *exchange* was handed to the kernel, and none will be.
        """
        ...

    def received(self, wire: bytes) -> None:
        """
        A whole message arrived.
        """
        ...

    def lost(self, reason: str) -> None:
        """
        The connection is closed.
        """
        ...


class Connection:
    """
    A connected socket with a queue in front.

    Attributes:
        closed: Done when the connection is closed; its result is the reason.
        last_inbound: When a byte arrived last, on the event loop's clock.
        blocked: Whether the kernel takes no more at the moment.
    """

    def __init__(
        self,
        sock: socket.socket,
        owner: Owner,
        *,
        clock: Clock,
        framing: Framing,
        queue_max: int,
        tls: Tls | None = None,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._sock = sock
        self._owner = owner
        self._clock = clock
        self._deframer = Deframer(framing)
        self._queue_max = queue_max
        self._tls = tls
        self._queue: deque[Exchange] = deque()
        self._flush_scheduled = False
        self._check: asyncio.TimerHandle | None = None
        # What the kernel left of the last send, the deadline for it, and whom it carries.
        self._rest = b""
        self._rest_before = math.inf
        self._rest_unwritten: list[Exchange] = []
        self.blocked = False
        self.closed: asyncio.Future[str] = self._loop.create_future()
        self.last_inbound = self._loop.time()
        self._loop.add_reader(sock, self.read)

    def send(self, exchange: Exchange) -> str | None:
        """
        Queue *exchange* to be sent at the end of this turn, or return why that cannot be.
        """
        if len(self._queue) >= self._queue_max:
            self._flush()  # A burst need not wait for the end of the turn.
        if self.closed.done():
            return "the link is down"
        if len(self._queue) >= self._queue_max:
            return "the queue of the line is full"
        exchange.connection = self
        self._queue.append(exchange)
        if not self._flush_scheduled and not self.blocked:
            self._flush_scheduled = True
            self._loop.call_soon(self._flush)
        return None

    def read(self) -> None:
        """
        Read what has arrived, if anything, and hand on each whole message.
        """
        if self.closed.done():
            return
        try:
            data = self._sock.recv(READ_BYTES)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self.close(f"the connection broke: {error.strerror}")
            return
        if not data:
            self.close("the host closed the connection")
            return
        self.last_inbound = self._loop.time()
        try:
            if self._tls is not None:
                data = self._decrypted(data, self._tls)
            for wire in self._deframer.feed(data):
                self._owner.received(wire)
                if self.closed.done():
                    return
        except (FramingError, ssl.SSLError) as error:
            self.close(f"what arrived cannot be read: {error}")

    def close(self, reason: str) -> None:
        """
        Close the connection. What is queued is reported as not sent.
        """
        if self.closed.done():
            return
        self.closed.set_result(reason)
        self._loop.remove_reader(self._sock)
        self._loop.remove_writer(self._sock)
        if self._check is not None:
            self._check.cancel()
        self._sock.close()
        queued = [*self._rest_unwritten, *self._queue]
        self._queue.clear()
        self._rest_unwritten = []
        self._rest = b""
        for exchange in queued:
            self._owner.not_sent(exchange, reason)
        self._owner.lost(reason)

    def _flush(self) -> None:
        """
        Send what is queued and still in time, until it is gone or the kernel is full.
        """
        self._flush_scheduled = False
        while not self.closed.done() and not self.blocked:
            if self._rest:
                self._send_rest()
            elif self._queue:
                self._send_batch(self._take_batch())
            else:
                return

    def _take_batch(self) -> list[Exchange]:
        """
        Take from the queue what fits into one send; drop what is late or unwanted.
        """
        now = self._clock.monotonic()
        batch: list[Exchange] = []
        size = 0
        while self._queue and size < SEND_BYTES_MAX:
            exchange = self._queue.popleft()
            if not self._drop_if_late(exchange, now):
                batch.append(exchange)
                size += len(exchange.frame)
        return batch

    def _drop_if_late(self, exchange: Exchange, now: float) -> bool:
        """
        Report *exchange* as not sent if it must not be sent any more, and say so.
        """
        if now >= exchange.send_before:
            self._owner.not_sent(exchange, "the send deadline passed")
        elif exchange.abandoned:
            self._owner.not_sent(exchange, "the caller was cancelled")
        else:
            return False
        return True

    def _send_batch(self, batch: list[Exchange]) -> None:
        """
        Send *batch* in one system call, directly after a last look at the clock.
        """
        if not batch:
            return
        data = b"".join([exchange.frame for exchange in batch])
        before = min([exchange.send_before for exchange in batch])
        sent = 0
        try:
            if self._tls is not None:
                data = self._tls.encrypt(data)
            # Nothing may stand between the clock and the socket.
            if self._clock.monotonic() >= before:
                self._too_late(batch)
                return
            sent = self._sock.send(data)
        except (BlockingIOError, InterruptedError):
            pass
        except OSError as error:
            # The kernel reports an error only if it took nothing of this send.
            self._queue.extendleft(reversed(batch))
            self.close(f"the connection broke: {error.strerror}")
            return
        if self._tls is not None:
            self._sent_records(batch, data, sent, before)
        else:
            self._sent_plain(batch, data, sent)
        if sent < len(data):
            self._block()

    def _too_late(self, batch: list[Exchange]) -> None:
        """
        Give up sending *batch* as it is: a deadline passed since it was put together.
        """
        self._queue.extendleft(reversed(batch))
        if self._tls is not None:
            # A record that was made cannot be left out of the session.
            self.close("a send deadline passed during encryption")

    def _sent_plain(self, batch: list[Exchange], data: bytes, sent: int) -> None:
        """
        Note what of *batch* is out; whole messages that are not go back into the queue.
        """
        at = 0
        for index, exchange in enumerate(batch):
            if at >= sent:
                self._queue.extendleft(reversed(batch[index:]))
                return
            at += len(exchange.frame)
            if at > sent:
                self._rest = data[sent:at]
                self._rest_before = exchange.send_before
            self._owner.wrote(exchange)

    def _sent_records(self, batch: list[Exchange], data: bytes, sent: int, before: float) -> None:
        """
        Note what of *batch* is out. Records cannot be taken back or left out: the rest of
        them goes before the earliest deadline, or the connection is closed.
        """
        if sent < len(data):
            self._rest = data[sent:]
            self._rest_before = before
        if sent:
            for exchange in batch:
                self._owner.wrote(exchange)
        else:
            self._rest_unwritten = batch

    def _send_rest(self) -> None:
        """
        Go on with what the kernel did not take, if its deadline allows.
        """
        try:
            if self._clock.monotonic() >= self._rest_before:
                self.close("a message was still half sent at its deadline")
                return
            sent = self._sock.send(self._rest)
        except (BlockingIOError, InterruptedError):
            sent = 0
        except OSError as error:
            self.close(f"the connection broke: {error.strerror}")
            return
        self._rest = self._rest[sent:]
        if sent:
            unwritten, self._rest_unwritten = self._rest_unwritten, []
            for exchange in unwritten:
                self._owner.wrote(exchange)
        if self._rest:
            self._block()
        else:
            self._rest_before = math.inf

    def _block(self) -> None:
        """
        Wait until the kernel takes more, and keep an eye on the deadlines meanwhile.
        """
        self.blocked = True
        self._loop.add_writer(self._sock, self._unblock)
        self._check = self._loop.call_later(BLOCKED_CHECK_SECONDS, self._check_deadlines)

    def _unblock(self) -> None:
        """
        Go on sending.
        """
        self.blocked = False
        self._loop.remove_writer(self._sock)
        if self._check is not None:
            self._check.cancel()
        self._flush()

    def _check_deadlines(self) -> None:
        """
        While blocked: report what has become too late, at once and not when it unblocks.
        """
        now = self._clock.monotonic()
        if self._rest and now >= self._rest_before:
            self.close("a message was still half sent at its deadline")
            return
        waiting = list(self._queue)
        self._queue.clear()
        self._queue.extend(item for item in waiting if not self._drop_if_late(item, now))
        self._check = self._loop.call_later(BLOCKED_CHECK_SECONDS, self._check_deadlines)

    def _decrypted(self, records: bytes, tls: Tls) -> bytes:
        """
        Return what *records* carry, and queue what the session answers by itself.
        """
        plain = tls.decrypt(records)
        if answer := tls.pending():
            self._rest += answer
            if not self.blocked and not self._flush_scheduled:
                self._flush_scheduled = True
                self._loop.call_soon(self._flush)
        return plain
