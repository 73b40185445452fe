"""
A few simulated days with everything that can go wrong; a failing seed prints its story.

`counterfoil simulate --seeds 1-1000` does the same for longer.
"""

import json
import os
import subprocess
import sys

import pytest
from counterfoil_proof.mutants import MUTANTS

pytestmark = pytest.mark.timeout(400)  # On a machine that does much else; alone it is a minute.

COUNTERFOIL = [sys.executable, "-m", "counterfoil.cli.main", "simulate", "--json"]


def simulate(*words: str, hash_seed: str = "0") -> tuple[int, dict[str, object], str]:
    """Return the exit code, the summary and the stories of a run."""
    done = subprocess.run(
        [*COUNTERFOIL, *words],
        capture_output=True,
        text=True,
        timeout=180,
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
    )
    return done.returncode, json.loads(done.stdout or "{}"), done.stderr


def test_days_of_faults_lose_and_double_nothing() -> None:
    code, found, stories = simulate("--seeds", "1-2")

    assert code == 0, stories
    assert {"payments", "crashes", "states", "violations"} <= found.keys()
    assert found["violations"] == []
    assert found["lacking"] == []
    assert int(str(found["payments"])) > 240


def test_the_same_seed_tells_the_same_story_in_another_process() -> None:
    once, again = (simulate("--seed", "3", hash_seed=each)[1] for each in ("1", "2"))

    assert once["digest"] == again["digest"]
    assert once["counts"] == again["counts"]


def test_several_processes_find_what_one_finds() -> None:
    one, two = (simulate("--seeds", "4-5", "--processes", each)[1] for each in ("1", "2"))

    assert one["counts"] == two["counts"]
    assert one["payments"] == two["payments"]


def test_a_failing_seed_tells_its_story_and_the_command_that_tells_it_again() -> None:
    code, found, stories = simulate("--seed", "1", "--mutant", "skip_intent_commit")
    again = simulate("--seed", "1", "--days", "1", "--mutant", "skip_intent_commit", hash_seed="1")

    assert code == again[0] == 1
    assert (found["violations"], found["digest"]) == (again[1]["violations"], again[1]["digest"])
    assert stories == again[2]
    assert found["violations"]
    assert "commit before you speak" in stories
    assert "again: counterfoil simulate --seed 1 --days 1 --mutant skip_intent_commit" in stories


@pytest.mark.parametrize(
    "words", [("--mutant", "no_such"), ("--seeds", "5"), ("--days", "0"), ("--processes", "0")]
)
def test_what_cannot_be_run_is_refused_in_words(words: tuple[str, ...]) -> None:
    code, _, said = simulate(*words)

    assert code == 2
    assert said.startswith("counterfoil: ")


def test_the_names_of_all_mutants_are_listed() -> None:
    done = subprocess.run(
        [*COUNTERFOIL[:-1], "--list-mutants"], capture_output=True, text=True, check=True
    )

    assert done.stdout.splitlines() == [each.name for each in MUTANTS]


def test_a_mutant_that_no_day_shows_is_found_by_its_own_proof() -> None:
    code, found, stories = simulate("--seed", "1", "--mutant", "probe_without_identity")

    assert code == 1
    assert found["violations"]
    assert "one probe at a time" in stories
