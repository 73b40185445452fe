"""
What is on its way to the acquirers of what is owed: how much at once, and when it has ended.

Each acquirer has places of its own, and in them each share: a host that is silent on refunds
leaves room for reversals, one that is silent on everything leaves the others theirs, and a
heap of reversals leaves a quarter to captures and refunds.
"""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Coroutine, KeysView
from functools import partial
from uuid import UUID

from counterfoil.routing.pace import Share

UNDER_WAY_MAX = 400  # At one acquirer.
SHARE_UNDER_WAY_MAX = {Share.TAKING_BACK: 300, Share.GOING_ON: 200}  # Of these.
ROUND_SECONDS_MAX = 0.5


class UnderWay:
    """
    The advices that this process is sending.
    """

    def __init__(self) -> None:
        self._tasks: dict[UUID, asyncio.Task[None]] = {}
        self._places: Counter[tuple[str, Share]] = Counter()
        self._faults: list[BaseException] = []
        self._fell = asyncio.Event()
        self._awaited = 0  # How many may still be under way when a round ends.

    @property
    def advice_ids(self) -> KeysView[UUID]:
        """
        Which these are.
        """
        return self._tasks.keys()

    def room(self, acquirer: str, share: Share) -> int:
        """
        Return how many more of *share* may be on their way to *acquirer*.
        """
        taken = sum(self._places[acquirer, each] for each in Share)
        of_share = SHARE_UNDER_WAY_MAX[share] - self._places[acquirer, share]
        return max(0, min(UNDER_WAY_MAX - taken, of_share))

    def begin(
        self, advice_id: UUID, acquirer: str, share: Share, sending: Coroutine[None, None, None]
    ) -> None:
        """
        Let *sending* go on by itself until it ends.
        """
        place = acquirer, share
        self._places[place] += 1
        task = self._tasks[advice_id] = asyncio.create_task(sending)
        task.add_done_callback(partial(self._ended, advice_id, place))

    async def end_of_round(self, *, is_more: bool) -> None:
        """
        Wait a moment for all to end, or for half of them if there *is more* to be sent.

        Raises whatever one of them has met that is not its own trouble.
        """
        await self._until(len(self._tasks) // 2 if is_more else 0)
        if self._faults:
            fault, self._faults = self._faults[0], []
            raise fault

    async def _until(self, at_most: int) -> None:
        if len(self._tasks) <= at_most:
            return
        self._awaited = at_most
        self._fell.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(ROUND_SECONDS_MAX):
                await self._fell.wait()

    def _ended(self, advice_id: UUID, place: tuple[str, Share], task: asyncio.Task[None]) -> None:
        del self._tasks[advice_id]
        self._places[place] -= 1
        if not task.cancelled() and (fault := task.exception()) is not None:
            self._faults.append(fault)
        if len(self._tasks) <= self._awaited:
            self._fell.set()
