"""
The table of all calls: path, method, endpoint, what goes in, what comes out.

Both the server's routes and the OpenAPI page are made from it, so that neither can
know a call that the other does not.
"""

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from counterfoil.api import (
    batches,
    checkouts,
    events,
    payments,
    screening,
    settlement,
    unclaimed,
    webhooks,
)
from counterfoil.api.bodies import (
    AmountRequest,
    CaptureRequest,
    CreditRequest,
    Nothing,
    PageAnswer,
    PaymentAnswer,
    PaymentRequest,
    ResolutionAnswer,
    ResolveRequest,
    VerificationRequest,
)
from counterfoil.api.desk import Desk
from counterfoil.api.exchange import Request, Response
from counterfoil.api.paging import PageQuery
from counterfoil.settlement.explained import DepositAnswer

Endpoint = Callable[[Request, Desk], Awaitable[Response]]

PAYMENT_PATH = "/v1/payments/{payment_id}"
CHECKOUT_PATH = "/v1/checkouts/{checkout_id}"
ENDPOINT_PATH = "/v1/webhook-endpoints/{endpoint_id}"


class Operation(msgspec.Struct, frozen=True, kw_only=True):
    """
    One call. `problems` are all the codes that it may answer.
    """

    name: str
    tag: str
    method: str
    path: str
    endpoint: Endpoint
    summary: str
    answers: dict[int, type[msgspec.Struct]]
    body: type[msgspec.Struct] | None = None
    query: type[msgspec.Struct] | None = None
    examples: dict[str, dict[str, Any]] = {}
    keyed: bool = False
    problems: tuple[str, ...] = ()


_READ = (
    "key_missing",
    "key_unknown",
    "key_revoked",
    "key_expired",
    "key_of_other_mode",
    "internal_error",
    "database_away",
)
_QUERY = (*_READ, "query_invalid", "currency_unknown")
_BODY = (
    *_READ,
    "body_malformed",
    "field_unknown",
    "field_doubled",
    "field_missing",
    "field_wrong_type",
    "field_out_of_range",
    "body_timeout",
    "body_too_large",
    "media_type_unsupported",
    "busy",
    "stopping",
    "quarantined",
)
_KEYED = (
    *_BODY,
    "idempotency_key_missing",
    "idempotency_key_invalid",
    "idempotency_key_reused",
    "key_fenced",
)
_MOVED = (*_KEYED, "not_found", "state_conflict", "amount_too_large")
_CARD = (
    "currency_unknown",
    "card_number_invalid",
    "card_number_misplaced",
    "card_expired",
    "email_invalid",
)
_NEW = (
    "merchant_without_terminal",
    "not_sent",
    "outcome_pending",
    "disk_nearly_full",
    "clock_off",
)

_CARD_KEYED = {
    "number": "4111111111111111",
    "expiry_month": 12,
    "expiry_year": 2039,
    "cvv": "123",
}
_SALE = {
    "amount_minor": 4200,
    "currency": "USD",
    "card": _CARD_KEYED,
    "order": "1001",
    "customer_email": "ada@shopper.example",
    "billing": {"postal_code": "97201"},
}
_PAYMENTS: dict[str, dict[str, Any]] = {
    "sale": _SALE,
    "authorization": {**_SALE, "capture": "manual"},
    "decline": {**_SALE, "card": {**_CARD_KEYED, "number": "4000000000009995"}},
    "forced": {**_SALE, "voice_approval_code": "H7K2P9"},
}
_VERIFICATION = {"currency": "USD", "card": _CARD_KEYED, "billing": {"postal_code": "97201"}}
_CREDIT = {"amount_minor": 4200, "currency": "USD", "card": _CARD_KEYED, "order": "1001"}
_NOTHING: dict[str, dict[str, Any]] = {"nothing": {}}
_AMOUNTS: dict[str, dict[str, Any]] = {"everything": {}, "part": {"amount_minor": 1000}}

_CHECKOUTS: dict[str, dict[str, Any]] = {
    "an order": {
        "amount_minor": 4200,
        "currency": "USD",
        "order": "1001",
        "description": "Two books",
        "return_url": "https://shop.example/orders/1001",
        "cancel_url": "https://shop.example/basket",
    },
    "no way back": {"amount_minor": 4200, "currency": "USD", "expires_in_seconds": 3600},
}
_ENDPOINTS: dict[str, dict[str, Any]] = {
    "all events": {"url": "https://hooks.example/payments"},
    "some": {"url": "https://hooks.example/", "types": ["payment.captured", "deposit.funded"]},
}

OPERATIONS: tuple[Operation, ...] = (
    Operation(
        name="createPayment",
        tag="payments",
        method="POST",
        path="/v1/payments",
        endpoint=payments.create,
        summary="Take a payment. An approval waits to be acknowledged, else it is reversed.",
        body=PaymentRequest,
        examples=_PAYMENTS,
        answers={200: PaymentAnswer, 201: PaymentAnswer, 202: PaymentAnswer},
        keyed=True,
        problems=(*_KEYED, *_CARD, *_NEW),
    ),
    Operation(
        name="verifyCard",
        tag="payments",
        method="POST",
        path="/v1/verifications",
        endpoint=payments.verify,
        summary="Ask whether a card is good, for an amount of zero: nothing is held or taken.",
        body=VerificationRequest,
        examples={"verification": _VERIFICATION},
        answers={200: PaymentAnswer, 201: PaymentAnswer, 202: PaymentAnswer},
        keyed=True,
        problems=(*_KEYED, *_CARD, *_NEW),
    ),
    Operation(
        name="giveCredit",
        tag="payments",
        method="POST",
        path="/v1/credits",
        endpoint=payments.credit,
        summary="Give money to a card without a payment to refund. The operator has to allow it.",
        body=CreditRequest,
        examples={"credit": _CREDIT},
        answers={200: PaymentAnswer, 201: PaymentAnswer, 202: PaymentAnswer},
        keyed=True,
        problems=(
            *_KEYED,
            *_CARD,
            *_NEW,
            "credits_not_allowed",
        ),
    ),
    Operation(
        name="listPayments",
        tag="payments",
        method="GET",
        path="/v1/payments",
        endpoint=payments.list_page,
        summary="List payments, newest first.",
        query=PageQuery,
        answers={200: PageAnswer},
        problems=_QUERY,
    ),
    Operation(
        name="getPayment",
        tag="payments",
        method="GET",
        path=PAYMENT_PATH,
        endpoint=payments.get,
        summary="Read one payment with its movements, history and masked messages.",
        answers={200: PaymentAnswer},
        problems=(*_READ, "not_found"),
    ),
    Operation(
        name="acknowledgePayment",
        tag="payments",
        method="POST",
        path=f"{PAYMENT_PATH}/acknowledge",
        endpoint=payments.acknowledge,
        summary="Claim an approval and get its confirmation number. May be repeated for ever.",
        body=Nothing,
        examples=_NOTHING,
        answers={200: PaymentAnswer},
        problems=(*_BODY, "not_found", "payment_reversed", "state_conflict"),
    ),
    Operation(
        name="refusePayment",
        tag="payments",
        method="POST",
        path=f"{PAYMENT_PATH}/refuse",
        endpoint=payments.refuse,
        summary="Turn an approval down: it is reversed at once.",
        body=Nothing,
        examples=_NOTHING,
        answers={200: PaymentAnswer},
        problems=(*_BODY, "not_found", "state_conflict"),
    ),
    Operation(
        name="capturePayment",
        tag="movements",
        method="POST",
        path=f"{PAYMENT_PATH}/capture",
        endpoint=payments.capture,
        summary="Take what an authorization holds, in one part or several.",
        body=CaptureRequest,
        examples={
            "everything": {},
            "part": {"amount_minor": 1000},
            "the last": {"amount_minor": 1000, "final": True},
        },
        answers={200: PaymentAnswer, 201: PaymentAnswer},
        keyed=True,
        problems=(*_MOVED, "capture_too_late"),
    ),
    Operation(
        name="voidPayment",
        tag="movements",
        method="POST",
        path=f"{PAYMENT_PATH}/void",
        endpoint=payments.void,
        summary="Take back a payment, or a part of it, before its batch closes.",
        body=AmountRequest,
        examples=_AMOUNTS,
        answers={200: PaymentAnswer, 201: PaymentAnswer},
        keyed=True,
        problems=_MOVED,
    ),
    Operation(
        name="refundPayment",
        tag="movements",
        method="POST",
        path=f"{PAYMENT_PATH}/refund",
        endpoint=payments.refund,
        summary="Give captured money back, all of it or a part.",
        body=AmountRequest,
        examples=_AMOUNTS,
        answers={200: PaymentAnswer, 201: PaymentAnswer},
        keyed=True,
        problems=(*_MOVED, "not_sent"),
    ),
    Operation(
        name="undoPayment",
        tag="movements",
        method="POST",
        path=f"{PAYMENT_PATH}/undo",
        endpoint=payments.undo,
        summary="Take back a payment, or an amount of it, by reversal, void or refund.",
        body=AmountRequest,
        examples=_AMOUNTS,
        answers={200: PaymentAnswer, 201: PaymentAnswer},
        keyed=True,
        problems=(*_MOVED, "not_sent"),
    ),
    Operation(
        name="listUnclaimed",
        tag="payments",
        method="GET",
        path="/v1/unclaimed",
        endpoint=unclaimed.list_unclaimed,
        summary="List approvals that nobody acknowledged: waiting still, or reversed for it.",
        query=unclaimed.UnclaimedQuery,
        answers={200: unclaimed.UnclaimedPageAnswer},
        problems=(*_READ, "query_invalid"),
    ),
    Operation(
        name="resolveKey",
        tag="payments",
        method="POST",
        path="/v1/resolve",
        endpoint=payments.resolve_key,
        summary="Learn what became of an idempotency key; one never seen is closed from now on.",
        body=ResolveRequest,
        examples={"key": {"idempotency_key": "order-1001-attempt-1"}},
        answers={200: ResolutionAnswer},
        problems=_BODY,
    ),
    Operation(
        name="createCheckout",
        tag="checkouts",
        method="POST",
        path="/v1/checkouts",
        endpoint=checkouts.create,
        summary="Open a payment page that we host; send the shopper to its `url`.",
        body=checkouts.CheckoutRequest,
        examples=_CHECKOUTS,
        answers={200: checkouts.CheckoutAnswer, 201: checkouts.CheckoutAnswer},
        keyed=True,
        problems=(
            *(*_KEYED, "currency_unknown", "email_invalid", "return_url_refused"),
            "checkout_not_open",
        ),
    ),
    Operation(
        name="getCheckout",
        tag="checkouts",
        method="GET",
        path=CHECKOUT_PATH,
        endpoint=checkouts.get,
        summary="Read one checkout: whether it is paid, and by which payment.",
        answers={200: checkouts.CheckoutAnswer},
        problems=(*_READ, "not_found"),
    ),
    Operation(
        name="expireCheckout",
        tag="checkouts",
        method="POST",
        path=f"{CHECKOUT_PATH}/expire",
        endpoint=checkouts.expire,
        summary="End an open checkout before its time: nobody can pay it from then on.",
        body=Nothing,
        examples=_NOTHING,
        answers={200: checkouts.CheckoutAnswer},
        problems=(*_BODY, "not_found", "checkout_not_open"),
    ),
    Operation(
        name="listEvents",
        tag="events",
        method="GET",
        path="/v1/events",
        endpoint=events.list_events,
        summary="Read the event feed, oldest first, from the number where you stopped.",
        query=events.EventsQuery,
        answers={200: events.EventsAnswer},
        problems=(*_READ, "query_invalid", "feed_behind"),
    ),
    Operation(
        name="addWebhookEndpoint",
        tag="webhooks",
        method="POST",
        path="/v1/webhook-endpoints",
        endpoint=webhooks.add_endpoint,
        summary="Add a webhook endpoint. Its secret is answered this once.",
        body=webhooks.EndpointRequest,
        examples=_ENDPOINTS,
        answers={201: webhooks.EndpointAnswer},
        problems=(*_BODY, "webhook_url_refused", "webhook_endpoints_full"),
    ),
    Operation(
        name="listWebhookEndpoints",
        tag="webhooks",
        method="GET",
        path="/v1/webhook-endpoints",
        endpoint=webhooks.list_endpoints,
        summary="List the webhook endpoints.",
        answers={200: webhooks.EndpointsAnswer},
        problems=_READ,
    ),
    Operation(
        name="getWebhookEndpoint",
        tag="webhooks",
        method="GET",
        path=ENDPOINT_PATH,
        endpoint=webhooks.get_endpoint,
        summary="Read one webhook endpoint.",
        answers={200: webhooks.EndpointAnswer},
        problems=(*_READ, "not_found"),
    ),
    Operation(
        name="changeWebhookEndpoint",
        tag="webhooks",
        method="PATCH",
        path=ENDPOINT_PATH,
        endpoint=webhooks.change_endpoint,
        summary="Change address, description, filter or state of a webhook endpoint.",
        body=webhooks.EndpointChange,
        examples={"disable": {"state": "disabled"}, "all types": {"types": None}},
        answers={200: webhooks.EndpointAnswer},
        problems=(*_BODY, "not_found", "webhook_url_refused"),
    ),
    Operation(
        name="deleteWebhookEndpoint",
        tag="webhooks",
        method="DELETE",
        path=ENDPOINT_PATH,
        endpoint=webhooks.delete_endpoint,
        summary="End a webhook endpoint for good; what it is still owed is given up.",
        answers={200: webhooks.EndpointAnswer},
        problems=(*_READ, "not_found"),
    ),
    Operation(
        name="rotateWebhookSecret",
        tag="webhooks",
        method="POST",
        path=f"{ENDPOINT_PATH}/rotate",
        endpoint=webhooks.rotate_secret,
        summary="Give a webhook endpoint a new secret; both sign for a while.",
        body=webhooks.RotateRequest,
        examples={"a day": {}, "at once": {"overlap_seconds": 0}},
        answers={200: webhooks.EndpointAnswer},
        problems=(*_BODY, "not_found"),
    ),
    Operation(
        name="listWebhookDeliveries",
        tag="webhooks",
        method="GET",
        path=f"{ENDPOINT_PATH}/deliveries",
        endpoint=webhooks.list_deliveries,
        summary="List what an endpoint was owed, newest first, with every try.",
        query=webhooks.DeliveriesQuery,
        answers={200: webhooks.DeliveriesAnswer},
        problems=(*_READ, "not_found", "query_invalid"),
    ),
    Operation(
        name="replayWebhookDelivery",
        tag="webhooks",
        method="POST",
        path=f"{ENDPOINT_PATH}/deliveries/{{delivery_id}}/replay",
        endpoint=webhooks.replay_delivery,
        summary="Owe a delivery again, from now on.",
        body=Nothing,
        examples=_NOTHING,
        answers={200: webhooks.DeliveryAnswer},
        problems=(*_BODY, "not_found", "webhook_endpoint_disabled"),
    ),
    Operation(
        name="getScreening",
        tag="screening",
        method="GET",
        path="/v1/screening",
        endpoint=screening.get,
        summary="Read the rules that screen payments; the operator changes them.",
        answers={200: screening.ScreeningAnswer},
        problems=_READ,
    ),
    Operation(
        name="listBatches",
        tag="batches",
        method="GET",
        path="/v1/batches",
        endpoint=batches.list_batches,
        summary="List batches with both sides' totals, newest first, at most a hundred.",
        query=batches.BatchQuery,
        answers={200: batches.BatchesAnswer},
        problems=_QUERY,
    ),
    Operation(
        name="closeBatches",
        tag="batches",
        method="POST",
        path="/v1/batches/close",
        endpoint=batches.close_batches,
        summary="Close every open batch that holds anything; the acquirer's word comes later.",
        body=Nothing,
        answers={200: batches.BatchesAnswer},
        examples=_NOTHING,
        problems=_BODY,
    ),
    Operation(
        name="listDeposits",
        tag="deposits",
        method="GET",
        path="/v1/deposits",
        endpoint=settlement.list_deposits,
        summary="List what the acquirer announced and the bank received, newest first.",
        query=settlement.DepositsQuery,
        answers={200: settlement.DepositsAnswer},
        problems=_QUERY,
    ),
    Operation(
        name="getDeposit",
        tag="deposits",
        method="GET",
        path="/v1/deposits/{reference}",
        endpoint=settlement.get_deposit,
        summary="Explain one deposit: its payments, refunds, fees, adjustments and bank entries.",
        query=settlement.LinesQuery,
        answers={200: DepositAnswer},
        problems=(*_READ, "not_found", "query_invalid"),
    ),
    Operation(
        name="listFindings",
        tag="deposits",
        method="GET",
        path="/v1/findings",
        endpoint=settlement.list_findings,
        summary="List what does not agree, with the next step, newest first.",
        query=settlement.FindingsQuery,
        answers={200: settlement.FindingsAnswer},
        problems=(*_READ, "query_invalid"),
    ),
)
