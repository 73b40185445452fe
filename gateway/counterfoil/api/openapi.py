"""
The OpenAPI 3.1 page, made from the table of calls and the types of their bodies.
"""

from functools import cache
from typing import Any

import msgspec

from counterfoil import __version__
from counterfoil.api.bodies import IdempotencyKey
from counterfoil.api.operations import OPERATIONS, Operation
from counterfoil.api.problems import KINDS, MEDIA_TYPE, ProblemBody

_REFERENCE = "#/components/schemas/{name}"


@cache
def page() -> bytes:
    """
    Return the page as JSON.
    """
    types = _types()
    _, components = msgspec.json.schema_components(types, ref_template=_REFERENCE)
    return msgspec.json.encode(
        {
            "openapi": "3.1.0",
            "info": {
                "title": "Counterfoil",
                "version": __version__,
                "description": "Payments over ISO 8583. Errors are RFC 9457 problem details.",
                "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
            },
            "security": [{"secretKey": []}],
            "paths": _paths(),
            "components": {
                "schemas": components,
                "securitySchemes": {
                    "secretKey": {"type": "http", "scheme": "bearer", "bearerFormat": "sk_test_..."}
                },
            },
        }
    )


def _types() -> list[type[msgspec.Struct]]:
    found: dict[str, type[msgspec.Struct]] = {"ProblemBody": ProblemBody}
    for operation in OPERATIONS:
        for kind in (operation.body, *operation.answers.values()):
            if kind is not None:
                found[kind.__name__] = kind
    return list(found.values())


def _paths() -> dict[str, Any]:
    paths: dict[str, Any] = {}
    for operation in OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(operation)
    return paths


def _operation(operation: Operation) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": operation.name,
        "summary": operation.summary,
        "parameters": _parameters(operation),
        "responses": _answers(operation) | _problems(operation),
    }
    if operation.body is not None:
        described["requestBody"] = {
            "required": bool(_required(operation.body)),
            "content": {"application/json": {"schema": _reference(operation.body)}},
        }
    return described


def _parameters(operation: Operation) -> list[dict[str, Any]]:
    parameters = []
    if "{payment_id}" in operation.path:
        parameters.append(
            {
                "name": "payment_id",
                "in": "path",
                "required": True,
                "schema": {"type": "string", "pattern": "^pay_[0-9a-f]{32}$"},
            }
        )
    if operation.keyed:
        parameters.append(
            {
                "name": "Idempotency-Key",
                "in": "header",
                "required": True,
                "description": "New for each payment or movement, the same for its repeats.",
                "schema": msgspec.json.schema(IdempotencyKey),
            }
        )
    return parameters + _query(operation)


def _query(operation: Operation) -> list[dict[str, Any]]:
    if operation.query is None:
        return []
    schema = msgspec.json.schema(operation.query)["$defs"][operation.query.__name__]
    return [
        {"name": name, "in": "query", "required": False, "schema": _without_null(described)}
        for name, described in schema["properties"].items()
    ]


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """
    Return the schema of a query parameter: it is absent, never null.
    """
    choices = [each for each in schema.get("anyOf", []) if each != {"type": "null"}]
    if len(choices) == 1:
        return dict(choices[0])
    if "enum" in schema:
        return {**schema, "enum": [each for each in schema["enum"] if each is not None]}
    return schema


def _answers(operation: Operation) -> dict[str, Any]:
    meanings = {200: "As asked, or a repeat.", 201: "Done.", 202: "Under way: ask again."}
    return {
        str(status): {
            "description": meanings[status],
            "content": {"application/json": {"schema": _reference(kind)}},
        }
        for status, kind in operation.answers.items()
    }


def _problems(operation: Operation) -> dict[str, Any]:
    by_status: dict[int, list[str]] = {}
    for code in operation.problems:
        by_status.setdefault(KINDS[code].status, []).append(KINDS[code].title)
    return {
        str(status): {
            "description": "; ".join(titles) + ".",
            "content": {MEDIA_TYPE: {"schema": _reference(ProblemBody)}},
        }
        for status, titles in sorted(by_status.items())
    }


def _required(body: type[msgspec.Struct]) -> list[str]:
    required: list[str] = msgspec.json.schema(body)["$defs"][body.__name__].get("required", [])
    return required


def _reference(kind: type[msgspec.Struct]) -> dict[str, str]:
    return {"$ref": _REFERENCE.format(name=kind.__name__)}
