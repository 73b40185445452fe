"""
A sandbox whose gateway is two processes on one port, under a real `counterfoil up`.
"""

import json
import os
import signal
import sys
from pathlib import Path

import msgspec
from counterfoil.gateways import places, serving_files
from counterfoil.supervisor import Program, ProgramStatus, Supervisor

from .sandboxes import PATIENCE_SECONDS, Sandbox, eventually, free_ports

NAMES = ("gateway", "gateway-2")
TIMERS = """
[timers]
advice_answer_seconds = 6.0
late_seconds = 8.0
lease_seconds = 4.0
sweep_seconds = 0.2
"""
UP = "up"
STOP_SECONDS_MAX = 90.0


class TwoGateways(Sandbox):
    """
    The usual sandbox, its database, gateways and worker under a supervisor of their own.
    """

    def __init__(self) -> None:
        super().__init__(TIMERS)
        self.metrics_port = _pair_of_free_ports()
        self.environment = {
            "COUNTERFOIL_CONFIG": str(self.plan.configuration_path),
            "COUNTERFOIL_API_PROCESSES": str(len(NAMES)),
            "COUNTERFOIL_METRICS_GATEWAY_PORT": str(self.metrics_port),
        }
        self._folder = self.configuration.folder

    def gateway_pids(self) -> dict[str, int]:
        """Return the process ids of the gateways that say that they serve, by name."""
        found = serving_files(self._folder)
        return {name: int(json.loads(path.read_text())["pid"]) for name, path in found.items()}

    async def another_serves(self, name: str, killed: int) -> None:
        """Wait until another process than *killed* serves as *name*."""

        async def serves() -> bool:
            return self.gateway_pids().get(name, killed) != killed

        await eventually(serves, f"{name} is back")

    async def kill_one(self, name: str) -> None:
        """
        SIGKILL a gateway process, and wait until the kernel sends nobody to it any more.

        Its sockets live until its last thread has ended; before that it cannot be reaped.
        """
        killed = self.gateway_pids()[name]
        os.kill(killed, signal.SIGKILL)

        async def ended() -> bool:
            return _is_reaped(killed)

        await eventually(ended, f"{name} has ended")

    async def _start(self, part: str) -> None:
        if part != "gateway":
            await super()._start(part)
            return
        paths = [each.serving_path(self._folder) for each in places(len(NAMES))]

        async def ready() -> bool:
            return all(map(_serves, paths))

        kept = {
            name: value
            for name, value in os.environ.items()
            if name != "DATABASE_URL" and not name.startswith("COUNTERFOIL_")
        }
        program = Program(
            name=UP,
            argv=[sys.executable, "-m", "counterfoil.cli.main", "up"],
            env={**kept, **self.environment, "PYTHONUNBUFFERED": "1"},
            log_path=self.folder / "up" / "up.log",
            ready=ready,
            ready_seconds=PATIENCE_SECONDS,
            stop_seconds=STOP_SECONDS_MAX,
        )
        self._supervisors[part] = Supervisor([program])
        await self._supervisors[part].start()

    def up(self) -> ProgramStatus:
        """Return what its supervisor knows of `up`."""
        [status] = self._supervisors["gateway"].status()
        return status

    async def is_up_again(self, stopped: int) -> None:
        """Wait until another `up` than *stopped* serves with all its gateways."""

        async def serves() -> bool:
            return self.up().state == "ready" and self.up().pid != stopped

        await eventually(serves, "up serves again")
        await self.takes_payments()


def _is_reaped(pid: int) -> bool:
    return not Path(f"/proc/{pid}").exists()


def _serves(path: Path) -> bool:
    try:
        os.kill(int(json.loads(path.read_text())["pid"]), 0)
    except (OSError, ValueError):
        return False
    return True


def _pair_of_free_ports() -> int:
    """
    Return a port that is free, as is the one after it.
    """
    while True:
        first, taken = free_ports().gateway_metrics, set(msgspec.structs.astuple(free_ports()))
        if first + 1 not in taken:
            return first
