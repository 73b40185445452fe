"""
Finds the request to each answer.

Many requests share a connection, and answers come in any order. An `Exchange` is one
request on its way; `Mux` holds those that are outstanding and, for ten minutes more, the
keys of those that ended, so that a late or repeated answer is known for what it is.
No I/O here, and the time is a parameter.
"""

import asyncio
import functools
import heapq
import itertools
from collections import OrderedDict
from datetime import datetime
from typing import Literal

import msgspec

from counterfoil.network.content import padded
from counterfoil.network.dialect import Dialect
from counterfoil.network.message import Fields, FieldsView, Message
from counterfoil.network.outcome import (
    Answered,
    BadAnswer,
    Late,
    LateState,
    MatchKey,
    NotSent,
    Outcome,
    OutcomeUnknown,
)

AMOUNT = 4
RESPONSE_CODE = 39
PARTIAL_APPROVAL = "10"
NETWORK_MANAGEMENT = "8"  # Second digit of the MTI.

Verdict = Literal["answered", "bad", "late", "duplicate", "unmatched"]


class Exchange:
    """
    One message on its way out, and what is known of its answer.

    A reply to a message of the host has neither key nor future: it expects nothing.
    """

    __slots__ = (
        "answer_within",
        "connection",
        "fields",
        "frame",
        "future",
        "is_over",
        "key",
        "mti",
        "send_before",
        "written_at",
    )

    def __init__(
        self,
        mti: str,
        fields: FieldsView,
        frame: bytes,
        *,
        send_before: float,
        key: MatchKey | None = None,
        answer_within: float = 0.0,
        future: "asyncio.Future[Outcome] | None" = None,
    ) -> None:
        self.mti = mti
        self.fields: FieldsView = fields
        self.frame = frame
        self.send_before = send_before
        self.key = key
        self.answer_within = answer_within
        self.future = future
        self.written_at: float | None = None
        self.connection: object = None
        self.is_over = False

    @property
    def abandoned(self) -> bool:
        """Whether whoever waited for the outcome was cancelled."""
        return self.future is not None and self.future.cancelled()


class Ended(msgspec.Struct, frozen=True):
    """
    What is remembered of a request that ended.
    """

    request_mti: str
    state: LateState | Literal["answered"]
    forget_at: float


class Mux:
    """
    The outstanding requests of one acquirer, and the keys of those that ended lately.
    """

    def __init__(
        self,
        dialect: Dialect,
        *,
        outstanding_max: int,
        late_seconds: float,
        late_keys_max: int,
        answered_keys_max: int,
    ) -> None:
        self.dialect = dialect
        self.outstanding_max = outstanding_max
        self.late_seconds = late_seconds
        self.outstanding: dict[MatchKey, Exchange] = {}
        # Apart, so that a flood of answers cannot push out keys whose answer is still due.
        self._late = _Memory(late_keys_max)
        self._answered = _Memory(answered_keys_max)
        self._deadlines: list[tuple[float, int, Exchange]] = []
        self._sequence = itertools.count()

    def request_key(self, mti: str, fields: FieldsView) -> MatchKey:
        """
        Return the key that the answer to this request will have.
        """
        table = self.dialect.table
        values = []
        for number in self._match(mti):
            value = fields.get(number, "")
            values.append(padded(table[number], value) if isinstance(value, str) else value)
        return MatchKey(_answer_mti(mti), tuple(values))

    def add(self, exchange: Exchange) -> NotSent | None:
        """
        Take up *exchange* as outstanding, or say why it must not be sent.
        """
        assert exchange.key is not None
        if len(self.outstanding) >= self.outstanding_max:
            return NotSent("too many requests are outstanding")
        if exchange.key in self.outstanding:
            return NotSent("a request with the same key is outstanding")
        self.outstanding[exchange.key] = exchange
        return None

    def written(self, exchange: Exchange, now: float) -> None:
        """
        Note that the first byte of *exchange* was handed to the network at *now*.
        """
        exchange.written_at = now
        exchange.frame = b""
        if exchange.key is None:
            return
        # A repeat has the key of the request it repeats: from here on it is the one.
        self._late.pop(exchange.key)
        self._answered.pop(exchange.key)
        deadline = now + exchange.answer_within
        heapq.heappush(self._deadlines, (deadline, next(self._sequence), exchange))

    def not_sent(self, exchange: Exchange, reason: str) -> Late | None:
        """
        End an *exchange* of which no byte was written.
        """
        assert exchange.written_at is None
        if exchange.key is not None:
            self.outstanding.pop(exchange.key, None)
        return _settle(exchange, NotSent(reason))

    def unknown(
        self, exchange: Exchange, reason: str, *, state: LateState, now: float
    ) -> Late | None:
        """
        End an *exchange* that was written, without an answer; remember its key.
        """
        if exchange.key is not None:
            self.outstanding.pop(exchange.key, None)
            remembered: LateState = "abandoned" if exchange.abandoned else state
            ended = Ended(exchange.mti, remembered, now + self.late_seconds)
            self._late.put(exchange.key, ended, now)
        return _settle(exchange, OutcomeUnknown(reason))

    def expired(self, now: float) -> list[Exchange]:
        """
        Return, and stop timing, the written exchanges whose answer time has passed.
        """
        exchanges = []
        while self._deadlines and self._is_due(self._deadlines[0], now):
            exchange = heapq.heappop(self._deadlines)[2]
            if self._is_outstanding(exchange):
                exchanges.append(exchange)
        return exchanges

    def next_deadline(self) -> float | None:
        """
        Return when the next answer time passes, or None if nothing is awaited.
        """
        while self._deadlines and not self._is_outstanding(self._deadlines[0][2]):
            heapq.heappop(self._deadlines)
        return self._deadlines[0][0] if self._deadlines else None

    def written_on(self, connection: object) -> list[Exchange]:
        """
        Return the outstanding exchanges that were written on *connection*.
        """
        return [
            exchange
            for exchange in self.outstanding.values()
            if exchange.connection is connection and exchange.written_at is not None
        ]

    def receive(
        self, answer: Message, *, at: datetime, now: float
    ) -> tuple[Verdict, Exchange | None, Late | None]:
        """
        Give *answer* to the request it belongs to, and say what it was.
        """
        values = tuple([answer.fields.get(number, "") for number in self._match(answer.mti)])
        key = MatchKey(answer.mti[:3] + "0", values)
        exchange = self.outstanding.get(key)
        if exchange is not None and exchange.written_at is not None:
            del self.outstanding[key]
            ended = Ended(exchange.mti, "answered", now + self.late_seconds)
            self._answered.put(key, ended, now)
            fault = self._fault(exchange.fields, answer)
            if fault is None:
                late = _settle(exchange, Answered(answer.mti, answer.fields, at))
                return "answered", exchange, late
            return "bad", exchange, _settle(exchange, BadAnswer(fault, answer.fields))
        if (was := self._late.take(key, now)) is not None and was.state != "answered":
            ended = Ended(was.request_mti, "answered", now + self.late_seconds)
            self._answered.put(key, ended, now)
            outcome = Answered(answer.mti, answer.fields, at)
            return "late", None, Late(was.state, was.request_mti, key, outcome)
        if self._answered.get(key, now) is not None:
            return "duplicate", None, None
        return "unmatched", None, None

    def _match(self, mti: str) -> tuple[int, ...]:
        """Return the fields that find the request to an answer of this MTI."""
        profile = self.dialect.profile
        if mti[1] == NETWORK_MANAGEMENT:
            return profile.match_network_management
        return profile.match

    def _is_outstanding(self, exchange: Exchange) -> bool:
        """Say whether *exchange* still waits for its answer."""
        return exchange.key is not None and not exchange.is_over

    def _is_due(self, entry: tuple[float, int, Exchange], now: float) -> bool:
        """Say whether a timing *entry* can go: its time has passed or it has ended."""
        return entry[0] <= now or not self._is_outstanding(entry[2])

    def _fault(self, sent: FieldsView, answer: Message) -> str | None:
        """Return how *answer* contradicts what was *sent*, or None."""
        if RESPONSE_CODE not in answer.fields:
            return f"field {RESPONSE_CODE} is missing"
        for number in self.dialect.profile.echo:
            value = sent.get(number)
            if value is None or answer.fields.get(number) == value:
                continue
            if isinstance(value, str):
                value = padded(self.dialect.table[number], value)
            if answer.fields.get(number) == value:
                continue
            if number != AMOUNT or not _is_partial(value, answer.fields):
                return f"field {number} differs from the request's"
        return None


class _Memory:
    """
    The keys of ended requests, for a while and up to a number.
    """

    def __init__(self, entries_max: int) -> None:
        self._entries_max = entries_max
        self._entries: OrderedDict[MatchKey, Ended] = OrderedDict()

    def put(self, key: MatchKey, ended: Ended, now: float) -> None:
        """Remember *ended*; forget what is too old or too much."""
        entries = self._entries
        entries.pop(key, None)
        entries[key] = ended
        while entries and (
            len(entries) > self._entries_max or next(iter(entries.values())).forget_at <= now
        ):
            entries.popitem(last=False)

    def get(self, key: MatchKey, now: float) -> Ended | None:
        """Return what is remembered of *key*."""
        ended = self._entries.get(key)
        return ended if ended is not None and now < ended.forget_at else None

    def take(self, key: MatchKey, now: float) -> Ended | None:
        """Return what is remembered of *key*, and forget it."""
        ended = self.get(key, now)
        self._entries.pop(key, None)
        return ended

    def pop(self, key: MatchKey) -> None:
        """Forget *key*."""
        self._entries.pop(key, None)


def _settle(exchange: Exchange, outcome: Outcome) -> Late | None:
    """
    Tell whoever waits for *exchange* its outcome; if nobody does, return it as late.
    """
    exchange.is_over = True
    exchange.fields = {}  # Nothing needs the card number any more.
    future = exchange.future
    if future is None:
        return None
    if not future.done():
        future.set_result(outcome)
        return None
    assert exchange.key is not None
    return Late("abandoned", exchange.mti, exchange.key, outcome)


@functools.lru_cache(maxsize=64)
def _answer_mti(mti: str) -> str:
    """
    Return the message type of the answer to a request of type *mti*.
    """
    assert int(mti[2]) % 2 == 0, "an answer is not a request"
    return f"{mti[:2]}{int(mti[2]) + 1}0"


def _is_partial(sent: str | bytes, answer: Fields) -> bool:
    """
    Say whether *answer* approves a part of the amount that was *sent*.
    """
    amount = answer.get(AMOUNT)
    if answer[RESPONSE_CODE] != PARTIAL_APPROVAL:
        return False
    if not (isinstance(amount, str) and isinstance(sent, str)):
        return False
    return amount.isdecimal() and sent.isdecimal() and int(amount) <= int(sent)
