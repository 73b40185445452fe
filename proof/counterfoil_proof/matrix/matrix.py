"""
The whole matrix: record every scenario, then kill at every pass in turn, in several lanes.
"""

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import msgspec

from counterfoil_proof.matrix.fates import Result, Target
from counterfoil_proof.matrix.lane import Lane
from counterfoil_proof.matrix.scenarios import SCENARIOS
from counterfoil_proof.matrix.steady import LaneDown, Lost, Steady
from counterfoil_proof.matrix.targets import targets

LANES_MAX = 8
SETTLED_PER_LANE = 12  # Of runs that end business days: every day has a statement for everybody.
REACH_TRIES_MAX = 3  # What a process passes depends on its rounds, too: not every run is the same.
DOWN_IN_A_ROW_MAX = 3  # Then a lane's place is given up, and the other lanes do its work.

NO_LANE = "not tried: no lane came up any more"

Tell = Callable[[str], None]
Work = Callable[[Steady], Awaitable[None]]


class Report(msgspec.Struct, kw_only=True):
    """
    What a matrix found.
    """

    recorded: list[Result] = []
    results: list[Result] = []
    lost: list[Lost] = []
    seconds: float = 0.0

    @property
    def wrong(self) -> list[Result]:
        """
        Every run after which somebody disagrees.
        """
        return [each for each in (*self.recorded, *self.results) if each.wrong]

    @property
    def not_reached(self) -> list[Result]:
        """
        Every run in which the armed pass did not come, however often it was tried.
        """
        return [each for each in self.results if not each.is_reached]


class Matrix:
    """
    One matrix below a folder. *make* makes its lanes.
    """

    def __init__(
        self, folder: Path, *, lanes: int, tell: Tell, make: Callable[[Path], Lane] = Lane
    ) -> None:
        assert 1 <= lanes <= LANES_MAX
        self.report = Report()
        self._folder = folder
        self._lanes = lanes
        self._tell = tell
        self._make = make
        self._opened = 0
        self._expected: dict[str, set[str]] = {}

    async def run(
        self,
        scenarios: Sequence[str],
        *,
        kinds: Sequence[str],
        action: str = "kill",
        choose: Callable[[list[Target]], list[Target]] = list,
    ) -> Report:
        """
        Record, then kill at every pass that *choose* leaves.
        """
        began = time.monotonic()
        waiting: asyncio.Queue[str] = asyncio.Queue()
        for name in sorted(scenarios, key=_settles, reverse=True):
            waiting.put_nowait(name)
        await self._in_lanes(lambda steady: self._record(steady, waiting))
        while not waiting.empty():
            self.report.recorded.append(_not_run(waiting.get_nowait(), None, NO_LANE))
        recorded = {each.scenario: each for each in self.report.recorded}
        found = [
            each
            for name in scenarios
            for each in targets(recorded[name], action=action)
            if each.kind in kinds
        ]
        todo: asyncio.Queue[Target] = asyncio.Queue()
        chosen = choose(found)
        for target in sorted(chosen, key=lambda each: _settles(each.scenario), reverse=True):
            todo.put_nowait(target)
        self._tell(f"{len(scenarios)} scenarios recorded; {todo.qsize()} deaths to come")
        await self._in_lanes(lambda steady: self._kill(steady, todo))
        while not todo.empty():
            target = todo.get_nowait()
            self.report.results.append(_not_run(target.scenario, target, NO_LANE))
        self.report.seconds = time.monotonic() - began
        return self.report

    async def _in_lanes(self, work: Work) -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(self._lanes):
                group.create_task(self._one_lane(work))

    async def _one_lane(self, work: Work) -> None:
        steady = Steady(self._new_lane, settled_max=SETTLED_PER_LANE, lose=self._lose)
        try:
            await work(steady)
        finally:
            await steady.close()

    def _new_lane(self) -> Lane:
        self._opened += 1
        return self._make(self._folder / f"lane-{self._opened}")

    def _lose(self, lost: Lost) -> None:
        self.report.lost.append(lost)
        self._tell(f"a lane is given up at {lost.scenario}: {lost.why} ({lost.folder})")

    async def _record(self, steady: Steady, waiting: "asyncio.Queue[str]") -> None:
        while not waiting.empty() and steady.down_in_a_row < DOWN_IN_A_ROW_MAX:
            name = waiting.get_nowait()
            result = await self._recorded(steady, name)
            if SCENARIOS[name].mistakes and result.came_to_its_end:
                self._expected[name] = _kinds(result.wrong)
                result = msgspec.structs.replace(result, wrong=[])
            self.report.recorded.append(result)
            if result.wrong:
                steady.keep()
                self._tell(f"{name}, nobody dies: {result.wrong}")

    async def _recorded(self, steady: Steady, name: str) -> Result:
        try:
            return await steady.run(name, lambda lane: lane.record(name))
        except LaneDown as down:
            return _not_run(name, None, str(down))

    async def _kill(self, steady: Steady, todo: "asyncio.Queue[Target]") -> None:
        while not todo.empty() and steady.down_in_a_row < DOWN_IN_A_ROW_MAX:
            target = todo.get_nowait()
            result = await self._killed(steady, target)
            self.report.results.append(result)
            if result.wrong:
                steady.keep()
                self._tell(
                    f"{target.scenario}: {target.kind} {target.action} at {target.where}: "
                    f"{result.wrong} ({result.merchant} in {steady.folder})"
                )
            if len(self.report.results) % 50 == 0:
                self._tell(f"{len(self.report.results)} deaths, {todo.qsize()} to come")

    async def _killed(self, steady: Steady, target: Target) -> Result:
        for _ in range(REACH_TRIES_MAX):
            try:
                result = await steady.run(target.scenario, lambda lane: lane.run(target))
            except LaneDown as down:
                return _not_run(target.scenario, target, str(down))
            result = self._judged(result)
            if result.is_reached or result.wrong:
                break
        return result

    def _judged(self, result: Result) -> Result:
        """
        Take away what is wrong by the scenario's own mistakes, with or without a death.
        """
        expected = self._expected.get(result.scenario)
        if expected is None or not result.came_to_its_end:
            return result
        missing = expected - _kinds(result.wrong)
        wrong = [each for each in result.wrong if not _kinds([each]) <= expected]
        wrong += [f"this is not found any more: {each}" for each in missing]
        return msgspec.structs.replace(result, wrong=wrong)


def _not_run(scenario: str, target: Target | None, why: str) -> Result:
    """
    Return the result of a run that was not: a failure of its scenario, with the reason.
    """
    return Result(
        target=target,
        scenario=scenario,
        is_reached=False,
        recovered_seconds=0.0,
        wrong=[why],
        merchant="nobody",
        came_to_its_end=False,
    )


def _settles(scenario: str) -> bool:
    """
    Return whether a scenario ends business days: such ones come first, while books are small.
    """
    return SCENARIOS[scenario].settles


_PARTICULAR = re.compile(r"\S*\d\S*")


def _kinds(wrong: list[str]) -> set[str]:
    """
    Return what is wrong without numbers, names and days.
    """
    return {_PARTICULAR.sub("#", each) for each in wrong}
