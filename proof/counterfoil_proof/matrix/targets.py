"""
From what was passed to who is killed where: every pass, but for those that two rules leave out.

What the clock does and no payment (a lease renewed, an echo) is left out, except in the scenario
`restart`, which is about just that; and so are calls that only read, of which a shop makes as
many as it pleases. Dying there is dying between two other points. Both are counted and told.
"""

from collections import Counter
from collections.abc import Iterable

from counterfoil_proof.matrix.fates import Result, Target
from counterfoil_proof.points import catalogue
from counterfoil_proof.points.point import Pass

BY_THE_CLOCK = {
    "query renew_process",
    "query register_process",
    "query forget_processes",
    "query forget_marks",
    "query forget_guards",
    "query keep_blocks",
    "commit keep_blocks",
    "query keep_signed_heads",
    "link write 0800",
}
ABOUT_THE_CLOCK = "restart"
CLOCK_RULE = "what the clock does and no payment; one death at each in `restart`"
READS_RULE = "calls that only read"


def targets(recorded: Result, *, action: str = "kill") -> list[Target]:
    """
    Return whom to kill where, in the order in which the passes were recorded.
    """
    return [
        Target(scenario=recorded.scenario, kind=kind, where=where, action=action)
        for kind, passed in recorded.passed.items()
        for where in dict.fromkeys(passed)
        if left_out_by(recorded.scenario, where) is None
    ]


def left_out(recorded: Iterable[Result]) -> Counter[str]:
    """
    Return how many passes at which nobody is killed were left out, by the rule that did it.
    """
    return Counter(
        rule
        for result in recorded
        for passed in result.passed.values()
        for where in dict.fromkeys(passed)
        if (rule := left_out_by(result.scenario, where)) is not None
    )


def all_points(recorded: Iterable[Result]) -> set[str]:
    """
    Return every point that was passed by anybody.
    """
    return {
        each.point for result in recorded for passed in result.passed.values() for each in passed
    }


def points_without_death(results: Iterable[Result]) -> set[str]:
    """
    Return the points that must have one and at which nobody died (or stood still) in any run.
    """
    died = {each.target.where.point for each in results if each.target and each.is_reached}
    return catalogue.not_passed(died)


def left_out_by(scenario: str, where: Pass) -> str | None:
    """
    Return the rule by which nobody is killed at a pass; None where somebody is.
    """
    step = where.point.rpartition(" ")[0]
    if step in BY_THE_CLOCK:
        dies = scenario == ABOUT_THE_CLOCK and where.occurrence == 1
        return None if dies else CLOCK_RULE
    kind, _, name = step.partition(" ")
    is_call = kind in ("reply", "request")
    return READS_RULE if is_call and name not in catalogue.operations() else None
