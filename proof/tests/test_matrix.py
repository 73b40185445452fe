"""The matrix judges by the shop's own book, and says who is killed where."""

import asyncio
from pathlib import Path
from typing import Any, cast

import pytest
from counterfoil_proof.demo import ports
from counterfoil_proof.matrix import book
from counterfoil_proof.matrix.agreement import against_book
from counterfoil_proof.matrix.fates import Result, Target
from counterfoil_proof.matrix.lane import KINDS, Lane
from counterfoil_proof.matrix.matrix import DOWN_IN_A_ROW_MAX, NO_LANE, Matrix
from counterfoil_proof.matrix.processes import Arm, Child
from counterfoil_proof.matrix.steady import LANES_PER_RUN_MAX
from counterfoil_proof.matrix.targets import (
    CLOCK_RULE,
    READS_RULE,
    left_out,
    points_without_death,
    targets,
)
from counterfoil_proof.points import catalogue
from counterfoil_proof.points.point import Pass

PAID = {"state": "captured", "confirmation_number": "123", "amount_minor": 42, "rrn": "1"}
GONE = {"state": "reversed", "confirmation_number": None, "amount_minor": 42, "rrn": "1"}
FACTS = {"confirmation_number": "123", "amount_minor": 42, "rrn": "1"}


def line(word: str, **facts: Any) -> book.Line:
    return {"step": "sale", "word": word, **facts}


@pytest.mark.parametrize(
    ("lines", "payments", "movements"),
    [
        ([line("paid", **FACTS)], {"sale": PAID}, {}),
        ([line("asked"), line("not charged")], {"sale": GONE}, {}),
        ([line("not charged")], {}, {}),
        ([line("asked", unclaimed=True)], {"sale": GONE}, {}),
        ([line("done", movement=True)], {}, {"sale": 1}),
        ([line("refused", movement=True)], {}, {}),
        ([line("done", aside=True)], {}, {}),
    ],
)
def test_a_shop_that_was_told_the_truth_agrees(
    lines: list[book.Line], payments: dict[str, Any], movements: dict[str, int]
) -> None:
    assert against_book(lines, payments, movements) == []


@pytest.mark.parametrize(
    ("lines", "payments", "movements"),
    [
        ([line("paid", **FACTS)], {}, {}),
        ([line("paid", **FACTS)], {"sale": GONE}, {}),
        ([line("paid", **{**FACTS, "amount_minor": 41})], {"sale": PAID}, {}),
        ([line("not charged")], {"sale": PAID}, {}),
        ([line("asked")], {"sale": GONE}, {}),
        ([line("asked", unclaimed=True)], {"sale": PAID}, {}),
        ([line("done", movement=True)], {}, {}),
        ([line("done", movement=True)], {}, {"sale": 2}),
        ([line("refused", movement=True)], {}, {"sale": 1}),
        ([line("paid", **FACTS), line("not charged")], {"sale": GONE}, {}),
        ([], {"sale": PAID}, {}),
        ([], {}, {"sale": 1}),
    ],
)
def test_every_lie_is_found(
    lines: list[book.Line], payments: dict[str, Any], movements: dict[str, int]
) -> None:
    assert against_book(lines, payments, movements) != []


def test_a_torn_last_line_was_never_written(tmp_path: Path) -> None:
    path = tmp_path / "book.jsonl"
    book.Book(path).write("sale", book.PAID)
    with path.open("ab") as file:
        file.write(b'{"step": "sal')

    assert [each["word"] for each in book.read(path)] == ["paid"]


def result(passed: list[Pass], target: Target | None = None, *, is_reached: bool = False) -> Result:
    return Result(
        target=target,
        scenario="sale",
        is_reached=is_reached,
        recovered_seconds=0.0,
        wrong=[],
        merchant="",
        passed={"gateway": passed},
    )


def test_everybody_is_killed_where_something_happens() -> None:
    """Every time that it is passed; not at what the clock does, nor at calls that only read."""
    passed = [
        *(Pass("query intend before", time) for time in range(1, 6)),
        Pass("query renew_process after", 1),
        Pass("reply getPayment before", 1),
        Pass("reply createPayment after", 1),
        Pass("link write 0800 before", 1),
    ]
    recorded = result(passed)

    assert [each.where for each in targets(recorded)] == [*passed[:5], passed[7]]
    assert left_out([recorded]) == {CLOCK_RULE: 2, READS_RULE: 1}


def test_a_point_at_which_nobody_died_is_named() -> None:
    """However many of its passes were armed and did not come."""
    points = [f"{each} {when}" for each in catalogue.needed() for when in ("before", "after")]
    deaths = [
        result(
            [],
            Target(scenario="sale", kind="worker", where=Pass(point, 1)),
            is_reached=point != "link write 0221 before",
        )
        for point in points
    ]

    assert points_without_death(deaths) == {"link write 0221 before"}


class Lame(Lane):
    """A lane that never comes up: its mailbox does not start."""

    async def open(self) -> None:
        """Refuse to come up."""
        raise TimeoutError(f"the mailbox did not start in {self.folder.name}")


async def test_lanes_that_never_come_up_are_failures_of_their_scenarios_and_the_report_is_told(
    tmp_path: Path,
) -> None:
    """Each is made anew once for each run; after a few runs in a row nobody tries any more."""
    names = ["sale", "void", "refund", "timeout", "deposit with mistakes"]
    matrix = Matrix(tmp_path, lanes=1, tell=print, make=Lame)
    report = await matrix.run(names, kinds=KINDS)

    tried = [each for each in report.recorded if each.wrong != [NO_LANE]]
    assert sorted(each.scenario for each in report.wrong) == sorted(names)
    assert len(tried) == DOWN_IN_A_ROW_MAX
    assert all("the mailbox did not start" in each.wrong[0] for each in tried)
    assert len(report.lost) == DOWN_IN_A_ROW_MAX * LANES_PER_RUN_MAX
    assert report.results == []


class NoAnswer:
    """The wire to a process that is killed before it answers."""

    def __init__(self, child: Child) -> None:
        self._child = child

    def write(self, asked: bytes) -> None:
        """Die at the pass that was armed."""
        assert b"begin" in asked
        self._child.reached.put_nowait(DIES)
        self._child.has_ended(-9)


DIES = Arm(Pass("query totals_to_fold before", 1))


async def test_who_dies_at_once_where_it_was_told_to_has_begun() -> None:
    """Nobody waits a minute for the answer of a dead process, and its death is told."""
    child = Child("worker")
    child.known(cast("Any", NoAnswer(child)))

    await asyncio.wait_for(child.begin([DIES]), 5)

    assert child.reached.get_nowait() == DIES


def test_a_lane_that_is_closed_gives_its_ports_back() -> None:
    """However many lanes a proof opens one after the other, they never run out."""
    first, _ = ports.choose()
    ports.release(first)
    second, _ = ports.choose()
    ports.release(second)

    assert first == second
