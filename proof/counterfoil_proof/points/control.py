"""
The wire between a proof and the processes in which its points stand: lines of JSON.

The process connects to the proof's Unix socket and says who it is. Then the proof arms
(`begin`) and asks (`passed`), and the process tells that a pass is reached before it acts.
"""

import json
import os
import signal
import socket
import threading
from pathlib import Path
from typing import Any

from counterfoil_proof.points.point import Pass, Points, set_everywhere

LINE_BYTES_MAX = 4_000_000
WISH_SECONDS_MAX = 60.0
SIGNALS = {"kill": signal.SIGKILL, "freeze": signal.SIGSTOP, "pause": signal.SIGSTOP}

Arms = list[tuple[str, int, str]]  # Point, occurrence, and what then: one of SIGNALS.


class Control:
    """
    One process's end of the wire.
    """

    def __init__(self, path: Path, name: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.connect(str(path))
        self._lock = threading.Lock()
        self._granted = threading.Event()
        self._actions: dict[Pass, str] = {}
        self.points = Points(self._act)
        self._say({"name": name, "pid": os.getpid()})

    def attend(self, arms: Arms) -> None:
        """
        Let the points of this process be ours, and do what the proof says from now on.
        """
        self._begin(arms)
        set_everywhere(self.points)
        threading.Thread(target=self._listen, name="points", daemon=True).start()

    def wish(self, wish: str) -> None:
        """
        Ask the proof for something, and wait until it is done.
        """
        self._granted.clear()
        self._say({"wish": wish})
        if not self._granted.wait(WISH_SECONDS_MAX):
            raise TimeoutError(f"nobody did it: {wish}")

    def finished(self) -> None:
        """
        Tell what was passed, at the end of a process that ends by itself.
        """
        self._say({"passed": _written(self.points.passed)})

    def _listen(self) -> None:
        with self._socket.makefile("rb") as lines:
            while line := lines.readline(LINE_BYTES_MAX):
                self._do(json.loads(line))
        os.kill(os.getpid(), signal.SIGKILL)  # The proof is gone: nobody would end us.

    def _do(self, asked: dict[str, Any]) -> None:
        if "begin" in asked:
            self._begin(asked["begin"])
            self._say({"begun": True})
        elif "passed" in asked:
            self.finished()
        elif "granted" in asked:
            self._granted.set()

    def _begin(self, arms: Arms) -> None:
        self._actions = {Pass(point, occurrence): action for point, occurrence, action in arms}
        self.points.begin(*self._actions)

    def _act(self, here: Pass) -> None:
        action = self._actions[here]
        self._say({"reached": [here.point, here.occurrence, action]})
        os.kill(os.getpid(), SIGNALS[action])

    def _say(self, what: dict[str, Any]) -> None:
        with self._lock:
            self._socket.sendall(json.dumps(what).encode() + b"\n")


def _written(passes: list[Pass]) -> list[list[Any]]:
    return [[each.point, each.occurrence] for each in passes]
