"""
One life of a process: from its start to its death, with pauses in between.

A death is abrupt. What the process had in memory is gone, its tasks get no more turns but the
ones in which they notice that they are dead, and nothing they do then reaches anything: its
database, sockets and replies are dead with it. A frozen process (SIGSTOP, a suspended machine)
gets no turns; when it thaws, everything that fell due meanwhile runs, late.
"""

import asyncio
import contextvars
from collections.abc import Callable, Coroutine
from enum import Enum
from typing import Any, TypeVar

T = TypeVar("T")

LIFE: "contextvars.ContextVar[Life | None]" = contextvars.ContextVar("life", default=None)


class Stage(Enum):
    """
    What a life can do at the moment.
    """

    RUNNING = "running"
    FROZEN = "frozen"
    DEAD = "dead"


class KilledError(asyncio.CancelledError):
    """
    The process died at this very step.
    """


class Step:
    """
    One scheduled callback of a life.
    """

    __slots__ = ("_arguments", "_callback", "_is_timer", "_life", "context", "handle")

    def __init__(
        self,
        life: "Life",
        callback: Callable[..., object],
        arguments: tuple[Any, ...],
        context: contextvars.Context,
        *,
        is_timer: bool = False,
    ) -> None:
        self._life = life
        self._callback = callback
        self._arguments = arguments
        self._is_timer = is_timer
        self.context = context
        self.handle: asyncio.Handle | None = None

    def __call__(self) -> None:
        """
        Run it, unless its life stands still. The timers of the dead do not go off.
        """
        stage = self._life.stage
        if stage is Stage.RUNNING:
            self._callback(*self._arguments)
        elif stage is Stage.FROZEN:
            self._life.held.append(self)
        elif not self._is_timer:
            self._callback(*self._arguments)

    def after_thaw(self) -> None:
        """
        Run it late, unless it was cancelled by another late one.
        """
        if self.handle is None or not self.handle.cancelled():
            self()


class Life:
    """
    A process while it lives. `number` counts the lives of one name.
    """

    def __init__(
        self,
        name: str,
        number: int,
        *,
        on_point: Callable[["Life", str], None] | None = None,
    ) -> None:
        self.name = name
        self.number = number
        self.stage = Stage.RUNNING
        self.held: list[Step] = []
        self.context = contextvars.copy_context()
        self.context.run(LIFE.set, self)
        self._on_point = on_point
        self._tasks: dict[asyncio.Task[Any], None] = {}  # In the order of their birth.
        self._last_acts: list[Callable[[], None]] = []

    def __repr__(self) -> str:
        return f"{self.name}#{self.number}"

    @property
    def is_dead(self) -> bool:
        """Whether it has ended."""
        return self.stage is Stage.DEAD

    def spawn(self, work: Coroutine[Any, Any, T]) -> "asyncio.Task[T]":
        """
        Begin *work* in this life.
        """
        return asyncio.get_running_loop().create_task(work, context=self.context)

    def adopt(self, task: "asyncio.Task[Any]") -> None:
        """
        Enter a task; a dead life's new tasks end before they begin.
        """
        if self.is_dead:
            task.cancel()
            return
        self._tasks[task] = None
        task.add_done_callback(self._ended, context=contextvars.Context())

    def at_death(self, act: Callable[[], None]) -> None:
        """
        Do *act* when it dies: what the kernel does for the dead, such as closing sockets.
        """
        self._last_acts.append(act)

    def point(self, name: str) -> None:
        """
        Come past a named point, at which somebody may end this life.

        Raises:
            KilledError: It is dead.
        """
        if self._on_point is not None and not self.is_dead:
            self._on_point(self, name)
        self.check()

    def check(self) -> None:
        """
        Go no further when dead.

        Raises:
            KilledError: It is dead.
        """
        if self.is_dead:
            raise KilledError(f"{self} is dead")

    def kill(self) -> None:
        """
        End it at once.
        """
        if self.is_dead:
            return
        self.stage = Stage.DEAD
        self._release()  # So that every task gets the turn in which it is cancelled.
        for act in self._last_acts:
            act()
        for task in list(self._tasks):
            task.cancel()

    def freeze(self) -> None:
        """
        Let it have no turns.
        """
        if self.stage is Stage.RUNNING:
            self.stage = Stage.FROZEN

    def thaw(self) -> None:
        """
        Let it have its turns again: first those it missed.
        """
        if self.stage is not Stage.FROZEN:
            return
        self.stage = Stage.RUNNING
        self._release()

    def _release(self) -> None:
        held, self.held = self.held, []
        for step in held:
            asyncio.get_running_loop().call_soon(step.after_thaw, context=step.context)

    def _ended(self, task: "asyncio.Task[Any]") -> None:
        self._tasks.pop(task, None)
        if self.is_dead and not task.cancelled():
            task.exception()  # Nobody asks the dead.
