"""
The link to an acquirer: requests in, outcomes out.

Stands between the payment, which has already been stored, and the network. A link is one
or more lines to the same host that share the outstanding requests; each request gets one of
four outcomes (see `outcome`), and an answer that nobody waits for any more is handed to
whoever keeps the books.
"""

import asyncio
import itertools
import random
import socket
import ssl
from collections.abc import Callable
from contextvars import Context, copy_context
from functools import partial
from typing import Any

from counterfoil.clock import Clock
from counterfoil.network.connection import Connection
from counterfoil.network.dialect import Dialect
from counterfoil.network.hub import LinkSettings
from counterfoil.network.line import Line
from counterfoil.network.masking import masked
from counterfoil.network.message import FieldsView, Message
from counterfoil.network.mux import NETWORK_MANAGEMENT, RESPONSE_CODE, Exchange, Mux
from counterfoil.network.outcome import Late, LateState, NotSent, Outcome

SWEEP_SECONDS_MIN = 0.005  # Answer times closer together than this expire together.
STAN_MAX = 999_999
SECURITY_VIOLATION = "63"  # On a link with MACs: the host may find ours wrong.

__all__ = ["AcquirerLink", "LinkSettings"]


class AcquirerLink:
    """
    The gateway's link to one acquirer.

    Callbacks run in a later turn of the event loop, one by one and in order; what they raise
    goes to the loop's exception handler and does no harm here.

    Args:
        tls: A context from `tls.client_context`, or None for a plain connection.
        on_late: A request whose caller was gone, or had been told "unknown", got an outcome.
        on_unmatched: A message arrived that belongs to nothing we know.
        on_duplicate: An answer arrived that had been given already.
        on_event: For journals and metrics, with masked messages. Names: connect_failed,
            link_up, signed_on, signed_off, link_down, sent, answered, bad_answer, late,
            duplicate, unmatched, not_sent, no_answer, echo_missed, network_management,
            bad_frame, bad_mac, mac_refused, key_requested, key_refused.
        shows_messages: Whether the events of messages bring them along, masked as `fields`.
        chance: Returns a number from 0 to 1, for the jitter of reconnects.
        sockets: Makes a socket of a family and a type.
    """

    def __init__(
        self,
        settings: LinkSettings,
        dialect: Dialect,
        clock: Clock,
        *,
        tls: ssl.SSLContext | None = None,
        on_late: Callable[[Late], None] | None = None,
        on_unmatched: Callable[[Message], None] | None = None,
        on_duplicate: Callable[[Message], None] | None = None,
        on_event: Callable[..., None] | None = None,
        shows_messages: bool = True,
        chance: Callable[[], float] = random.random,
        sockets: Callable[[int, int], socket.socket] = socket.socket,
    ) -> None:
        self.settings = settings
        self.dialect = dialect
        self.clock = clock
        self.on_late = on_late
        self.on_unmatched = on_unmatched
        self.on_duplicate = on_duplicate
        self.on_event = on_event
        self._shows_messages = shows_messages
        self._mux = Mux(
            dialect,
            outstanding_max=settings.outstanding_max,
            late_seconds=settings.late_seconds,
            late_keys_max=settings.late_keys_max,
            answered_keys_max=settings.answered_keys_max,
        )
        self._lines = [
            Line(number, self, tls=tls, chance=chance, sockets=sockets)
            for number in range(settings.connections)
        ]
        self._next_line = 0
        self._tasks: list[asyncio.Task[None]] = []
        self._sweep_timer: asyncio.TimerHandle | None = None
        self._sweep_at = 0.0
        self._stopping = False
        self._calls: list[tuple[Context, Callable[[], None]]] = []  # To be made in a later turn.
        self._signed_on = asyncio.Event()
        # Of our own 0800 only: payments bring theirs.
        self._stans = itertools.count()

    @property
    def ready(self) -> bool:
        """Whether a request would be sent now: at least one line is signed on."""
        if not self._stopping:
            for line in self._lines:
                if line.signed_on:
                    return True
        return False

    @property
    def outstanding(self) -> int:
        """How many requests have no outcome yet."""
        return len(self._mux.outstanding)

    @property
    def wrong_macs(self) -> int:
        """How many messages with a wrong MAC arrived, and were not acted on."""
        return sum(line.wrong_macs for line in self._lines)

    async def start(self) -> None:
        """
        Begin to connect, and return at once; `wait_ready` waits for the sign-on.
        """
        assert not self._tasks, "a link is started once"
        self._stopping = False
        self._tasks = [
            asyncio.create_task(line.run(), name=f"acquirer line {line.number}")
            for line in self._lines
        ]
        for task in self._tasks:
            task.add_done_callback(self._line_ended)

    async def wait_ready(self, seconds: float) -> bool:
        """
        Wait up to *seconds* until a line is signed on, and say whether one is.
        """
        try:
            async with asyncio.timeout(seconds):
                await self._signed_on.wait()
        except TimeoutError:
            pass
        return self.ready

    async def stop(self) -> None:
        """
        Take no more requests, wait a while for outstanding answers, sign off and disconnect.

        What is still without an answer then has an unknown outcome.
        """
        self._stopping = True
        waited_for = [x.future for x in self._mux.outstanding.values() if x.future is not None]
        if waited_for:
            await asyncio.wait(waited_for, timeout=self.settings.drain_seconds)
        await asyncio.gather(*(line.sign_off() for line in self._lines))
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []
        if self._sweep_timer is not None:
            self._sweep_timer.cancel()

    async def request(
        self, mti: str, fields: FieldsView, *, send_before: float, answer_within: float
    ) -> Outcome:
        """
        Send one request and return what became of it.

        *send_before* is a moment on the clock's monotonic scale: from then on the request
        is not written any more, whatever happens. *answer_within* counts the seconds from
        the first byte written.

        If the caller is cancelled, a request that is already written stays outstanding
        until it is answered or expires, and its outcome goes to `on_late` with the state
        "abandoned"; one that is not yet written is dropped, which `on_late` is told too.

        Raises:
            MessageError: The message cannot be encoded. Nothing was sent.
        """
        wire = self.dialect.codec.encode(mti, fields)
        line = None if self._stopping else self._pick()
        if line is None or line.connection is None:
            return self._refused(mti, "the link is down")
        if self.clock.monotonic() >= send_before:
            return self._refused(mti, "the send deadline passed")
        future = self._submit(
            line.connection,
            mti,
            fields,
            wire,
            send_before=send_before,
            answer_within=answer_within,
        )
        try:
            return await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled():
                # The outcome came in the same turn as the cancellation.
                key = self._mux.request_key(mti, fields)
                self._hand_over(Late("abandoned", mti, key, future.result()))
            raise

    def next_stan(self) -> str:
        """Return a STAN for a line's own message."""
        return f"{next(self._stans) % STAN_MAX + 1:06d}"

    def signed_on_changed(self) -> None:
        """Wake whoever waits for the link."""
        if self.ready:
            self._signed_on.set()
        else:
            self._signed_on.clear()

    def submit(
        self,
        connection: Connection,
        mti: str,
        fields: FieldsView,
        *,
        send_before: float,
        answer_within: float,
    ) -> "asyncio.Future[Outcome]":
        """Send a line's own request on its *connection*."""
        wire = self.dialect.codec.encode(mti, fields)
        return self._submit(
            connection, mti, fields, wire, send_before=send_before, answer_within=answer_within
        )

    def _submit(
        self,
        connection: Connection,
        mti: str,
        fields: FieldsView,
        wire: bytes,
        *,
        send_before: float,
        answer_within: float,
    ) -> "asyncio.Future[Outcome]":
        """
        Queue an encoded request on *connection*; the future gets its outcome.
        """
        future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        exchange = Exchange(
            mti,
            fields,
            self.dialect.framing.frame(wire),
            send_before=send_before,
            key=self._mux.request_key(mti, fields),
            answer_within=answer_within,
            future=future,
        )
        refusal = self._mux.add(exchange)
        if refusal is not None:
            future.set_result(self._refused(mti, refusal.reason))
        elif (reason := connection.send(exchange)) is not None:
            self.not_sent(exchange, reason)
        return future

    def wrote(self, exchange: Exchange) -> None:
        """Start the time for the answer."""
        now = self.clock.monotonic()
        self._mux.written(exchange, now)
        if exchange.key is not None:
            self._sweep_by(now + exchange.answer_within, now)
        if self.on_event is not None:
            self.event("sent", mti=exchange.mti, **self._shown(exchange.fields))

    def not_sent(self, exchange: Exchange, reason: str) -> None:
        """End a request that never left."""
        self._hand_over(self._mux.not_sent(exchange, reason))
        self.event("not_sent", mti=exchange.mti, reason=reason)

    def lost(self, connection: Connection, reason: str) -> None:
        """End what was written on a lost connection: its outcome is unknown."""
        for exchange in self._mux.written_on(connection):
            self._unknown(exchange, reason, "connection_lost")

    def received(self, message: Message) -> None:
        """Find out what a message is, and hand it to whom it concerns."""
        now = self.clock.monotonic()
        verdict, exchange, late = self._mux.receive(message, at=self.clock.now(), now=now)
        self._hand_over(late)
        if exchange is not None:
            exchange.future = None  # Or its answer would be kept until its time is over.
        if verdict == "unmatched":
            self._later(self.on_unmatched, message)
        elif verdict == "duplicate":
            self._later(self.on_duplicate, message)
        if message.text(RESPONSE_CODE) == SECURITY_VIOLATION and self.dialect.mac_check_value:
            self.event("mac_refused", mti=message.mti)
        if self.on_event is not None:
            details: dict[str, Any] = {"mti": message.mti, **self._shown(message.fields)}
            if exchange is not None and exchange.written_at is not None:
                details["milliseconds"] = round((now - exchange.written_at) * 1000, 3)
            self.event("bad_answer" if verdict == "bad" else verdict, **details)

    def event(self, name: str, **details: Any) -> None:
        """Tell whoever keeps a journal."""
        if self.on_event is not None:
            self._later(partial(self.on_event, name, **details))

    def _shown(self, fields: FieldsView) -> dict[str, dict[int, str]]:
        """Return what an event tells of a message: what may be shown of it in this dialect."""
        return {"fields": masked(fields, self.dialect.tags)} if self._shows_messages else {}

    def _pick(self) -> Line | None:
        """
        Return the next line that is signed on, preferably one that is not blocked.
        """
        count = len(self._lines)
        fallback = None
        for step in range(count):
            line = self._lines[(self._next_line + step) % count]
            if line.signed_on and line.connection is not None:
                if not line.connection.blocked:
                    self._next_line = (self._next_line + step + 1) % count
                    return line
                fallback = fallback or line
        return fallback

    def _refused(self, mti: str, reason: str) -> NotSent:
        """Return the outcome of a request that is not even queued."""
        self.event("not_sent", mti=mti, reason=reason)
        return NotSent(reason)

    def _unknown(self, exchange: Exchange, reason: str, state: LateState) -> None:
        """End a request that was written and stays without an answer."""
        now = self.clock.monotonic()
        self._hand_over(self._mux.unknown(exchange, reason, state=state, now=now))
        self.event("no_answer", mti=exchange.mti, reason=reason)

    def _line_ended(self, task: asyncio.Task[None]) -> None:
        """
        A line ends when it is cancelled; anything else is a fault that must be seen.
        """
        if not task.cancelled() and (fault := task.exception()) is not None:
            task.get_loop().call_exception_handler(
                {"message": f"{task.get_name()} ended by a fault", "exception": fault}
            )

    def _sweep_by(self, deadline: float, now: float) -> None:
        """
        See to it that the sweep runs when *deadline* passes.
        """
        if self._sweep_timer is not None:
            if self._sweep_at <= deadline:
                return
            self._sweep_timer.cancel()
        delay = max(deadline - now, SWEEP_SECONDS_MIN)
        self._sweep_at = deadline
        self._sweep_timer = asyncio.get_running_loop().call_later(delay, self._sweep)

    def _sweep(self) -> None:
        """
        End the requests whose answer time has passed.
        """
        self._sweep_timer = None
        # After a pause the answer may have been waiting in the kernel all the time.
        for line in self._lines:
            if line.connection is not None:
                line.connection.read()
        now = self.clock.monotonic()
        for exchange in self._mux.expired(now):
            self._unknown(exchange, f"no answer in {exchange.answer_within:g} s", "timed_out")
        following = self._mux.next_deadline()
        if following is not None:
            self._sweep_by(following, now)

    def _hand_over(self, late: Late | None) -> None:
        """Give an outcome that nobody waits for to whoever keeps the books."""
        if late is not None and late.request_mti[1] != NETWORK_MANAGEMENT:
            self._later(self.on_late, late)

    def _later(self, callback: Callable[..., None] | None, *arguments: object) -> None:
        """Call *callback*, if there is one, in a later turn; all of one turn in the same one."""
        if callback is None:
            return
        self._calls.append((copy_context(), partial(callback, *arguments)))
        if len(self._calls) == 1:
            asyncio.get_running_loop().call_soon(self._make_calls)

    def _make_calls(self) -> None:
        """Make the calls that were put off, each in the context of whoever put it off."""
        calls, self._calls = self._calls, []
        for context, call in calls:
            try:
                context.run(call)
            except Exception as fault:  # noqa: BLE001 - whatever a callback raises is told, and no harm.
                asyncio.get_running_loop().call_exception_handler(
                    {"message": "a callback of a link failed", "exception": fault}
                )
