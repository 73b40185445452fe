"""
The road of a payment as people read it: each step with its time, who did it, what was said.
"""

import json
from collections import Counter
from datetime import datetime
from functools import cache
from itertools import groupby
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import asyncpg
import msgspec

from counterfoil.config import Configuration
from counterfoil.money import amount_text
from counterfoil.network.dialect import DEFAULT_DIALECT, load_dialect
from counterfoil.network.response_codes import meaning
from counterfoil.payments.lifecycle import Cause, State
from counterfoil.payments.payment import Change, Movement, Payment
from counterfoil.terminal.sale import is_question
from counterfoil.web.actors import by_whom

RESPONSE_CODE = "39"
MESSAGES = {
    "0100": "Authorization request",
    "0110": "Answer to the authorization",
    "0120": "Authorization advice",
    "0130": "Answer to the authorization advice",
    "0200": "Financial request",
    "0210": "Answer to the request",
    "0220": "Advice",
    "0230": "Answer to the advice",
    "0320": "Item of the batch",
    "0330": "Answer about the item",
    "0400": "Reversal",
    "0410": "Answer to the reversal",
    "0420": "Reversal advice",
    "0430": "Answer to the reversal advice",
}
STEPS = {
    Cause.REQUESTED: "{amount} was asked for",
    Cause.TRIED_AGAIN: "It was tried again",
    Cause.ASKED_AGAIN: "The acquirer was busy, and was asked once more",
    Cause.SCREENED: "Your own rules stopped it",
    Cause.ISSUER_APPROVED: "The card's issuer approved it",
    Cause.ISSUER_DECLINED: "The card's issuer declined it",
    Cause.ISSUER_VERIFIED: "The card's issuer says that the card is good",
    Cause.NOTHING_WRITTEN: "Nothing was sent: the acquirer could not be reached",
    Cause.ANSWER_MISSING: "No answer came in time, so it is taken back",
    Cause.ANSWER_BAD: "The answer could not be right, so it is taken back",
    Cause.APPROVED_LATE: "The acquirer approved it late, so it is taken back once more",
    Cause.PROCESS_ENDED: "The program ended before the answer came, so it is taken back",
    Cause.ACKNOWLEDGED: "It was claimed, and counts",
    Cause.UNCLAIMED: "Nobody claimed it in time, so it is taken back",
    Cause.REFUSED: "It was refused here, so it is taken back",
    Cause.CAPTURED: "{moved} was captured",
    Cause.CAPTURED_FINAL: "{moved} was captured, and the rest of the hold let go",
    Cause.VOIDED: "{moved} was voided",
    Cause.REFUNDED: "{moved} was refunded",
    Cause.EXPIRED: "The hold lapsed: what was still held is let go",
    Cause.CAPTURE_REFUSED: "The acquirer refused to capture {moved}",
    Cause.REFUND_REFUSED: "The acquirer refused to refund {moved}",
    Cause.REFUND_AGAIN: "The refund of {moved} is asked for again",
    Cause.RETURNED_OUTSIDE: "{moved} went back in another way",
    Cause.HOST_BATCH_CLOSED: "The acquirer had closed its batch already",
    Cause.KEPT_BY_A_PERSON: "A person decided that it stands",
}
ACCEPTED = {
    State.REVERSED: "The acquirer has taken it back: the card is not charged",
    State.VOIDED: "The acquirer has voided it: the card is not charged",
}
MOVED = {
    "pending": "The {kind} of {moved} waits for the batch",
    "batched": "The {kind} of {moved} went into the batch that was closed",
    "settled": "The {kind} of {moved} stands in the acquirer's report",
    "funded": "The {kind} of {moved} is in the bank",
    "done": "The acquirer has accepted the {kind} of {moved}",
    "undone": "The {kind} was taken out of the batch again",
    "failed": "The {kind} of {moved} failed",
}
_BAD = {
    Cause.SCREENED,
    Cause.ISSUER_DECLINED,
    Cause.NOTHING_WRITTEN,
    Cause.ANSWER_MISSING,
    Cause.ANSWER_BAD,
    Cause.APPROVED_LATE,
    Cause.PROCESS_ENDED,
    Cause.UNCLAIMED,
    Cause.CAPTURE_REFUSED,
    Cause.REFUND_REFUSED,
}
_GOOD = {Cause.ISSUER_APPROVED, Cause.ISSUER_VERIFIED, Cause.ACKNOWLEDGED}
_MAILS = {"owed": "waits to be mailed", "sent": "was mailed", "gave_up": "could not be mailed"}
_HOOKS = {"owed": "is to be told", "delivered": "was told", "gave_up": "could not be told"}
_MANY_HOOKS = {"owed": "are to be told", "delivered": "were told", "gave_up": "could not be told"}


class Field(msgspec.Struct, frozen=True):
    """
    One field of a masked message: its number, its name in the dialect's table, what it holds.
    """

    number: str
    name: str
    value: str


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """
    One step: when, what, by whom; how good it is; the fields of a message, if it is one; its parts,
    if it stands for several.

    `is_owed`: it is still to be done.
    """

    at: datetime
    words: str
    by: str | None = None
    tone: str = ""
    fields: tuple[Field, ...] = ()
    parts: "tuple[Step, ...]" = ()
    is_owed: bool = False


def changes_of(
    payment: Payment, history: list[Change], movements: list[Movement], names: dict[str, str]
) -> list[Step]:
    """
    Return what happened to *payment* and to its movements.
    """
    known = {each.movement_id: each for each in movements}
    return [
        Step(
            at=each.at,
            words=_words(payment, each, known),
            by=by_whom(each.actor, names.get(each.actor)),
            tone=_tone(payment, each),
        )
        for each in history
        if not _is_part_of_a_void(each)
    ]


def _is_part_of_a_void(change: Change) -> bool:
    """
    Return whether it is the capture that a void takes out of the batch: the void itself was told.
    """
    return change.cause == Cause.VOIDED and change.movement_state == "undone"


def _tone(payment: Payment, change: Change) -> str:
    if change.cause in _BAD:
        return "" if is_question(payment) else "bad"
    return "good" if change.cause in _GOOD else ""


def _words(payment: Payment, change: Change, movements: dict[UUID, Movement]) -> str:
    movement = movements.get(change.movement_id) if change.movement_id else None
    minor = movement.amount_minor + movement.voided_minor if movement else payment.amount_minor
    said = {
        "amount": amount_text(payment.amount_minor, payment.currency),
        "moved": amount_text(minor, payment.currency),
        "kind": movement.kind if movement else "payment",
    }
    if change.cause == Cause.HOST_ACCEPTED and change.to_state != change.from_state:
        return ACCEPTED.get(State(change.to_state), "The acquirer has accepted it")
    if change.cause == Cause.SCREENED and is_question(payment):
        return "It looked like a double: the terminal asked whether to charge again"
    if change.cause in STEPS:
        return STEPS[Cause(change.cause)].format(**said)
    if change.movement_state and movement:
        return MOVED[change.movement_state].format(**said)
    return "The acquirer has accepted it"


def messages_of(payment: Payment, rows: list[asyncpg.Record], names: dict[str, str]) -> list[Step]:
    """
    Return the messages to and from the acquirer, masked; *names* are those of the fields.
    """
    return [_message(payment, row, names) for row in rows]


def _message(payment: Payment, row: asyncpg.Record, names: dict[str, str]) -> Step:
    content: dict[str, str] = json.loads(row["content"])
    fields = tuple(
        Field(number, names.get(number, ""), value)
        for number, value in sorted(content.items(), key=lambda item: int(item[0]))
    )
    what = MESSAGES.get(row["mti"], "Message")
    is_sent = row["direction"] == "sent"
    code = "" if is_sent else content.get(RESPONSE_CODE, "")
    said = f": {code}, {_plain(code, payment.card_brand)}" if code else ""
    return Step(
        at=row["at"],
        words=f"{what} ({row['mti']}){said}",
        by=None if is_sent else "the acquirer",
        fields=fields,
    )


def _plain(code: str, brand: str) -> str:
    """
    Return what a response code says, as the middle of a sentence.
    """
    said = meaning(code, brand).merchant.partition(".")[0]
    return said[:1].lower() + said[1:]


def mails_of(rows: list[asyncpg.Record]) -> list[Step]:
    """
    Return what was mailed, to whom, and what is still owed.
    """
    return [
        Step(
            at=row["sent_at"] or row["created_at"],
            words=f"The {_mail(row['kind'])} {_MAILS[row['state']]} to {row['recipient']}",
            tone="bad" if row["state"] == "gave_up" else "",
            is_owed=row["state"] == "owed",
        )
        for row in rows
    ]


def _mail(kind: str) -> str:
    return "note for you" if kind == "mail_merchant" else "receipt"


def deliveries_of(rows: list[asyncpg.Record]) -> list[Step]:
    """
    Return which webhooks were told what: one step for each event, however many were told of it.
    """
    events = [list(told) for _, told in groupby(rows, key=lambda row: row["number"])]
    return [_delivery(told[0]) if len(told) == 1 else _deliveries(told) for told in events]


def _deliveries(rows: list[asyncpg.Record]) -> Step:
    """
    Return the step that stands for the deliveries of one event.
    """
    parts = tuple(_delivery(row) for row in rows)
    stand = Counter(row["state"] for row in rows)
    said = [
        f"{stand[state]} {_HOOKS[state] if stand[state] == 1 else many}"
        for state, many in _MANY_HOOKS.items()
        if stand[state]
    ]
    return Step(
        at=max(each.at for each in parts),
        words=f"{len(rows)} webhooks, {rows[0]['type']}: {', '.join(said)}",
        tone="bad" if any(each.tone for each in parts) else "",
        parts=parts,
        is_owed=any(each.is_owed for each in parts),
    )


def _delivery(row: asyncpg.Record) -> Step:
    tries = f", after {row['attempts']} tries" if row["attempts"] > 1 else ""
    return Step(
        at=row["ended_at"] or row["created_at"],
        words=f"{urlsplit(row['url']).netloc} {_HOOKS[row['state']]}: {row['type']}{tries}",
        tone="bad" if row["state"] == "gave_up" else "",
        is_owed=row["state"] == "owed",
    )


def in_order(*kinds: list[Step]) -> list[Step]:
    """
    Return all steps, oldest first; of the same moment in the order of *kinds*.
    """
    return sorted((each for kind in kinds for each in kind), key=lambda each: each.at)


def field_names(configuration: Configuration, acquirer: str) -> dict[str, str]:
    """
    Return the names of the fields of an acquirer's messages, by number.
    """
    dialects = {each.name: each.dialect for each in configuration.acquirer}
    return _names_in(dialects.get(acquirer, DEFAULT_DIALECT))


@cache
def _names_in(dialect: str) -> dict[str, str]:
    table: dict[int, Any] = dict(load_dialect(dialect).table)
    return {str(number): spec.name for number, spec in table.items()}
