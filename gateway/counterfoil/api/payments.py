"""
What takes a card, what follows it, and /v1/resolve: each reads, calls one use case, answers.
"""

from collections.abc import Callable, Coroutine
from typing import Any
from uuid import UUID

import msgspec

from counterfoil import ids
from counterfoil.api.answers import as_json, undone_answer, whole_answer
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
from counterfoil.api.desk import Desk, caller
from counterfoil.api.exchange import Request, Response
from counterfoil.api.orders import CardRequest, actor_of, order_of, session_of
from counterfoil.api.paging import page_request
from counterfoil.api.problems import Problem
from counterfoil.api.reading import idempotency_key, read
from counterfoil.api.showing import show, show_all, show_claimed
from counterfoil.ids import UnreadableId
from counterfoil.payments import acknowledge as acknowledging
from counterfoil.payments import movements
from counterfoil.payments.authorize import take_payment
from counterfoil.payments.lifecycle import State
from counterfoil.payments.order import Order
from counterfoil.payments.payment import Payment
from counterfoil.payments.refusals import OutcomeNotStored, PaymentUnknown
from counterfoil.payments.resolve import resolve
from counterfoil.payments.road import Road

ANSWER_SECONDS_MAX = 27.0  # Below the client's own deadline of 30 s.


async def create(request: Request, desk: Desk) -> Response:
    """
    Take a payment: a sale, an authorization with `capture: manual`, or, with the issuer's
    `voice_approval_code`, a forced capture.
    """
    return await _take(request, desk, PaymentRequest)


async def verify(request: Request, desk: Desk) -> Response:
    """
    Ask whether a card is good: nothing is held, taken or acknowledged.
    """
    return await _take(request, desk, VerificationRequest)


async def credit(request: Request, desk: Desk) -> Response:
    """
    Give money to a card without a payment of ours to refund.
    """
    return await _take(request, desk, CreditRequest)


async def _take(request: Request, desk: Desk, kind: type[CardRequest]) -> Response:
    road = desk.road
    with road.measures.own_time("payment", road.clock.monotonic):
        return await _taken(request, desk, kind)


async def _taken(request: Request, desk: Desk, kind: type[CardRequest]) -> Response:
    key = await caller(request, desk)
    reference = idempotency_key(request)
    body = await read(request, kind, desk.body_bytes_max)
    order = order_of(body, key, reference, session_of(request), desk)
    try:
        taken = await desk.money_task(
            take_payment(order, desk.road), seconds_max=ANSWER_SECONDS_MAX
        )
    except (TimeoutError, OutcomeNotStored):
        return await _under_way(order, desk)
    payment = taken.payment
    status = 201 if taken.first else 200
    if payment.state is State.PROCESSING:
        status = 202
    return as_json(await show(payment, desk), status)


async def _under_way(order: Order, desk: Desk) -> Response:
    """
    Answer before the client gives up: the payment goes on in its own task.
    """
    use = await desk.road.store.key(order.merchant.merchant_id, order.idempotency_key)
    if use is None or use.payment_id is None:
        raise Problem(
            "outcome_pending",
            "Repeat the same request to learn the outcome.",
            retry_after_seconds=1,
        )
    payment = await desk.road.store.payment(order.merchant.merchant_id, use.payment_id)
    assert payment is not None, "a key that was claimed has its payment"
    status = 202 if payment.state is State.PROCESSING else 200
    return as_json(await show(payment, desk), status)


async def get(request: Request, desk: Desk) -> Response:
    """
    Return one payment with its movements, history and masked messages.
    """
    key = await caller(request, desk)
    payment = await desk.road.store.payment(key.merchant.merchant_id, _payment_id(request))
    if payment is None:
        raise PaymentUnknown("this merchant has no payment with this id")
    return as_json(await _whole(payment, desk))


async def list_page(request: Request, desk: Desk) -> Response:
    """
    Return a page of payments, newest first.
    """
    key = await caller(request, desk)
    filters, limit = page_request(request)
    found = await desk.search(key.merchant.merchant_id).page(filters, limit)
    last = found.looked_until
    if last is None and found.more:
        last = found.payments[-1].payment_id
    cursor = ids.written(ids.PAYMENT, last) if last else None
    return as_json(PageAnswer(await show_all(found.payments, desk), cursor))


async def acknowledge(request: Request, desk: Desk) -> Response:
    """
    Claim an approval; the answer carries the confirmation number. May be repeated for ever.
    """
    road = desk.road
    with road.measures.own_time("acknowledgment", road.clock.monotonic):
        key = await caller(request, desk)
        payment_id = _payment_id(request)
        await read(request, Nothing, desk.body_bytes_max)
        payment = await desk.money_task(
            acknowledging.acknowledge(
                key.merchant,
                payment_id,
                session_id=session_of(request),
                actor=actor_of(key),
                road=road,
            )
        )
        return as_json(await show_claimed(payment, desk))


async def refuse(request: Request, desk: Desk) -> Response:
    """
    Turn an approval down: it is reversed at once.
    """
    key = await caller(request, desk)
    payment_id = _payment_id(request)
    await read(request, Nothing, desk.body_bytes_max)
    payment = await desk.money_task(
        acknowledging.refuse(key.merchant, payment_id, actor=actor_of(key), road=desk.road)
    )
    return as_json(await show(payment, desk))


async def capture(request: Request, desk: Desk) -> Response:
    """
    Take what an authorization holds, or a part.
    """
    return await _move(request, desk, CaptureRequest, movements.capture)


async def void(request: Request, desk: Desk) -> Response:
    """
    Take back a payment, or a part, before its batch closes.
    """
    return await _move(request, desk, AmountRequest, movements.void)


async def refund(request: Request, desk: Desk) -> Response:
    """
    Give captured money back, or a part.
    """
    return await _move(request, desk, AmountRequest, movements.refund)


async def undo(request: Request, desk: Desk) -> Response:
    """
    Take back a payment, or an amount of it, by whatever still works; the answer says by what.
    """
    command = await _command(request, desk, AmountRequest)
    done = await desk.money_task(movements.undo(command, desk.road))
    whole = await _whole(done.payment, desk)
    answer = undone_answer(whole, done.payment, command.idempotency_key)
    return as_json(answer, 201 if done.first else 200)


async def resolve_key(request: Request, desk: Desk) -> Response:
    """
    Say what became of an idempotency key; one that was never seen is closed from now on.
    """
    key = await caller(request, desk)
    body = await read(request, ResolveRequest, desk.body_bytes_max)
    payment = await desk.money_task(resolve(key.merchant, body.idempotency_key, desk.road))
    if payment is None:
        return as_json(ResolutionAnswer("never_seen", None))
    return as_json(ResolutionAnswer("seen", await _whole(payment, desk)))


async def _whole(payment: Payment, desk: Desk) -> PaymentAnswer:
    """
    Return *payment* with everything that is known of it.
    """
    store = desk.road.store
    return whole_answer(
        await show(payment, desk),
        movements=await store.movements(payment),
        history=await store.history(payment),
        messages=await store.messages(payment),
    )


async def _move(
    request: Request,
    desk: Desk,
    kind: type[msgspec.Struct],
    move: Callable[[movements.Command, Road], Coroutine[Any, Any, movements.Done]],
) -> Response:
    command = await _command(request, desk, kind)
    done = await desk.money_task(move(command, desk.road))
    return as_json(await _whole(done.payment, desk), 201 if done.first else 200)


async def _command(request: Request, desk: Desk, kind: type[msgspec.Struct]) -> movements.Command:
    key = await caller(request, desk)
    reference = idempotency_key(request)
    payment_id = _payment_id(request)
    body = await read(request, kind, desk.body_bytes_max)
    return movements.Command(
        merchant=key.merchant,
        payment_id=payment_id,
        idempotency_key=reference,
        amount_minor=getattr(body, "amount_minor", None),
        actor=actor_of(key),
        is_final=getattr(body, "final", False),
    )


def _payment_id(request: Request) -> UUID:
    try:
        return ids.read(ids.PAYMENT, request.names["payment_id"])
    except UnreadableId:
        raise PaymentUnknown("this merchant has no payment with this id") from None
