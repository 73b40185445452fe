"""Points: what was passed is counted, what is armed acts once, and each context has its own."""

import asyncio
import contextlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import pytest
from counterfoil.api.operations import OPERATIONS
from counterfoil.store.database import Database, Lock
from counterfoil.store.queries import query
from counterfoil_client.journal import Journal
from counterfoil_proof.points import catalogue, seams
from counterfoil_proof.points.lent import Lent
from counterfoil_proof.points.point import Pass, Points, around, current, reach, within


class DeathError(Exception):
    """What stands for SIGKILL here."""


def dying(here: Pass) -> None:
    raise DeathError(str(here))


def test_passes_are_counted_in_order_from_the_last_begin() -> None:
    points = Points(dying)
    with within(points):
        reach("a")
        points.begin()
        for name in ("a", "b", "a"):
            reach(name)

    assert points.passed == [Pass("a", 1), Pass("b", 1), Pass("a", 2)]


def test_an_armed_pass_acts_once_and_at_its_own_occurrence() -> None:
    points = Points(dying)
    points.begin(Pass("a", 2))
    with within(points):
        reach("a")
        with pytest.raises(DeathError, match="time 2"):
            reach("a")
        reach("a")


def test_what_fails_in_between_is_not_passed_after() -> None:
    points = Points(dying)
    with within(points), pytest.raises(ZeroDivisionError), around("step"):
        _ = 1 / 0

    assert points.passed == [Pass("step before", 1)]


def test_a_task_keeps_the_points_of_whoever_began_it() -> None:
    one, other = Points(dying), Points(dying)

    async def work(name: str) -> None:
        await asyncio.sleep(0)
        reach(name)

    async def both() -> None:
        with within(one):
            first = asyncio.create_task(work("one"))
        with within(other):
            second = asyncio.create_task(work("other"))
        await asyncio.gather(first, second)

    asyncio.run(both())

    assert current() is None
    assert (one.passed, other.passed) == ([Pass("one", 1)], [Pass("other", 1)])


def test_a_process_dies_of_sigkill_at_its_point(tmp_path: Path) -> None:
    """By the launcher that people use: nothing runs after the point, and the passes are told."""
    passed = tmp_path / "passed"
    program = (
        "from counterfoil_proof.points import run; import counterfoil.cli.main as cli;"
        "from counterfoil_proof.points.point import reach;"
        "cli.main = lambda: [reach('step before'), reach('step after'), print('alive')];"
        f"run.main(['step after', '1', '--passed', {str(passed)!r}, '--', 'worker'])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False)

    assert done.returncode == -signal.SIGKILL
    assert done.stdout == b""
    words = [line.split(" ", 1)[1] for line in passed.read_text().splitlines()]
    assert words == ["step before", "step after"]


def test_the_launcher_says_how_it_is_used() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "counterfoil_proof.points.run", "only this"],
        capture_output=True,
        check=False,
    )

    assert done.returncode == 2
    assert b"POINT OCCURRENCE" in done.stderr


def test_seams_are_taken_off_again() -> None:
    plain = [getattr(owner, name) for owner, name, _ in seams._SEAMS]
    with seams.installed():
        assert all(
            getattr(owner, name) is not before
            for (owner, name, _), before in zip(seams._SEAMS, plain, strict=True)
        )

    assert [getattr(owner, name) for owner, name, _ in seams._SEAMS] == plain


def test_every_durable_step_of_the_journal_is_passed(tmp_path: Path) -> None:
    points = Points(dying)
    with seams.installed(), within(points):
        journal = Journal(tmp_path / "journal" / "journal.db", "account")
        journal.leftovers()
        journal.release("key")
        journal.close(handed_over=True)

    names = {each.point.removeprefix("journal ") for each in points.passed}
    steps = ("told again", "released", "handed over")
    assert names == {f"{step} {when}" for step in steps for when in ("before", "after")}


@pytest.mark.parametrize(
    ("name", "writes", "tells"),
    [
        ("intend", True, True),
        ("claim_advices", True, True),
        ("open_first_batch", True, False),
        ("end_process", True, False),
        ("payment_by_id", False, True),
    ],
)
def test_a_query_is_read_for_what_it_does(name: str, writes: bool, tells: bool) -> None:
    if name not in catalogue.queries():
        pytest.skip("the store has no such query any more")

    assert (catalogue.writes(name), catalogue.tells(name)) == (writes, tells)


def test_a_lock_is_no_change() -> None:
    """`FOR UPDATE` and `FOR NO KEY UPDATE` write nothing that is durable."""
    assert not catalogue._WRITES.search("SELECT 1 FROM payments FOR UPDATE")
    assert not catalogue._WRITES.search("SELECT 1 FROM payments FOR NO KEY UPDATE OF p")
    assert catalogue._WRITES.search("UPDATE payments SET state = 'x'")


def test_messages_and_calls_are_those_of_the_product() -> None:
    assert {"0100", "0200", "0220", "0221", "0420", "0421", "0500", "0800"} <= set(
        catalogue.messages()
    )
    both = {*catalogue.operations(), *catalogue.operations(reading=True)}
    assert both == {each.name for each in OPERATIONS}
    assert catalogue.operation("POST", "/v1/payments/pay_1/acknowledge") == "acknowledgePayment"
    assert catalogue.operation("GET", "/v1/payments?limit=1") == "listPayments"
    assert catalogue.operation("GET", "/readyz") is None


def test_a_step_without_a_point_is_named() -> None:
    """Whatever the store writes and no scenario passes is found."""
    everything = {f"{name} {when}" for name in catalogue.needed() for when in ("before", "after")}

    assert catalogue.not_passed(everything) == set()
    assert catalogue.not_passed(everything - {"query intend after"}) == {"query intend after"}


ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "internals" / "crash-points.md").read_text("utf-8")


def test_every_excuse_stands_on_the_page_and_no_other() -> None:
    """Whoever reads the proof learns in words what it does not do."""
    _, _, below = PAGE.partition("## What no scenario passes")
    rows = [line for line in below.partition("## In one")[0].splitlines() if line.startswith("| `")]
    said = {name for row in rows for name in re.findall(r"`([^`]+)`", row.split(" | ")[0])}

    assert said == set(catalogue.EXCUSED)


def test_what_is_said_to_have_a_step_instead_exists() -> None:
    tests = {path.name for folder in ROOT.iterdir() for path in folder.glob("**/test_*.py")}
    named = set(re.findall(r"test_\w+\.py", " ".join((PAGE, *catalogue.EXCUSED.values()))))

    assert len(named) > 8
    assert named - tests == set()


def test_a_query_that_writes_needs_a_point_as_soon_as_it_is_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nothing is listed by hand: a new one in the store is found, and is nobody's to forget."""
    text = "INSERT INTO payments VALUES ($1) RETURNING payment_id"
    known = catalogue.queries()
    monkeypatch.setattr(catalogue, "queries", lambda: (*known, "quite_new"))
    monkeypatch.setattr(catalogue, "writes", lambda name: name == "quite_new")
    passed = {f"{name} {when}" for name in catalogue.needed() for when in ("before", "after")}

    assert catalogue._WRITES.search(text)
    assert catalogue.not_passed(passed - {"query quite_new before"}) == {"query quite_new before"}


class Recorded:
    """A connection that only remembers."""

    def __init__(self) -> None:
        self.ran: list[str] = []

    async def fetch(self, text: str, *_: object) -> list[object]:
        """Run."""
        self.ran.append(text)
        return []

    def transaction(self) -> "Recorded":
        """Begin."""
        return self

    async def __aenter__(self) -> None:
        self.ran.append("BEGIN")

    async def __aexit__(self, *_: object) -> None:
        self.ran.append("COMMIT")


def test_a_transaction_that_changes_something_passes_its_commit() -> None:
    points = Points(dying)

    async def book() -> None:
        lent = Lent(Recorded(), {"INSERT": "query add"})
        async with lent.transaction():
            await lent.fetch("SELECT")
            await lent.fetch("INSERT")
        async with lent.transaction():
            await lent.fetch("SELECT")

    with within(points):
        asyncio.run(book())

    assert [each.point for each in points.passed] == [
        "query add before",
        "query add after",
        "commit add before",
        "commit add after",
    ]


def test_a_rehearsed_query_runs_behind_its_lock_as_ever() -> None:
    """Without it the statement could begin before what it waits for, and tell it wrongly."""
    recorded = Recorded()

    class Pool:
        @contextlib.asynccontextmanager
        async def acquire(self, **_: Any) -> AsyncIterator[Recorded]:
            yield recorded

    async def answer() -> None:
        lock = Lock("lock_payments", ([], []))
        await Database(cast("Any", Pool())).rows("advice_answered", lock=lock)

    points = Points(lambda _: None)
    points.begin(Pass("query advice_answered before", 2))
    with seams.installed(), within(points):
        asyncio.run(answer())

    both = [query("lock_payments"), query("advice_answered")]
    assert recorded.ran == ["BEGIN", *both, "COMMIT"]


def test_this_process_is_not_watched() -> None:
    assert current() is None
    assert os.environ.get("COUNTERFOIL_GROUPS_LIMITED") is None
