"""
Run universes, and say what they have shown.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgspec

from counterfoil_proof.simulate import coverage
from counterfoil_proof.simulate.days import draw, live_through
from counterfoil_proof.world.server import Server
from counterfoil_proof.world.story import Happening, Violation
from counterfoil_proof.world.world import World, live


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """
    What one universe came to.
    """

    seed: int
    days: int
    payments: int
    crashes: int
    states: dict[str, int]
    violations: list[Violation]
    lacking: list[str]
    story: list[Happening]
    counts: dict[str, int]
    digest: str
    virtual_seconds: float
    wall_seconds: float


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """
    What all universes of a run came to.

    Attributes:
        cpu_seconds: Of all processes, the database's among them.
        payments_per_second: Of wall time, with the start of the database server.
        violations: Each with its seed; None: a mutant's own proof has found it, as no day can.
    """

    seeds: str
    days: int
    mutant: str | None
    payments: int
    crashes: int
    states: dict[str, int]
    violations: list[dict[str, Any]]
    lacking: list[str]
    counts: dict[str, int]
    digest: str
    virtual_seconds: float
    wall_seconds: float
    cpu_seconds: float
    payments_per_second: float

    @property
    def holds(self) -> bool:
        """Whether everything held, and enough was seen to say so."""
        return not self.violations and not self.lacking


def universes(server: Server, seeds: Iterable[int], days: int) -> Iterator[Outcome]:
    """
    Yield the outcome of each seed.
    """
    for seed in seeds:
        began = time.monotonic()
        yield _outcome(seed, days, simulate(server, seed, days), time.monotonic() - began)


def simulate(server: Server, seed: int, days: int) -> World:
    """
    Let one universe live, and return what is left of it.
    """
    universe, weather = draw(seed, days)

    async def scenario(world: World) -> None:
        living = asyncio.create_task(live_through(world, universe))
        broken = asyncio.create_task(world.story.is_broken.wait())
        # A universe ends with its first violation: what came before it is what matters.
        await asyncio.wait({living, broken}, return_when=asyncio.FIRST_COMPLETED)
        broken.cancel()
        if living.done():
            living.result()
        living.cancel()

    world, _ = live(server, universe.plan, scenario, weather=weather)
    return world


def summary(
    outcomes: list[Outcome],
    days: int,
    mutant: str | None,
    *,
    wall_seconds: float,
    cpu_seconds: float,
    apart: Sequence[Violation] = (),
) -> Summary:
    """
    Add up *outcomes*, which took so many seconds of wall and of processor time.

    *apart* is what a mutant's own proof has found besides.
    """
    counts: Counter[str] = Counter()
    for each in outcomes:
        coverage.added(counts, each.counts)
    states: Counter[str] = Counter()
    for each in outcomes:
        coverage.added(states, each.states)
    seeds = [each.seed for each in outcomes]
    payments = sum(each.payments for each in outcomes)
    return Summary(
        seeds=f"{seeds[0]}-{seeds[-1]}" if len(seeds) > 1 else str(seeds[0]),
        days=days,
        mutant=mutant,
        payments=payments,
        crashes=sum(each.crashes for each in outcomes),
        states=dict(sorted(states.items())),
        violations=[
            {"seed": each.seed, **msgspec.to_builtins(violation)}
            for each in outcomes
            for violation in each.violations
        ]
        + [{"seed": None, **msgspec.to_builtins(violation)} for violation in apart],
        lacking=[
            *(f"seed {each.seed}: {lack}" for each in outcomes for lack in each.lacking),
            *coverage.lacking_in_all(counts, len(outcomes)),
        ],
        counts=dict(sorted(counts.items())),
        digest=outcomes[0].digest if len(outcomes) == 1 else "",
        virtual_seconds=round(sum(each.virtual_seconds for each in outcomes), 1),
        wall_seconds=round(wall_seconds, 2),
        cpu_seconds=round(cpu_seconds, 2),
        payments_per_second=round(payments / wall_seconds, 1),
    )


def _outcome(seed: int, days: int, world: World, wall_seconds: float) -> Outcome:
    story = world.story
    crashes = sum(number for name, number in story.counts.items() if name.startswith("crash "))
    states = {
        name.removeprefix("state "): number
        for name, number in sorted(story.counts.items())
        if name.startswith("state ")
    }
    subjects = story.violations[0].subjects if story.violations else ()
    return Outcome(
        seed=seed,
        days=days,
        payments=len(world.witness.payments),
        crashes=crashes,
        states=states,
        violations=story.violations,
        lacking=[] if story.violations else coverage.lacking_in_one(story.counts),
        story=story.about(subjects) if story.violations else [],
        counts=dict(story.counts),
        digest=story.digest,
        virtual_seconds=round(story.seconds, 3),
        wall_seconds=round(wall_seconds, 3),
    )
