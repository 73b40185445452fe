"""
Plan one try at the network: its terminal, batch, trace number and message, and its rows.

Stands between the choice of the way and the request. Every try has a trace number of its
own, also the second one of the same payment; what is planned is written down, as an intent,
before a byte goes out.
"""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec

from counterfoil.cards import brand
from counterfoil.network import requests
from counterfoil.network.message import Fields
from counterfoil.network.outcome import Answered
from counterfoil.network.requests import Trace
from counterfoil.payments.conclude import shown
from counterfoil.payments.order import MTI, Order, message
from counterfoil.payments.payment import Merchant
from counterfoil.payments.refusals import NoTraceNumbers
from counterfoil.payments.road import Road
from counterfoil.payments.screened import written_results
from counterfoil.payments.screening import Screened, tries_of
from counterfoil.routing.routes import Route
from counterfoil.store.numbers import TerminalUsedUp
from counterfoil.store.payments import AnotherTry, Intent, SecondIntent, seal_columns

RETRY_LATER_SECONDS = 30


class Begun(msgspec.Struct, frozen=True, kw_only=True):
    """
    What holds for every try of one request: what makes it the same request, what screening
    said, and when it must be out (for the wait, and for whoever reads the row).
    """

    fingerprint: bytes
    screened: Screened
    send_before: float
    send_by: datetime


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """
    One try at the network: its trace, its batch, its message, when it must be out.
    """

    payment_id: UUID
    route: Route
    trace: Trace
    batch_number: int
    fields: Fields
    at: datetime
    begun: Begun

    def batch_key(self, order: Order) -> tuple[UUID, str, str, str]:
        """
        Return what names the batches of this try's terminal and currency.
        """
        station = self.route.station
        merchant_id = order.merchant.merchant_id
        return merchant_id, station.acquirer, station.terminal_id, order.currency.code


async def plan_at(route: Route, order: Order, begun: Begun, road: Road) -> Plan:
    """
    Return a try at *route*, with a batch and a trace number of its own.

    Raises:
        NoTraceNumbers: The terminal has none left today.
    """
    station = route.station
    merchant_id = order.merchant.merchant_id
    try:
        batch_number = await road.batches.number(
            merchant_id, station.acquirer, station.terminal_id, order.currency.code
        )
        at = road.clock.now()
        stan = await road.stans.take(merchant_id, station.acquirer, station.terminal_id, at.date())
    except TerminalUsedUp as error:
        raise NoTraceNumbers(str(error), retry_after_seconds=RETRY_LATER_SECONDS) from error
    trace = Trace(stan, at, local_time(at, order.merchant), requests.retrieval_reference(stan, at))
    fields = message(order, station, trace, batch_number)
    return Plan(
        payment_id=road.ids.several(1, at)[0],
        route=route,
        trace=trace,
        batch_number=batch_number,
        fields=fields,
        at=at,
        begun=begun,
    )


def local_time(at: datetime, merchant: Merchant) -> str:
    """
    Return the merchant's local date and time as MMDDhhmmss (DE 13 and 12).
    """
    return requests.month_to_second(at.astimezone(ZoneInfo(merchant.timezone)))


def intent(order: Order, plan: Plan, road: Road) -> Intent:
    """
    Return the row that says what is about to be asked.
    """
    screened = plan.begun.screened
    sealed = road.vault.seal(order.card, order.merchant.merchant_id, screened.subjects.card)
    return Intent(
        merchant_id=order.merchant.merchant_id,
        payment_id=plan.payment_id,
        idempotency_key=order.idempotency_key,
        request_fingerprint=plan.begun.fingerprint,
        kind=order.kind,
        amount_minor=order.amount_minor,
        currency=order.currency.code,
        order_number=order.order_number,
        description=order.description,
        customer_email=order.customer_email,
        card_brand=brand(order.card.number),
        card_bin=order.card.bin,
        card_last_four=order.card.last_four,
        approval_code=order.voice_approval_code,
        refused=bool(screened.refusals),
        screening=written_results(screened.refusals),
        **_try_columns(order, plan, road),
        **_claim_columns(order, plan, road),
        **seal_columns(sealed),
    )


def second_intent(order: Order, plan: Plan, road: Road) -> SecondIntent:
    """
    Return the row of a payment that is tried again because nothing was written.
    """
    screened = plan.begun.screened
    return SecondIntent(
        merchant_id=order.merchant.merchant_id,
        payment_id=plan.payment_id,
        refused=bool(screened.refusals),
        screening=written_results(screened.refusals),
        **_try_columns(order, plan, road),
        **_claim_columns(order, plan, road),
    )


def another_try(
    answer: Answered, order: Order, plan: Plan, another: Plan, road: Road
) -> AnotherTry:
    """
    Return the row of a payment whose technical "no" is followed by another try.
    """
    return AnotherTry(
        merchant_id=order.merchant.merchant_id,
        payment_id=plan.payment_id,
        from_stan=plan.trace.stan,
        from_day=plan.at.date(),
        from_transmitted_at=plan.trace.transmitted_at,
        answer_mti=answer.mti,
        answer_content=shown(answer.fields),
        answer_id=road.ids.new(),
        **_try_columns(order, another, road),
    )


def _try_columns(order: Order, plan: Plan, road: Road) -> dict[str, Any]:
    """
    Return what every try writes: its terminal, batch and trace, its message, new ids.
    """
    station = plan.route.station
    message_id, event_id = road.ids.several(2, plan.at)
    return {
        "acquirer": station.acquirer,
        "terminal_id": station.terminal_id,
        "batch_number": plan.batch_number,
        "business_day": plan.at.date(),
        "stan": plan.trace.stan,
        "rrn": plan.trace.rrn,
        "transmitted_at": plan.trace.transmitted_at,
        "local_time": plan.trace.local_time,
        "mti": MTI[order.kind],
        "content": shown(plan.fields),
        "message_id": message_id,
        "event_id": event_id,
        "send_before": plan.begun.send_by,
        "at": plan.at,
    }


def _claim_columns(order: Order, plan: Plan, road: Road) -> dict[str, Any]:
    """
    Return whose intent it is: process, session and actor, and what screening counts it by.
    """
    screened = plan.begun.screened
    tries = tries_of(screened, order)
    return {
        "process_id": road.process_id,
        "session_id": order.session_id,
        "actor": order.actor,
        "card_try": tries.card,
        "email_try": tries.email,
        "address_try": tries.address,
        "guard": screened.guard,
        "guard_until": plan.at + timedelta(seconds=screened.policy.duplicate_seconds),
    }
