"""
From what was passed to who is killed where: every pass, but for those that nobody awaits.

Left out, by rule: what the clock does and no payment (a lease renewed, an echo), except in the
scenario `restart`, which is about just that; and calls that only read, of which a shop makes as
many as it pleases. Dying there is dying between two other points.
"""

from collections.abc import Iterable

from counterfoil_proof.matrix.fates import Result, Target
from counterfoil_proof.points import catalogue
from counterfoil_proof.points.point import Pass

BY_THE_CLOCK = {
    "query renew_process",
    "query register_process",
    "query forget_processes",
    "query keep_block",
    "commit keep_block",
    "link write 0800",
}
ABOUT_THE_CLOCK = "restart"
PASSES_MAX = 3  # Of one point, in one run: the fourth file, item or round of a wait is the third.


def targets(recorded: Result, *, action: str = "kill") -> list[Target]:
    """
    Return whom to kill where, in the order in which the passes were recorded.
    """
    return [
        Target(scenario=recorded.scenario, kind=kind, where=where, action=action)
        for kind, passed in recorded.passed.items()
        for where in dict.fromkeys(passed)
        if _counts(recorded.scenario, where)
    ]


def all_points(recorded: Iterable[Result]) -> set[str]:
    """
    Return every point that was passed by anybody.
    """
    return {
        each.point for result in recorded for passed in result.passed.values() for each in passed
    }


def _counts(scenario: str, where: Pass) -> bool:
    step = where.point.rpartition(" ")[0]
    if step in BY_THE_CLOCK:
        return scenario == ABOUT_THE_CLOCK and where.occurrence == 1
    if where.occurrence > PASSES_MAX:
        return False
    kind, _, name = step.partition(" ")
    return kind not in ("reply", "request") or name in catalogue.operations()
