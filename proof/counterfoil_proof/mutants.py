"""
Deliberate faults of the product, one line each, put in from outside: every one must be caught.

A proof that never fails proves nothing. `armed(name)` changes one named query, function or class
for as long as the context lasts; the shipped code knows nothing of it.
"""

import contextlib
import math
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
from counterfoil.events import webhooks
from counterfoil.network import mux
from counterfoil.network.link import AcquirerLink
from counterfoil.network.outcome import NotSent
from counterfoil.payments import advices, authorize, commands, recovery, screening
from counterfoil.payments.conclude import conclude
from counterfoil.payments.lifecycle import Cause, State
from counterfoil.routing.health import Breaker
from counterfoil.routing.routes import Routes
from counterfoil.store import queries
from counterfoil.store.advices import TAKING_BACK
from counterfoil.store.payments import PaymentStore
from counterfoil_rail.books import Books

from counterfoil_proof.simulate import stories
from counterfoil_proof.simulate.race import refunds_at_once
from counterfoil_proof.world.server import Server
from counterfoil_proof.world.shop import Shop
from counterfoil_proof.world.story import Violation

Undo = Callable[[], None]
Proof = Callable[[Server], list[Violation]]


class Mutant(msgspec.Struct, frozen=True, kw_only=True):
    """
    One fault.

    Attributes:
        says: What is wrong, in words.
        arm: Puts it in, and returns what takes it out again.
        seed: The simulated day that catches it.
        proof: What catches it where no simulated day does: a race, or a story of its own.
    """

    name: str
    says: str
    arm: Callable[[], Undo]
    seed: int | None = None
    proof: Proof | None = None


@contextlib.contextmanager
def armed(name: str | None) -> Iterator[None]:
    """
    Have the mutant called *name* in the product for as long as the context lasts; None: nothing.

    Raises:
        KeyError: There is no such mutant.
    """
    undo = BY_NAME[name].arm() if name is not None else None
    try:
        yield
    finally:
        if undo is not None:
            undo()


def reworded(query: str, before: str, after: str) -> Undo:
    """
    Change the text of a named query, in the one place where it stands.
    """
    texts = queries._all()
    text = texts[query]
    assert text.count(before) == 1, f"{query} reads otherwise now: name what to change anew"
    texts[query] = text.replace(before, after)

    def undo() -> None:
        texts[query] = text

    return undo


def replaced(place: Any, name: str, value: Any) -> Undo:
    """
    Put something else in the place of a function or class.
    """
    before = getattr(place, name)
    setattr(place, name, value)
    return lambda: setattr(place, name, before)


def all_of(*undo: Undo) -> Undo:
    """
    Return what takes several changes back.
    """

    def every() -> None:
        for each in undo:
            each()

    return every


async def _as_if_intended(*_: Any) -> State:
    return State.PROCESSING


async def _none_found(*_: Any) -> int:
    return 0


def _unlimited(*arguments: Any, **options: Any) -> Any:
    return _REQUEST(*arguments, **{**options, "send_before": math.inf})


_REQUEST = AcquirerLink.request


def _declined(*arguments: Any) -> Any:
    made = conclude(*arguments)
    if made.cause is not Cause.ANSWER_MISSING:
        return made
    return msgspec.structs.replace(made, to_state=State.DECLINED)


async def _never_seen(store: PaymentStore, merchant_id: Any, key: str, _: Any) -> bool:
    return await store.key(merchant_id, key) is None


async def _charge_anew(shop: Shop) -> None:
    for order in [each for each in shop.orders.values() if each.status in ("open", "unknown")]:
        order.key, order.status = f"{order.key}-again", "open"
        await shop._buy(order)


def _no_refusals(*_: Any, **__: Any) -> tuple[()]:
    return ()


def _forgotten(*_: Any, **__: Any) -> None:
    """
    Nothing is written down.
    """


async def _only_said(refusal: Exception, *_: Any) -> Any:
    raise refusal


def _believing(advice: Any, code: str, now: Any) -> str | None:
    is_denied = code == "25" and advice.kind in TAKING_BACK
    return "accepted" if is_denied else _VERDICT(advice, code, now)


_VERDICT = advices.verdict


def _whoever_ends(breaker: Breaker, ask: Any, outcome: Any, now: float) -> None:
    _TOLD(breaker, breaker._probe or ask, outcome, now)


_TOLD = Breaker.told


def _room_for_all(*_: Any) -> int:
    return 10_000


MUTANTS = (
    Mutant(
        name="skip_intent_commit",
        says="The request is sent without its intent being committed.",
        seed=1,
        arm=lambda: replaced(PaymentStore, "intend", _as_if_intended),
    ),
    Mutant(
        name="forget_reversal",
        says="An outcome that nobody knows owes no reversal.",
        seed=1,
        arm=lambda: reworded("conclude", "WHERE state = 'reversing'", "WHERE false"),
    ),
    Mutant(
        name="acknowledge_without_guard",
        says="An acknowledgment counts in whatever state, at whatever time.",
        seed=1,
        arm=lambda: reworded(
            "acknowledge", "AND p.state = (SELECT 'approved') AND i.at < p.acknowledge_by", ""
        ),
    ),
    Mutant(
        name="send_after_deadline",
        says="A request whose send deadline has passed is sent all the same.",
        seed=13,
        arm=lambda: replaced(AcquirerLink, "request", _unlimited),
    ),
    Mutant(
        name="drop_outbox_row",
        says="The customer's e-mail is not owed with the acknowledgment.",
        seed=1,
        arm=lambda: reworded(
            "acknowledge", "WHERE o.recipient IS NOT NULL", "WHERE o.kind = 'mail_merchant'"
        ),
    ),
    Mutant(
        name="reuse_stan",
        says="Two processes lease the same range of trace numbers.",
        seed=1,
        arm=lambda: reworded(
            "lease_stans", "SET next_stan = c.next_stan + $5", "SET next_stan = c.next_stan"
        ),
    ),
    Mutant(
        name="refund_without_lock",
        says="A refund reads the payment without locking it first.",
        proof=refunds_at_once,
        arm=lambda: all_of(
            reworded("lock_payments", "FOR NO KEY UPDATE OF p", ""),
            reworded("refund", "FOR NO KEY UPDATE OF p", ""),
        ),
    ),
    Mutant(
        name="close_batch_twice",
        says="A batch that is closed is due again.",
        seed=1,
        arm=lambda: all_of(
            reworded("due_batches", "IN ('closing',", "IN ('closed', 'closing',"),
            reworded("claim_batch", "IN ('closing',", "IN ('closed', 'closing',"),
            reworded("batch_closed", "next_try_at = NULL", "next_try_at = $6"),
        ),
    ),
    Mutant(
        name="repeat_what_was_refused",
        says="A close that was refused is retried under the trace numbers that were refused.",
        seed=26,
        arm=lambda: reworded(
            "retry_batch", "COALESCE(m.response_code NOT IN ('00', '94'), false)", "false"
        ),
    ),
    Mutant(
        name="trust_late_approval",
        says="An approval that comes when the reversal has begun makes a payment of it.",
        seed=1,
        arm=lambda: reworded(
            "conclude",
            "p.state = (SELECT 'processing')",
            "p.state IN ('processing', 'reversing')",
        ),
    ),
    Mutant(
        name="boot_without_sweep",
        says="Nobody looks for intents whose process has ended.",
        seed=8,
        arm=lambda: replaced(recovery, "_orphaned", _none_found),
    ),
    Mutant(
        name="timeout_is_a_decline",
        says="No answer is taken for a no.",
        seed=1,
        arm=lambda: replaced(authorize, "conclude", _declined),
    ),
    Mutant(
        name="unknown_is_not_sent",
        says="What was written and not answered is said to have never been sent.",
        seed=1,
        arm=lambda: replaced(mux, "OutcomeUnknown", NotSent),
    ),
    Mutant(
        name="new_key_after_a_crash",
        says="A shop that comes back charges its open orders anew, under new keys.",
        seed=4,
        arm=lambda: replaced(Shop, "_recover_once", _charge_anew),
    ),
    Mutant(
        name="rail_forgets_reversal",
        says="The acquirer forgets a reversal that came before its original.",
        seed=3,
        arm=lambda: replaced(Books, "bury", _forgotten),
    ),
    Mutant(
        name="fence_that_is_none",
        says="A key that was resolved before it was seen is not closed.",
        seed=1,
        arm=lambda: replaced(PaymentStore, "fence", _never_seen),
    ),
    Mutant(
        name="forget_capture",
        says="A capture is booked and never told the acquirer.",
        seed=1,
        arm=lambda: reworded("capture", "b.batch_number, 'owed',", "b.batch_number, 'accepted',"),
    ),
    Mutant(
        name="reverse_without_guard",
        says="The sweep reverses a payment whatever has become of it meanwhile.",
        seed=29,
        arm=lambda: reworded("reverse", "AND p.state = i.from_state", ""),
    ),
    Mutant(
        name="keep_what_the_rules_refuse",
        says="An approval with a wrong security code is kept against the merchant's rules.",
        seed=1,
        arm=lambda: replaced(screening, "_verification_refusals", _no_refusals),
    ),
    Mutant(
        name="serve_the_blocked",
        says="Nobody reads the block list.",
        seed=1,
        arm=lambda: replaced(screening, "judge", _no_refusals),
    ),
    Mutant(
        name="believe_a_refusal",
        says="An endpoint that answers 500 is noted as having taken the message.",
        seed=3,
        arm=lambda: replaced(webhooks, "TAKEN", range(200, 600)),
    ),
    Mutant(
        name="forget_a_hint",
        says="Some events are not owed to the endpoints that want to hear of them.",
        seed=3,
        arm=lambda: reworded(
            "number_events", "n.type = ANY(e.types))", "n.type = ANY(e.types)) AND n.number % 7 > 0"
        ),
    ),
    Mutant(
        name="skip_in_the_feed",
        says="A page of the feed leaves out the event after the number that was asked for.",
        seed=1,
        arm=lambda: reworded("feed_page", "number > $2", "number > $2 + 1"),
    ),
    Mutant(
        name="refuse_without_claim",
        says="A refusal is said, and not kept under its key.",
        proof=stories.a_refusal_is_final,
        arm=lambda: replaced(commands, "_refused", _only_said),
    ),
    Mutant(
        name="believe_a_denial",
        says="An acquirer that says once that it does not know what it approved is believed.",
        proof=stories.a_denial_is_not_believed_at_once,
        arm=lambda: replaced(advices, "verdict", _believing),
    ),
    Mutant(
        name="forget_a_refused_refund",
        says="A refund that stands for a reversal is refused, and no person hears of it.",
        proof=stories.a_refused_refund_needs_a_person,
        arm=lambda: reworded("advice_answered", "AND c.idempotency_key IS NULL", "AND false"),
    ),
    Mutant(
        name="probe_without_identity",
        says="Whatever payment ends, a breaker takes it for the end of its probe.",
        proof=stories.one_probe_at_a_time,
        arm=lambda: replaced(Breaker, "told", _whoever_ends),
    ),
    Mutant(
        name="recover_all_at_once",
        says="What is owed after an outage is sent without the pace that was agreed.",
        proof=stories.what_is_owed_keeps_its_pace,
        arm=lambda: replaced(Routes, "owed_room", _room_for_all),
    ),
)

BY_NAME = {each.name: each for each in MUTANTS}
