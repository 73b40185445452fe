"""
The documentation says what the code does: nothing is missing from it, nothing in it is stale.
"""

import importlib.util
import re
import types
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cyclopts
import msgspec
import pytest
from counterfoil import config
from counterfoil.api.bodies import PaymentAnswer, PaymentRequest
from counterfoil.api.operations import OPERATIONS
from counterfoil.api.paging import PageQuery
from counterfoil.api.problems import KINDS
from counterfoil.cli import main
from counterfoil.events.types import ALL_TYPES
from counterfoil.payments.lifecycle import MOVES, Cause, State

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
REFERENCE = DOCS / "reference"
DECISION_LINES_MAX = 60
SKIPPED = {".venv", ".demo", "node_modules", ".git", "state"}

LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)|!\[[^\]]*\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
PYTHON = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def pages() -> list[Path]:
    found = [path for path in ROOT.rglob("*.md") if not SKIPPED & set(path.relative_to(ROOT).parts)]
    assert len(found) > 30, "the documentation is here"
    return sorted(found)


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def the_script() -> types.ModuleType:
    spec = importlib.util.spec_from_file_location("make_reference", DOCS / "make_reference.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_problem_has_an_advice_and_no_advice_is_left_over() -> None:
    """An integrator who meets a problem finds what to do about it."""
    assert set(the_script().ADVICE) == set(KINDS)


def test_every_type_of_event_is_explained_and_none_is_left_over() -> None:
    """The list of types is closed, and each says when it is told."""
    assert set(the_script().WORDS) == set(ALL_TYPES)


def test_the_generated_pages_are_as_the_code_makes_them() -> None:
    """Whoever changes a problem or a response code runs docs/make_reference.py."""
    for path, content in the_script().pages().items():
        assert path.read_text("utf-8") == content, f"stale: {path.name}"


def settings() -> Iterator[tuple[str, msgspec.structs.FieldInfo, str]]:
    tables = {"acquirer": config.Acquirer, "route": config.RouteRule}
    sections = {**config.SECTIONS, **tables}
    for field in msgspec.structs.fields(config.Configuration):
        if field.name not in sections:
            yield "The installation", field, f"COUNTERFOIL_{field.name.upper()}"
    for name, kind in sections.items():
        heading = f"`[[{name}]]`" if name in tables else f"`[{name}]`"
        for field in msgspec.structs.fields(kind):
            variable = "" if name in tables else f"COUNTERFOIL_{name}_{field.name}".upper()
            yield heading, field, variable


@pytest.mark.parametrize(
    ("heading", "field", "variable"),
    [pytest.param(*each, id=f"{each[0]} {each[1].name}") for each in settings()],
)
def test_every_setting_is_documented_with_its_default_range_and_variable(
    heading: str, field: msgspec.structs.FieldInfo, variable: str
) -> None:
    """An operator finds each setting in its section, and what stands there is true."""
    section = section_of(REFERENCE / "configuration.md", heading)
    row = next(
        (each for each in section.splitlines() if each.startswith(f"| `{field.name}` |")), ""
    )

    assert row, f"{field.name} is not in the section {heading}"
    assert row.split("|")[2].strip() == default_of(field)
    assert variable in row
    for bound in bounds_of(field.type):
        assert bound in row.split("|")[3], f"{bound} is not in the range of {field.name}"


def default_of(field: msgspec.structs.FieldInfo) -> str:
    if field.required:
        return "must be given"
    if field.default is None:
        return "none"
    value = list(field.default) if isinstance(field.default, tuple) else field.default
    return f"`{msgspec.json.format(msgspec.json.encode(value), indent=0).decode()}`"


def bounds_of(kind: Any) -> list[str]:
    if typing.get_origin(kind) is typing.Literal:
        return [str(each) for each in typing.get_args(kind)]
    rules = [(meta.ge, meta.le, meta.gt, meta.lt) for meta in getattr(kind, "__metadata__", ())]
    return [str(bound) for rule in rules for bound in rule if bound is not None]


def section_of(path: Path, heading: str) -> str:
    parts = re.split(r"^## (.+)$", path.read_text("utf-8"), flags=re.MULTILINE)
    found = dict(zip(parts[1::2], parts[2::2], strict=True))
    return found[heading]


def test_every_call_is_documented() -> None:
    """Everything that the server answers stands in the reference of the API."""
    text = (REFERENCE / "api.md").read_text("utf-8")

    for each in OPERATIONS:
        assert f"`{each.method} {each.path}`" in text, each.name
    for path in ("/healthz", "/readyz", "/openapi.json"):
        assert f"`GET {path}`" in text


@pytest.mark.parametrize("kind", [PaymentRequest, PaymentAnswer, PageQuery])
def test_every_field_of_a_payment_is_documented(kind: type[msgspec.Struct]) -> None:
    """What clients send and get stands in the reference of the API, field by field."""
    text = (REFERENCE / "api.md").read_text("utf-8")

    for field in kind.__struct_fields__:
        assert f"`{field}`" in text or f"`{field}." in text, field


def test_every_state_move_and_cause_is_documented() -> None:
    """A payment's history can be read with the reference beside it."""
    text = (REFERENCE / "states.md").read_text("utf-8")

    for state in State:
        assert f"| `{state}` |" in text, state
    for cause in Cause:
        assert f"`{cause}`" in text, cause
    for before, after in MOVES:
        assert before in text
        assert after in text


def commands(app: cyclopts.App, words: tuple[str, ...]) -> Iterator[tuple[str, cyclopts.App]]:
    for name in app:
        if not name.startswith("-"):
            command = app[name]
            yield " ".join((*words, name)), command
            yield from commands(command, (*words, name))


def test_every_command_and_option_is_documented() -> None:
    """`counterfoil` does nothing that the reference of the command line does not say."""
    text = (REFERENCE / "cli.md").read_text("utf-8")

    for words, command in commands(main.app, ("counterfoil",)):
        if list(commands(command, ())):
            continue
        assert f"`{words}`" in text or f"`{words} " in text, words
        for argument in command.assemble_argument_collection():
            if argument.show:
                assert documented(argument, text), f"{words} {argument.name}"


def documented(argument: cyclopts.Argument, text: str) -> bool:
    shown_as_word = argument.field_info.kind.name == "POSITIONAL_OR_KEYWORD"
    place = argument.name.removeprefix("--").upper()
    shown = any(f"`{argument.name}{end}" in text for end in ("`", " "))
    return shown or (shown_as_word and place in text)


@pytest.mark.parametrize("page", pages(), ids=name_of)
def test_every_link_leads_somewhere(page: Path) -> None:
    """No reader follows a link, within the repository, into nothing."""
    for found in LINK.finditer(FENCE.sub("", page.read_text("utf-8"))):
        target = found.group(1) or found.group(2)
        if re.match(r"https?:|mailto:", target):
            continue
        file, _, anchor = target.partition("#")
        path = (page.parent / file).resolve() if file else page
        assert path.exists(), f"{name_of(page)} links to {target}"
        if anchor:
            assert anchor in anchors_of(path), f"{name_of(page)} links to {target}"


def anchors_of(path: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", path.read_text("utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", each.lower()).replace(" ", "-") for each in headings}


@pytest.mark.parametrize("page", pages(), ids=name_of)
def test_every_python_example_can_be_compiled(page: Path) -> None:
    """What is copied from a page runs at least as far as its first line."""
    for number, example in enumerate(PYTHON.findall(page.read_text("utf-8")), start=1):
        if "import " in example:  # The others are parts of a program, or its shape.
            compile(example, f"{name_of(page)}, example {number}", "exec")


@pytest.mark.parametrize("page", pages(), ids=name_of)
def test_no_page_holds_what_looks_like_a_secret_key(page: Path) -> None:
    """Examples show the shape of a secret and never a secret."""
    assert not re.search(r"sk_(test|live)_[A-Za-z0-9_-]{20,}", page.read_text("utf-8"))


def test_every_page_can_be_reached_from_the_index() -> None:
    """Nobody has to know a page to find it."""
    index = (DOCS / "README.md").read_text("utf-8")

    for page in sorted(DOCS.rglob("*.md")):
        path = str(page.relative_to(DOCS))
        if path != "README.md" and not path.startswith("decisions/"):
            assert f"({path})" in index, path


def test_decisions_are_short_and_numbered_without_gaps() -> None:
    """A decision is read in a minute, and its number names it for ever."""
    found = sorted((DOCS / "decisions").glob("*.md"))

    assert [path.name[:4] for path in found] == [f"{n:04d}" for n in range(1, len(found) + 1)]
    for path in found:
        text = path.read_text("utf-8")
        assert len(text.splitlines()) <= DECISION_LINES_MAX, path.name
        for heading in ("Context", "Decision", "Consequences", "Alternatives"):
            assert f"## {heading}" in text, path.name
        assert "## What enforces it" in text, path.name
