"""
Take a payment: commit the intent, ask the network, commit what it said.

Stands between the *order* that a client sent and the *acknowledgment* it owes. The
phases are short database transactions with the network between them; nothing goes
out before the row that says so is durable, and nothing is answered before either
(DESIGN.md 5.1). A payment asked for twice is answered from the first one.
"""

from datetime import datetime, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec
import structlog

from counterfoil.cards import brand
from counterfoil.network import requests
from counterfoil.network.message import Fields, MessageError
from counterfoil.network.outcome import NotSent
from counterfoil.network.requests import Trace
from counterfoil.payments.conclude import conclude, shown
from counterfoil.payments.lifecycle import Kind, State, check_move
from counterfoil.payments.order import MTI, Order, message
from counterfoil.payments.payment import Merchant, Payment
from counterfoil.payments.refusals import (
    CreditsNotAllowed,
    KeyFenced,
    KeyReused,
    NothingWritten,
    OutcomeNotStored,
)
from counterfoil.payments.road import Road
from counterfoil.routing.routes import LinkDown, NoRoute, Route
from counterfoil.routing.rules import Wanted
from counterfoil.store.database import DatabaseAway
from counterfoil.store.numbers import TerminalUsedUp
from counterfoil.store.payments import Intent, SecondIntent, seal_columns
from counterfoil.store.writer import QueueFull

BATCH_TRIES_MAX = 5
ROUTE_TRIES_MAX = 3  # Acquirers for one request, each only if nothing was written to the last.
RETRY_SOON_SECONDS = 2
RETRY_LATER_SECONDS = 30

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
        NothingWritten: No byte was sent; the same key may be tried again.
        NoRoute: The merchant has no terminal.
        CreditsNotAllowed: The operator has not allowed this merchant to give credits.
        DatabaseAway: The intent is in doubt; nothing was sent, ask again under the same key.
        OutcomeNotStored: It was sent, and what came of it is not durable; ask again.
    """
    fingerprint = request_fingerprint(order, road)
    refusal: NothingWritten | NoRoute | CreditsNotAllowed
    try:
        return await _take(order, fingerprint, road)
    except LinkDown as error:
        refusal = NothingWritten(str(error), retry_after_seconds=RETRY_SOON_SECONDS)
    except (NothingWritten, NoRoute, CreditsNotAllowed) as error:
        refusal = error
    # Whatever stands in the way of a new payment: a key that was used is answered from its own.
    payment = await known_payment(order, fingerprint, road)
    if payment is None or payment.state is State.NOT_SENT:
        raise refusal
    return Taken(payment, first=False)


async def _take(order: Order, fingerprint: bytes, road: Road) -> Taken:
    """
    Take it at one acquirer, or at another as long as nothing was written to the one before.

    All tries share one send deadline: a request that cannot be out in time is not sent at all.
    """
    if order.kind is Kind.CREDIT and not order.merchant.credits_allowed:
        raise CreditsNotAllowed("this merchant may not give credits without a payment")
    until = _Until(
        road.clock.monotonic() + road.timers.send_seconds,
        road.clock.now() + timedelta(seconds=road.timers.send_seconds),
    )
    wanted = Wanted(brand(order.card.number), order.card.bin, order.currency.code)
    passed_by: list[str] = []
    while len(passed_by) < ROUTE_TRIES_MAX and road.clock.monotonic() < until.monotonic:
        try:
            route = await road.routes.choose(order.merchant, wanted, passed_by)
        except LinkDown:
            if passed_by:
                break
            raise
        taken = await _take_by(route, order, fingerprint, until, road)
        if taken.payment.state is not State.NOT_SENT:
            return taken
        passed_by.append(route.station.acquirer)
    raise NothingWritten(
        "the acquirer could not be reached in time; nothing was sent",
        retry_after_seconds=RETRY_SOON_SECONDS,
    )


async def _take_by(
    route: Route, order: Order, fingerprint: bytes, until: "_Until", road: Road
) -> Taken:
    for _ in range(BATCH_TRIES_MAX):
        plan = await _plan(order, route, until, road)
        if await _intend(order, fingerprint, plan, road):
            return Taken(await _ask(order, plan, road), first=True)
        use = await road.store.key(order.merchant.merchant_id, order.idempotency_key)
        if use is None:
            road.batches.forget(*plan.batch_key(order))
            continue
        if use.payment_id == plan.payment_id:
            return Taken(await _ask(order, plan, road), first=True)
        if taken := await _repeat(order, fingerprint, plan, road):
            return taken
        road.batches.forget(*plan.batch_key(order))
    raise NothingWritten("the batch is being closed", retry_after_seconds=RETRY_SOON_SECONDS)


def request_fingerprint(order: Order, road: Road) -> bytes:
    """
    Return what makes two requests the same: everything but the security code, keyed.

    Keys never expire: what a kind of payment said before, its repeat must still say.
    """
    card = road.vault.fingerprint(order.card.number, order.merchant.merchant_id).hex()
    said: tuple[object, ...] = (
        order.kind,
        order.amount_minor,
        order.currency.code,
        card,
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


class _Until(msgspec.Struct, frozen=True):
    """
    When the request must be out: for the wait, and for whoever reads the row.
    """

    monotonic: float
    at: datetime


class _Plan(msgspec.Struct, frozen=True, kw_only=True):
    """
    One try at the network: its trace, its batch, its message, when it must be out.
    """

    payment_id: UUID
    route: Route
    trace: Trace
    batch_number: int
    fields: Fields
    at: datetime
    until: _Until

    def batch_key(self, order: Order) -> tuple[UUID, str, str, str]:
        station = self.route.station
        merchant_id = order.merchant.merchant_id
        return merchant_id, station.acquirer, station.terminal_id, order.currency.code


async def _plan(order: Order, route: Route, until: _Until, road: Road) -> _Plan:
    station = route.station
    merchant_id = order.merchant.merchant_id
    try:
        batch_number = await road.batches.number(
            merchant_id, station.acquirer, station.terminal_id, order.currency.code
        )
        at = road.clock.now()
        stan = await road.stans.take(merchant_id, station.acquirer, station.terminal_id, at.date())
    except TerminalUsedUp as error:
        raise NothingWritten(str(error), retry_after_seconds=RETRY_LATER_SECONDS) from error
    trace = Trace(stan, at, local_time(at, order.merchant), requests.retrieval_reference(stan, at))
    fields = message(order, station, trace, batch_number)
    return _Plan(
        payment_id=road.ids.new(),
        route=route,
        trace=trace,
        batch_number=batch_number,
        fields=fields,
        at=at,
        until=until,
    )


def local_time(at: datetime, merchant: Merchant) -> str:
    """
    Return the merchant's local date and time as MMDDhhmmss (DE 13 and 12).
    """
    return at.astimezone(ZoneInfo(merchant.timezone)).strftime("%m%d%H%M%S")


async def _intend(order: Order, fingerprint: bytes, plan: _Plan, road: Road) -> bool:
    station = plan.route.station
    sealed = road.vault.seal(order.card, order.merchant.merchant_id)
    intent = Intent(
        merchant_id=order.merchant.merchant_id,
        payment_id=plan.payment_id,
        idempotency_key=order.idempotency_key,
        request_fingerprint=fingerprint,
        kind=order.kind,
        amount_minor=order.amount_minor,
        currency=order.currency.code,
        order_number=order.order_number,
        description=order.description,
        customer_email=order.customer_email,
        card_brand=brand(order.card.number),
        card_bin=order.card.bin,
        card_last_four=order.card.last_four,
        acquirer=station.acquirer,
        terminal_id=station.terminal_id,
        batch_number=plan.batch_number,
        business_day=plan.at.date(),
        stan=plan.trace.stan,
        rrn=plan.trace.rrn,
        transmitted_at=plan.trace.transmitted_at,
        local_time=plan.trace.local_time,
        mti=MTI[order.kind],
        content=shown(plan.fields),
        message_id=road.ids.new(),
        event_id=road.ids.new(),
        process_id=road.process_id,
        session_id=order.session_id,
        send_before=plan.until.at,
        at=plan.at,
        actor=order.actor,
        approval_code=order.voice_approval_code,
        **seal_columns(sealed),
    )
    began = road.clock.monotonic()
    try:
        won = await road.store.intend(intent)
    except QueueFull as error:
        raise NothingWritten(str(error), retry_after_seconds=RETRY_SOON_SECONDS) from error
    log.debug(
        "payment.intended",
        payment=plan.payment_id.hex,
        rrn=plan.trace.rrn,
        won=won,
        milliseconds=_since(began, road),
    )
    return won


def _since(began: float, road: Road) -> float:
    return round((road.clock.monotonic() - began) * 1000, 1)


async def _repeat(order: Order, fingerprint: bytes, plan: _Plan, road: Road) -> Taken | None:
    """
    Answer a key that was seen before; try again what was never sent.

    None: the batch of this try was closed meanwhile.
    """
    payment = await known_payment(order, fingerprint, road)
    if payment is None:
        raise NothingWritten("the key's payment is being made", retry_after_seconds=1)
    if payment.state is not State.NOT_SENT:
        return Taken(payment, first=False)
    plan = msgspec.structs.replace(plan, payment_id=payment.payment_id)
    check_move(payment.state, State.PROCESSING)
    intent = _second_intent(order, plan, road)
    if await road.store.intend_again(intent):
        return Taken(await _ask(order, plan, road), first=True)
    payment = await _read(plan, order, road)
    if payment.changed_by == intent.event_id:  # The COMMIT was in doubt, and it was ours.
        return Taken(await _ask(order, plan, road), first=True)
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


def _second_intent(order: Order, plan: _Plan, road: Road) -> SecondIntent:
    station = plan.route.station
    return SecondIntent(
        merchant_id=order.merchant.merchant_id,
        payment_id=plan.payment_id,
        acquirer=station.acquirer,
        terminal_id=station.terminal_id,
        batch_number=plan.batch_number,
        business_day=plan.at.date(),
        stan=plan.trace.stan,
        rrn=plan.trace.rrn,
        transmitted_at=plan.trace.transmitted_at,
        local_time=plan.trace.local_time,
        mti=MTI[order.kind],
        content=shown(plan.fields),
        message_id=road.ids.new(),
        event_id=road.ids.new(),
        process_id=road.process_id,
        session_id=order.session_id,
        send_before=plan.until.at,
        at=plan.at,
        actor=order.actor,
    )


async def _ask(order: Order, plan: _Plan, road: Road) -> Payment:
    """
    Ask the acquirer and commit its answer, or that there was none.
    """
    try:
        outcome = await plan.route.link.request(
            MTI[order.kind],
            plan.fields,
            send_before=plan.until.monotonic,
            answer_within=road.timers.answer_seconds,
        )
    except MessageError as error:
        log.error("message_not_encoded", payment=plan.payment_id.hex, reason=str(error))
        outcome = NotSent(str(error))
    road.routes.told(plan.route.station.acquirer, outcome)
    conclusion = conclude(outcome, order, plan.payment_id, road)
    check_move(State.PROCESSING, conclusion.to_state)
    began = road.clock.monotonic()
    try:
        concluded = await road.store.conclude(conclusion)
    except (DatabaseAway, QueueFull) as error:
        # The sweep will reverse it; until then it is processing, and nobody was told otherwise.
        log.error("outcome_not_stored", payment=plan.payment_id.hex, state=conclusion.to_state)
        raise OutcomeNotStored("the outcome is not durable yet") from error
    payment = concluded or await _read(plan, order, road)
    log.debug(
        "payment.concluded",
        payment=plan.payment_id.hex,
        rrn=plan.trace.rrn,
        state=payment.state,
        response_code=payment.response_code,
        milliseconds=_since(began, road),
    )
    return payment


async def _read(plan: _Plan, order: Order, road: Road) -> Payment:
    payment = await road.store.payment(order.merchant.merchant_id, plan.payment_id)
    assert payment is not None, "an intent that was committed cannot be gone"
    return payment
