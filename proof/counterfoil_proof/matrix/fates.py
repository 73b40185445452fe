"""
What befalls the processes of a lane in one run: who dies or stands still, where, and what then.
"""

import asyncio
import signal
import time
from typing import TYPE_CHECKING

import msgspec

from counterfoil_proof.matrix.processes import Arm, Child
from counterfoil_proof.points.point import Pass

if TYPE_CHECKING:
    from counterfoil_proof.matrix.lane import Lane
    from counterfoil_proof.matrix.scenarios import Scenario

# Twice the lease of a process of a lane; and less than it, but more than a message may wait.
STILL_SECONDS = {"freeze": 5.0, "pause": 1.6}
GRACE_SECONDS = 0.5  # For a pass that comes just after all is quiet.
STOP_SECONDS_MAX = 30.0


class Target(msgspec.Struct, frozen=True, order=True, kw_only=True):
    """
    What is done to whom, and where.
    """

    scenario: str
    kind: str
    where: Pass
    action: str = "kill"


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """
    What came of it: `wrong` has every disagreement; without one, all tell the same story.

    A run that did not come to its end (nobody recovered, or its lane did not come up) is wrong,
    whatever its scenario expects.
    """

    target: Target | None
    scenario: str
    is_reached: bool
    recovered_seconds: float
    wrong: list[str]
    merchant: str
    came_to_its_end: bool = True
    passed: dict[str, list[Pass]] = {}


class Fates:
    """
    The fates of one run: the scenario's own, and that of the target.
    """

    def __init__(self, lane: "Lane", scenario: "Scenario", target: Target | None) -> None:
        self.reached_at: float | None = None
        self.passed_before: dict[str, list[Pass]] = {"gateway": [], "worker": [], "shop": []}
        self._lane = lane
        self._scenario = scenario
        self._target = target
        self._befallen: set[tuple[str, Arm]] = set()
        self._has_begun = not scenario.begins_later
        self._words: dict[str, str] = {}
        self._watching: dict[str, asyncio.Task[None]] = {}
        self._naps: set[asyncio.Task[None]] = set()

    async def begin(self, words: dict[str, str]) -> None:
        """
        Arm everybody, and let the shop begin its day.
        """
        self._words = words
        for kind in ("gateway", "worker"):
            child = self._lane.children[kind]
            child.reached = asyncio.Queue()  # What befell it in a former run was that run's.
            await child.begin(self._arms(kind))
            self._watch(kind)
        self._live("shop")

    async def from_here(self) -> None:
        """
        Count passes from here: what came before is another scenario's.

        Each is watched already, and whoever sees to a death just now must not be stopped.
        """
        self._has_begun = True
        for kind, child in self._lane.children.items():
            if not child.ended.done():
                await child.begin(self._arms(kind))

    def next_life(self, kind: str) -> None:
        """
        Start a process again that has ended.
        """
        self._live(kind)

    async def restart(self, kind: str) -> None:
        """
        Stop a process in good order, and start it again; it may die meanwhile.
        """
        child = self._lane.children[kind]
        child.send(signal.SIGTERM)
        await asyncio.wait_for(asyncio.shield(child.ended), STOP_SECONDS_MAX)
        if self._lane.children[kind] is child:
            self.passed_before[kind] = child.passed
            self._live(kind)
        if kind == "gateway":
            await self._lane.takes_payments()

    async def came_late(self) -> bool:
        """
        Wait a moment for the target's pass, when all is quiet before it is reached.
        """
        if self._target is None or self.reached_at is not None:
            return False
        await asyncio.sleep(GRACE_SECONDS)
        return self.reached_at is not None

    async def all_go_on(self) -> bool:
        """
        Wait until nobody stands still any more; return whether somebody did.

        Who goes on has old business in hand: he is given a moment to do it, or to be refused.
        """
        still = [each for each in self._naps if not each.done()]
        if not still:
            return False
        await asyncio.gather(*still)
        await asyncio.sleep(GRACE_SECONDS)
        return True

    async def end(self) -> None:
        """
        Watch nobody any more, and leave nobody standing still.
        """
        await asyncio.gather(*self._naps)
        for task in self._watching.values():
            task.cancel()
        await asyncio.gather(*self._watching.values(), return_exceptions=True)

    def _arms(self, kind: str) -> list[Arm]:
        """
        Return what is armed in a life of *kind*: the target where it was recorded.

        Where the scenario itself ends one life, the recording is of the next.
        """
        own = [each for each in self._scenario.befalls if each[0] == kind]
        arms = [arm for whose, arm in own if (whose, arm) not in self._befallen]
        dies = any(arm.action == "kill" for arm in arms)
        target = self._target
        is_later = not self._has_begun or self.reached_at is not None or dies
        if target is None or target.kind != kind or is_later:
            return arms
        return [*arms, Arm(target.where, target.action)]

    def _live(self, kind: str) -> None:
        words = self._words if kind == "shop" else None
        self._lane.fork(kind, self._arms(kind), words)
        self._watch(kind)

    def _watch(self, kind: str) -> None:
        former = self._watching.pop(kind, None)
        if former is not None and former is not asyncio.current_task():
            former.cancel()
        self._watching[kind] = asyncio.create_task(self._see_to(kind, self._lane.children[kind]))

    async def _see_to(self, kind: str, child: Child) -> None:
        while True:
            arm = await child.reached.get()
            self._befallen.add((kind, arm))
            if self._target is not None and arm == Arm(self._target.where, self._target.action):
                self.reached_at = time.monotonic()
            if arm.action in STILL_SECONDS:
                nap = asyncio.create_task(_nap(child, STILL_SECONDS[arm.action]))
                self._naps.add(nap)
                await asyncio.shield(nap)  # Also when nobody watches any more.
                continue
            await asyncio.shield(child.ended)
            if kind != "shop":  # The shop is started again by whoever waits for it.
                self._live(kind)
            return


async def _nap(child: Child, seconds: float) -> None:
    await asyncio.sleep(seconds)
    child.send(signal.SIGCONT)
