"""
What befalls an installation in a chaos: a list of blows from a seed, dealt one after another.
"""

import asyncio
import random
import signal
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import msgspec

from counterfoil_proof.chaos.installation import LEASE_SECONDS, Installation
from counterfoil_proof.chaos.proxy import Mode

PAUSE_SECONDS = (0.3, 1.8)
SPARED_SECONDS = 2.5  # Who has just come back is let live so long: else nothing ever works.
SHORT_SECONDS = (0.2, 1.5)
LONG_SECONDS = (LEASE_SECONDS + 1.0, LEASE_SECONDS + 4.0)
CUT_SECONDS = (0.3, 5.0)
LONG_SHARE = 0.4

KILLED = {
    "gateway-1": 4,
    "gateway-2": 4,
    "worker-1": 3,
    "worker-2": 3,
    "mailer": 2,
    "till-1": 2,
    "till-2": 2,
    "till-3": 2,
    "rail": 2,
    "postgres": 2,
}
FROZEN = {
    "gateway-1": 3,
    "gateway-2": 3,
    "worker-1": 2,
    "worker-2": 2,
    "mailer": 1,
    "till-1": 1,
    "rail": 1,
    "postgres": 1,
}
CUT: tuple[Mode, ...] = ("reset", "stall", "half", "drop")
KINDS = {"kill": 6, "freeze": 3, "cut": 4}


class Blow(msgspec.Struct, frozen=True, kw_only=True):
    """
    One blow. `how`: the mode of a link that is cut; `seconds`: how long it lasts.
    """

    kind: str
    whom: str
    how: str = ""
    seconds: float = 0.0
    pause_seconds: float = 0.0

    def __str__(self) -> str:
        lasts = f" for {self.seconds:.1f} s" if self.seconds else ""
        return f"{self.kind} {self.whom}{f' ({self.how})' if self.how else ''}{lasts}"


class Dealt(msgspec.Struct, frozen=True, kw_only=True):
    """
    A blow that was dealt, when, and to which process.
    """

    at: datetime
    after_seconds: float
    blow: Blow
    pid: int | None


def blows(seed: int) -> Iterator[Blow]:
    """
    Yield blows for ever; the same ones for the same seed.
    """
    chance = random.Random(seed)  # noqa: S311 - a schedule, no secret.
    while True:
        kind = _one_of(KINDS, chance)
        pause = chance.uniform(*PAUSE_SECONDS)
        if kind == "kill":
            yield Blow(kind=kind, whom=_one_of(KILLED, chance), pause_seconds=pause)
        elif kind == "freeze":
            span = LONG_SECONDS if chance.random() < LONG_SHARE else SHORT_SECONDS
            seconds = chance.uniform(*span)
            whom = _one_of(FROZEN, chance)
            yield Blow(kind=kind, whom=whom, seconds=seconds, pause_seconds=pause)
        else:
            yield Blow(
                kind=kind,
                whom=chance.choice(("gateways to rail", "tills to gateways")),
                how=chance.choice(CUT),
                seconds=chance.uniform(*CUT_SECONDS),
                pause_seconds=pause,
            )


class Fists:
    """
    Deals blows until its time is over, and leaves everything well.
    """

    def __init__(self, installation: Installation, tell: Callable[[str], None]) -> None:
        self.dealt: list[Dealt] = []
        self._installation = installation
        self._tell = tell
        self._lasting: dict[str, asyncio.Task[None]] = {}
        self._began = time.monotonic()

    @property
    def kills(self) -> int:
        """
        How many processes were killed.
        """
        return sum(each.blow.kind == "kill" for each in self.dealt)

    async def deal(self, seed: int, seconds: float) -> None:
        """
        Deal the blows of *seed* for so long.
        """
        self._began = time.monotonic()
        until = self._began + seconds
        try:
            for blow in blows(seed):
                if time.monotonic() + blow.pause_seconds >= until:
                    break
                await asyncio.sleep(blow.pause_seconds)
                self._strike(blow)
            await asyncio.sleep(max(0.0, until - time.monotonic()))
        finally:
            await self._mend()

    def _strike(self, blow: Blow) -> None:
        if blow.kind == "cut":
            if blow.whom not in self._lasting:
                self._note(blow, None)
                self._last(blow.whom, self._cut(blow))
            return
        if blow.whom in self._lasting or not self._may_be_struck(blow.whom):
            return
        pid = self._installation.pid(blow.whom)
        number = signal.SIGKILL if blow.kind == "kill" else signal.SIGSTOP
        if pid is None or not self._installation.send(blow.whom, number):
            return
        self._note(blow, pid)
        if blow.kind == "freeze":
            self._last(blow.whom, self._thaw(blow))

    def _may_be_struck(self, name: str) -> bool:
        """
        Whether it has been up for a while; PostgreSQL lives within `database`.
        """
        status = self._installation.status("database" if name == "postgres" else name)
        if status.state != "ready" or status.started_at is None:
            return False
        return (datetime.now(UTC) - status.started_at).total_seconds() > SPARED_SECONDS

    def _last(self, name: str, lasting: Any) -> None:
        task = asyncio.create_task(lasting)
        self._lasting[name] = task
        task.add_done_callback(lambda _: self._lasting.pop(name, None))

    async def _thaw(self, blow: Blow) -> None:
        try:
            await asyncio.sleep(blow.seconds)
        finally:
            self._installation.send(blow.whom, signal.SIGCONT)

    async def _cut(self, blow: Blow) -> None:
        places = self._installation.places
        proxy = places.to_rail if blow.whom == "gateways to rail" else places.to_gateways
        mode: Mode = next(each for each in CUT if each == blow.how)
        proxy.set(mode)
        try:
            await asyncio.sleep(blow.seconds)
        finally:
            proxy.set("pass")

    async def _mend(self) -> None:
        lasting = list(self._lasting.values())
        for task in lasting:
            task.cancel()
        await asyncio.gather(*lasting, return_exceptions=True)

    def _note(self, blow: Blow, pid: int | None) -> None:
        after = time.monotonic() - self._began
        self.dealt.append(
            Dealt(at=datetime.now(UTC), after_seconds=round(after, 2), blow=blow, pid=pid)
        )
        self._tell(f"{after:7.1f} s  {blow}{f' (pid {pid})' if pid else ''}")


def _one_of(weights: dict[str, int], chance: random.Random) -> str:
    return chance.choices(list(weights), list(weights.values()))[0]
