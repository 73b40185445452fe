"""
One payment: how it stands, its whole road, where its money went, and what can be done with it now.
"""

import re
import secrets
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import msgspec
from starlette.responses import RedirectResponse, Response

from counterfoil import ids
from counterfoil.api.bodies import PaymentAnswer
from counterfoil.api.showing import show as show_answer
from counterfoil.money import amount_text, currency, decimal_text
from counterfoil.payments.lifecycle import State
from counterfoil.payments.payment import Movement, Payment
from counterfoil.payments.refusals import PaymentUnknown
from counterfoil.payments.screened import results_of
from counterfoil.people.roles import Right
from counterfoil.settlement.batch_names import written_name
from counterfoil.settlement.words import batch_name
from counterfoil.store.terminal import TerminalStore
from counterfoil.store.timeline import TimelineStore
from counterfoil.terminal.sale import Parts, is_question
from counterfoil.web import given, timeline
from counterfoil.web.interrupted import KEPT
from counterfoil.web.live_parts import RESTING_SECONDS, live_part
from counterfoil.web.rendering import page
from counterfoil.web.terminal_words import address_words, code_words
from counterfoil.web.visit import Page, Visit

LIVE_SECONDS = 3
JUST_NOW = timedelta(minutes=1)
MOVING = {State.PROCESSING, State.APPROVED, State.REVERSING, State.VOIDING}
KEY_BYTES = 16
KEY = re.compile(rf"web-[0-9a-f]{{{2 * KEY_BYTES}}}")
MOVEMENTS = {
    "pending": ("wait", "In the open batch"),
    "batched": ("", "In a closed batch"),
    "settled": ("good", "In the acquirer's report"),
    "funded": ("good", "In the bank"),
    "done": ("good", "Done"),
    "undone": ("", "Taken out again"),
    "failed": ("bad", "Refused"),
}
DONE = {
    "capture": "Captured.",
    "void": "Voided.",
    "refund": "The refund is on its way.",
    "undo": "It is taken back.",
    "acknowledge": "Claimed: it counts.",
    "refuse": "Refused: the card is not charged.",
}
CHECKED = {"refused": "stopped it", "reversed": "made it go back"}
# What each thing that can be done takes.
RIGHTS = {
    "acknowledge": Right.FINISH,
    "refuse": Right.FINISH,
    "capture": Right.REFUND,
    "void": Right.REFUND,
    "refund": Right.REFUND,
    "undo": Right.REFUND,
}


class Doing(msgspec.Struct, frozen=True, kw_only=True):
    """
    One thing that can be done now, as a form: with a key of its own, so that twice is once.
    """

    name: str
    key: str
    amount: str = ""
    fault: str | None = None
    is_open: bool = False


async def show(visit: Visit) -> Response:
    """
    The whole page; a form that a step-up has interrupted keeps its key, unless it was sent since.
    """
    payment = await payment_of(visit)
    if visit.asked(KEPT) and await was_sent(visit, visit.asked("key")):
        return RedirectResponse(visit.request.url.path, 303)
    return await shown(visit, payment)


async def was_sent(visit: Visit, key: str) -> bool:
    """
    Whether the form of this key came before: it gives nothing more, it is told what became of it.
    """
    road, merchant_id = visit.desk.desk.road, visit.who.merchant.merchant_id
    return await road.store.key(merchant_id, key) is not None


async def shown(
    visit: Visit, payment: Payment, *, status: int = 200, fault: tuple[str, str, str] | None = None
) -> Response:
    """
    Return the page of *payment*; *fault* is what was asked, the amount as written, and why not.
    """
    answer = await show_answer(payment, visit.desk.desk)
    facts = await _facts(visit, payment, answer)
    return page(
        visit,
        "payment.html",
        status=status,
        **facts,
        doings=_doings(visit, payment, answer, fault),
        trouble=fault[2] if fault else None,
        done=_done(visit.done, facts["movements"]),
    )


def _done(done: str, movements: list[dict[str, Any]]) -> str | None:
    """
    Return what was just done, in words; of a void also how much.
    """
    voids = [each["movement"] for each in movements if each["movement"].kind == "void"]
    if done != "void" or not voids:
        return DONE.get(done)
    last = voids[-1]
    return f"Voided: {amount_text(last.amount_minor, last.currency)}."


async def live(visit: Visit) -> Response:
    """
    Only what changes by itself, for the page that looks again.
    """
    payment = await payment_of(visit)
    answer = await show_answer(payment, visit.desk.desk)
    return live_part(visit, "payment-live.html", **await _facts(visit, payment, answer))


async def payment_of(visit: Visit) -> Payment:
    """
    Return the payment that the path names.

    Raises:
        PaymentUnknown: This merchant has no such payment.
    """
    try:
        payment_id = ids.read(ids.PAYMENT, visit.named("payment_id"))
    except ids.UnreadableId:
        raise PaymentUnknown("this merchant has no payment with this id") from None
    merchant_id = visit.who.merchant.merchant_id
    payment = await visit.desk.desk.road.store.payment(merchant_id, payment_id)
    if payment is None:
        raise PaymentUnknown("this merchant has no payment with this id")
    return payment


def _checks(payment: Payment, messages: list[asyncpg.Record]) -> list[dict[str, str]]:
    """
    Return what issuer and rules say of *payment*: how good it is, and what came of it if anything.
    """
    told = given.given_with(messages)
    tones = {"avs": address_words(payment, told), "cvv": code_words(payment, told)}
    found = []
    for each in given.in_words(results_of(payment), payment, told):
        tone = tones.get(each.rule) if each.result == "accepted" else ("bad", each.words)
        name, words = tone or ("", each.words)
        found.append({"tone": name, "words": words, "then": CHECKED.get(each.result, "")})
    return found


async def _facts(visit: Visit, payment: Payment, answer: PaymentAnswer) -> dict[str, Any]:
    store, now = visit.desk.desk.road.store, visit.desk.clock.now()
    more = TimelineStore(visit.desk.database, payment.merchant_id)
    movements, history = await store.movements(payment), await store.history(payment)
    terminal = TerminalStore(visit.desk.database, visit.desk.desk.road.ids)
    parts = await terminal.parts(payment.merchant_id, [payment])
    deposits = await more.deposits([each.movement_id for each in movements])
    names = await more.names({each.actor for each in history})
    fields = timeline.field_names(visit.desk.configuration, payment.acquirer)
    rows = await store.messages(payment)
    messages = timeline.messages_of(payment, rows, fields)
    steps = timeline.in_order(
        [each for each in messages if each.by],  # What was said comes before what it changed.
        timeline.changes_of(payment, history, movements, names),
        [each for each in messages if not each.by],
        timeline.mails_of(await more.mails(payment.payment_id)),
        timeline.deliveries_of(await more.deliveries(payment.payment_id)),
    )
    return {
        "payment": payment,
        "name": ids.written(ids.PAYMENT, payment.payment_id),
        "answer": answer,
        "parts": parts.get(payment.payment_id, Parts()),
        "checks": [] if is_question(payment) else _checks(payment, rows),
        "is_question": is_question(payment),
        "movements": [_movement(each, deposits) for each in movements],
        "steps": steps,
        "duplicate_of": _duplicate(payment),
        "now": now,
        "every": LIVE_SECONDS if _is_moving(payment, steps, now) else RESTING_SECONDS,
    }


def _is_moving(payment: Payment, steps: list[timeline.Step], now: datetime) -> bool:
    """
    Whether something is under way with *payment*, or was a moment ago.
    """
    return payment.state in MOVING or any(
        each.is_owed or each.at > now - JUST_NOW for each in steps
    )


def _movement(movement: Movement, deposits: dict[UUID, Any]) -> dict[str, Any]:
    """
    Return where a movement stands, with the batch and the deposit that it is in.
    """
    batch = (
        movement.acquirer,
        movement.terminal_id,
        movement.currency,
        movement.batch_number,
    )
    is_void = movement.kind == "void"
    tone, words = MOVEMENTS[movement.state]
    if is_void and movement.state == "pending":
        words = "Being told to the acquirer"
    deposit = deposits.get(movement.movement_id)
    return {
        "movement": movement,
        "tone": tone,
        "words": words,
        "batch": None if is_void or movement.state == "undone" else batch_name(*batch[1:]),
        "batch_path": written_name(*batch),
        "deposit": deposit["reference"] if deposit else None,
    }


def _duplicate(payment: Payment) -> str | None:
    return ids.written(ids.PAYMENT, payment.duplicate_of) if payment.duplicate_of else None


def _doings(
    visit: Visit, payment: Payment, answer: PaymentAnswer, fault: tuple[str, str, str] | None
) -> list[Doing]:
    """
    Return what is possible now and allowed to whoever looks; what went wrong stays open.
    """
    asked = fault or (visit.asked("do"), visit.asked("amount"), "")
    kept = "" if fault or not visit.asked(KEPT) else visit.asked("key")
    return [
        Doing(
            name=name,
            key=kept
            if name == asked[0] and KEY.fullmatch(kept)
            else f"web-{secrets.token_hex(KEY_BYTES)}",
            amount=asked[1] if name == asked[0] else _whole(name, payment, answer),
            fault=asked[2] or None if name == asked[0] else None,
            is_open=name == asked[0],
        )
        for name in answer.possible
        if visit.who.may(RIGHTS[name])
    ]


def _whole(name: str, payment: Payment, answer: PaymentAnswer) -> str:
    """
    Return the largest amount that can be asked for, as a person writes it; empty is everything.
    """
    minor = {
        "capture": answer.held_minor,
        "refund": payment.captured_minor - payment.refunded_minor,
    }.get(name)
    return "" if minor is None else decimal_text(minor, currency(payment.currency))


PAGES = (
    Page(path="/payments/{payment_id}", endpoint=show, right=Right.READ_PAYMENTS),
    Page(
        path="/payments/{payment_id}/live", endpoint=live, right=Right.READ_PAYMENTS, is_live=True
    ),
)
