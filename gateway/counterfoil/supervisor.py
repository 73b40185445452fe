"""
Several programs as one: started in order, kept running, stopped whole.

Stands over the whole process tree of `counterfoil up` and of the demo. It knows programs by
name and command only. One life is in *supervised*; here is what they have to do with each
other, and with Ctrl-C: the first stops everything in reverse order, a second kills at once,
and no process is left in either case. When the supervisor itself is killed, the kernel ends
its programs.
"""

import asyncio
import contextlib
import itertools
import signal
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from typing import Any

from counterfoil.supervised import Life, Program, ProgramError, ProgramStatus

__all__ = ["Program", "ProgramError", "ProgramStatus", "Supervisor"]

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Supervisor:
    """
    Keeps *programs* running, each started when those it comes `after` are ready.

    *on_line* gets every line that a program writes, with the program's name; *on_death* a
    sentence for each program that ended by itself and is started again. To be used once, in
    the main thread: `run`, or `start` and `stop`.
    """

    def __init__(
        self,
        programs: Sequence[Program],
        *,
        on_line: Callable[[str, str], None] | None = None,
        on_death: Callable[[str], None] | None = None,
    ) -> None:
        _check(programs)
        self._lives = {program.name: Life(program, on_line, on_death) for program in programs}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._stop_asked = asyncio.Event()
        self._failure: BaseException | None = None

    async def run(self, work: Callable[[], Awaitable[object]] | None = None) -> None:
        """
        Start all, do *work* (without it: wait), stop all; a stop signal ends each of these.

        A stop signal is a success: *work* is cancelled, and `run` returns.

        Raises:
            ProgramError: A program could not be kept; everything has been stopped.
        """
        with self._signals():
            try:
                await self._either(self._start_and(work), self._stop_asked.wait())
            finally:
                await self.stop()
        if self._failure is not None:
            raise self._failure

    async def start(self) -> None:
        """
        Start all programs and return when they are ready.

        Raises:
            ProgramError: One could not be kept; `stop` the others.
        """
        for name, life in self._lives.items():
            self._tasks[name] = asyncio.create_task(self._keep(life), name=name)
            self._tasks[name].add_done_callback(self._kept)
        await self._either(self._all_ready(), self._stop_asked.wait())
        if self._failure is not None:
            raise self._failure

    async def stop(self) -> None:
        """Stop all programs, the last started first, parties whole; nothing of theirs is left."""
        for _, party in itertools.groupby(reversed(self._lives.values()), _party):
            started = [life for life in party if life.program.name in self._tasks]
            await asyncio.gather(
                *(self._end(life, self._tasks[life.program.name]) for life in started)
            )

    async def restart(self, name: str) -> None:
        """
        Stop the program *name*, start it again and return when it is ready.

        Raises:
            KeyError: There is no such program.
            ProgramError: It could not be started again, and everything stops.
        """
        life = self._lives[name]
        life.is_ready.clear()
        life.ask_to_end(and_restart=True)
        kill = asyncio.get_running_loop().call_later(life.program.stop_seconds, life.kill)
        await self._either(life.is_ready.wait(), self._stop_asked.wait())
        kill.cancel()
        if self._failure is not None:
            raise self._failure

    def status(self) -> list[ProgramStatus]:
        """Return every program's state, in the order in which they start."""
        return [life.status() for life in self._lives.values()]

    def ask_to_stop(self) -> None:
        """Have `run` return; asked a second time, kill everything at once."""
        if self._stop_asked.is_set():
            for life in self._lives.values():
                life.ask_to_end()
                life.kill()
        self._stop_asked.set()

    async def _start_and(self, work: Callable[[], Awaitable[object]] | None) -> None:
        await self.start()
        if work is not None:
            await work()
        else:
            await self._stop_asked.wait()

    async def _either(
        self, one: Coroutine[Any, Any, object], other: Coroutine[Any, Any, object]
    ) -> None:
        """Await what ends first and cancel the other; raise what *one* raised."""
        tasks = [asyncio.create_task(one), asyncio.create_task(other)]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        if not tasks[0].cancelled():
            tasks[0].result()

    async def _all_ready(self) -> None:
        for life in self._lives.values():
            await life.is_ready.wait()

    async def _keep(self, life: Life) -> None:
        for name in life.program.after:
            await self._lives[name].is_ready.wait()
        await life.keep()

    def _kept(self, task: asyncio.Task[None]) -> None:
        """Stop everything when a program could not be kept, or its probe has a fault."""
        failure = None if task.cancelled() else task.exception()
        if failure is not None:
            self._failure = self._failure or failure
            self._stop_asked.set()

    async def _end(self, life: Life, task: asyncio.Task[None]) -> None:
        life.ask_to_end()
        if life.state == "waiting":
            task.cancel()
        _, late = await asyncio.wait({task}, timeout=life.program.stop_seconds)
        if late:
            life.kill()
            await asyncio.wait({task})
        life.settle()

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        for number in STOP_SIGNALS:
            loop.add_signal_handler(number, self.ask_to_stop)
        try:
            yield
        finally:
            for number in STOP_SIGNALS:
                loop.remove_signal_handler(number)


def _party(life: Life) -> tuple[str | None, str]:
    program = life.program
    return program.party, "" if program.party else program.name


def _check(programs: Sequence[Program]) -> None:
    known: set[str] = set()
    for program in programs:
        if program.name in known:
            raise ValueError(f"two programs are called {program.name}")
        unknown = set(program.after) - known
        if unknown:
            raise ValueError(f"{program.name} comes after {sorted(unknown)}, not listed before it")
        known.add(program.name)
