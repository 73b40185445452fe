"""
What is done with a payment from its page: by the same use cases as through the API, once a form.

A form carries a key of its own: sent twice, it does once. Giving back more than the merchant's
limit, at once or bit by bit, takes a person who has just proved anew who they are.
"""

from collections.abc import Callable, Coroutine
from types import MappingProxyType
from typing import Any

from starlette.exceptions import HTTPException
from starlette.responses import Response

from counterfoil import ids
from counterfoil.amounts import amount_or_fault
from counterfoil.money import amount_text, currency
from counterfoil.payments import acknowledge as acknowledging
from counterfoil.payments import movements
from counterfoil.payments.commands import TRY_AGAIN
from counterfoil.payments.lifecycle import State
from counterfoil.payments.payment import Payment, held_minor
from counterfoil.payments.refusals import (
    AmountTooLarge,
    KeyFenced,
    KeyReused,
    NothingWritten,
    NotNow,
    RefusedBefore,
)
from counterfoil.people.roles import Right
from counterfoil.store.giving import Given, GivingStore
from counterfoil.web import session
from counterfoil.web.astray import holds_card
from counterfoil.web.interrupted import to_step_up
from counterfoil.web.just_done import lead_to
from counterfoil.web.payment import KEY, payment_of, shown, was_sent
from counterfoil.web.visit import Endpoint, Page, Visit

_ANEW = "look at how the payment stands; what is still possible has its button here"
# What refusals say to programs, of keys, for who has only sent a form again.
AGAIN = MappingProxyType(
    {
        RefusedBefore: f"this form was sent before and refused, and nothing was done now: {_ANEW}",
        KeyReused: "this form was used for something else before, and nothing was done now: "
        f"{_ANEW}",
        KeyFenced: f"this form can be used no more, and nothing was done: {_ANEW}",
    }
)
TOO_MUCH = "that is more than is left"

Move = Callable[[movements.Command, Any], Coroutine[Any, Any, movements.Done]]


def _moves(name: str, move: Move) -> Endpoint:
    """
    Return the endpoint that lets *move* happen once, with the amount of the form.
    """

    async def endpoint(visit: Visit) -> Response:
        payment, text = await payment_of(visit), visit.form.get("amount", "").strip()
        most = _most(payment, name)
        unit = currency(payment.currency)
        minor = amount_or_fault(text, unit, most_minor=most) if text else None
        if isinstance(minor, str):
            typed = "" if holds_card(text) else text
            return await shown(visit, payment, status=422, fault=(name, typed, minor))
        key = _key(visit)
        gives = name in ("refund", "undo") and not await was_sent(visit, key)
        if gives and await must_step_up(visit, payment, minor, key):
            if minor and minor > most:
                said = _too_much(name, payment, most)
                return await _refused(visit, payment, name, text, said)
            return to_step_up(_path(payment), {"do": name, "amount": text}, key=key)
        command = movements.Command(
            merchant=visit.who.merchant,
            payment_id=payment.payment_id,
            idempotency_key=key,
            amount_minor=minor,
            actor=visit.who.actor,
            is_final=visit.form.get("final") == "yes",
        )
        desk = visit.desk.desk
        try:
            await desk.money_task(move(command, desk.road))
        except (NotNow, KeyReused, KeyFenced, NothingWritten) as refusal:
            return await _not_done(visit, name, text, refusal)
        return lead_to(_path(payment), name)

    return endpoint


async def must_step_up(visit: Visit, payment: Payment, minor: int | None, form: str) -> bool:
    """
    Whether giving *minor* of *payment* back (None: all that is left) takes a proof of who one is:
    what went back of it before counts too.
    """
    left = _left(payment)
    gives = left if minor is None else min(minor, left)  # More is refused in words of its own.
    return await is_too_much(visit, gives, payment.currency, form, before=payment.refunded_minor)


async def is_too_much(visit: Visit, minor: int, code: str, form: str, *, before: int = 0) -> bool:
    """
    Whether giving *minor* by *form* takes a proof of who one is: with *before*, or with what the
    person gave within a day without one, it is more than the merchant lets them. If not, it is
    counted.
    """
    who, now = visit.who, visit.desk.clock.now()
    if minor <= 0 or session.is_stepped_up(who, now):
        return False
    limit = who.step_up_whole * 10 ** currency(code).exponent
    if before + minor > limit:
        return True
    given = Given(
        merchant_id=who.merchant.merchant_id,
        user_id=who.user_id,
        form=form,
        currency=code,
        amount_minor=minor,
    )
    return not await GivingStore(visit.desk.database).give_unproved(given, limit, now)


async def _not_done(visit: Visit, name: str, text: str, refusal: Exception) -> Response:
    """
    Show the payment as it stands by now, with the reason at the form; its next key is a new one.
    """
    payment = await payment_of(visit)
    said = AGAIN.get(type(refusal), f"{refusal}".replace(TRY_AGAIN, "try again in a moment"))
    if isinstance(refusal, AmountTooLarge):  # Its words are a program's; these say what to write.
        said = _too_much(name, payment, refusal.most_minor)
        if refusal.is_whole:
            most = amount_text(refusal.most_minor, payment.currency)
            said = f"it is taken back whole: write {most}, or leave it empty"
    return await _refused(visit, payment, name, text, said)


def _too_much(name: str, payment: Payment, most_minor: int) -> str:
    if not most_minor:
        return "that is more than is left: nothing is left of it"
    more = "that is more than can be voided at once" if name == "void" else TOO_MUCH
    return f"{more}: write at most {amount_text(most_minor, payment.currency)}"


async def _refused(visit: Visit, payment: Payment, name: str, text: str, said: str) -> Response:
    words = f"{said[:1].upper()}{said[1:]}."
    return await shown(visit, payment, status=409, fault=(name, text, words))


async def acknowledge(visit: Visit) -> Response:
    """
    Claim an approval that nobody has claimed.
    """
    payment, road, who = await payment_of(visit), visit.desk.desk.road, visit.who
    await note_finishing(visit, payment, "approval_claimed")
    work = acknowledging.acknowledge(
        who.merchant,
        payment.payment_id,
        session_id=f"web:{who.session_id.hex}",
        actor=who.actor,
        road=road,
    )
    return await _decided(visit, payment, "acknowledge", work)


async def refuse(visit: Visit) -> Response:
    """
    Turn an approval down: it is reversed at once.
    """
    payment, road, who = await payment_of(visit), visit.desk.desk.road, visit.who
    await note_finishing(visit, payment, "approval_refused")
    work = acknowledging.refuse(who.merchant, payment.payment_id, actor=who.actor, road=road)
    return await _decided(visit, payment, "refuse", work)


async def note_finishing(visit: Visit, payment: Payment, what: str) -> None:
    """
    Add to the list of changes that somebody sets out to claim or refuse an approval. The payment's
    own history says what came of it, in the same statement as that.
    """
    if payment.state is not State.APPROVED:
        return
    about = ids.written(ids.PAYMENT, payment.payment_id)
    await visit.desk.people.note(visit.who, visit.desk.clock.now(), what, about=about)


async def _decided(
    visit: Visit, payment: Payment, done: str, work: Coroutine[Any, Any, Payment]
) -> Response:
    """
    Lead back to where the form was: the payment's page, or the list of what waits.
    """
    try:
        await visit.desk.desk.money_task(work)
    except NotNow as refusal:
        return await _not_done(visit, done, "", refusal)
    if visit.form.get("back") == "attention":
        return lead_to("/attention", done)
    return lead_to(_path(payment), done)


def _most(payment: Payment, name: str) -> int:
    """
    Return how much is left for what is asked: of the hold, of what was taken, or of both.
    """
    held, left = held_minor(payment), _left(payment)
    return {"capture": held, "refund": left}.get(name, held + left)


def _left(payment: Payment) -> int:
    return payment.captured_minor - payment.refunded_minor


def _path(payment: Payment) -> str:
    return f"/payments/{ids.written(ids.PAYMENT, payment.payment_id)}"


def _key(visit: Visit) -> str:
    key = visit.form.get("key", "")
    if not KEY.fullmatch(key):
        raise HTTPException(400, "This form has no key. Nothing was done: go back and reload.")
    return key


def _page(name: str, endpoint: Endpoint, right: Right) -> Page:
    return Page(
        path=f"/payments/{{payment_id}}/{name}", endpoint=endpoint, right=right, method="POST"
    )


PAGES = (
    _page("capture", _moves("capture", movements.capture), Right.REFUND),
    _page("void", _moves("void", movements.void), Right.REFUND),
    _page("refund", _moves("refund", movements.refund), Right.REFUND),
    _page("undo", _moves("undo", movements.undo), Right.REFUND),
    _page("acknowledge", acknowledge, Right.FINISH),
    _page("refuse", refuse, Right.FINISH),
)
