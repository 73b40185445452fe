"""
The desk: so much at once, and money that is finished whoever hangs up.
"""

import asyncio
from typing import Any

import pytest
from counterfoil.api.desk import Desk
from counterfoil.api.problems import Problem


@pytest.fixture
def desk() -> Desk:
    nothing: Any = None
    return Desk(
        road=nothing,
        keys=nothing,
        batches=nothing,
        deposits=nothing,
        feed=nothing,
        endpoints=nothing,
        checkouts=nothing,
        search=nothing,
        mode="test",
        body_bytes_max=1024,
        payments_at_once_max=2,
    )


async def test_more_than_the_maximum_is_refused_before_it_begins(desk: Desk) -> None:
    """503 busy; when one is done, the next is taken."""
    gate = asyncio.Event()
    begun = [asyncio.create_task(desk.money_task(gate.wait())) for _ in range(2)]
    await asyncio.sleep(0)

    with pytest.raises(Problem) as caught:
        await desk.money_task(gate.wait())
    gate.set()
    await asyncio.gather(*begun)

    assert caught.value.code == "busy"
    assert await desk.money_task(gate.wait()) is True


async def test_f20_work_goes_on_when_its_time_is_up(desk: Desk) -> None:
    """Only the waiting ends."""
    gate, done = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        await gate.wait()
        done.set()

    with pytest.raises(TimeoutError):
        await desk.money_task(work(), seconds_max=0.01)
    gate.set()

    assert await desk.finish(1) == 0
    assert done.is_set()


async def test_f20_work_goes_on_when_its_waiter_is_cancelled(desk: Desk) -> None:
    """F20: shielded, and waited for at the end."""
    gate, done = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        await gate.wait()
        done.set()

    waiting = asyncio.create_task(desk.money_task(work()))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    gate.set()

    assert await desk.finish(1) == 0
    assert done.is_set()


async def test_the_end_waits_for_so_long_and_says_what_is_left(desk: Desk) -> None:
    """A process that must stop says how many payments it leaves to the sweep."""
    work = asyncio.create_task(desk.money_task(asyncio.Event().wait()))
    await asyncio.sleep(0)

    assert await desk.finish(0.01) == 1
    work.cancel()


async def test_a_fault_reaches_its_waiter(desk: Desk) -> None:
    """As if there were no task in between."""

    async def work() -> None:
        raise KeyError("x")

    with pytest.raises(KeyError):
        await desk.money_task(work())
