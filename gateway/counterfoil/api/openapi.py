"""
The OpenAPI 3.1 page, made from the table of calls and the types of their bodies.
"""

from functools import cache
from typing import Any

import msgspec

from counterfoil import __version__
from counterfoil.api.bodies import Health, IdempotencyKey, Readiness
from counterfoil.api.operations import OPERATIONS, Operation
from counterfoil.api.problems import KINDS, MEDIA_TYPE, ConflictBody, ProblemBody, example

PATH = "/openapi.json"
ACTED_ON = ("get", "acknowledge", "refuse", "capture", "void", "refund")

_PATH_PARAMETERS = {
    "payment_id": ("`id` of the payment.", "^pay_[0-9a-f]{32}$"),
    "checkout_id": ("`id` of the checkout.", "^chk_[0-9a-f]{32}$"),
    "endpoint_id": ("`id` of the webhook endpoint.", "^whe_[0-9a-f]{32}$"),
    "delivery_id": ("`id` of the delivery.", "^whd_[0-9a-f]{32}$"),
    "reference": ("`reference` of the deposit.", "^[A-Za-z0-9-]{1,35}$"),
}

_Answers = dict[str, tuple[str, type[msgspec.Struct] | None]]

_SCHEMA = "#/components/schemas/{name}"
_MEANINGS = {200: "As asked, or a repeat.", 201: "Done, the first time.", 202: "Under way."}
_ABOUT = """\
Payments over ISO 8583. Errors are RFC 9457 problem details with a `code` for programs.

Beyond what the schemas say: a card number's last digit is its check digit, a card has not
expired, a `voice_approval_code` does not go with `capture: manual`, an integer is written
without a fraction (`4200`, not `4200.0`), and an `Idempotency-Key` is new for each payment or
movement and the same for its repeats."""


@cache
def page() -> bytes:
    """
    Return the page as JSON.
    """
    _, components = msgspec.json.schema_components(_types(), ref_template=_SCHEMA)
    described = {
        "openapi": "3.1.0",
        "info": {
            "title": "Counterfoil",
            "version": __version__,
            "description": _ABOUT,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/", "description": "The gateway that this page came from."}],
        "security": [{"secretKey": []}],
        "tags": [
            {"name": "payments", "description": "Take payments and look at them."},
            {"name": "movements", "description": "What follows a confirmation."},
            {"name": "checkouts", "description": "Payment pages that the gateway hosts."},
            {"name": "deposits", "description": "What reached the bank, and what does not agree."},
            {"name": "process", "description": "About this gateway process; no key is needed."},
        ],
        "paths": _paths() | _open_paths(),
        "components": {
            "schemas": components,
            "headers": _HEADERS,
            "securitySchemes": {
                "secretKey": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "A merchant's secret key: `sk_test_...` or `sk_live_...`.",
                }
            },
        },
    }
    return msgspec.json.encode(_as_json_schema(described))


def _types() -> list[type[msgspec.Struct]]:
    found: dict[str, type[msgspec.Struct]] = {
        each.__name__: each for each in (ProblemBody, ConflictBody, Health, Readiness)
    }
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
        "tags": [operation.tag],
        "summary": operation.summary,
        "parameters": _parameters(operation),
        "responses": _answers(operation) | _problems(operation),
    }
    if operation.body is not None:
        described["requestBody"] = {
            "required": bool(_required(operation.body)),
            "content": {
                "application/json": {
                    "schema": _reference(operation.body),
                    "examples": {
                        name: {"value": value} for name, value in operation.examples.items()
                    },
                }
            },
        }
    return described


def _parameters(operation: Operation) -> list[dict[str, Any]]:
    parameters = []
    for name, (description, pattern) in _PATH_PARAMETERS.items():
        if f"{{{name}}}" in operation.path:
            parameters.append(
                {
                    "name": name,
                    "in": "path",
                    "required": True,
                    "description": description,
                    "schema": {"type": "string", "pattern": pattern},
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
        {
            "name": name,
            "in": "query",
            "required": False,
            "description": described.get("description", f"Only payments with this {name}."),
            "schema": described,
        }
        for name, described in schema["properties"].items()
    ]


def _answers(operation: Operation) -> dict[str, Any]:
    answers: dict[str, Any] = {
        str(status): {
            "description": _MEANINGS[status],
            "headers": _headers("Request-Id"),
            "content": {"application/json": {"schema": _reference(kind)}},
        }
        for status, kind in operation.answers.items()
    }
    if operation.name == "createPayment":
        answers["201"]["links"] = _links()
    return answers


def _links() -> dict[str, Any]:
    """
    Return what can be done with a payment that was just made.
    """
    links: dict[str, Any] = {
        f"{verb}Payment": {
            "operationId": f"{verb}Payment",
            "parameters": {"payment_id": "$response.body#/id"},
        }
        for verb in ACTED_ON
    }
    links["resolveKey"] = {
        "operationId": "resolveKey",
        "requestBody": {"idempotency_key": "$response.body#/idempotency_key"},
    }
    return links


def _problems(operation: Operation) -> dict[str, Any]:
    by_status: dict[int, list[str]] = {}
    for code in operation.problems:
        by_status.setdefault(KINDS[code].status, []).append(code)
    return {str(status): _problem(status, codes) for status, codes in sorted(by_status.items())}


def _problem(status: int, codes: list[str]) -> dict[str, Any]:
    names = {401: ("WWW-Authenticate",), 503: ("Retry-After",)}.get(status, ())
    body = ConflictBody if status == 409 else ProblemBody
    return {
        "description": "\n".join(f"- `{code}`: {KINDS[code].title}." for code in codes),
        "headers": _headers("Request-Id", *names),
        "content": {
            MEDIA_TYPE: {
                "schema": _reference(body),
                "example": example(codes[0]),
            }
        },
    }


def _open_paths() -> dict[str, Any]:
    """
    Return the paths that take no key.
    """
    ready: _Answers = {"200": ("Takes payments.", Readiness), "503": ("Does not now.", Readiness)}
    return {
        "/healthz": _open("getHealth", "Is this process alive?", {"200": ("Yes.", Health)}),
        "/readyz": _open("getReadiness", "Can this process take payments?", ready),
        PATH: _open("getDescription", "Read this page.", {"200": ("OpenAPI 3.1.", None)}),
    }


def _open(name: str, summary: str, answers: _Answers) -> dict[str, Any]:
    responses = {
        status: {
            "description": meaning,
            "headers": _headers("Request-Id"),
            "content": {
                "application/json": {"schema": _reference(kind) if kind else {"type": "object"}}
            },
        }
        for status, (meaning, kind) in answers.items()
    }
    described = {
        "operationId": name,
        "tags": ["process"],
        "summary": summary,
        "security": [],
        "responses": responses | _fault(),
    }
    return {"get": described}


def _fault() -> dict[str, Any]:
    return {"500": _problem(500, ["internal_error"])}


def _required(body: type[msgspec.Struct]) -> list[str]:
    required: list[str] = msgspec.json.schema(body)["$defs"][body.__name__].get("required", [])
    return required


def _reference(kind: type[msgspec.Struct]) -> dict[str, str]:
    return {"$ref": _SCHEMA.format(name=kind.__name__)}


def _headers(*names: str) -> dict[str, Any]:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def _as_json_schema(described: Any) -> Any:
    r"""
    Return *described* with Python's end of text, \Z, as JSON Schema writes it.
    """
    if isinstance(described, dict):
        return {
            name: value.replace(r"\Z", "$")
            if name == "pattern" and isinstance(value, str)
            else _as_json_schema(value)
            for name, value in described.items()
        }
    if isinstance(described, list):
        return [_as_json_schema(each) for each in described]
    return described


_HEADERS = {
    "Request-Id": {
        "description": "Names this request; tell it to the operator when asking.",
        "required": True,
        "schema": {"type": "string", "pattern": "^req_[0-9a-f]{32}$"},
    },
    "Retry-After": {
        "description": "Seconds after which the same request may be sent again.",
        "required": True,
        "schema": {"type": "integer", "minimum": 1},
    },
    "WWW-Authenticate": {
        "description": "That a bearer key is wanted.",
        "required": True,
        "schema": {"type": "string"},
    },
}
