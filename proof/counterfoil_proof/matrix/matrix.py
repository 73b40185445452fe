"""
The whole matrix: record every scenario, then kill at every pass in turn, in several lanes.
"""

import asyncio
import re
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from counterfoil_proof.matrix.fates import Result, Target
from counterfoil_proof.matrix.lane import Lane
from counterfoil_proof.matrix.scenarios import SCENARIOS
from counterfoil_proof.matrix.targets import targets

LANES_MAX = 8
RUNS_PER_LANE = 250  # Then it is made anew: books grow, and so does what each audit reads.
SETTLED_PER_LANE = 12  # Of runs that end business days: every day has a statement for everybody.
REACH_TRIES_MAX = 3  # What a process passes depends on its rounds, too: not every run is the same.

Tell = Callable[[str], None]


class Report(msgspec.Struct, kw_only=True):
    """
    What a matrix found.
    """

    recorded: list[Result] = []
    results: list[Result] = []
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
    One matrix below a folder.
    """

    def __init__(self, folder: Path, *, lanes: int, tell: Tell) -> None:
        assert 1 <= lanes <= LANES_MAX
        self.report = Report()
        self._folder = folder
        self._lanes = lanes
        self._tell = tell
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
        await self._in_lanes(lambda lane: self._record(lane, waiting), settled=SETTLED_PER_LANE)
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
        await self._in_lanes(lambda lane: self._kill(lane, todo), settled=SETTLED_PER_LANE)
        self.report.seconds = time.monotonic() - began
        return self.report

    async def _in_lanes(self, work: Callable[["_Steady"], object], settled: int) -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(self._lanes):
                group.create_task(self._one_lane(work, settled))

    async def _one_lane(self, work: Callable[["_Steady"], object], settled: int) -> None:
        steady = _Steady(self._new_folder, settled)
        try:
            await work(steady)  # type: ignore[misc]
        finally:
            await steady.close()

    def _new_folder(self) -> Path:
        self._opened += 1
        return self._folder / f"lane-{self._opened}"

    async def _record(self, steady: "_Steady", waiting: "asyncio.Queue[str]") -> None:
        while not waiting.empty():
            name = waiting.get_nowait()
            lane = await steady.lane(name)
            result = await lane.record(name)
            if SCENARIOS[name].mistakes:
                self._expected[name] = _kinds(result.wrong)
                result = msgspec.structs.replace(result, wrong=[])
            self.report.recorded.append(result)
            if result.wrong:
                steady.keep()
                self._tell(f"{name}, nobody dies: {result.wrong}")

    async def _kill(self, steady: "_Steady", todo: "asyncio.Queue[Target]") -> None:
        while not todo.empty():
            target = todo.get_nowait()
            for _ in range(REACH_TRIES_MAX):
                lane = await steady.lane(target.scenario)
                result = self._judged(await lane.run(target))
                if result.is_reached or result.wrong:
                    break
            self.report.results.append(result)
            if result.wrong:
                steady.keep()
                self._tell(
                    f"{target.scenario}: {target.kind} {target.action} at {target.where}: "
                    f"{result.wrong} ({result.merchant} in {lane.folder})"
                )
            if len(self.report.results) % 50 == 0:
                self._tell(f"{len(self.report.results)} deaths, {todo.qsize()} to come")

    def _judged(self, result: Result) -> Result:
        """
        Take away what is wrong by the scenario's own mistakes, with or without a death.
        """
        expected = self._expected.get(result.scenario)
        if expected is None:
            return result
        missing = expected - _kinds(result.wrong)
        wrong = [each for each in result.wrong if not _kinds([each]) <= expected]
        wrong += [f"this is not found any more: {each}" for each in missing]
        return msgspec.structs.replace(result, wrong=wrong)


class _Steady:
    """
    A lane that is made anew when it has seen enough.
    """

    def __init__(self, new_folder: Callable[[], Path], settled_max: int) -> None:
        self._new_folder = new_folder
        self._settled_max = settled_max
        self._lane: Lane | None = None
        self._runs = self._settled = 0
        self._keeps = False

    async def lane(self, scenario: str) -> Lane:
        """
        Return an open lane for one more run of *scenario*.
        """
        settles = SCENARIOS[scenario].settles
        is_full = self._runs >= RUNS_PER_LANE or self._settled >= self._settled_max
        if is_full or (settles and self._runs > self._settled):  # Others' days are ended, too.
            await self.close()
        if self._lane is None:
            self._lane = Lane(self._new_folder())
            self._runs = self._settled = 0
            await self._lane.open()
        self._runs += 1
        self._settled += settles
        return self._lane

    def keep(self) -> None:
        """
        Leave this lane's folder for whoever wants to look.
        """
        self._keeps = True

    async def close(self) -> None:
        """
        Close the lane, and remove its folder unless somebody wants to look.
        """
        if self._lane is not None:
            await self._lane.close()
            if not self._keeps:
                self._lane.remove()
        self._lane, self._keeps = None, False


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
