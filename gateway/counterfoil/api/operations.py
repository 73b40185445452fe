"""
The table of all calls: path, method, endpoint, what goes in, what comes out.

Both the server's routes and the OpenAPI page are made from it, so that neither can
know a call that the other does not.
"""

from collections.abc import Awaitable, Callable

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from counterfoil.api import payments
from counterfoil.api.bodies import (
    AmountRequest,
    Nothing,
    PageAnswer,
    PaymentAnswer,
    PaymentRequest,
    ResolutionAnswer,
    ResolveRequest,
)
from counterfoil.api.desk import Desk
from counterfoil.api.paging import PageQuery

Endpoint = Callable[[Request, Desk], Awaitable[Response]]

PAYMENT_PATH = "/v1/payments/{payment_id}"


class Operation(msgspec.Struct, frozen=True, kw_only=True):
    """
    One call. `problems` are the codes it may answer beside those that every call may.
    """

    name: str
    method: str
    path: str
    endpoint: Endpoint
    summary: str
    answers: dict[int, type[msgspec.Struct]]
    body: type[msgspec.Struct] | None = None
    query: type[msgspec.Struct] | None = None
    keyed: bool = False
    problems: tuple[str, ...] = ()


_READ = ("key_missing", "internal_error", "database_away")
_BODY = (
    *_READ,
    "body_malformed",
    "field_unknown",
    "body_too_large",
    "media_type_unsupported",
    "busy",
    "stopping",
)
_KEYED = (*_BODY, "idempotency_key_missing", "idempotency_key_reused", "key_fenced")

OPERATIONS: tuple[Operation, ...] = (
    Operation(
        name="createPayment",
        method="POST",
        path="/v1/payments",
        endpoint=payments.create,
        summary="Take a payment. An approval waits to be acknowledged, else it is reversed.",
        body=PaymentRequest,
        answers={200: PaymentAnswer, 201: PaymentAnswer, 202: PaymentAnswer},
        keyed=True,
        problems=(*_KEYED, "not_sent", "merchant_without_terminal"),
    ),
    Operation(
        name="listPayments",
        method="GET",
        path="/v1/payments",
        endpoint=payments.list_page,
        summary="List payments, newest first.",
        query=PageQuery,
        answers={200: PageAnswer},
        problems=(*_READ, "query_invalid"),
    ),
    Operation(
        name="getPayment",
        method="GET",
        path=PAYMENT_PATH,
        endpoint=payments.get,
        summary="Read one payment with its movements, history and masked messages.",
        answers={200: PaymentAnswer},
        problems=(*_READ, "not_found"),
    ),
    Operation(
        name="acknowledgePayment",
        method="POST",
        path=f"{PAYMENT_PATH}/acknowledge",
        endpoint=payments.acknowledge,
        summary="Claim an approval and get its confirmation number. May be repeated for ever.",
        body=Nothing,
        answers={200: PaymentAnswer},
        problems=(*_BODY, "not_found", "payment_reversed"),
    ),
    Operation(
        name="refusePayment",
        method="POST",
        path=f"{PAYMENT_PATH}/refuse",
        endpoint=payments.refuse,
        summary="Turn an approval down: it is reversed at once.",
        body=Nothing,
        answers={200: PaymentAnswer},
        problems=(*_BODY, "not_found", "state_conflict"),
    ),
    Operation(
        name="capturePayment",
        method="POST",
        path=f"{PAYMENT_PATH}/capture",
        endpoint=payments.capture,
        summary="Take what an authorization holds.",
        body=AmountRequest,
        answers={200: PaymentAnswer, 201: PaymentAnswer},
        keyed=True,
        problems=(*_KEYED, "not_found", "state_conflict", "partial_not_supported"),
    ),
    Operation(
        name="voidPayment",
        method="POST",
        path=f"{PAYMENT_PATH}/void",
        endpoint=payments.void,
        summary="Undo a payment before its batch closes.",
        body=Nothing,
        answers={200: PaymentAnswer, 201: PaymentAnswer},
        keyed=True,
        problems=(*_KEYED, "not_found", "state_conflict"),
    ),
    Operation(
        name="refundPayment",
        method="POST",
        path=f"{PAYMENT_PATH}/refund",
        endpoint=payments.refund,
        summary="Give captured money back.",
        body=AmountRequest,
        answers={200: PaymentAnswer, 201: PaymentAnswer},
        keyed=True,
        problems=(*_KEYED, "not_found", "state_conflict", "partial_not_supported", "not_sent"),
    ),
    Operation(
        name="resolveKey",
        method="POST",
        path="/v1/resolve",
        endpoint=payments.resolve_key,
        summary="Learn what became of an idempotency key; one never seen is closed from now on.",
        body=ResolveRequest,
        answers={200: ResolutionAnswer},
        problems=_BODY,
    ),
)
