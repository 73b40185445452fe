"""
The OpenAPI page: every call and every problem that there is, and nothing else.
"""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from counterfoil import api
from counterfoil.api import openapi
from counterfoil.api.operations import OPERATIONS, Operation
from counterfoil.api.problems import KINDS

PAGE: dict[str, Any] = json.loads(openapi.page())
CODE = "\n".join(path.read_text() for path in Path(api.__path__[0]).glob("*.py"))


def described(operation: Operation) -> dict[str, Any]:
    found: dict[str, Any] = PAGE["paths"][operation.path][operation.method.lower()]
    return found


def references(node: Any) -> set[str]:
    """Return everything that *node* refers to."""
    if isinstance(node, dict):
        own = {node["$ref"]} if isinstance(node.get("$ref"), str) else set()
        return own.union(*(references(each) for each in node.values()))
    return set().union(*(references(each) for each in node)) if isinstance(node, list) else set()


def test_the_page_is_openapi_3_1() -> None:
    """With title, version and licence."""
    assert PAGE["openapi"] == "3.1.0"
    assert {"title", "version", "license"} <= set(PAGE["info"])


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda each: each.name)
def test_every_call_is_described(operation: Operation) -> None:
    """With its name, its sentence, and each of its answers."""
    found = described(operation)

    assert found["operationId"] == operation.name
    assert found["summary"]
    assert {str(status) for status in operation.answers} <= set(found["responses"])
    assert ("requestBody" in found) is (operation.body is not None)


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda each: each.name)
def test_every_problem_of_a_call_is_described(operation: Operation) -> None:
    """Under its status; a status that no problem has is not promised."""
    found = set(described(operation)["responses"])
    expected = {str(KINDS[code].status) for code in operation.problems}

    assert found == expected | {str(status) for status in operation.answers}


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda each: each.name)
def test_every_call_says_what_it_needs(operation: Operation) -> None:
    """Path, idempotency key, query."""
    parameters = {each["name"]: each for each in described(operation)["parameters"]}

    assert ("payment_id" in parameters) is ("{payment_id}" in operation.path)
    assert ("Idempotency-Key" in parameters) is operation.keyed
    queried = {name for name, each in parameters.items() if each["in"] == "query"}
    fields = operation.query.__struct_fields__ if operation.query else ()
    assert queried == set(fields)


def test_no_two_calls_share_a_name() -> None:
    """Generated clients make a function of each."""
    names = [each.name for each in OPERATIONS]

    assert len(names) == len(set(names))


def test_everything_that_is_referred_to_is_there() -> None:
    """No dangling reference."""
    for reference in references(PAGE):
        place: Any = PAGE
        for name in reference.removeprefix("#/").split("/"):
            place = place[name]


def test_every_problem_can_be_met() -> None:
    """What no code raises is not promised."""
    raised = set(re.findall(r'"([a-z_]+)"', CODE.split("KINDS: dict")[0] + _without_kinds()))

    assert set(KINDS) <= raised


def test_every_problem_that_is_raised_has_its_kind() -> None:
    """A code without a title would be a fault of ours."""
    raised = set(re.findall(r"Problem\(\s*\"([a-z_]+)\"", CODE))
    raised |= set(re.findall(r"_conflict\(\"([a-z_]+)\"", CODE))

    assert raised <= set(KINDS)
    assert len(raised) > 20


def _without_kinds() -> str:
    problems = Path(api.__path__[0]) / "problems.py"
    return CODE.replace(problems.read_text().split("KINDS: dict")[1], "")


def test_card_numbers_and_codes_are_not_in_answers() -> None:
    """No schema that is sent back has a field for them."""
    schemas = PAGE["components"]["schemas"]

    for name in ("PaymentAnswer", "CardAnswer", "MovementAnswer", "ResolutionAnswer"):
        fields = set(schemas[name]["properties"])
        assert not fields & {"number", "cvv", "expiry_month", "expiry_year", "card_number"}
    assert set(schemas["CardAnswer"]["properties"]) == {"brand", "last4"}
