"""
Void a payment, or a part of it, before its batch closes.

Stands between *capture* and *batch*: what is only held goes back, and captures leave the
open batch on both sides. Final once committed: the cardholder does not pay what was voided.
"""

from functools import partial

from counterfoil.money import amount_text
from counterfoil.network.requests import retrieval_reference
from counterfoil.payments.commands import Command, Done, await_acquirer, late_until, once, start
from counterfoil.payments.lifecycle import Kind, State
from counterfoil.payments.parts import (
    Plan,
    Telling,
    and_refund,
    open_captures,
    plan_void,
    standing,
    tellings,
)
from counterfoil.payments.payment import Movement, Payment, held_minor
from counterfoil.payments.refund import take_stan
from counterfoil.payments.refusals import AmountTooLarge, NotNow
from counterfoil.payments.road import Road
from counterfoil.store.payments import Unconfirmed

VOIDABLE = (State.AUTHORIZED, State.CAPTURED)


async def void(command: Command, road: Road) -> Done:
    """
    Take back a payment, all that is in no closed batch yet, or *amount_minor* of it.

    Raises:
        AmountTooLarge: The amount fits whole neither into the hold nor into an open capture.
        NotNow: Too late, or nothing to undo. KeyReused, KeyFenced, PaymentUnknown: as named.
    """
    return await once("void", command, _void, road)


async def _void(
    command: Command, payment: Payment, fingerprint: bytes, road: Road
) -> Payment | None:
    if payment.state not in VOIDABLE:
        raise NotNow(f"the payment is {payment.state}: there is nothing to void", payment)
    return await take_back("void", command, payment, fingerprint, road)


async def take_back(
    operation: str,
    command: Command,
    payment: Payment,
    fingerprint: bytes,
    road: Road,
    *,
    refunds_rest: bool = False,
) -> Payment | None:
    """
    Plan the void of a payment that is authorized or captured, and commit it under the key.

    With *refunds_rest* what is captured and cannot be voided any more is refunded with it.

    Raises:
        AmountTooLarge, NotNow: There is no such plan; the words say what would be possible.
    """
    if payment.kind is Kind.CREDIT:
        return await _take_back_credit(operation, command, payment, fingerprint, road)
    movements = await road.store.movements(payment)
    open_batch = await road.store.open_batch(payment)
    plan = plan_void(payment, movements, open_batch=open_batch, amount_minor=command.amount_minor)
    if plan is None:
        raise _why_not(command, payment, movements, open_batch)
    if refunds_rest:
        plan = and_refund(payment, plan)
    await await_acquirer(payment, lambda found: _on_its_way(payment, plan, found), road)
    return await _commit(operation, command, payment, plan, open_batch, fingerprint, road)


async def _take_back_credit(
    operation: str, command: Command, payment: Payment, fingerprint: bytes, road: Road
) -> Payment | None:
    """
    Void a credit: it was given whole, and is taken back whole.
    """
    if command.amount_minor not in (None, payment.refunded_minor):
        raise AmountTooLarge(
            f"a credit is taken back whole: leave amount_minor out, or send "
            f"{payment.refunded_minor}",
            payment,
            most_minor=payment.refunded_minor,
            is_whole=True,
        )
    given = [each for each in await road.store.movements(payment) if each.kind == "refund"]
    open_batch = await road.store.open_batch(payment)
    if not any(each.state == "pending" and each.batch_number == open_batch for each in given):
        raise NotNow("the credit's batch is closed: it cannot be taken back any more", payment)
    at = road.clock.now()
    return await road.store.void_credit(
        *start(command, fingerprint, road, ids=4),
        late_until(at, road),
        at,
        command.actor,
        operation,
    )


def _on_its_way(payment: Payment, plan: Plan, unconfirmed: Unconfirmed) -> str | None:
    if (plan.parts or plan.is_whole) and unconfirmed.is_lowered:
        return "what was voided of a capture before"
    taken = sum(part.amount_minor for part in plan.parts)
    if plan.refund_minor and unconfirmed.captured_minor > taken:
        return "its capture"
    return None


async def _commit(
    operation: str,
    command: Command,
    payment: Payment,
    plan: Plan,
    open_batch: int | None,
    fingerprint: bytes,
    road: Road,
) -> Payment | None:
    at, ids = road.clock.now(), road.ids
    stan = await take_stan(payment, at, road) if plan.refund_minor else None
    needs_open = plan.parts or plan.refund_minor
    told = tellings(payment, plan)
    return await road.store.void(
        *start(command, fingerprint, road, ids=2),
        operation,
        payment.version,
        plan.to_state.value,
        plan.held_minor,
        ids.new(),
        open_batch if needs_open else payment.batch_number,
        late_until(at, road),
        at,
        command.actor,
        [part.capture.movement_id for part in plan.parts],
        [part.amount_minor for part in plan.parts],
        [ids.new() for _ in plan.parts],
        [ids.new() for _ in told],
        *([getattr(each, name) for each in told] for name in Telling.__struct_fields__),
        plan.refund_minor,
        ids.new(),
        ids.new(),
        ids.new(),
        retrieval_reference(stan, at) if stan else None,
        at.date(),
        stan,
    )


def _why_not(
    command: Command, payment: Payment, movements: list[Movement], open_batch: int | None
) -> NotNow:
    """
    Return the refusal that says what could be voided, or given back, instead.
    """
    voidable = open_captures(payment, standing(movements), open_batch)
    held = held_minor(payment)
    refundable = payment.captured_minor - payment.refunded_minor
    said = partial(amount_text, code=payment.currency)
    instead = f"{said(refundable)} can be refunded" if refundable else "nothing is left of it"
    if payment.refunded_minor and not held:
        return NotNow(
            f"the payment is {payment.state} and was refunded: it cannot be voided as well; "
            f"{instead}",
            payment,
        )
    if not held and not voidable:
        return NotNow(
            f"the payment is {payment.state} and its batch is closed: it cannot be voided any "
            f"more; {instead}",
            payment,
        )
    most = max([held, *(each.amount_minor for each in voidable)])
    return AmountTooLarge(
        f"{said(command.amount_minor or 0)} fits whole neither into the {said(held)} that is held "
        f"nor into a capture of the open batch: at most {said(most)} can be voided at once; "
        f"{instead}",
        payment,
        most_minor=most,
    )
