"""
Cancel a task at any of its awaits, one after the other, until there is none left.
"""

import asyncio
import types
from collections.abc import Callable, Coroutine, Generator
from typing import Any

AWAITS_MAX = 400


@types.coroutine
def _cancelled_at(number: int, work: Coroutine[Any, Any, Any]) -> Generator[Any, Any, Any]:
    """
    Run *work*, and cancel the task that runs it when it waits for the *number*-th time.
    """
    step: Callable[[], Any] = lambda: work.send(None)  # noqa: E731
    waited = 0
    while True:
        try:
            awaited = step()
        except StopIteration as end:
            return end.value
        waited += 1
        if waited == number:
            task = asyncio.current_task()
            assert task is not None
            task.cancel()
        try:
            value = yield awaited
            step = lambda value=value: work.send(value)  # noqa: E731
        except BaseException as error:  # noqa: BLE001 - it is handed on, whatever it is.
            step = lambda error=error: work.throw(error)  # noqa: E731


async def interrupted_at(number: int, work: Coroutine[Any, Any, Any]) -> bool:
    """
    Run *work* in a task that is cancelled at its *number*-th await; False when it has fewer.
    """

    async def run() -> Any:
        return await _cancelled_at(number, work)

    assert number <= AWAITS_MAX, "it waits for ever"
    (ended,) = await asyncio.gather(asyncio.create_task(run()), return_exceptions=True)
    if isinstance(ended, Exception):
        raise ended
    return isinstance(ended, asyncio.CancelledError)
