"""
A small part of the SIGKILL matrix: every step has its points, and some real deaths are survived.

The whole matrix is `make proofs`; docs/internals/crash-points.md says what is in it.
"""

import os
import signal
from pathlib import Path

import pytest
from counterfoil_proof.matrix.fates import Result, Target
from counterfoil_proof.matrix.lane import KINDS, Lane
from counterfoil_proof.matrix.matrix import Matrix
from counterfoil_proof.matrix.scenarios import SCENARIOS
from counterfoil_proof.matrix.targets import all_points
from counterfoil_proof.points import catalogue

DEATHS = 9


def a_few(found: list[Target]) -> list[Target]:
    """Return deaths from the whole list, spread evenly, so that each run takes the same ones."""
    return found[:: max(1, len(found) // DEATHS)]


@pytest.mark.timeout(400)
async def test_every_step_of_the_product_has_points_that_some_scenario_passes(
    tmp_path: Path,
) -> None:
    """A query that writes, a message or a call that no scenario passes is a step without a proof.

    Give it a scenario in proof/counterfoil_proof/matrix/scenarios.py, or a reason in
    proof/counterfoil_proof/points/catalogue.py.
    """
    matrix = Matrix(tmp_path, lanes=2, tell=print)
    report = await matrix.run(list(SCENARIOS), kinds=KINDS, choose=a_few)
    passed = all_points(report.recorded)

    assert sorted(catalogue.not_passed(passed)) == []
    assert sorted(catalogue.outdated_excuses(passed)) == []
    assert [each for each in report.wrong if each.wrong] == []
    assert sum(each.is_reached for each in report.results) > DEATHS / 2


async def test_who_stood_still_goes_on_before_the_run_ends(tmp_path: Path) -> None:
    """A gateway frozen when all else is done is no leftover: it wakes, and the next run has it."""
    matrix = Matrix(tmp_path, lanes=1, tell=print)
    report = await matrix.run(
        ["resolve before arrival"],
        kinds=("gateway",),
        action="freeze",
        choose=lambda found: found[-2:],
    )

    assert [each.is_reached for each in report.results] == [True, True]
    assert report.wrong == []


class Breaking(Lane):
    """A lane whose nursery is killed after its first recording, with all that it has forked."""

    async def record(self, scenario: str) -> Result:
        """Record, then break."""
        result = await super().record(scenario)
        if self.folder.name == "lane-1":
            os.kill(self.nursery.pid, signal.SIGKILL)
            await self.children["gateway"].ended
        return result


async def test_a_lane_that_does_not_come_up_again_is_made_anew_and_the_matrix_goes_on(
    tmp_path: Path,
) -> None:
    """What was lost is told and kept to be looked at; every scenario has its result."""
    matrix = Matrix(tmp_path, lanes=1, tell=print, make=Breaking)
    report = await matrix.run(["sale", "void"], kinds=KINDS, choose=lambda found: found[:1])

    assert [each.scenario for each in report.recorded] == ["sale", "void"]
    assert [each.is_reached for each in report.results] == [True]
    assert report.wrong == []
    assert [(each.scenario, Path(each.folder).name) for each in report.lost] == [("void", "lane-1")]
    assert (tmp_path / "lane-1").exists()
