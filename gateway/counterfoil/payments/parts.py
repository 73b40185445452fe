"""
Where a void takes its money from: a plan, made without any I/O.

Stands before *void* and *undo*. Money that is only held goes first, if the amount fits
there whole; else the newest capture that is still in the open batch and holds it whole.
Captured money is voided only while nothing was refunded: afterwards it is refunded too.

    whole    every capture is still open: one 0420 undoes the payment
    in part  a 0420 for each capture that is lowered, and one that lowers the hold
"""

from collections.abc import Iterable
from uuid import UUID

import msgspec

from counterfoil.network.requests import REASON_VOID
from counterfoil.payments.lifecycle import Kind, State
from counterfoil.payments.payment import Movement, Payment, held_minor

NOT_STANDING = frozenset({"undone", "failed"})


class Part(msgspec.Struct, frozen=True):
    """
    What is taken out of one capture.
    """

    capture: Movement
    amount_minor: int


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """
    A void: what it takes from the hold and from captures, and what the payment becomes.

    `is_whole`: nothing of the payment is left. `refund_minor`: what an undo of everything gives
    back of captures that cannot be voided any more.
    """

    to_state: State
    held_minor: int
    parts: tuple[Part, ...] = ()
    is_whole: bool = False
    refund_minor: int = 0

    @property
    def amount_minor(self) -> int:
        """
        All that it takes back.
        """
        return self.held_minor + sum(part.amount_minor for part in self.parts)


class Telling(msgspec.Struct, frozen=True, kw_only=True):
    """
    One message that the acquirer is owed. In the order of the statement's parameters.

    `amount_minor` is the original's own amount (DE 4); `about_id` the capture it is about, None
    for the payment's first message.
    """

    kind: str
    reason_code: str | None
    amount_minor: int
    taken_back_minor: int | None
    about_id: UUID | None
    batch_number: int


def plan_void(
    payment: Payment,
    movements: Iterable[Movement],
    *,
    open_batch: int | None,
    amount_minor: int | None,
) -> Plan | None:
    """
    Return how *amount_minor* is taken back, or everything that can be; None when it cannot be.
    """
    captures = standing(movements)
    voidable = open_captures(payment, captures, open_batch)
    if amount_minor is None:
        return _everything(payment, captures, voidable)
    held = held_minor(payment)
    if amount_minor <= held:
        if amount_minor == held and not captures:
            return _everything(payment, captures, voidable)
        return Plan(to_state=payment.state, held_minor=amount_minor)
    for capture in reversed(voidable):
        if amount_minor <= capture.amount_minor:
            return _out_of(payment, capture, amount_minor)
    return None


def and_refund(payment: Payment, plan: Plan) -> Plan:
    """
    Return *plan* with a refund of all that stays captured after it.
    """
    taken = sum(part.amount_minor for part in plan.parts)
    left = payment.captured_minor - payment.refunded_minor - taken
    return msgspec.structs.replace(plan, refund_minor=left)


def standing(movements: Iterable[Movement]) -> list[Movement]:
    """
    Return the captures that count, oldest first.
    """
    return [each for each in movements if each.kind == "capture" and each.state not in NOT_STANDING]


def open_captures(
    payment: Payment, captures: Iterable[Movement], open_batch: int | None
) -> list[Movement]:
    """
    Return those captures that can still be voided.
    """
    if payment.refunded_minor:
        return []
    return [
        each for each in captures if each.state == "pending" and each.batch_number == open_batch
    ]


def tellings(payment: Payment, plan: Plan) -> list[Telling]:
    """
    Return what the acquirer is owed for *plan*, in the order in which it must hear it.
    """
    batch = plan.parts[0].capture.batch_number if plan.parts else payment.batch_number
    if plan.is_whole:
        whole = Telling(
            kind="void",
            reason_code=REASON_VOID,
            amount_minor=payment.amount_minor,
            taken_back_minor=None,
            about_id=None,
            batch_number=batch,
        )
        return [whole]
    told = [_release(payment, part) for part in plan.parts]
    if payment.kind is Kind.AUTHORIZATION:
        # A capture that is undone is held again at the acquirer, so the hold is lowered too.
        told.append(_release(payment, None, plan.amount_minor))
    return told


def _everything(
    payment: Payment, captures: list[Movement], voidable: list[Movement]
) -> Plan | None:
    held = held_minor(payment)
    parts = tuple(Part(each, each.amount_minor) for each in voidable)
    if len(voidable) == len(captures) and (held or parts):
        return Plan(to_state=State.VOIDING, held_minor=held, parts=parts, is_whole=True)
    if held or parts:
        return Plan(to_state=State.CAPTURED, held_minor=held, parts=parts)
    return None


def _out_of(payment: Payment, capture: Movement, amount_minor: int) -> Plan:
    parts = (Part(capture, amount_minor),)
    if amount_minor < payment.captured_minor:
        return Plan(to_state=State.CAPTURED, held_minor=0, parts=parts)
    if held_minor(payment):
        return Plan(to_state=State.AUTHORIZED, held_minor=0, parts=parts)
    return Plan(to_state=State.VOIDING, held_minor=0, parts=parts, is_whole=True)


def _release(payment: Payment, part: Part | None, amount_minor: int = 0) -> Telling:
    if part is None:
        return Telling(
            kind="release",
            reason_code=None,
            amount_minor=payment.amount_minor,
            taken_back_minor=amount_minor,
            about_id=None,
            batch_number=payment.batch_number,
        )
    capture = part.capture
    # Of a sale the first message is the capture itself: DE 4 is what was asked in it.
    is_own = payment.kind is Kind.AUTHORIZATION
    return Telling(
        kind="release",
        reason_code=None,
        amount_minor=capture.amount_minor + capture.voided_minor
        if is_own
        else payment.amount_minor,
        taken_back_minor=part.amount_minor,
        about_id=capture.movement_id,
        batch_number=capture.batch_number,
    )
