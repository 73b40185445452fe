"""
Take a payment: commit the intent, ask the network, commit what it said.

Stands between the *order* that a client sent and the *acknowledgment* it owes. The
phases are short database transactions with the network between them; nothing goes
out before the row that says so is durable, and nothing is answered before either
(DESIGN.md 5.1). A payment asked for twice is answered from the first one.
"""

import asyncio
from datetime import timedelta

import msgspec
import structlog

from counterfoil.cards import brand
from counterfoil.logs import bound
from counterfoil.network import requests
from counterfoil.network.message import MessageError
from counterfoil.network.outcome import Answered, NotSent, Outcome
from counterfoil.network.response_codes import APPROVALS, ask_again
from counterfoil.payments.conclude import conclude, private_data
from counterfoil.payments.lifecycle import Kind, State, check_move
from counterfoil.payments.order import MTI, Order
from counterfoil.payments.payment import Payment
from counterfoil.payments.plan import Begun, Plan, another_try, intent, plan_at, second_intent
from counterfoil.payments.refusals import (
    CreditsNotAllowed,
    KeyFenced,
    KeyReused,
    NothingWritten,
    NoTraceNumbers,
    OutcomeNotStored,
)
from counterfoil.payments.road import Road
from counterfoil.payments.screening import judge_answer, screen
from counterfoil.routing.routes import LinkDown, NoRoute, Route
from counterfoil.routing.rules import BIN_DIGITS, Wanted
from counterfoil.store.database import DatabaseAway
from counterfoil.store.writer import QueueFull

BATCH_TRIES_MAX = 5
ROUTE_TRIES_MAX = 3  # Acquirers for one request, each only if nothing was written to the last.
TERMINALS_USED_UP_MAX = 20  # Without trace numbers, that one request passes by.
RETRY_SOON_SECONDS = 2

log = structlog.get_logger("payments")


class Taken(msgspec.Struct, frozen=True):
    """
    The payment, and whether this request was the one that made it.
    """

    payment: Payment
    first: bool


async def take_payment(order: Order, road: Road) -> Taken:
    """
    Take the payment of *order*, once for each idempotency key.

    Raises:
        KeyReused: The key belongs to another request.
        KeyFenced: The key was resolved before it was seen.
        NothingWritten: No byte was sent; the same key may be tried again. DoorsClosed says why
            no new payment is taken at all.
        NoRoute: The merchant has no terminal.
        CreditsNotAllowed: The operator has not allowed this merchant to give credits.
        DatabaseAway: The intent is in doubt; nothing was sent, ask again under the same key.
        OutcomeNotStored: It was sent, and what came of it is not durable; ask again.
    """
    card = road.vault.fingerprint(order.card.number, order.merchant.merchant_id)
    fingerprint = request_fingerprint(order, road, card)
    refusal: NothingWritten | NoRoute | CreditsNotAllowed
    try:
        return await _take(order, fingerprint, card, road)
    except LinkDown as error:
        refusal = NothingWritten(str(error), retry_after_seconds=RETRY_SOON_SECONDS)
    except (NothingWritten, NoRoute, CreditsNotAllowed) as error:
        refusal = error
    # Whatever stands in the way of a new payment: a key that was used is answered from its own.
    payment = await known_payment(order, fingerprint, road)
    if payment is None or payment.state is State.NOT_SENT:
        raise refusal
    return Taken(payment, first=False)


async def _take(order: Order, fingerprint: bytes, card: bytes, road: Road) -> Taken:
    """
    Screen it, then take it. All tries share one send deadline: a request that cannot be out in
    time is not sent at all.
    """
    road.doors.let_in()
    if order.kind is Kind.CREDIT and not order.merchant.credits_allowed:
        raise CreditsNotAllowed(
            "this merchant may not give credits without a payment: refund the payment instead, or "
            "have the operator allow credits (`merchant set --credits-allowed`)"
        )
    begun = Begun(
        fingerprint=fingerprint,
        send_before=road.clock.monotonic() + road.timers.send_seconds,
        send_by=road.clock.now() + timedelta(seconds=road.timers.send_seconds),
        screened=await screen(order, card, road),
    )
    return await _take_somewhere(order, begun, road)


async def _take_somewhere(order: Order, begun: Begun, road: Road) -> Taken:
    """
    Take it at one acquirer, or at another as long as nothing was written to the one before.

    A terminal that has no trace numbers left is passed by like an acquirer that got nothing.
    """
    number = order.card.number
    wanted = Wanted(brand(number), number[:BIN_DIGITS], order.currency.code)
    passed_by: list[str] = []
    used_up: list[tuple[str, str]] = []
    refusal: NoTraceNumbers | None = None
    while (
        len(passed_by) < ROUTE_TRIES_MAX
        and len(used_up) < TERMINALS_USED_UP_MAX
        and road.clock.monotonic() < begun.send_before
    ):
        try:
            route = await road.routes.choose(order.merchant, wanted, passed_by, used_up)
        except LinkDown:
            if passed_by or used_up:
                break
            raise
        try:
            taken = await _take_by(route, order, begun, road)
        except NoTraceNumbers as error:
            used_up.append((route.station.acquirer, route.station.terminal_id))
            refusal = error
            continue
        finally:  # Also when it was refused before the network, known already, or cancelled.
            road.routes.abandoned(route)
        if taken.payment.state is not State.NOT_SENT:
            return taken
        passed_by.append(route.station.acquirer)
    raise refusal or NothingWritten(
        "the acquirer could not be reached in time; nothing was sent",
        retry_after_seconds=RETRY_SOON_SECONDS,
    )


async def _take_by(route: Route, order: Order, begun: Begun, road: Road) -> Taken:
    for _ in range(BATCH_TRIES_MAX):
        plan = await plan_at(route, order, begun, road)
        with bound(payment=plan.payment_id.hex, acquirer=route.station.acquirer):
            if taken := await _take_as(plan, order, road):
                return taken
        road.batches.forget(*plan.batch_key(order))
    raise NothingWritten(
        "the batch is being closed, or the same order is paid meanwhile under another key",
        retry_after_seconds=RETRY_SOON_SECONDS,
    )


async def _take_as(plan: Plan, order: Order, road: Road) -> Taken | None:
    """
    Take it as *plan* says; None when its batch is closed meanwhile: plan again.
    """
    if intended := await _intend(order, plan, road):
        return Taken(await _intended(intended, order, plan, road), first=True)
    use = await road.store.key(order.merchant.merchant_id, order.idempotency_key)
    if use is None:
        return None
    if use.payment_id == plan.payment_id:
        state = (await _read(plan, order, road)).state
        return Taken(await _intended(state, order, plan, road), first=True)
    return await _repeat(order, plan, road)


async def _intended(state: State, order: Order, plan: Plan, road: Road) -> Payment:
    """
    Ask for what was intended; what screening has refused is answered from its row.
    """
    if state is State.PROCESSING:
        return await _ask(order, plan, road)
    payment = await _read(plan, order, road)
    log.info("payment.screened", payment=payment.payment_id.hex, results=payment.screening)
    return payment


def request_fingerprint(order: Order, road: Road, card: bytes | None = None) -> bytes:
    """
    Return what makes two requests the same: everything but the security code, keyed.

    Of the card its fingerprint, which is made here unless it is known.
    Keys never expire: what a kind of payment said before, its repeat must still say.
    """
    if card is None:
        card = road.vault.fingerprint(order.card.number, order.merchant.merchant_id)
    said: tuple[object, ...] = (
        order.kind,
        order.amount_minor,
        order.currency.code,
        card.hex(),
        order.card.expiry_month,
        order.card.expiry_year,
        order.order_number,
        order.description,
        order.customer_email,
        order.postal_code,
        order.street,
    )
    if order.voice_approval_code is not None:
        said += (order.voice_approval_code,)
    return road.vault.keyed_digest(
        b"request", order.merchant.merchant_id, msgspec.json.encode(said)
    )


async def _intend(order: Order, plan: Plan, road: Road) -> State | None:
    step = intent(order, plan, road)
    began = road.clock.monotonic()
    try:
        won = await road.store.intend(step)
    except QueueFull as error:
        raise NothingWritten(str(error), retry_after_seconds=RETRY_SOON_SECONDS) from error
    log.debug(
        "payment.intended",
        payment=plan.payment_id.hex,
        rrn=plan.trace.rrn,
        won=won is not None,
        milliseconds=_since(began, road),
    )
    return won


def _since(began: float, road: Road) -> float:
    return round((road.clock.monotonic() - began) * 1000, 1)


async def _repeat(order: Order, plan: Plan, road: Road) -> Taken | None:
    """
    Answer a key that was seen before; try again what was never sent.

    None: the batch of this try was closed meanwhile.
    """
    payment = await known_payment(order, plan.begun.fingerprint, road)
    if payment is None:
        raise NothingWritten("the key's payment is being made", retry_after_seconds=1)
    if payment.state is not State.NOT_SENT:
        return Taken(payment, first=False)
    plan = msgspec.structs.replace(plan, payment_id=payment.payment_id)
    step = second_intent(order, plan, road)
    check_move(payment.state, State.DECLINED if step.refused else State.PROCESSING)
    if intended := await road.store.intend_again(step):
        return Taken(await _intended(intended, order, plan, road), first=True)
    payment = await _read(plan, order, road)
    if payment.changed_by == step.event_id:  # The COMMIT was in doubt, and it was ours.
        return Taken(await _intended(payment.state, order, plan, road), first=True)
    return None if payment.state is State.NOT_SENT else Taken(payment, first=False)


async def known_payment(order: Order, fingerprint: bytes, road: Road) -> Payment | None:
    """
    Return the payment already made under the order's key, or None.

    Raises:
        KeyReused: The key belongs to another request.
        KeyFenced: The key was resolved before it was seen.
    """
    merchant_id = order.merchant.merchant_id
    use = await road.store.key(merchant_id, order.idempotency_key)
    if use is None:
        return None
    if use.operation == "fence":
        raise KeyFenced("this key was resolved before it was seen; charge anew under a new key")
    if use.operation != "payment" or use.fingerprint != fingerprint:
        raise KeyReused("this idempotency key was used for another request")
    assert use.payment_id is not None
    return await road.store.payment(merchant_id, use.payment_id)


async def _ask(order: Order, plan: Plan, road: Road) -> Payment:
    """
    Ask the acquirer, again if a technical "no" may be, and commit what came of it.
    """
    said: Answered | None = None
    outcome = await _request(order, plan, road)
    for asked in range(road.routes.settings.technical_retries_max):
        another = await _another(outcome, asked, order, plan, road)
        if another is None:
            break
        assert isinstance(outcome, Answered), "only an answer is followed by another try"
        plan, said = another, outcome
        outcome = await _request(order, plan, road)
    return await _conclude(outcome, order, plan, road, said=said)


async def _request(order: Order, plan: Plan, road: Road) -> Outcome:
    acquirer = plan.route.station.acquirer
    began = road.clock.monotonic()
    try:
        outcome = await plan.route.link.request(
            MTI[order.kind],
            plan.fields,
            send_before=plan.begun.send_before,
            answer_within=road.timers.answer_seconds,
        )
    except MessageError as error:
        log.error("message_not_encoded", payment=plan.payment_id.hex, reason=str(error))
        outcome = NotSent(str(error))
    road.routes.told(plan.route, outcome)
    road.measures.waited_for(acquirer, road.clock.monotonic() - began)
    if isinstance(outcome, Answered):
        road.measures.answers.add(acquirer, outcome.response_code)
    return outcome


async def _another(
    outcome: Outcome, asked: int, order: Order, plan: Plan, road: Road
) -> Plan | None:
    """
    Commit a technical "no" together with another try, and return that; None: it was the last.

    The new request must be out before the first one's send deadline, so that the whole time
    for its answer is left.
    """
    if not isinstance(outcome, Answered):
        return None
    if outcome.response_code in APPROVALS:
        return None
    advised = private_data(outcome.fields).get(requests.TAG_ADVICE)
    rule = ask_again(outcome.response_code, brand(order.card.number), advised)
    if rule is None or asked >= rule.tries_max:
        return None
    if road.clock.monotonic() + rule.after_seconds >= plan.begun.send_before:
        return None
    await asyncio.sleep(rule.after_seconds)
    try:
        another = await plan_at(road.routes.again(plan.route), order, plan.begun, road)
        another = msgspec.structs.replace(another, payment_id=plan.payment_id)
        return another if await _committed(outcome, order, plan, another, road) else None
    except (NothingWritten, LinkDown, DatabaseAway, QueueFull) as error:
        log.warning("not_asked_again", payment=plan.payment_id.hex, reason=str(error))
        return None


async def _committed(answer: Answered, order: Order, plan: Plan, another: Plan, road: Road) -> bool:
    step = another_try(answer, order, plan, another, road)
    if await road.store.ask_again(step):
        return True
    road.batches.forget(*another.batch_key(order))
    payment = await _read(plan, order, road)
    return payment.changed_by == step.event_id  # The COMMIT was in doubt, and it was ours.


async def _conclude(
    outcome: Outcome, order: Order, plan: Plan, road: Road, *, said: Answered | None
) -> Payment:
    """
    Commit what became of the last try; one that was never sent leaves what was *said* before it.
    """
    if said is not None and isinstance(outcome, NotSent):
        conclusion = conclude(said, order, plan.payment_id, plan.trace, road)
        # The answer is kept already, beside the try that it answers.
        conclusion = msgspec.structs.replace(conclusion, mti=None, content=None)
    else:
        conclusion = conclude(outcome, order, plan.payment_id, plan.trace, road)
    conclusion = judge_answer(conclusion, plan.begun.screened, order)
    if conclusion.to_state is State.APPROVED and order.kind is Kind.AUTHORIZATION:
        until = conclusion.at + timedelta(days=plan.route.hold_days)
        conclusion = msgspec.structs.replace(conclusion, hold_until=until)
    check_move(State.PROCESSING, conclusion.to_state)
    began = road.clock.monotonic()
    try:
        concluded = await road.store.conclude(conclusion)
    except (DatabaseAway, QueueFull) as error:
        # The sweep will reverse it; until then it is processing, and nobody was told otherwise.
        log.error("outcome_not_stored", payment=plan.payment_id.hex, state=conclusion.to_state)
        raise OutcomeNotStored("the outcome is not durable yet") from error
    payment = concluded or await _read(plan, order, road)
    road.measures.payments.add(order.kind.value, payment.state.value)
    log.info(
        "payment.concluded",
        payment=plan.payment_id.hex,
        kind=order.kind,
        rrn=plan.trace.rrn,
        stan=plan.trace.stan,
        state=payment.state,
        response_code=payment.response_code,
        milliseconds=_since(began, road),
    )
    return payment


async def _read(plan: Plan, order: Order, road: Road) -> Payment:
    payment = await road.store.payment(order.merchant.merchant_id, plan.payment_id)
    assert payment is not None, "an intent that was committed cannot be gone"
    return payment
