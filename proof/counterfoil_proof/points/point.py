"""
Points that are passed, and what happens at the one that is armed.

A pass is a point and its occurrence: the third time that `query conclude after` is reached
since the last `begin`. Which process a pass belongs to is said by the context: in a process of
its own there is one set of points for all; an in-process world enters `within(points)` around
whatever belongs to one of its processes, and every task that is begun there inherits it.
"""

import contextlib
import os
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextvars import ContextVar

import msgspec

PASSES_MAX = 100_000  # Of one recording: more is a loop that never ends.


class Pass(msgspec.Struct, frozen=True, order=True):
    """
    A point, and which time it is passed.
    """

    point: str
    occurrence: int

    def __str__(self) -> str:
        return self.point if self.occurrence == 1 else f"{self.point} (time {self.occurrence})"


class Points:
    """
    The points of one process: what was passed, and what is armed.

    *act* is called at the armed pass and is not expected to return in a process that dies;
    when it returns (a process that was frozen, and goes on), so does the product.

    With *rehearses*, a query's `before` is passed between the statement and its COMMIT, and only
    by a query that changes something: for real processes, whose idle rounds nobody can count.
    """

    def __init__(self, act: Callable[[Pass], None], *, rehearses: bool = True) -> None:
        self.rehearses = rehearses
        self._act = act
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()
        self._passed: list[Pass] = []
        self._armed: set[Pass] = set()

    def begin(self, *armed: Pass) -> None:
        """
        Forget what was passed, count from one again, and arm these passes.
        """
        with self._lock:
            self._counts.clear()
            self._passed.clear()
            self._armed = set(armed)

    @property
    def passed(self) -> list[Pass]:
        """
        What was passed since `begin`, in order.
        """
        with self._lock:
            return list(self._passed)

    def waits_at(self, point: str) -> bool:
        """
        Whether some pass of *point* is armed.
        """
        return any(each.point == point for each in self._armed)

    def reach(self, point: str) -> None:
        """
        Pass *point*; act if this is the armed pass.
        """
        with self._lock:
            self._counts[point] += 1
            here = Pass(point, self._counts[point])
            assert len(self._passed) < PASSES_MAX, f"{point} is passed for ever"
            self._passed.append(here)
            if here not in self._armed:
                return
            self._armed.discard(here)
        self._act(here)


_here: ContextVar[Points | None] = ContextVar("points", default=None)
_everywhere: list[Points] = []


def set_everywhere(points: Points | None) -> None:
    """
    Let *points* be those of this whole process, in every thread and task.
    """
    _everywhere[:] = [] if points is None else [points]


@contextlib.contextmanager
def within(points: Points | None) -> Iterator[None]:
    """
    Let *points* be those of what runs, and is begun, inside.
    """
    token = _here.set(points)
    try:
        yield
    finally:
        _here.reset(token)


def current() -> Points | None:
    """
    Return the points of whatever runs now, if it has any.
    """
    found = _here.get()
    if found is not None:
        return found
    return _everywhere[0] if _everywhere else None


def reach(point: str) -> None:
    """
    Pass *point* of whatever runs now.
    """
    if (points := current()) is not None:
        points.reach(point)


@contextlib.contextmanager
def around(name: str) -> Iterator[None]:
    """
    Pass `NAME before` now, and `NAME after` when the block has ended without a fault.
    """
    reach(f"{name} before")
    yield
    reach(f"{name} after")


def end_process(_: Pass) -> None:
    """
    End this process at once, as SIGKILL from outside would.
    """
    os.kill(os.getpid(), signal.SIGKILL)
