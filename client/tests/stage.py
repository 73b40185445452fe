"""
A stage for the core: drives steps against the scripted gateway, with faults and crashes,
on a real journal and a clock of its own. No sockets, no threads, no waiting.
"""

import json
from collections.abc import Iterator, Sequence
from enum import StrEnum
from pathlib import Path
from random import Random
from typing import Any, TypeVar

from counterfoil_client import Card, Limits, Payment, Recovered
from counterfoil_client.calls import Calls
from counterfoil_client.commands import Answer, Command, Event, Failure, Send, Steps, Wait
from counterfoil_client.desk import Desk
from counterfoil_client.journal import Journal
from scripted_gateway import Gateway

T = TypeVar("T")


class Fault(StrEnum):
    """
    What the network does to one request.
    """

    NONE = "none"
    UNREACHABLE = "unreachable"  # No connection: proof that nothing was sent.
    LOST = "lost"  # The request got lost, and nobody can tell.
    DELAYED = "delayed"  # The request arrives when everybody has gone.
    ANSWER_LOST = "answer_lost"  # The gateway has it; the answer got lost.
    PROXY_PAGE = "proxy_page"  # The gateway has it; a proxy answers 502.


class Crash(BaseException):
    """
    The process dies here.
    """


class Stage:
    def __init__(self, path: Path, gateway: Gateway, faults: Sequence[Fault] = ()) -> None:
        self.path = path
        self.gateway = gateway
        self.now = 0.0
        self.log: list[Command] = []
        self.late: list[Send] = []
        self._faults: Iterator[Fault] = iter(faults)
        self._journal = Journal(path, "merchant")

    def sale(
        self, card: Card, key: str = "key-1", *, kind: str = "sale", **more: Any
    ) -> Steps[Payment]:
        texts = {"order": "1001", "description": None, "customer_email": None, "billing": None}
        code = "H7K2P9" if kind == "forced" else None
        _, steps = self.calls().payment(
            kind,
            4200,
            "USD",
            card,
            idempotency_key=key,
            voice_approval_code=code,
            **{**texts, **more},
        )
        return steps

    def verification(self, card: Card) -> Steps[Payment]:
        return self.calls().verify(
            "USD", card, order=None, description=None, billing=None, idempotency_key="key-1"
        )

    def recover(self) -> Steps[list[Recovered]]:
        return self.calls().recover()

    def calls(self) -> Calls:
        return Calls(Limits(tries_max=4), lambda: self.now, Random(1))

    def run(self, steps: Steps[T], crash_at: int | None = None, *, after: bool = False) -> T:
        """
        Drive *steps*; die before (or just after) the command of number *crash_at*.
        """
        desk, event, count = Desk(self._journal), None, 0
        try:
            while True:
                command = steps.send(event)
                self.log.append(command)
                if count == crash_at and not after:
                    raise Crash
                event = self._carry_out(command, desk)
                if count == crash_at:
                    raise Crash
                count += 1
        except StopIteration as done:
            desk.let_go()
            return done.value  # type: ignore[no-any-return]
        except Crash:
            self.restart()
            raise
        except Exception:
            desk.let_go()
            raise

    def restart(self) -> None:
        """
        The process is gone, its lock with it; the next one opens the same file.
        """
        self._journal.close(handed_over=False)
        self._journal = Journal(self.path, "merchant")

    def close(self) -> None:
        self._journal.close(handed_over=True)

    def deliver_late(self) -> None:
        """
        What was delayed arrives.
        """
        for send in self.late:
            self.gateway.handle(send.method, send.path, send.body, send.key)

    def sent(self) -> list[str]:
        return [f"{each.method} {each.path}" for each in self.log if isinstance(each, Send)]

    def _carry_out(self, command: Command, desk: Desk) -> Any:
        match command:
            case Wait(seconds):
                assert 0 <= seconds < 120
                self.now += seconds
                return None
            case Send():
                return self._send(command)
            case _:
                return desk.do(command)

    def _send(self, send: Send) -> Event:
        self.now += 0.01
        fault = next(self._faults, Fault.NONE)
        if fault is Fault.UNREACHABLE:
            return Failure(detail="connection refused", received=False)
        if fault in (Fault.LOST, Fault.DELAYED):
            self.now += send.seconds
            self.late += [send] if fault is Fault.DELAYED else []
            return Failure(detail="no answer in time", received=True)
        status, body = self.gateway.handle(send.method, send.path, send.body, send.key)
        if fault is Fault.ANSWER_LOST:
            return Failure(detail="connection reset", received=True)
        if fault is Fault.PROXY_PAGE:
            return Answer(status=502, body=b"<html>")
        return Answer(status=status, body=json.dumps(body).encode())
