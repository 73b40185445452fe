"""
A gateway that notes how long each step of a payment took: wrapped from outside, for measuring.

    python -m counterfoil_proof.bench.spans FILE -- serve

The product's own process with a look at the clock at its seams; when it ends, every payment it
has noted stands in FILE, one JSON object each, in seconds. The wait for the acquirer goes from
the first byte handed to the kernel to the answer read, as the link itself counts it.
"""

import functools
import os
import re
import sys
import time
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import msgspec
from counterfoil.api.connection import App, Exchange
from counterfoil.api.exchange import Request, Response
from counterfoil.cli import main as cli
from counterfoil.network.link import AcquirerLink
from counterfoil.network.mux import Mux
from counterfoil.store.payments import PaymentStore

PAYMENTS_MAX = 200_000
PAY = "/v1/payments"
STEPS = ("screen", "intend", "conclude", "acknowledge")
_ID = re.compile(rb'"id":"([a-z0-9_]+)"')

Spans = dict[str, float]
_current: ContextVar[Spans | None] = ContextVar("spans", default=None)


class Notes:
    """
    The spans of every payment, from its request to the end of its acknowledgment.
    """

    def __init__(self) -> None:
        self.open: dict[str, Spans] = {}
        self.whole: list[Spans] = []
        self.asked: dict[Any, Spans] = {}  # By the future that waits for the host.

    def paid(self, payment_id: str, spans: Spans) -> None:
        """
        Keep the first half.
        """
        if len(self.open) < PAYMENTS_MAX:
            self.open[payment_id] = spans

    def acknowledged(self, payment_id: str, spans: Spans) -> None:
        """
        Put both halves together.
        """
        first = self.open.pop(payment_id, None)
        if first is not None and len(self.whole) < PAYMENTS_MAX:
            self.whole.append({**first, **spans})


def install(notes: Notes) -> None:
    """
    Wrap the seams of this process, for good.
    """
    for step in STEPS:
        _wrap(PaymentStore, step, functools.partial(_step, step))
    _wrap(AcquirerLink, "request", functools.partial(_step, "link"))
    _wrap(AcquirerLink, "_submit", functools.partial(_submitted, notes))
    _wrap(Mux, "receive", functools.partial(_received, notes))
    _wrap(Exchange, "run", functools.partial(_run, notes))


def _wrap(owner: Any, name: str, wrap: Any) -> None:
    plain = getattr(owner, name)
    setattr(owner, name, functools.wraps(plain)(wrap(plain)))


def _step(name: str, plain: Any) -> Any:
    async def timed(*arguments: Any, **options: Any) -> Any:
        spans = _current.get()
        if spans is None:
            return await plain(*arguments, **options)
        began = time.perf_counter()
        try:
            return await plain(*arguments, **options)
        finally:
            spans[name] = spans.get(name, 0.0) + time.perf_counter() - began

    return timed


def _submitted(notes: Notes, plain: Any) -> Any:
    def submit(*arguments: Any, **options: Any) -> Any:
        future = plain(*arguments, **options)
        if (spans := _current.get()) is not None:
            notes.asked[future] = spans
            future.add_done_callback(lambda done: notes.asked.pop(done, None))
        return future

    return submit


def _received(notes: Notes, plain: Any) -> Any:
    def receive(self: Mux, answer: Any, *, at: Any, now: float) -> Any:
        found = plain(self, answer, at=at, now=now)
        exchange = found[1]
        if exchange is not None and exchange.written_at is not None:
            spans = notes.asked.get(exchange.future)
            if spans is not None:
                spans["rail"] = now - exchange.written_at
        return found

    return receive


def _run(notes: Notes, plain: Any) -> Any:
    async def run(self: Exchange, app: App) -> None:
        path = self.request.path
        pays = path == PAY
        if self.request.method != "POST" or not (pays or path.endswith("/acknowledge")):
            await plain(self, app)
            return
        began = time.perf_counter()
        spans: Spans = {}
        answer = b""

        async def watched(request: Request) -> Response:
            nonlocal answer
            response = await app(request)
            answer = response.body
            return response

        token = _current.set(spans)
        try:
            await plain(self, watched)
        finally:
            _current.reset(token)
        spans["payment" if pays else "acknowledgment"] = time.perf_counter() - began
        if pays and (found := _ID.search(answer)):
            notes.paid(found[1].decode(), spans)
        elif not pays:
            notes.acknowledged(path.split("/")[3], spans)

    return run


def main(words: list[str]) -> None:
    """
    Run the command after `--` with its seams wrapped, and write what was noted when it ends.
    """
    path, dashes, *command = words
    if dashes != "--":
        sys.stderr.write("usage: spans FILE -- COMMAND ...\n")
        sys.exit(2)
    notes = Notes()
    install(notes)
    os.environ["COUNTERFOIL_GROUPS_LIMITED"] = "1"  # `serve` starts itself anew without it.
    sys.argv = ["counterfoil", *command]
    try:
        cli.main()
    finally:
        lines = [msgspec.json.encode(each) for each in notes.whole]
        Path(path).write_bytes(b"\n".join(lines))


if __name__ == "__main__":
    main(sys.argv[1:])
