"""
What the description says in words and JSON Schema cannot say, for schemathesis.

A request that fits the schemas must be accepted. Some of our rules are no schema's: a
card number ends in its check digit, a card has not expired, an integer is written
without a fraction, an idempotency key is new for each request, what was approved by
voice is not only held, and only whole payments are captured and refunded; a webhook goes to this
machine only when that is configured, and a payment page leads only where the merchant allows it.
So requests that are meant to be right are made to keep these rules too; requests that are
meant to be wrong are sent as they are. `test_api_refuses_clearly.py` breaks each of these rules.

Schemathesis loads this file by its environment variable SCHEMATHESIS_HOOKS.
"""

import uuid
from typing import Any

import schemathesis
from schemathesis import Case, HookContext

YEAR_NOT_PAST = 2090
NOBODYS_URL = "https://hooks.invalid/"  # RFC 6761: this name never has an address.


@schemathesis.hook
def before_call(_: HookContext, case: Case, kwargs: dict[str, Any]) -> None:
    """Let a request that is meant to be right keep the rules that no schema can say."""
    if case.meta is None or not case.meta.generation.mode.is_positive:
        return
    if case.headers and "Idempotency-Key" in case.headers:
        case.headers["Idempotency-Key"] = str(uuid.uuid4())
    if case.query and "wait_seconds" in case.query:
        case.query["wait_seconds"] = 0  # So many of them, and nothing new to wait for.
    if isinstance(case.body, dict):
        case.body = _whole_numbers(case.body)
        for name in ("return_url", "cancel_url"):
            case.body.pop(name, None)  # No origin is allowed here.
        if "url" in case.body:
            case.body["url"] = NOBODYS_URL
        _repair(case.body.get("card"))
        if case.body.get("voice_approval_code"):
            case.body.pop("capture", None)
        if case.operation.path.endswith(("/capture", "/refund")):
            case.body.pop("amount_minor", None)


def _repair(card: Any) -> None:
    if isinstance(card, dict):
        card["number"] = _with_check_digit(card["number"])
        card["expiry_year"] = max(card["expiry_year"], YEAR_NOT_PAST)


def _whole_numbers(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, dict):
        return {name: _whole_numbers(each) for name, each in value.items()}
    return value


def _with_check_digit(number: str) -> str:
    return next(
        candidate
        for candidate in (f"{number[:-1]}{digit}" for digit in range(10))
        if _luhn_sum(candidate) % 10 == 0
    )


def _luhn_sum(number: str) -> int:
    digits = [int(each) for each in reversed(number)]
    return sum(digits[::2]) + sum(sum(divmod(2 * each, 10)) for each in digits[1::2])
