"""Virtual time: it jumps, it repeats, and the dead and the frozen get no turns."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from counterfoil_proof.world.life import KilledError, Life
from counterfoil_proof.world.loop import BEGINNING, StandstillError, VirtualLoop


def run(scenario: Callable[[VirtualLoop], Coroutine[Any, Any, None]]) -> None:
    loop = VirtualLoop()
    try:
        loop.run_until_complete(scenario(loop))
    finally:
        loop.close()


def test_a_month_passes_in_no_time() -> None:
    async def scenario(loop: VirtualLoop) -> None:
        await asyncio.sleep(30 * 86400)

        assert loop.time() == pytest.approx(BEGINNING + 30 * 86400)

    run(scenario)


def test_who_waits_for_nothing_is_told_so() -> None:
    async def scenario(loop: VirtualLoop) -> None:
        await loop.create_future()

    with pytest.raises(StandstillError):
        run(scenario)


def test_a_dead_process_does_nothing_more() -> None:
    done: list[str] = []

    async def work() -> None:
        done.append("began")
        try:
            await asyncio.sleep(10)
            done.append("went on")
        finally:
            done.append("noticed")
            asyncio.get_running_loop().call_later(1, done.append, "timer of the dead")

    async def scenario(loop: VirtualLoop) -> None:
        life = Life("gateway", 1)
        life.spawn(work())
        await asyncio.sleep(5)

        life.kill()
        await asyncio.sleep(100)

        assert done == ["began", "noticed"]

    run(scenario)


def test_a_process_can_die_at_a_point() -> None:
    reached: list[str] = []

    def at(life: Life, name: str) -> None:
        if name == "second":
            life.kill()

    async def work(life: Life) -> None:
        life.point("first")
        reached.append("first")
        life.point("second")
        reached.append("second")

    async def scenario(loop: VirtualLoop) -> None:
        life = Life("gateway", 1, on_point=at)
        task = life.spawn(work(life))
        await asyncio.wait([task])

        assert reached == ["first"]
        assert life.is_dead
        with pytest.raises(KilledError):
            life.check()

    run(scenario)


def test_a_frozen_process_does_late_what_fell_due_in_its_sleep() -> None:
    done: list[tuple[str, float]] = []

    async def scenario(loop: VirtualLoop) -> None:
        async def work() -> None:
            for name in ("one", "two"):
                await asyncio.sleep(10)
                done.append((name, round(loop.time() - BEGINNING)))

        life = Life("worker", 1)
        life.spawn(work())
        await asyncio.sleep(5)

        life.freeze()
        await asyncio.sleep(60)
        life.thaw()
        await asyncio.sleep(30)

        assert done == [("one", 65), ("two", 75)]

    run(scenario)
