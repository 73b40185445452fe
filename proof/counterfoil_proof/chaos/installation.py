"""
The installation of a chaos: two gateways behind a balancer, two workers, three tills, their rail.

    tills ──► proxy ──► gateway-1, gateway-2 ──► proxy ──► rail
                        worker-1, worker-2, mailer ──►
"""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec
from counterfoil.config import Configuration
from counterfoil.installation import Serving
from counterfoil.store.embedded import EmbeddedPostgres
from counterfoil.supervisor import Program, ProgramStatus, Supervisor

from counterfoil_proof.chaos.proxy import LOOPBACK, Proxy
from counterfoil_proof.demo import ports
from counterfoil_proof.demo import sandbox as demo

GATEWAYS, WORKERS, TILLS = 2, 2, 3
BACKOFF_SECONDS = (0.2, 0.5)
TILL_STOP_SECONDS = 900.0  # It ends when all its orders are decided: that is what is waited for.
CONNECT_SECONDS_MAX = 0.5
TIMERS = """
[timers]
send_seconds = 2.0
answer_seconds = 4.0
advice_answer_seconds = 4.0
close_answer_seconds = 4.0
late_seconds = 15.0
lease_seconds = 4.0
sweep_seconds = 0.2
"""
LEASE_SECONDS = 4.0


class Places(msgspec.Struct, frozen=True, kw_only=True):
    """
    Where everybody listens: the gateways themselves, and the proxies in front.
    """

    gateways: tuple[int, ...]
    to_gateways: Proxy
    to_rail: Proxy


class Installation:
    """
    All programs of a chaos, each under a supervisor of its own.
    """

    def __init__(self, folder: Path, seed: int) -> None:
        chosen, _ = ports.choose()
        more = [ports.choose()[0] for _ in range(GATEWAYS)]
        in_front, behind = more[0].rail, [each.gateway for each in more]
        # The configuration names the proxies, so that nobody knows of them.
        named = msgspec.structs.replace(chosen, rail=in_front)
        self.plan = demo.Sandbox(folder, named, "20-120", TIMERS)
        self.configuration: Configuration = demo.prepare(self.plan)
        self.folder = folder
        self.places = Places(
            gateways=tuple(behind),
            to_gateways=Proxy(chosen.gateway, [(LOOPBACK, each) for each in behind]),
            to_rail=Proxy(in_front, [(LOOPBACK, chosen.rail)]),
        )
        self._programs = self._all(chosen.rail, seed)
        self._supervisors: dict[str, Supervisor] = {}

    @property
    def names(self) -> list[str]:
        """
        The programs, in starting order.
        """
        return list(self._programs)

    async def open(self) -> None:
        """
        Start everything but the tills.
        """
        await self.places.to_rail.open()
        await self.places.to_gateways.open()
        for name in self._programs:
            if not name.startswith("till"):
                await self._start(name)

    async def begin_to_sell(self) -> None:
        """
        Start the tills.
        """
        await demo.ensure_merchant(self.plan, self.configuration)
        for name in self._programs:
            if name.startswith("till"):
                await self._start(name)

    async def end_selling(self) -> None:
        """
        Ask every till to stop, and wait until each has decided all its orders.
        """
        await asyncio.gather(
            *(self._stop(each) for each in list(self._supervisors) if each.startswith("till"))
        )

    async def close(self) -> None:
        """
        End everything; what is frozen is thawed first, so that it can hear that.
        """
        for name in self._supervisors:
            self.send(name, signal.SIGCONT)
        for name in reversed(list(self._supervisors)):
            if name.startswith("till"):
                self.send(name, signal.SIGKILL)
        for name in reversed(list(self._supervisors)):
            await self._stop(name)
        await self.places.to_gateways.close()
        await self.places.to_rail.close()

    def status(self, name: str) -> ProgramStatus:
        """
        Return what its supervisor says of a program.
        """
        [status] = self._supervisors[name].status()
        return status

    def pid(self, name: str) -> int | None:
        """
        Return a process of ours by name; `postgres` is PostgreSQL's own first process.
        """
        if name == "postgres":
            return EmbeddedPostgres(self.configuration.folder / "postgres").server_pid()
        return self.status(name).pid if name in self._supervisors else None

    def send(self, name: str, number: int) -> bool:
        """
        Send a signal to one of our own processes, by its id; False when it does not run.

        PostgreSQL stands still, and goes on, with all its processes.
        """
        pid = self.pid(name)
        if pid is None:
            return False
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            return False
        if name == "postgres" and number in (signal.SIGSTOP, signal.SIGCONT):
            for each in children(pid):  # Of which each serves a connection; it forks none now.
                with contextlib.suppress(ProcessLookupError):
                    os.kill(each, number)
        return True

    async def all_ready(self) -> bool:
        """
        Whether every program runs and is ready.
        """
        return all(self.status(name).state == "ready" for name in self._supervisors)

    async def _start(self, name: str) -> None:
        self._supervisors[name] = Supervisor([self._programs[name]])
        await self._supervisors[name].start()

    async def _stop(self, name: str) -> None:
        supervisor = self._supervisors.pop(name, None)
        if supervisor is not None:
            await supervisor.stop()

    def _all(self, rail_port: int, seed: int) -> dict[str, Program]:
        """
        Return the demo's own programs, some of them twice.
        """
        at_rail = msgspec.structs.replace(self.plan, ports=_with_rail(self.plan, rail_port))
        known = {each.name: each for each in demo.programs(at_rail, self.configuration)}
        found = {name: known[name] for name in ("mailbox", "rail", "database")}
        for number, port in enumerate(self.places.gateways, 1):
            found[f"gateway-{number}"] = self._gateway(known["gateway"], number, port)
        for number in range(1, WORKERS + 1):
            found[f"worker-{number}"] = _renamed(known["worker"], f"worker-{number}")
        found["mailer"] = known["mailer"]
        for number in range(1, TILLS + 1):
            found[f"till-{number}"] = self._till(known["shop"], f"till-{number}", seed)
        return {
            name: msgspec.structs.replace(each, after=(), restart_backoff=BACKOFF_SECONDS)
            for name, each in found.items()
        }

    def _gateway(self, known: Program, number: int, port: int) -> Program:
        program = _renamed(known, f"gateway-{number}")
        env = {**(program.env or {}), "COUNTERFOIL_API_PORT": str(port)}
        return msgspec.structs.replace(program, env=env, ready=_listens(port))

    def _till(self, known: Program, name: str, seed: int) -> Program:
        argv = [sys.executable, "-m", "counterfoil_proof.chaos.till"]
        argv += ["--state", str(self.folder), "--name", name, "--seed", str(seed)]
        argv += ["--gateway", self.plan.gateway_url, "--key-file", str(self.plan.key_path)]
        argv += ["--authority", str(self.plan.authority_path)]
        return msgspec.structs.replace(
            _renamed(known, name),
            argv=argv,
            ready=Serving(self.folder / "shop" / f"{name}.json"),
            stop_seconds=TILL_STOP_SECONDS,
        )


def children(pid: int) -> list[int]:
    """
    Return the processes that a process has started and that still run.
    """
    try:
        return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def _renamed(known: Program, name: str) -> Program:
    assert known.log_path is not None
    return msgspec.structs.replace(
        known, name=name, log_path=known.log_path.with_name(f"{name}.log")
    )


def _with_rail(plan: demo.Sandbox, port: int) -> ports.Ports:
    return msgspec.structs.replace(plan.ports, rail=port)


def _listens(port: int) -> Callable[[], Awaitable[bool | None]]:
    """
    Return the question whether somebody listens on *port*.
    """

    async def listens() -> bool:
        opening = asyncio.open_connection(LOOPBACK, port)
        _, writer = await asyncio.wait_for(opening, CONNECT_SECONDS_MAX)
        writer.close()
        return True

    return listens
