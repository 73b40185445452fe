"""
Turn what the store knows into what clients see.
"""

import json
from typing import Any, Literal

import asyncpg
import msgspec

from counterfoil import ids
from counterfoil.api.bodies import (
    CardAnswer,
    Decline,
    MessageAnswer,
    MovementAnswer,
    PaymentAnswer,
    StateAnswer,
    Undone,
)
from counterfoil.api.exchange import Response
from counterfoil.network.response_codes import PARTIAL_APPROVAL, Retry, advice, meaning
from counterfoil.network.response_table import TRY_OTHER
from counterfoil.payments.lifecycle import State, charged
from counterfoil.payments.payment import Change, Movement, Payment
from counterfoil.payments.screened import Result, results_of, stopped

PAID_ALREADY = "This order seems to be paid already. Nothing was charged now; ask the shop."

_ENCODER = msgspec.json.Encoder()
_NO_RETRY = (Retry.NEVER, Retry.OTHER_CARD)


def as_json(body: msgspec.Struct | dict[str, Any], status: int = 200) -> Response:
    """
    Return *body* as a JSON response that nobody may cache.
    """
    return Response(_ENCODER.encode(body), status, {"cache-control": "no-store"})


def payment_answer(
    payment: Payment, mode: Literal["test", "live"], possible: tuple[str, ...]
) -> PaymentAnswer:
    """
    Return *payment* as its merchant sees it; *possible* names the calls that it allows now.
    """
    return PaymentAnswer(
        id=ids.written(ids.PAYMENT, payment.payment_id),
        mode=mode,
        kind=payment.kind.value,
        state=payment.state.value,
        version=payment.version,
        charged=charged(payment.state, payment.kind),
        amount_minor=payment.amount_minor,
        currency=payment.currency,
        authorized_minor=payment.authorized_minor,
        captured_minor=payment.captured_minor,
        released_minor=payment.released_minor,
        held_minor=payment.authorized_minor - payment.captured_minor - payment.released_minor,
        refunded_minor=payment.refunded_minor,
        possible=list(possible),
        order=payment.order_number,
        description=payment.description,
        customer_email=payment.customer_email,
        card=CardAnswer(payment.card_brand, payment.card_last_four),
        rrn=payment.rrn,
        stan=f"{payment.stan:06d}",
        terminal_id=payment.terminal_id,
        batch_number=f"{payment.batch_number:06d}",
        approval_code=payment.approval_code,
        response_code=payment.response_code,
        avs_result=payment.avs_result,
        cvv_result=payment.cvv_result,
        decline=_decline(payment),
        screening=results_of(payment),
        acknowledge_by=payment.acknowledge_by,
        hold_until=payment.hold_until,
        acknowledged_at=payment.acknowledged_at,
        acknowledged_on_session=payment.acknowledged_on_session,
        confirmation_number=payment.confirmation_number,
        idempotency_key=payment.idempotency_key,
        created_at=payment.created_at,
        updated_at=payment.updated_at,
    )


def whole_answer(
    shown: PaymentAnswer,
    *,
    movements: list[Movement],
    history: list[Change],
    messages: list[asyncpg.Record],
) -> PaymentAnswer:
    """
    Return the payment that is *shown* with its movements, its history and its masked messages.
    """
    return msgspec.structs.replace(
        shown,
        movements=[_movement(each) for each in movements],
        states=[_state(each) for each in history],
        messages=[
            MessageAnswer(row["direction"], row["mti"], row["at"], json.loads(row["content"]))
            for row in messages
        ],
    )


def undone_answer(whole: PaymentAnswer, payment: Payment, key: str) -> PaymentAnswer:
    """
    Return the answer *whole* with what an undo under *key* did to *payment*.
    """
    made = [each for each in whole.movements or [] if each.idempotency_key == key]
    done = [
        Undone("refund" if each.kind == "refund" else "void", each.amount_minor, each.id)
        for each in made
    ]
    # A credit authorizes nothing, nor does what nobody knows of: all that was asked goes back.
    reversal = Undone("reversal", payment.authorized_minor or payment.amount_minor, None)
    return msgspec.structs.replace(whole, undone=done or [reversal])


def _state(change: Change) -> StateAnswer:
    return StateAnswer(
        state=change.to_state,
        at=change.at,
        cause=change.cause,
        actor=change.actor,
        movement=ids.written(ids.MOVEMENT, change.movement_id) if change.movement_id else None,
        movement_state=change.movement_state,
    )


def _movement(movement: Movement) -> MovementAnswer:
    return MovementAnswer(
        id=ids.written(ids.MOVEMENT, movement.movement_id),
        kind=movement.kind,  # type: ignore[arg-type]
        state=movement.state,  # type: ignore[arg-type]
        amount_minor=movement.amount_minor,
        voided_minor=movement.voided_minor,
        currency=movement.currency,
        rrn=movement.rrn,
        batch_number=f"{movement.batch_number:06d}",
        created_at=movement.created_at,
        idempotency_key=movement.idempotency_key,
    )


def _decline(payment: Payment) -> Decline | None:
    if refusals := stopped(payment):
        return _screened(payment, refusals)
    if payment.response_code is None:
        return None
    if payment.state is not State.DECLINED and not _is_unwanted_part(payment):
        return None
    said = meaning(payment.response_code, payment.card_brand)
    advised = advice(payment.advice_code)
    return Decline(
        response_code=payment.response_code,
        shopper_message=said.shopper,
        merchant_message=f"{said.merchant} {advised.words}" if advised else said.merchant,
        retryable=said.retry not in _NO_RETRY and not (advised and advised.forbids),
        retry=Retry.NEVER.value if advised and advised.forbids else said.retry.value,
        advice_code=payment.advice_code,
    )


def _is_unwanted_part(payment: Payment) -> bool:
    """
    Whether the issuer approved a part, and the merchant's setting gives it back: such an approval
    was never there to be acknowledged.
    """
    return (
        payment.state in (State.REVERSING, State.REVERSED)
        and payment.response_code == PARTIAL_APPROVAL
        and payment.authorized_minor > 0
        and payment.acknowledge_by is None
    )


def _screened(payment: Payment, refusals: list[Result]) -> Decline:
    """
    Return the shop's own no. The shopper is not told which rule: that would teach a thief.
    """
    words = " ".join(each.words for each in refusals)
    retry = Retry.AFTER_CORRECTION if payment.response_code else Retry.OTHER_CARD
    if payment.duplicate_of:
        retry = Retry.NEVER  # With another card the order would be paid twice.
    return Decline(
        response_code=payment.response_code,
        shopper_message=PAID_ALREADY if payment.duplicate_of else TRY_OTHER,
        merchant_message=f"Declined by the shop's rules. {words}",
        retryable=retry not in _NO_RETRY,
        retry=retry.value,
        advice_code=payment.advice_code,
    )
