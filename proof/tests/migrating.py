"""
Processes that migrate a database and die at a point of it: `python migrating.py`.

Lines of JSON on standard input say which database and where; each is done by a process of its own,
forked here so that Python is loaded once. Its exit status is printed, negative for a signal.
"""

import asyncio
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any, NoReturn

from counterfoil.clock import SystemClock
from counterfoil.store.database import Database
from counterfoil.store.migrate import migrate
from counterfoil_proof.points import seams
from counterfoil_proof.points.point import Pass, Points, set_everywhere


async def brought_up(parameters: dict[str, str]) -> None:
    """
    Migrate, as the first step of `counterfoil up` does.
    """
    database = await Database.open(**parameters)
    await migrate(database, mode="test", clock=SystemClock())
    await database.close()


def _kill(pid: int) -> None:
    """
    Kill a process and all of its children at once: a backend would outlive its server a while.
    """
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    for each in (pid, *map(int, children)):
        os.kill(each, signal.SIGKILL)


def _live(asked: dict[str, Any]) -> NoReturn:
    """
    Migrate, and kill ourselves or the server whose pid we were given at the armed pass.
    """
    status = 1
    try:
        points = Points(lambda _: _kill(asked["kills"] or os.getpid()))
        points.begin(*([Pass(asked["point"], 1)] if asked["point"] else []))
        set_everywhere(points)
        with seams.installed():
            asyncio.run(brought_up(asked["parameters"]))
        print(json.dumps({"passed": [each.point for each in points.passed]}), flush=True)
        status = 0
    except BaseException as fault:  # noqa: BLE001 - the last frame of a process: it says so.
        print(json.dumps({"fault": type(fault).__name__}), flush=True)
    finally:
        os._exit(status)


def main() -> None:
    """
    Do what each line asks for, one process after the other.
    """
    for line in sys.stdin:
        pid = os.fork()
        if not pid:
            _live(json.loads(line))
        _, status = os.waitpid(pid, 0)
        print(json.dumps({"status": os.waitstatus_to_exitcode(status)}), flush=True)


if __name__ == "__main__":
    main()
