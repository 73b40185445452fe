"""
Each numbered fault has a test that can fail, or a reason why it does not apply.
"""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "internals" / "faults.md"
FOLDERS = ("gateway/tests", "client/tests", "rail/tests", "shop/tests", "proof/tests", "tests")
FAULTS = range(1, 42)
REASON_LENGTH_MIN = 30

ROW = re.compile(r"^\| F(\d+) \| (.+) \| (.+) \| (.+) \|$", re.MULTILINE)
NAME = re.compile(r"`(test_\w+)`")
NUMBERED = re.compile(r"test_f(\d\d)_\w+")


def functions() -> Iterator[str]:
    """Yield the name of every test function in the tree."""
    for folder in FOLDERS:
        for path in (ROOT / folder).rglob("test_*.py"):
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                    yield node.name


def rows() -> dict[int, str]:
    """Return the last cell of each fault's row."""
    found = ROW.findall(PAGE.read_text("utf-8"))
    assert len({number for number, *_ in found}) == len(found), "a fault has two rows"
    return {int(number): last for number, _, _, last in found}


@pytest.fixture(scope="module")
def tests() -> dict[int, set[str]]:
    """The tests of each fault, by its number in their names."""
    by_number: dict[int, set[str]] = defaultdict(set)
    for name in functions():
        if numbered := NUMBERED.fullmatch(name):
            by_number[int(numbered[1])].add(name)
    return by_number


def test_every_fault_has_a_row_and_no_other_number_has() -> None:
    """The page is whole."""
    assert sorted(rows()) == list(FAULTS)


@pytest.mark.parametrize("number", FAULTS)
def test_every_fault_has_a_test_or_a_reason(number: int, tests: dict[int, set[str]]) -> None:
    """A test named after it, which the page names, or why there is none."""
    said = rows()[number]
    if said.startswith("does not apply: "):
        assert len(said) >= REASON_LENGTH_MIN
        assert not tests[number], "it does apply: there are tests of it"
        return

    named = set(NAME.findall(said))
    assert named, "the page names no test"
    assert named <= tests[number], f"gone, or of another fault: {sorted(named - tests[number])}"


def test_no_test_is_named_after_a_fault_that_does_not_exist(tests: dict[int, set[str]]) -> None:
    """A number that is not in the table is a slip."""
    assert set(tests) <= set(FAULTS), sorted(set(tests) - set(FAULTS))
