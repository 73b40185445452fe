"""
The processes of a lane: forked by its nursery, heard on its socket, ended by their pid.
"""

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from counterfoil_proof.points.control import LINE_BYTES_MAX
from counterfoil_proof.points.point import Pass

START_SECONDS_MAX = 60.0
ANSWER_SECONDS_MAX = 60.0  # Also of a process that is just being killed: then there is none.

Wish = Callable[[str], Awaitable[None]]


class Arm(msgspec.Struct, frozen=True, order=True):
    """
    A pass, and what befalls the process there: `kill`, `freeze` or `pause`.
    """

    where: Pass
    action: str = "kill"

    def written(self) -> tuple[str, int, str]:
        """
        As it goes over the wire.
        """
        return (self.where.point, self.where.occurrence, self.action)


class Child:
    """
    One process: who it is, what it says, and when it has ended.

    Attributes:
        reached: The armed passes that were reached, each with what it did.
        ended: Done when the process has; its result is the exit status, negative for a signal.
        passed: What it passed, told at its end.
    """

    def __init__(self, name: str) -> None:
        loop = asyncio.get_running_loop()
        self.name = name
        self.pid = 0
        self.ended: asyncio.Future[int] = loop.create_future()
        self.reached: asyncio.Queue[Arm] = asyncio.Queue()
        self.passed: list[Pass] = []
        self._writer: asyncio.StreamWriter | None = None
        self._known = asyncio.Event()
        self._answers: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    async def begin(self, arms: Sequence[Arm]) -> None:
        """
        Count passes from one again, with these armed.

        A process that dies at one of them at once may be dead before it answers: then it has begun.
        """
        asked = asyncio.create_task(self._ask({"begin": [each.written() for each in arms]}))
        first: list[asyncio.Future[Any]] = [asked, self.ended]
        await asyncio.wait(first, return_when=asyncio.FIRST_COMPLETED)
        if not asked.done():
            asked.cancel()
            return
        await asked

    async def passes(self) -> list[Pass]:
        """
        Return what was passed since `begin`.
        """
        answer = await self._ask({"passed": True})
        return [Pass(*each) for each in answer["passed"]]

    def send(self, number: int) -> None:
        """
        Send a signal, unless it has ended, or was never begun: the number 0 would be ourselves.
        """
        if self.pid and not self.ended.done():
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    async def _ask(self, what: dict[str, Any]) -> dict[str, Any]:
        await asyncio.wait_for(self._known.wait(), START_SECONDS_MAX)
        assert self._writer is not None
        self._writer.write(json.dumps(what).encode() + b"\n")
        return await asyncio.wait_for(self._answers.get(), ANSWER_SECONDS_MAX)

    def known(self, writer: asyncio.StreamWriter) -> None:
        """
        The process has said who it is.
        """
        self._writer = writer
        self._known.set()

    def has_ended(self, status: int) -> None:
        """
        The process has ended, if that was not known.
        """
        if not self.ended.done():
            self.ended.set_result(status)

    async def said(self, what: dict[str, Any], grant: Wish) -> None:
        """
        Take in what the process says.
        """
        if "reached" in what:
            point, occurrence, action = what["reached"]
            self.reached.put_nowait(Arm(Pass(point, occurrence), action))
        elif "wish" in what:
            await grant(what["wish"])
            assert self._writer is not None
            self._writer.write(b'{"granted": true}\n')
        else:
            if "passed" in what:
                self.passed = [Pass(*each) for each in what["passed"]]
            self._answers.put_nowait(what)


class Nursery:
    """
    The nursery of one lane and what it has forked.
    """

    def __init__(self, folder: Path, config: Path, grant: Wish) -> None:
        self._folder = folder
        self._config = config
        self._grant = grant
        self._socket = folder / "points.sock"
        self._process: asyncio.subprocess.Process | None = None
        self._server: asyncio.Server | None = None
        self._listening: asyncio.Task[None] | None = None
        self._children: dict[str, Child] = {}
        self._ready = asyncio.Event()
        self._has_ended = False
        self._talks: set[asyncio.Task[None]] = set()

    async def open(self, environment: dict[str, str]) -> None:
        """
        Start the nursery and wait until it has loaded everything.
        """
        self._server = await asyncio.start_unix_server(
            self._heard, self._socket, limit=LINE_BYTES_MAX
        )
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "counterfoil_proof.matrix.nursery",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env=environment,
            start_new_session=True,  # Ctrl-C is for the proof, which then ends us.
        )
        self._listening = asyncio.create_task(self._listen())
        await asyncio.wait_for(self._ready.wait(), START_SECONDS_MAX)

    @property
    def pid(self) -> int:
        """
        The nursery's own process.
        """
        assert self._process is not None
        return self._process.pid

    async def close(self) -> None:
        """
        End everything that was forked, and the nursery.
        """
        for child in self._children.values():
            child.send(signal.SIGKILL)
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()
            await self._process.wait()
        if self._listening is not None:
            await asyncio.gather(self._listening, return_exceptions=True)
        for talk in self._talks:
            talk.cancel()
        if self._server is not None:
            self._server.close()

    def fork(
        self,
        name: str,
        role: str,
        *,
        log: Path,
        words: dict[str, str] | None = None,
        arms: Sequence[Arm] = (),
    ) -> Child:
        """
        Start a process, with passes armed from its first breath.
        """
        assert not self._has_ended, f"the nursery has ended, and nobody forks {name}"
        child = Child(name)
        self._children[name] = child
        asked = {
            "name": name,
            "role": role,
            "config": str(self._config),
            "control": str(self._socket),
            "log": str(log),
            "words": words or {},
            "arms": [each.written() for each in arms],
        }
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(asked).encode() + b"\n")
        return child

    async def _listen(self) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        while line := await self._process.stdout.readline():
            told = json.loads(line)
            if "ready" in told:
                self._ready.set()
            elif "started" in told:
                self._children[told["started"]].pid = told["pid"]
            else:
                self._children[told["ended"]].has_ended(told["status"])
        self._has_ended = True
        for child in self._children.values():  # The kernel ends with it whatever it has forked.
            child.has_ended(-signal.SIGKILL)

    async def _heard(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        child: Child | None = None
        try:
            while line := await reader.readline():
                told = json.loads(line)
                if child is None:
                    child = self._children[told["name"]]
                    child.known(writer)
                else:
                    self._talk(child.said(told, self._grant))
        except ConnectionError:
            pass
        finally:
            writer.close()

    def _talk(self, said: Any) -> None:
        talk = asyncio.create_task(said)
        self._talks.add(talk)
        talk.add_done_callback(self._talks.discard)
