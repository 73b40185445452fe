"""
A sandbox of real processes that many stories share, and what may befall its programs.

The programs are the demo's own, kept by the demo's own supervisor, on ports found free. The
supervisor runs in a thread of its own, so that every test may have an event loop of its own.
"""

import asyncio
import json
import os
import random
import shutil
import signal
import socket
import ssl
import sys
import tempfile
import threading
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import asyncpg
import httpx2
import msgspec
from counterfoil.opened import open_database
from counterfoil.store.embedded import EmbeddedPostgres
from counterfoil.supervisor import Program, ProgramStatus, Supervisor
from counterfoil_proof.demo import sandbox as demo
from counterfoil_proof.demo.ports import LOOPBACK, Ports
from counterfoil_rail.control import ask
from counterfoil_rail.listing import charges
from counterfoil_rail.store import rail_folder

Json = dict[str, Any]
T = TypeVar("T")

# Which programs come and go together. Each part has a supervisor of its own.
PARTS = {
    "rail": ("rail",),
    "mailbox": ("mailbox",),
    "gateway": ("database", "gateway", "worker", "mailer"),
    "shop": ("shop",),
}
STARTED = ("rail", "mailbox", "gateway")
PATIENCE_SECONDS = 60.0  # For a machine that is busy with other things; nothing is timed.
POLL_SECONDS = 0.05
COMMAND_SECONDS_MAX = 60.0
PORTS_BELOW_EPHEMERAL = range(15_000, 32_000)


class Sandbox:
    """
    A whole installation with its rail and its mailbox; the shop is there when asked for.
    """

    def __init__(self, settings: str = "") -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="counterfoil-path-"))
        self.plan = demo.Sandbox(self.folder, free_ports(), "0", settings)
        self.configuration = demo.prepare(self.plan)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="supervisors")
        self._supervisors: dict[str, Supervisor] = {}

    def open(self) -> None:
        """Start everything but the shop, and return when payments are taken."""
        self._thread.start()
        for part in STARTED:
            self._wait(self._start(part))
        asyncio.run(self.takes_payments())

    def close(self) -> None:
        """Stop everything that still runs."""
        for part in ("shop", "gateway", "mailbox", "rail"):
            self._wait(self._stop(part))
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def remove(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self.folder)

    async def start(self, part: str) -> None:
        """Start one of PARTS and return when it is ready."""
        await asyncio.wrap_future(self._later(self._start(part)))

    async def stop(self, part: str) -> None:
        """Stop one of PARTS; it stays down until it is started."""
        await asyncio.wrap_future(self._later(self._stop(part)))

    def pid(self, program: str) -> int:
        """Return the process id of *program*, which runs."""
        pid = self._status(program).pid
        assert pid is not None, f"{program} does not run"
        return pid

    def pids(self) -> list[int]:
        """Return the process ids of all programs that run."""
        told = [each.status() for each in self._supervisors.values()]
        return [each.pid for part in told for each in part if each.pid is not None]

    async def kill(self, program: str) -> None:
        """SIGKILL *program*; its supervisor starts it again, and we wait until it is ready."""
        killed = self.pid(program)
        os.kill(killed, signal.SIGKILL)
        await self.is_back(program, killed)

    async def kill_database(self) -> None:
        """SIGKILL PostgreSQL itself, not the program that holds it, and wait until it is back."""
        program = self.pid("database")
        os.kill(self.postgres_pid(), signal.SIGKILL)
        await self.is_back("database", program)

    def postgres_pid(self) -> int:
        """Return the process id of PostgreSQL itself, which runs."""
        pid = EmbeddedPostgres(self.configuration.folder / "postgres").server_pid()
        assert pid is not None, "PostgreSQL does not run"
        return pid

    def restarts(self, program: str) -> int:
        """Return how often its supervisor has started *program* again."""
        return self._status(program).restarts

    async def is_back(self, program: str, killed: int) -> None:
        """Wait until another process than *killed* is ready as *program*."""

        async def back() -> bool:
            status = self._status(program)
            assert status.state != "failed", f"the supervisor gave {program} up"
            return status.state == "ready" and status.pid != killed

        await eventually(back, f"{program} is back")

    async def takes_payments(self) -> None:
        """Wait until the gateway is ready: database, clock and link."""
        async with httpx2.AsyncClient(
            base_url=self.plan.gateway_url, verify=self.authority(), timeout=PATIENCE_SECONDS
        ) as browser:

            async def ready() -> bool:
                try:
                    return bool((await browser.get("/readyz")).status_code == 200)
                except httpx2.TransportError:
                    return False

            await eventually(ready, "the gateway takes payments")

    def authority(self) -> ssl.SSLContext:
        """Return a TLS context that trusts the sandbox's own authority alone."""
        return ssl.create_default_context(cafile=self.plan.authority_path)

    @asynccontextmanager
    async def fault(self, name: str, value: str) -> AsyncIterator[None]:
        """Arm a fault in the rail, as `counterfoil-rail fault set` does; disarm it at the end."""
        rail = rail_folder(self.folder)
        await asyncio.to_thread(ask, rail, {"set": [name, value]})
        try:
            yield
        finally:
            await asyncio.to_thread(ask, rail, {"set": [name, "0"]})

    async def rail_books(self, terminal_ids: set[str]) -> list[Json]:
        """Return the rail's charges of some terminals, as `counterfoil-rail books` does."""
        listed = await asyncio.to_thread(lambda: list(charges(self.folder)))
        return [each for each in listed if each["terminal_id"] in terminal_ids]

    async def mails(self, about: str) -> list[Json]:
        """Return the mails in the mailbox whose subject has *about*."""
        async with httpx2.AsyncClient(base_url=self.plan.mailbox_url) as browser:
            answer = await browser.get("/messages.json")
        return [each for each in answer.raise_for_status().json() if about in each["subject"]]

    @property
    def state(self) -> tuple[str, str]:
        """What tells the commands of rail and shop where to look."""
        return "--state", str(self.folder)

    async def command(self, program: str, *words: str) -> str:
        """Run a command as a person would, and return what it says."""
        code, said, complained = await run(
            program, *words, COUNTERFOIL_CONFIG=str(self.plan.configuration_path)
        )
        assert code == 0, complained
        return said

    @asynccontextmanager
    async def database(self) -> AsyncIterator[asyncpg.Connection]:
        """Lend a connection to the installation's database."""
        opening: AbstractAsyncContextManager[Any] = open_database(self.configuration)
        async with opening as database, database.acquire() as connection:
            yield connection

    def log(self, program: str) -> "Log":
        """Return the log of *program* from here on."""
        party = self.folder / ("gateway" if program in PARTS["gateway"] else program)
        return Log(party / ("logs" if party.name == "gateway" else "log") / f"{program}.log")

    def programs(self) -> dict[str, Program]:
        """Return every program by its name, as it is started."""
        return {each.name: each for each in demo.programs(self.plan, self.configuration)}

    async def _start(self, part: str) -> None:
        programs = self.programs()
        names = PARTS[part]
        chosen = [
            msgspec.structs.replace(
                programs[name], after=tuple(set(programs[name].after) & set(names))
            )
            for name in names
        ]
        self._supervisors[part] = Supervisor(chosen)
        await self._supervisors[part].start()

    async def _stop(self, part: str) -> None:
        supervisor = self._supervisors.pop(part, None)
        if supervisor is not None:
            await supervisor.stop()

    def _status(self, program: str) -> ProgramStatus:
        part = next(part for part, names in PARTS.items() if program in names)
        return next(each for each in self._supervisors[part].status() if each.name == program)

    def _later(self, work: Coroutine[Any, Any, T]) -> "Any":
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def _wait(self, work: Coroutine[Any, Any, None]) -> None:
        self._later(work).result()


class Log:
    """
    What a program logs from now on, one JSON object a line.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = path.stat().st_size if path.exists() else 0

    def events(self) -> list[Json]:
        """Return what was logged so far."""
        with self._path.open("rb") as file:
            file.seek(self._offset)
            lines = file.read().split(b"\n")[:-1]  # The last one may still grow.
        return [json.loads(each) for each in lines if each.startswith(b"{")]

    def text(self) -> str:
        """Return all that was written so far, by programs that log no JSON too."""
        return self._path.read_bytes()[self._offset :].decode("utf-8", "replace")

    def said(self, event: str, **facts: object) -> list[Json]:
        """Return the events of that name that have all *facts*."""
        return [
            each
            for each in self.events()
            if each["event"] == event and facts.items() <= each.items()
        ]

    async def says(self, event: str, times: int = 1, **facts: object) -> None:
        """Wait until such an event was logged so many *times*."""

        async def heard() -> bool:
            return len(self.said(event, **facts)) >= times

        await eventually(heard, f"{self._path.name} says {event} {facts or ''}")


async def eventually(holds: Callable[[], Coroutine[Any, Any, bool]], what: str) -> None:
    """
    Wait until *holds* does.
    """
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not await holds():  # noqa: ASYNC110 - other processes do not tell us.
                await asyncio.sleep(POLL_SECONDS)
    except TimeoutError:
        raise AssertionError(f"not within {PATIENCE_SECONDS:g} s: {what}") from None


async def run(program: str, *words: str, **environment: str) -> tuple[int, str, str]:
    """
    Run one of our commands; return exit code, standard output and standard error.
    """
    process = await asyncio.create_subprocess_exec(
        str(Path(sys.executable).with_name(program)),
        *words,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, **environment},
    )
    said, complained = await asyncio.wait_for(process.communicate(), COMMAND_SECONDS_MAX)
    assert process.returncode is not None
    return process.returncode, said.decode(), complained.decode()


def free_ports() -> Ports:
    """
    Return ports on which nobody listens, and which no outgoing connection is given.
    """
    found: set[int] = set()
    while len(found) < len(Ports.__struct_fields__):
        port = random.choice(PORTS_BELOW_EPHEMERAL)
        with socket.socket() as probe:
            if probe.connect_ex((LOOPBACK, port)) != 0:
                found.add(port)
    return Ports(*found)
