"""
Errors as RFC 9457 problem details: what happened, what was expected, what to do.
"""

from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from counterfoil.api.bodies import PaymentAnswer, StateName
from counterfoil.api.exchange import Response

MEDIA_TYPE = "application/problem+json"
UNAUTHORIZED = 401
TYPE_BASE = "https://counterfoil.example/problems/"


class Problem(Exception):
    """
    An error to be answered. `members` are further members of the problem's JSON.
    """

    def __init__(
        self,
        code: str,
        detail: str,
        *,
        param: str | None = None,
        retry_after_seconds: int | None = None,
        headers: dict[str, str] | None = None,
        **members: Any,
    ) -> None:
        super().__init__(code)
        self.code = code
        self.detail = detail
        self.param = param
        self.retry_after_seconds = retry_after_seconds
        self.headers = headers or {}
        self.members = members


class ProblemBody(msgspec.Struct, frozen=True, kw_only=True):
    """
    The body of every error: RFC 9457, with what a program needs to act on it.
    """

    type: str
    title: str
    status: int
    detail: str
    code: str
    param: str | None
    retryable: bool
    request_id: str


class ConflictBody(ProblemBody, frozen=True, kw_only=True):
    """
    A conflict with a payment's state also says the state, what is possible, and the payment.
    """

    state: StateName | UnsetType = UNSET
    possible: list[str] | UnsetType = UNSET
    payment: PaymentAnswer | UnsetType = UNSET


class Kind(msgspec.Struct, frozen=True):
    """
    One kind of problem: its status, its title, and whether the same request may be sent again.
    """

    status: int
    title: str
    retryable: bool = False


def answer(problem: Problem, request_id: str) -> Response:
    """
    Return the response that says *problem*.
    """
    kind = KINDS[problem.code]
    body = _members(problem.code, problem.detail, problem.param, request_id) | problem.members
    headers = {"cache-control": "no-store"} | problem.headers
    if problem.retry_after_seconds is not None:
        headers["retry-after"] = str(problem.retry_after_seconds)
    if kind.status == UNAUTHORIZED:
        headers["www-authenticate"] = 'Bearer realm="counterfoil"'
    return Response(msgspec.json.encode(body), kind.status, headers, MEDIA_TYPE)


def example(code: str) -> dict[str, Any]:
    """
    Return what a problem with *code* looks like, for the description.
    """
    return _members(code, "What is wrong, and what to do.", None, f"req_{'0' * 32}")


def _members(code: str, detail: str, param: str | None, request_id: str) -> dict[str, Any]:
    kind = KINDS[code]
    return {
        "type": TYPE_BASE + code,
        "title": kind.title,
        "status": kind.status,
        "detail": detail,
        "code": code,
        "param": param,
        "retryable": kind.retryable,
        "request_id": request_id,
    }


KINDS: dict[str, Kind] = {
    "body_malformed": Kind(400, "The body is not JSON"),
    "field_unknown": Kind(400, "A field that this call does not have"),
    "field_doubled": Kind(400, "A field stands twice"),
    "field_missing": Kind(400, "A field is missing"),
    "field_wrong_type": Kind(400, "A field has the wrong type"),
    "field_out_of_range": Kind(400, "A value is out of range"),
    "currency_unknown": Kind(400, "Unknown currency"),
    "card_number_invalid": Kind(400, "The card number is not valid"),
    "card_number_misplaced": Kind(400, "A card number outside the card"),
    "card_expired": Kind(400, "The card has expired"),
    "email_invalid": Kind(400, "The e-mail address is not valid"),
    "idempotency_key_missing": Kind(400, "The Idempotency-Key header is missing"),
    "idempotency_key_invalid": Kind(400, "The Idempotency-Key header is not valid"),
    "query_invalid": Kind(400, "A query parameter is not valid"),
    "key_missing": Kind(401, "No API key"),
    "key_unknown": Kind(401, "Unknown API key"),
    "key_revoked": Kind(401, "This API key was revoked"),
    "key_expired": Kind(401, "This API key has expired"),
    "key_of_other_mode": Kind(401, "An API key of the other mode"),
    "credits_not_allowed": Kind(403, "Credits are not allowed to this merchant"),
    "return_url_refused": Kind(400, "A payment page does not lead to this address"),
    "webhook_url_refused": Kind(400, "Webhooks do not go to this URL"),
    "not_found": Kind(404, "Not found"),
    "method_not_allowed": Kind(405, "This path does not take that method"),
    "body_timeout": Kind(408, "The body did not arrive in time", retryable=True),
    "merchant_without_terminal": Kind(409, "The merchant has no terminal"),
    "state_conflict": Kind(409, "The payment's state does not allow this"),
    "amount_too_large": Kind(409, "More than is left to do this with"),
    "capture_too_late": Kind(409, "The hold has lapsed"),
    "payment_reversed": Kind(409, "The payment is reversed: nobody is charged"),
    "key_fenced": Kind(409, "The idempotency key was resolved and is closed"),
    "feed_behind": Kind(409, "The feed ends before that number"),
    "checkout_not_open": Kind(409, "The checkout is not open"),
    "webhook_endpoint_disabled": Kind(409, "The webhook endpoint is disabled"),
    "webhook_endpoints_full": Kind(409, "No more webhook endpoints"),
    "body_too_large": Kind(413, "The body is too large"),
    "media_type_unsupported": Kind(415, "The body must be application/json"),
    "idempotency_key_reused": Kind(422, "The idempotency key belongs to another request"),
    "internal_error": Kind(500, "A fault of the gateway", retryable=True),
    "not_sent": Kind(503, "Nothing was sent to the acquirer", retryable=True),
    "busy": Kind(503, "Too much at once; nothing was sent", retryable=True),
    "stopping": Kind(503, "This gateway process is stopping", retryable=True),
    "disk_nearly_full": Kind(503, "The disk is nearly full; nothing was sent", retryable=True),
    "clock_off": Kind(503, "The clocks disagree; nothing was sent", retryable=True),
    "quarantined": Kind(503, "In quarantine after a restore; nothing was done", retryable=True),
    "database_away": Kind(503, "The database does not answer", retryable=True),
    "outcome_pending": Kind(503, "The payment is under way", retryable=True),
}
