"""
Each numbered fault has a test that can fail, or a reason why it does not apply.
"""

import ast
import re
import tomllib
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
MARK = re.compile(r"(?:pytest\.mark\.)?(\w+)")
NUMBERED = re.compile(r"test_f(\d\d)_\w+")


def functions() -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Yield every test function that pytest collects: at the top of a module, or of a class."""
    for folder in FOLDERS:
        for path in (ROOT / folder).rglob("test_*.py"):
            module = ast.parse(path.read_text("utf-8"))
            classes = [each for each in module.body if isinstance(each, ast.ClassDef)]
            for node in (*module.body, *(one for each in classes for one in each.body)):
                if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                    yield node


def marks(node: ast.FunctionDef | ast.AsyncFunctionDef) -> set[str]:
    """Return the marks of a test that stand above it."""
    written = (ast.unparse(each) for each in node.decorator_list)
    return {found[1] for each in written if (found := MARK.match(each))}


def conditional() -> set[str]:
    """Return the names of fault tests that are not run by everybody."""
    return {
        node.name
        for node in functions()
        if NUMBERED.fullmatch(node.name)
        and any("skip" in each or each.startswith("only_") for each in marks(node))
    }


def rows() -> dict[int, str]:
    """Return the last cell of each fault's row."""
    found = ROW.findall(PAGE.read_text("utf-8"))
    assert len({number for number, *_ in found}) == len(found), "a fault has two rows"
    return {int(number): last for number, _, _, last in found}


@pytest.fixture(scope="module")
def tests() -> dict[int, set[str]]:
    """The tests of each fault, by its number in their names."""
    by_number: dict[int, set[str]] = defaultdict(set)
    for node in functions():
        if numbered := NUMBERED.fullmatch(node.name):
            by_number[int(numbered[1])].add(node.name)
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


def test_every_test_of_a_fault_is_run_by_make_test() -> None:
    """Its folder is one that pytest looks into; none waits for `make proofs`, none may fail."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["pytest"]
    assert set(settings["ini_options"]["testpaths"]) == set(FOLDERS)

    kept_back = {"proofs", "xfail", "skip"}
    numbered = [node for node in functions() if NUMBERED.fullmatch(node.name)]
    assert [node.name for node in numbered if marks(node) & kept_back] == []


def test_what_runs_only_on_some_machines_is_said() -> None:
    """A test that needs root or a compiler is named as such below the table."""
    _, _, below = PAGE.read_text("utf-8").partition("## Not everywhere")

    assert set(NAME.findall(below)) == conditional()
