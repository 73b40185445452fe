"""
An event loop whose time is virtual: when nothing is left to do, it jumps to the next timer.

It has no file descriptors. Sockets are objects of `network`, threads do not exist (what goes to
an executor is done at once), and every callback belongs to the life (see `life`) in whose context
it was scheduled: a frozen life's callbacks wait, a dead one's are dropped.
"""

import asyncio
import contextvars
import selectors
import socket
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from typing import Any, TypeVar

from counterfoil_proof.world.life import LIFE, Life, Step

T = TypeVar("T")

BEGINNING = 1000.0  # Far from zero, so that a time that was never set is seen.


class StandstillError(Exception):
    """
    Nothing is ready and no timer runs: whoever still waits would wait for ever.
    """


class _Still(selectors.BaseSelector):
    """
    A selector that nothing ever happens on; waiting on it lets virtual time pass.
    """

    def __init__(self) -> None:
        self.now = BEGINNING

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return selectors.SelectorKey(fileobj, 0, events, data)

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return selectors.SelectorKey(fileobj, 0, 0, None)

    def get_map(self) -> dict[Any, selectors.SelectorKey]:
        return {}

    def get_key(self, fileobj: Any) -> selectors.SelectorKey:
        raise KeyError(fileobj)

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise StandstillError("nothing is ready and no timer runs")
        if timeout > 0:
            self.now += timeout
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """
    The loop of one universe.
    """

    def __init__(self) -> None:
        self._still = _Still()
        super().__init__(self._still)
        self.set_task_factory(_born)  # type: ignore[arg-type]
        self.steps = 0

    def time(self) -> float:
        """
        Return the virtual time in seconds.
        """
        return self._still.now

    def jump(self, seconds: float) -> None:
        """
        Let *seconds* pass at once; timers that were due meanwhile run late, as after a sleep.
        """
        assert seconds >= 0
        self._still.now += seconds

    def call_soon(  # type: ignore[override]
        self,
        callback: Callable[..., object],
        *args: Any,
        context: contextvars.Context | None = None,
    ) -> asyncio.Handle:
        """
        Schedule *callback* in the life of its context.
        """
        self.steps += 1
        life = LIFE.get() if context is None else context.get(LIFE)
        if life is None:
            return super().call_soon(callback, *args, context=context)
        context = context or contextvars.copy_context()
        step = Step(life, callback, args, context)
        step.handle = super().call_soon(step, context=context)
        return step.handle

    def call_at(  # type: ignore[override]
        self,
        when: float,
        callback: Callable[..., object],
        *args: Any,
        context: contextvars.Context | None = None,
    ) -> asyncio.TimerHandle:
        """
        Schedule *callback* at a virtual time in the life of its context.
        """
        life = LIFE.get() if context is None else context.get(LIFE)
        if life is None:
            return super().call_at(when, callback, *args, context=context)
        context = context or contextvars.copy_context()
        step = Step(life, callback, args, context, is_timer=True)
        handle = super().call_at(when, step, context=context)
        step.handle = handle
        return handle

    def run_in_executor(  # type: ignore[override]
        self, executor: Executor | None, func: Callable[..., T], *args: Any
    ) -> asyncio.Future[T]:
        """
        Do it at once: there are no threads here.
        """
        future: asyncio.Future[T] = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as error:  # noqa: BLE001 - it is handed on as it is.
            future.set_exception(error)
        return future

    def add_reader(  # type: ignore[override]
        self, fd: Any, callback: Callable[..., Any], *args: Any
    ) -> None:
        """
        Watch a socket of the world's.
        """
        if not isinstance(fd, int):
            fd.watch(lambda: callback(*args))

    def remove_reader(self, fd: Any) -> bool:
        """
        Watch it no more.
        """
        if not isinstance(fd, int):
            fd.watch(None)
        return True

    def add_writer(  # type: ignore[override]
        self, fd: Any, callback: Callable[..., Any], *args: Any
    ) -> None:
        """
        A socket of the world's is always writable.
        """
        self.call_soon(callback, *args)

    def remove_writer(self, fd: Any) -> bool:
        """
        There is nothing to forget.
        """
        return True

    async def sock_connect(self, sock: Any, address: Any) -> None:
        """
        Connect a socket of the world's.
        """
        await sock.connect(address)

    async def getaddrinfo(self, host: Any, port: Any, **_: Any) -> list[tuple[Any, ...]]:
        """
        Every name is its own address.
        """
        return [(socket.AF_INET, socket.SOCK_STREAM, 0, "", (host, port))]


def _born(
    loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, T], **kwargs: Any
) -> "asyncio.Task[T]":
    """
    Make a task, and enter it in the life in whose context it begins.
    """
    context: contextvars.Context | None = kwargs.get("context")
    task = asyncio.Task(coroutine, loop=loop, **kwargs)
    life: Life | None = LIFE.get() if context is None else context.get(LIFE)
    if life is not None:
        life.adopt(task)
    return task
