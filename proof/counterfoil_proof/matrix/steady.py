"""
A lane that lasts: made anew when it has seen enough, and when it does not come up.

A lane that does not come up (a machine that is busy, a gateway that hangs) is given up and made
anew once; what it left is kept and told. If the new one does not come up either, that is a
failure of the run it was for, and of no other.
"""

from collections.abc import Awaitable, Callable

import msgspec

from counterfoil_proof.matrix.fates import Result
from counterfoil_proof.matrix.lane import Lane
from counterfoil_proof.matrix.scenarios import SCENARIOS

RUNS_PER_LANE = 250  # Then it is made anew: books grow, and so does what each audit reads.
LANES_PER_RUN_MAX = 2


class LaneDown(Exception):
    """
    No lane came up for a run, or the one that did broke under it.
    """


class Lost(msgspec.Struct, frozen=True, kw_only=True):
    """
    A lane that was given up: before or in which scenario, why, and where it can be looked at.
    """

    scenario: str
    why: str
    folder: str


class Steady:
    """
    The place of one lane in a matrix.

    Attributes:
        down_in_a_row: Runs one after another for which no lane came up.
    """

    def __init__(
        self, new_lane: Callable[[], Lane], *, settled_max: int, lose: Callable[[Lost], None]
    ) -> None:
        self.down_in_a_row = 0
        self._new_lane = new_lane
        self._settled_max = settled_max
        self._lose = lose
        self._lane: Lane | None = None
        self._runs = self._settled = 0
        self._keeps = False

    @property
    def folder(self) -> str:
        """
        Where the present lane is.
        """
        return str(self._lane.folder) if self._lane is not None else "no lane"

    async def run(self, scenario: str, work: Callable[[Lane], Awaitable[Result]]) -> Result:
        """
        Do *work* in a lane that is up.

        Raises:
            LaneDown: No lane came up, nor did a new one; or it broke in the middle of the run.
        """
        lane = await self._up(scenario)
        self._runs += 1
        self._settled += SCENARIOS[scenario].settles
        try:
            return await work(lane)
        except Exception as fault:
            await self._give_up(scenario, fault)
            raise LaneDown(f"the lane broke: {_told(fault)}") from fault

    def keep(self) -> None:
        """
        Leave this lane's folder for whoever wants to look.
        """
        self._keeps = self._lane is not None

    async def close(self) -> None:
        """
        Close the lane, and remove its folder unless somebody wants to look.
        """
        lane, self._lane = self._lane, None
        if lane is None:
            return
        try:
            await lane.close()
        except Exception as fault:  # noqa: BLE001 - a lane that ends badly is told, and kept.
            self._lose(Lost(scenario="its end", why=_told(fault), folder=str(lane.folder)))
        else:
            if not self._keeps:
                lane.remove()
        self._keeps = False

    async def _up(self, scenario: str) -> Lane:
        if self._has_seen_enough(scenario):
            await self.close()
        for _ in range(LANES_PER_RUN_MAX):
            try:
                lane = self._present()
                await lane.whole()
            except Exception as fault:  # noqa: BLE001 - whatever it was: it is told, others go on.
                await self._give_up(scenario, fault)
                why = _told(fault)
            else:
                self.down_in_a_row = 0
                return lane
        self.down_in_a_row += 1
        raise LaneDown(f"no lane came up, nor did a new one: {why}")

    def _present(self) -> Lane:
        if self._lane is None:
            self._lane = self._new_lane()
            self._runs = self._settled = 0
        return self._lane

    def _has_seen_enough(self, scenario: str) -> bool:
        is_full = self._runs >= RUNS_PER_LANE or self._settled >= self._settled_max
        # Others' days are ended, too.
        return is_full or (SCENARIOS[scenario].settles and self._runs > self._settled)

    async def _give_up(self, scenario: str, fault: Exception) -> None:
        self._lose(Lost(scenario=scenario, why=_told(fault), folder=self.folder))
        self.keep()
        await self.close()


def _told(fault: Exception) -> str:
    return f"{type(fault).__name__}: {fault}"
