"""
The load generator: whole payments over TLS, each acknowledged on the connection that made it.

A process of its own: `python -m counterfoil_proof.bench.load` reads a plan from standard input
and answers with what it measured. It does as little as it can: bodies are rendered from a
template, of an answer only status, id and confirmation number are looked at.
"""

import asyncio
import ctypes
import gc
import random
import resource
import signal
import ssl
import sys
import time
from collections import deque
from typing import cast

import msgspec
import uvloop

from counterfoil_proof.bench.machine import cpu_seconds, memory_bytes

PR_SET_PDEATHSIG = 1  # prctl(2)
CARDS = 4096
TICK_SECONDS = 0.002
REFUSED_PAUSE_SECONDS = 0.05
DRAIN_SECONDS_MAX = 20.0
CONNECT_AT_ONCE = 16
CREATED, OK = b"201", b"200"
HEAD = (
    b"POST %b HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer %b\r\n"
    b"Content-Type: application/json\r\n%bContent-Length: %d\r\n\r\n%b"
)
BODY = (
    b'{"amount_minor":%d,"currency":"USD","card":{"number":"%b","expiry_month":12,'
    b'"expiry_year":2030,"cvv":"739"},"order":"%b","customer_email":"%b@shopper.example"}'
)


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """
    One run. With `payments` it ends after so many; with `rate` it is an open loop.

    `watched` names processes whose CPU is counted while it is measured; `weighs`: their memory,
    too, at the end, when all connections stand.
    """

    port: int
    keys: list[str]
    authority: str
    connections: int
    warm_seconds: float = 0.0
    seconds: float = 0.0
    payments: int | None = None
    rate: float | None = None
    watched: dict[str, list[int]] = {}
    seed: int = 1
    weighs: bool = False


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """
    What came of it. `confirmed` counts every confirmation number, the warm-up's included;
    `payments` those of the measured time, in which all figures are.
    """

    connections: int
    confirmed: int
    payments: int
    seconds: float
    payments_per_second: float
    refused: int
    latency_ms: dict[str, float]
    cpu_seconds: dict[str, float]
    first_refusal: str | None = None
    memory_bytes: dict[str, int] = {}


class Bench:
    """
    What all connections share: the plan, the counts, who is free.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        chance = random.Random(plan.seed)  # noqa: S311 - card numbers of a test.
        self._cards = [_card(chance) for _ in range(CARDS)]
        self._run = f"{plan.seed:x}-{time.time_ns():x}".encode()
        self._number = 0
        self._keys = [each.encode() for each in plan.keys]
        self.confirmed = 0
        self.begun = 0
        self.refused = 0
        self.first_refusal: str | None = None
        self.measuring = False
        self.latencies: list[float] = []
        self.selling = True
        self.free: deque[Till] = deque()
        self.due: deque[float] = deque()
        self.tills: list[Till] = []

    def merchant(self) -> bytes:
        """
        Return the secret of the merchant whose turn it is.
        """
        return self._keys[self._number % len(self._keys)]

    def body(self) -> tuple[bytes, bytes]:
        """
        Return the key and the body of the next payment.
        """
        self._number += 1
        key = b"bench-%b-%d" % (self._run, self._number)
        card = self._cards[self._number % CARDS]
        return key, BODY % (1000 + self._number % 5000, card, key[-20:], key[-20:])

    def next(self, till: "Till") -> None:
        """
        Give *till* its next payment, if there is one.
        """
        plan = self.plan
        if not self.selling or (plan.payments is not None and self.begun >= plan.payments):
            return
        if plan.rate is None:
            self.begun += 1
            till.pay(time.perf_counter())
        elif self.due:
            self.begun += 1
            till.pay(self.due.popleft())
        else:
            self.free.append(till)

    def paid(self, since: float) -> None:
        """
        Count a payment that has its confirmation number.
        """
        self.confirmed += 1
        if self.measuring:
            self.latencies.append(time.perf_counter() - since)

    def refuse(self, till: "Till", answer: bytes) -> None:
        """
        Count an answer that is none of the two that are hoped for.
        """
        self.refused += 1
        if self.first_refusal is None:
            self.first_refusal = answer.decode("utf-8", "replace")[-400:]
        asyncio.get_running_loop().call_later(REFUSED_PAUSE_SECONDS, self.next, till)

    @property
    def under_way(self) -> bool:
        """
        Whether an answer is still awaited.
        """
        return any(till.since is not None for till in self.tills)


class Till(asyncio.Protocol):
    """
    One connection: pays, acknowledges, and begins again.
    """

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self._key = b""
        self._transport: asyncio.Transport | None = None
        self._buffer = b""
        self._acknowledges = False
        self.since: float | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """
        Keep the way out.
        """
        self._transport = cast("asyncio.Transport", transport)  # uvloop's own is no subclass.

    def connection_lost(self, exc: Exception | None) -> None:
        """
        End: what was asked has no answer.
        """
        if self.since is not None:
            self._bench.refused += 1
            self.since = None

    def pay(self, since: float) -> None:
        """
        Ask for a payment that was due at *since*.
        """
        self.since = since
        self._acknowledges = False
        self._key = self._bench.merchant()
        key, body = self._bench.body()
        self._send(b"/v1/payments", b"Idempotency-Key: %b\r\n" % key, body)

    def _send(self, path: bytes, more: bytes, body: bytes) -> None:
        assert self._transport is not None
        self._transport.write(HEAD % (path, self._key, more, len(body), body))

    def data_received(self, data: bytes) -> None:
        """
        Take an answer, whole or in parts.
        """
        self._buffer = buffer = self._buffer + data
        end = buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        at = buffer.find(b"ontent-length: ", 0, end)
        if at < 0:
            at = buffer.find(b"ontent-Length: ", 0, end)
        length = int(buffer[at + 15 : buffer.find(b"\r", at)])
        if len(buffer) < end + 4 + length:
            return
        self._buffer = b""
        self._answered(buffer[9:12], buffer[end + 4 :])

    def _answered(self, status: bytes, body: bytes) -> None:
        since = self.since
        assert since is not None
        if not self._acknowledges and status == CREATED and b'"state":"approved"' in body:
            at = body.find(b'"id":"') + 6
            self._acknowledges = True
            self._send(b"/v1/payments/%b/acknowledge" % body[at : body.find(b'"', at)], b"", b"{}")
            return
        self.since = None
        if self._acknowledges and status == OK and b'"confirmation_number":"' in body:
            self._bench.paid(since)
            self._bench.next(self)
        else:
            self._bench.refuse(self, status + b" " + body)


async def run(plan: Plan) -> Measured:
    """
    Do what the plan says.
    """
    bench = Bench(plan)
    await _connect(bench)
    ticking = None
    if plan.rate is not None:
        ticking = asyncio.create_task(_tick(bench, plan.rate))
    for till in bench.tills:
        bench.next(till)
    if plan.payments is None:
        await asyncio.sleep(plan.warm_seconds)
    bench.measuring = True
    began, before = time.perf_counter(), _cpu(plan)
    if plan.payments is None:
        await asyncio.sleep(plan.seconds)
    else:
        await _until_done(bench)
    bench.measuring = False
    taken, after = time.perf_counter() - began, _cpu(plan)
    bench.selling = False
    if ticking is not None:
        ticking.cancel()
    await _until_done(bench)
    payments = len(bench.latencies)
    return Measured(
        connections=plan.connections,
        confirmed=bench.confirmed,
        payments=payments,
        seconds=round(taken, 3),
        payments_per_second=round(payments / taken, 1),
        refused=bench.refused,
        latency_ms=quantiles(bench.latencies),
        cpu_seconds={name: round(after[name] - before[name], 3) for name in after},
        first_refusal=bench.first_refusal,
        memory_bytes=_memory(plan) if plan.weighs else {},
    )


def quantiles(seconds: list[float]) -> dict[str, float]:
    """
    Return median, 99th and 99.9th percentile and the worst, in milliseconds.
    """
    if not seconds:
        return {}
    ordered = sorted(seconds)
    last = len(ordered) - 1
    at = {"p50": 0.5, "p99": 0.99, "p99_9": 0.999, "max": 1.0}
    return {
        name: round(ordered[min(last, int(share * len(ordered)))] * 1000, 3)
        for name, share in at.items()
    }


async def _connect(bench: Bench) -> None:
    plan = bench.plan
    trust = ssl.create_default_context(cafile=plan.authority)
    room = asyncio.Semaphore(CONNECT_AT_ONCE)
    loop = asyncio.get_running_loop()

    async def one() -> None:
        async with room:
            _, till = await loop.create_connection(
                lambda: Till(bench), "127.0.0.1", plan.port, ssl=trust
            )
        bench.tills.append(till)

    await asyncio.gather(*(one() for _ in range(plan.connections)))


async def _tick(bench: Bench, rate: float) -> None:
    """
    Let payments become due at *rate* a second, whatever became of those before.
    """
    began, made = time.perf_counter(), 0
    while True:
        now = time.perf_counter()
        while began + made / rate <= now:
            bench.due.append(began + made / rate)
            made += 1
        while bench.due and bench.free:
            bench.next(bench.free.popleft())
        await asyncio.sleep(TICK_SECONDS)


async def _until_done(bench: Bench) -> None:
    plan = bench.plan
    seen, until = -1, 0.0
    while seen != bench.confirmed or time.perf_counter() < until:
        if seen != bench.confirmed:  # As long as payments come in, it goes on.
            seen, until = bench.confirmed, time.perf_counter() + DRAIN_SECONDS_MAX
        more = bench.selling and plan.payments is not None and bench.begun < plan.payments
        if not more and not bench.under_way:
            return
        await asyncio.sleep(TICK_SECONDS)


def _cpu(plan: Plan) -> dict[str, float]:
    ours = {"load generator": time.process_time()}
    return ours | {name: cpu_seconds(pids) for name, pids in plan.watched.items()}


def _memory(plan: Plan) -> dict[str, int]:
    return {name: memory_bytes(pids) for name, pids in plan.watched.items()}


def _card(chance: random.Random) -> bytes:
    digits = "453957" + "".join(str(chance.randrange(10)) for _ in range(9))
    doubled = [int(each) * (2 - number % 2) for number, each in enumerate(digits)]
    total = sum(each - 9 if each > 9 else each for each in doubled)
    return (digits + str(-total % 10)).encode()


def main() -> None:
    """
    Read a plan, carry it out, write what was measured.
    """
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)  # Never without its bench.
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    plan = msgspec.json.decode(sys.stdin.buffer.read(), type=Plan)
    gc.freeze()
    measured = uvloop.run(run(plan))
    sys.stdout.buffer.write(msgspec.json.encode(measured))


if __name__ == "__main__":
    main()
