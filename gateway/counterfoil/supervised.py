"""
The life of one supervised program: started, kept, its output collected, ended whole.

Stands between *supervisor* and the process. A program gets a session of its own, so that
Ctrl-C in the terminal reaches only the supervisor, and what it leaves behind when it ends
(children in its group, or elsewhere with the mark in their environment) ends with it.
"""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import msgspec

from counterfoil import supervised_exec
from counterfoil.supervised_output import Output

EARLY_SECONDS = 2.0
EARLY_DEATHS_MAX = 5  # As many in a row are a fault that no restart mends.
STEADY_SECONDS = 10.0  # Who lived so long begins again with the shortest pause.
READY_POLL_SECONDS = 0.05
LEFTOVERS_SECONDS = 1.0  # What its children have to end by themselves when a program ended.
LEFTOVERS_POLL_SECONDS = 0.02
MARK = "COUNTERFOIL_SUPERVISED"

State = Literal["waiting", "starting", "ready", "pausing", "stopping", "stopped", "failed"]


class ProgramError(RuntimeError):
    """A program cannot be kept running; the message has its last lines."""


class Program(msgspec.Struct, frozen=True, kw_only=True):
    """
    What to run, and how.

    *ready* returns when the program serves, or False to be asked again; an OSError (nobody
    listens yet) means the same. Without it, a program is ready as soon as it runs. One that ends
    with *final_status* before it ever was ready has said what no restart mends. Programs of one
    *party* that stand side by side are stopped at the same time.
    """

    name: str
    argv: list[str]
    env: Mapping[str, str] | None = None  # None: the supervisor's own.
    cwd: Path | None = None
    log_path: Path | None = None
    ready: Callable[[], Awaitable[bool | None]] | None = None
    ready_seconds: float = 60.0
    restart_backoff: tuple[float, ...] = (0.2, 0.5, 1.0, 2.0, 5.0)
    stop_signal: int = signal.SIGTERM
    stop_seconds: float = 10.0
    after: tuple[str, ...] = ()
    final_status: int | None = None
    party: str | None = None


class ProgramStatus(msgspec.Struct, frozen=True, kw_only=True):
    """What `status` says of a program; encodes to JSON."""

    name: str
    state: State
    pid: int | None
    started_at: datetime | None
    restarts: int
    last_exit_status: int | None
    log_path: str | None
    log_lines_lost: int
    after: tuple[str, ...]


class Life:
    """
    One program, from its first start to its end.
    """

    def __init__(
        self,
        program: Program,
        on_line: Callable[[str, str], None] | None,
        on_death: Callable[[str], None] | None = None,
    ) -> None:
        self.program = program
        self._on_death = on_death
        self.is_ready = asyncio.Event()
        self.state: State = "waiting"
        self._mark = f"{os.getpid()}-{time.monotonic_ns()}-{program.name}"
        self._output = Output(program.name, program.log_path, on_line)
        self._process: subprocess.Popen[bytes] | None = None
        self._started_at: datetime | None = None
        self._restarts = 0
        self._last_exit_status: int | None = None
        self._ending = False
        self._wake = asyncio.Event()
        self._asked_to_restart = False
        self._was_ready = False

    def status(self) -> ProgramStatus:
        """Return what there is to know now."""
        return ProgramStatus(
            name=self.program.name,
            state=self.state,
            pid=self._process.pid if self._process else None,
            started_at=self._started_at,
            restarts=self._restarts,
            last_exit_status=self._last_exit_status,
            log_path=str(self.program.log_path) if self.program.log_path else None,
            log_lines_lost=self._output.lines_lost,
            after=self.program.after,
        )

    async def keep(self) -> None:
        """
        Run the program, again and again, until asked to end.

        Raises:
            ProgramError: It does not stay, or does not get ready.
        """
        early_deaths = pauses = 0
        while not self._ending:
            self._asked_to_restart = False
            self._wake.clear()
            began = time.monotonic()
            await self._live()
            lived_seconds = time.monotonic() - began
            if self._ending or self._asked_to_restart:
                early_deaths = pauses = 0
                continue
            if not self._was_ready and self._last_exit_status == self.program.final_status:
                raise self._failed("cannot run")
            early_deaths = early_deaths + 1 if lived_seconds < EARLY_SECONDS else 0
            if early_deaths >= EARLY_DEATHS_MAX:
                raise self._failed(
                    f"died {early_deaths} times within its first {EARLY_SECONDS:g} seconds, "
                    f"the last time with status {self._last_exit_status}"
                )
            self._tell_death(lived_seconds)
            pauses = 0 if lived_seconds > STEADY_SECONDS else pauses
            await self._pause(pauses)
            pauses += 1
            self._restarts += 1

    def ask_to_end(self, *, and_restart: bool = False) -> None:
        """Send the stop signal to the program itself (not to its children)."""
        self._ending = self._ending or not and_restart
        self._asked_to_restart = and_restart
        self._wake.set()
        if self.state not in ("waiting", "failed"):
            self.state = "stopping"
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(self.program.stop_signal)

    def kill(self) -> None:
        """End the program and its group at once."""
        if self._process is not None:
            _signal_group(self._process.pid, signal.SIGKILL)

    def settle(self) -> None:
        """Note that nothing more will happen."""
        if self.state != "failed":
            self.state = "stopped"

    async def _pause(self, pauses: int) -> None:
        """Wait before the next start, unless asked for something in the meantime."""
        self.state = "pausing"
        backoff = self.program.restart_backoff
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(backoff[min(pauses, len(backoff) - 1)]):
                await self._wake.wait()

    async def _live(self) -> None:
        """Start the process and return when it and all it left behind have ended."""
        self.state = "starting"
        process = self._spawn()
        ready = asyncio.create_task(self._get_ready())
        exited = asyncio.create_task(_exit_of(process))
        try:
            await asyncio.wait({exited, ready}, return_when=asyncio.FIRST_COMPLETED)
            if not exited.done():
                ready.result()  # Raises when it did not get ready in time.
            await asyncio.shield(exited)
        finally:
            self.is_ready.clear()
            if self.state in ("starting", "ready"):
                self.state = "pausing"
            ready.cancel()
            if not exited.done():
                self.kill()
            self._last_exit_status = await exited
            await asyncio.gather(ready, return_exceptions=True)
            await self._end_leftovers(process.pid)
            self._output.close()
            self._process = None

    def _spawn(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-I", "-S", supervised_exec.__file__, str(os.getpid())]
        environment = dict(os.environ if self.program.env is None else self.program.env)
        write_end = self._output.open()
        try:
            self._process = subprocess.Popen(  # noqa: S603 - our own programs, no shell.
                [*command, *self.program.argv],
                stdin=subprocess.DEVNULL,
                stdout=write_end,
                stderr=subprocess.STDOUT,
                env={**environment, MARK: self._mark},
                cwd=self.program.cwd,
                start_new_session=True,
            )
        except OSError as error:
            self._output.close()
            raise self._failed(f"could not be started ({error})") from error
        finally:
            os.close(write_end)
        self._started_at = datetime.now(UTC)
        return self._process

    async def _get_ready(self) -> None:
        try:
            async with asyncio.timeout(self.program.ready_seconds):
                while not await self._says_ready():  # noqa: ASYNC110 - it is asked, it does not tell.
                    await asyncio.sleep(READY_POLL_SECONDS)
        except TimeoutError:
            seconds = f"{self.program.ready_seconds:g}"
            raise self._failed(f"was not ready within {seconds} seconds") from None
        if self.state == "starting":
            self.state = "ready"
            self._was_ready = True
            self.is_ready.set()

    async def _says_ready(self) -> bool:
        if self.program.ready is None:
            return True
        try:
            return await self.program.ready() is not False
        except OSError:  # Also a TimeoutError of its own.
            return False

    async def _end_leftovers(self, group: int) -> None:
        """Ask the program's children to end, wait a moment, then end them."""
        deadline = time.monotonic() + LEFTOVERS_SECONDS
        _signal_group(group, signal.SIGTERM)
        while _group_lives(group) and time.monotonic() < deadline:  # noqa: ASYNC110 - not ours.
            await asyncio.sleep(LEFTOVERS_POLL_SECONDS)
        _signal_group(group, signal.SIGKILL)
        for pid in _marked(self._mark):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)

    def _tell_death(self, lived_seconds: float) -> None:
        if self._on_death is not None:
            log_path = self.program.log_path
            self._on_death(
                f"{self.program.name} {_ended(self._last_exit_status)} after {lived_seconds:.0f} "
                f"seconds, and is started again.{f' Its log: {log_path}' if log_path else ''}"
            )

    def _failed(self, how: str) -> ProgramError:
        self.state = "failed"
        text = f"{self.program.name} {how}."
        if self._output.tail:
            text += " Its last lines:\n  " + "\n  ".join(self._output.tail)
        if self.program.log_path:
            text += f"\nIts log: {self.program.log_path}"
        return ProgramError(text)


def _ended(status: int | None) -> str:
    """
    Return how a process ended, in words; a negative *status* is the signal that killed it.
    """
    if status is None or status >= 0:
        return f"ended with status {status}"
    names = {each.value: each.name for each in signal.Signals}
    return f"was killed by {names.get(-status, f'signal {-status}')}"


async def _exit_of(process: subprocess.Popen[bytes]) -> int:
    """Wait for the process itself, whoever still holds its output open."""
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    handle = os.pidfd_open(process.pid)
    loop.add_reader(handle, ended.set)
    try:
        await ended.wait()
    finally:
        loop.remove_reader(handle)
        os.close(handle)
    return process.wait()


def _signal_group(group: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def _group_lives(group: int) -> bool:
    """Whether a process of *group* still runs; one that only waits to be reaped does not."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # A server that runs as another user.
    for name in filter(str.isdecimal, os.listdir("/proc")):
        with contextlib.suppress(OSError), open(f"/proc/{name}/stat", "rb") as file:
            state, _, its_group = file.read().rpartition(b")")[2].split()[:3]
            if int(its_group) == group and state not in (b"Z", b"X"):
                return True
    return False


def _marked(mark: str) -> list[int]:
    """Return the processes that inherited *mark* and left their group."""
    wanted = f"{MARK}={mark}\0".encode()
    found = []
    for name in filter(str.isdecimal, os.listdir("/proc")):
        with contextlib.suppress(OSError), open(f"/proc/{name}/environ", "rb") as file:
            if wanted in file.read():
                found.append(int(name))
    return found
