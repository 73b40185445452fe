"""
The named queries: each there once, each with a sentence, each used.
"""

import re
from pathlib import Path

import pytest
from counterfoil.store import queries
from counterfoil.store.queries import query

PACKAGE = Path(queries.__file__).parents[1]
FILES = sorted((PACKAGE / "store" / "queries").glob("*.sql"))
NAMES = [name for path in FILES for name in re.findall(r"^-- name: (\w+)$", path.read_text(), re.M)]
CODE = "\n".join(path.read_text() for path in PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("name", NAMES)
def test_every_query_is_found_by_its_name(name: str) -> None:
    """With its sentence, and without the next one's."""
    text = query(name)

    assert text.startswith("-- ")
    assert "-- name:" not in text


@pytest.mark.parametrize("name", NAMES)
def test_every_query_is_one_statement(name: str) -> None:
    """One statement per step: what is written is written together."""
    without_comments = re.sub(r"--.*", "", query(name))

    assert without_comments.strip().endswith(";")
    assert without_comments.count(";") == 1


@pytest.mark.parametrize("name", NAMES)
def test_every_query_is_asked_for(name: str) -> None:
    """What nobody asks for goes."""
    assert f'"{name}"' in CODE


def test_no_two_queries_share_a_name() -> None:
    """In whichever file they stand."""
    assert len(NAMES) == len(set(NAMES))


def test_a_query_that_is_not_there_is_a_defect() -> None:
    """A typing mistake is found by the first test that runs it."""
    with pytest.raises(KeyError):
        query("no_such_query")


def test_sql_stands_nowhere_but_in_the_store() -> None:
    """The one place where the database is spoken to."""
    sql = re.compile(r"\b(SELECT .* FROM|INSERT INTO|UPDATE \w+ SET|DELETE FROM)\b")
    outside = [path for path in PACKAGE.rglob("*.py") if "store" not in path.parts]

    assert [path for path in outside if sql.search(path.read_text())] == []
