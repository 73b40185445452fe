"""
Store and forward: tell the acquirer what is owed until it accepts.

Reversals, voids, captures and refunds were committed as advices together with the
change that causes them. Here each is sent, repeated under the same trace number
with the repeat bit in the MTI, and ended by an answer that the profile accepts.
Advices of one payment keep their order; no payment's trouble holds up another's.
"""

import asyncio
import random
from collections.abc import Callable
from datetime import datetime, timedelta
from uuid import UUID

import structlog

from counterfoil.money import currency
from counterfoil.network import requests, response_codes
from counterfoil.network.message import Fields, MessageError
from counterfoil.network.outcome import Answered, BadAnswer, NotSent, OutcomeUnknown
from counterfoil.network.requests import Original, Station, Trace
from counterfoil.payments.conclude import shown
from counterfoil.payments.lifecycle import Kind
from counterfoil.payments.order import MTI, processing_code
from counterfoil.payments.payment import Merchant
from counterfoil.payments.road import Road
from counterfoil.payments.under_way import UnderWay
from counterfoil.routing.pace import Share
from counterfoil.routing.routes import Link, NoRoute
from counterfoil.store.advices import (
    GOING_ON,
    TAKING_BACK,
    Advice,
    AdviceStore,
    FinalWord,
    Try,
)
from counterfoil.store.merchants import MerchantStore
from counterfoil.store.numbers import TerminalUsedUp
from counterfoil.vault import VaultClosed

KINDS = {Share.TAKING_BACK: TAKING_BACK, Share.GOING_ON: GOING_ON}
PACE_SECONDS = 0.05
SPACING_SECONDS = (5, 15, 30, 60, 300)  # protocols 1.7: the last one for ever.
SPACING_JITTER = 0.2
UNKNOWN_ORIGINAL_DENIALS_MIN = 3  # A host that fails over may not find it for a while.
DENIALS_MIN = 10  # Of what it had approved: about half an hour of them.
LEASE_MARGIN_SECONDS = 15.0

log = structlog.get_logger("advices")


class Forwarder:
    """
    Sends what is owed through this process's links.
    """

    def __init__(
        self,
        road: Road,
        advices: AdviceStore,
        merchants: MerchantStore,
        acquirers: list[str],
        *,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._road = road
        self._advices = advices
        self._merchants = merchants
        self._acquirers = acquirers
        self._chance = chance
        self._under_way = UnderWay()

    async def forward(self) -> int:
        """
        Send what is due and whose link is up; return how much was tried, 0 when nothing is left.

        Waits for answers a moment only: one that does not come holds up nobody else. While
        there is more than may be sent or be under way, the next round begins when half of it
        has ended.
        """
        routes = self._road.routes
        sent, is_more = 0, False
        for acquirer in self._acquirers:
            for share in Share if routes.link(acquirer).ready else ():
                room = min(routes.owed_room(acquirer, share), self._under_way.room(acquirer, share))
                claimed = await self._claim(acquirer, share, room)
                self._begin(share, claimed)
                sent += len(claimed)
                is_more |= len(claimed) == room
        if is_more and not self._under_way.advice_ids:
            await asyncio.sleep(PACE_SECONDS)  # The acquirers have their fill: soon again.
        await self._under_way.end_of_round(is_more=is_more)
        return sent or int(is_more)

    def _begin(self, share: Share, claimed: list[tuple[Advice, Merchant]]) -> None:
        for each, merchant in claimed:
            self._road.routes.owed_sent(each.acquirer, share)
            sending = self._send_safely(each, merchant)
            self._under_way.begin(each.advice_id, each.acquirer, share, sending)

    async def _claim(self, acquirer: str, share: Share, room: int) -> list[tuple[Advice, Merchant]]:
        """
        Take leases on what is due of *share* at one acquirer; each merchant is read once.
        """
        if not room:
            return []
        now = self._road.clock.now()
        lease = timedelta(seconds=self._road.timers.advice_answer_seconds + LEASE_MARGIN_SECONDS)
        ours = self._under_way.advice_ids
        claimed = await self._advices.claim([acquirer], now, now + lease, room, ours, KINDS[share])
        merchants: dict[UUID, Merchant] = {}
        for merchant_id in {each.merchant_id for each in claimed}:
            merchant = await self._merchants.merchant(merchant_id)
            assert merchant is not None, "a payment without its merchant"
            merchants[merchant_id] = merchant
        return [(each, merchants[each.merchant_id]) for each in claimed]

    async def _send_safely(self, advice: Advice, merchant: Merchant) -> None:
        try:
            await self._send(advice, merchant)
        except (NoRoute, TerminalUsedUp, VaultClosed, MessageError) as error:
            # This one's trouble: no other payment waits for it.
            log.error("advice_not_sendable", advice=advice.advice_id.hex, reason=str(error))
            await self._again(advice, None)

    async def _send(self, advice: Advice, merchant: Merchant) -> None:
        routes = self._road.routes
        station = await routes.station(merchant, advice.acquirer, advice.terminal_id)
        link = routes.link(advice.acquirer)
        trace = await self._trace(advice, merchant)
        card = self._advices.card(advice, self._road.vault)
        fields = message(advice, station, trace, card.number)
        mti = _mti(advice)
        if await self._advices.about_to_try(self._try(advice, trace, mti, fields)):
            await self._ask(advice, link, mti, fields)

    async def _trace(self, advice: Advice, merchant: Merchant) -> Trace:
        """
        Return the advice's own trace: taken at the first try, kept by every repeat.
        """
        rrn = advice.original_rrn if advice.kind != "refund" else advice.movement_rrn
        assert rrn is not None, "a refund without its reference"
        if advice.stan is not None:
            assert advice.transmitted_at is not None
            return Trace(advice.stan, advice.transmitted_at, advice.local_time, rrn)
        now = self._road.clock.now()
        stan = await self._road.stans.take(
            merchant.merchant_id, advice.acquirer, advice.terminal_id, now.date()
        )
        return Trace(stan, now, advice.local_time, rrn)

    def _try(self, advice: Advice, trace: Trace, mti: str, fields: Fields) -> Try:
        now = self._road.clock.now()
        return Try(
            merchant_id=advice.merchant_id,
            payment_id=advice.payment_id,
            advice_id=advice.advice_id,
            lease_owner=self._advices.owner,
            attempts=advice.attempts,
            business_day=trace.transmitted_at.date(),
            stan=trace.stan,
            transmitted_at=trace.transmitted_at,
            next_try_at=now + timedelta(seconds=self._pause(advice.attempts)),
            message_id=self._road.ids.new(),
            mti=mti,
            acquirer=advice.acquirer,
            terminal_id=advice.terminal_id,
            content=shown(fields),
            at=now,
        )

    async def _ask(self, advice: Advice, link: Link, mti: str, fields: Fields) -> None:
        timers = self._road.timers
        outcome = await link.request(
            mti,
            fields,
            send_before=self._road.clock.monotonic() + timers.send_seconds,
            answer_within=timers.advice_answer_seconds,
        )
        match outcome:
            case Answered():
                await self._settle(advice, outcome)
            case NotSent() | OutcomeUnknown() | BadAnswer():
                log.warning("advice_unanswered", advice=advice.advice_id.hex, reason=outcome.reason)
                await self._again(advice, None)

    async def _settle(self, advice: Advice, answer: Answered) -> None:
        code = answer.response_code
        if code == response_codes.BATCH_CLOSED and await self._batch_closed(advice, answer):
            return
        state = verdict(advice, code, self._road.clock.now())
        if state is None:
            await self._again(advice, code)
            return
        if state == "refused":
            log.error("advice_refused", advice=advice.advice_id.hex, kind=advice.kind, code=code)
        ids = self._road.ids
        said = FinalWord(
            merchant_id=advice.merchant_id,
            payment_id=advice.payment_id,
            advice_id=advice.advice_id,
            lease_owner=self._advices.owner,
            to_state=state,
            response_code=code,
            event_id=ids.new(),
            transfer_id=ids.new(),
            message_id=ids.new(),
            mti=answer.mti,
            content=shown(answer.fields),
            at=self._road.clock.now(),
        )
        await self._advices.answered(said)

    async def _batch_closed(self, advice: Advice, answer: Answered) -> bool:
        """
        The host closed its batch by itself: what it holds is refunded, what is new goes on.

        Returns False when that does not explain the answer, or when it must be tried again.
        """
        now = self._road.clock.now()
        if advice.payment_kind == Kind.CREDIT:
            return await self._credit_stands(advice, answer)
        taken = advice.was_captured or (
            advice.kind == "reversal" and advice.payment_kind in (Kind.SALE, Kind.FORCED)
        )
        if advice.kind in TAKING_BACK and not taken:
            return False
        log.error("batch_closed_by_host", payment=advice.payment_id.hex, kind=advice.kind)
        await self._advices.batch_closed_by_host(advice, now, self._road.ids.new())
        if advice.kind in ("capture", "refund"):
            return await self._advices.next_batch(advice, now, self._road.ids.new())
        return await self._refund_instead(advice, answer)

    async def _credit_stands(self, advice: Advice, answer: Answered) -> bool:
        """
        A credit in a batch that the host has closed cannot be taken back: say that it was given.
        """
        ids, now = self._road.ids, self._road.clock.now()
        log.error("credit_stands", payment=advice.payment_id.hex, code=answer.response_code)
        await self._advices.batch_closed_by_host(advice, now, ids.new())
        return await self._advices.credit_stands(
            advice,
            answer.response_code,
            ids.new(),
            ids.new(),
            answer.mti,
            shown(answer.fields),
            ids.new(),
            ids.new(),
            now,
        )

    async def _refund_instead(self, advice: Advice, answer: Answered) -> bool:
        ids, now = self._road.ids, self._road.clock.now()
        stan = await self._road.stans.take(
            advice.merchant_id, advice.acquirer, advice.terminal_id, now.date()
        )
        return await self._advices.refund_instead(
            advice,
            answer.response_code,
            ids.new(),
            ids.new(),
            answer.mti,
            shown(answer.fields),
            ids.new(),
            ids.new(),
            requests.retrieval_reference(stan, now),
            now.date(),
            stan,
            [ids.new(), ids.new(), ids.new()],
            ids.new(),
            now + timedelta(seconds=self._road.timers.late_seconds),
            now,
            ids.new(),
        )

    async def _again(self, advice: Advice, code: str | None) -> None:
        now = self._road.clock.now()
        next_try = now + timedelta(seconds=self._pause(advice.attempts))
        tries = await self._advices.unanswered(advice, next_try, code)
        log.warning(
            "advice_owed_again",
            advice=advice.advice_id.hex,
            payment=advice.payment_id.hex,
            kind=advice.kind,
            tries=tries,
            response_code=code,
        )

    def _pause(self, attempts: int) -> float:
        seconds = SPACING_SECONDS[min(attempts, len(SPACING_SECONDS) - 1)]
        return seconds * (1 + SPACING_JITTER * (2 * self._chance() - 1))


def verdict(advice: Advice, code: str, now: datetime) -> str | None:
    """
    Return `accepted`, `refused`, or None for "try again later".

    A reversal never ends refused. Response 25 (original not found) ends one only after
    the late window and when it was said UNKNOWN_ORIGINAL_DENIALS_MIN times: until then the
    original may still be on its way, or the host may have lost sight of it. Of what
    the acquirer had approved it is a contradiction, and believed only after DENIALS_MIN of them.
    """
    if advice.kind in TAKING_BACK:
        if code in response_codes.REVERSAL_FINISHED:
            return "accepted"
        if code == response_codes.LESS_REMAINS and _lowers_a_hold(advice):
            return "accepted"  # It has lapsed there: less of it is left than we leave.
        unknown = code == response_codes.REVERSAL_ORIGINAL_UNKNOWN
        needed = DENIALS_MIN if advice.was_approved else UNKNOWN_ORIGINAL_DENIALS_MIN
        believed = now >= advice.late_until and advice.denials + 1 >= needed
        return "accepted" if unknown and believed else None
    if code in response_codes.ADVICE_ACCEPTED:
        return "accepted"
    return None if code in response_codes.ADVICE_TRY_AGAIN else "refused"


def _lowers_a_hold(advice: Advice) -> bool:
    return (
        advice.kind == "release"
        and advice.payment_kind == Kind.AUTHORIZATION
        and advice.about_stan is None
    )


def message(advice: Advice, station: Station, trace: Trace, number: str) -> Fields:
    """
    Return the fields of an advice's message.
    """
    original = _original(advice)
    common = {
        "amount_minor": advice.amount_minor,
        "currency": currency(advice.currency),
        "batch_number": advice.batch_number,
    }
    if advice.kind == "refund":
        return requests.refund(station, trace, original, number, **common)  # type: ignore[arg-type]
    if advice.kind == "capture":
        return requests.capture(
            station,
            trace,
            original,
            number,
            approval_code=advice.approval_code,
            **common,  # type: ignore[arg-type]
        )
    return requests.reversal(
        station,
        trace,
        original,
        number,
        reason=_reason(advice),
        approval_code=advice.approval_code,
        processing_code=processing_code(Kind(advice.payment_kind)),
        remaining_minor=advice.remaining_minor,
        **common,  # type: ignore[arg-type]
    )


def _original(advice: Advice) -> Original:
    """
    Return what DE 90 names: the capture that a release lowers, else the payment's first message.
    """
    if advice.about_stan is not None and advice.about_transmitted_at is not None:
        return Original("0220", advice.about_stan, advice.about_transmitted_at)
    return Original(
        MTI[Kind(advice.payment_kind)], advice.original_stan, advice.original_transmitted_at
    )


def _reason(advice: Advice) -> str:
    """
    Return DE 39 of a 0420: a release that leaves something is a partial reversal, else a void.
    """
    if advice.kind == "release":
        return requests.REASON_PARTIAL if advice.remaining_minor else requests.REASON_VOID
    assert advice.reason_code is not None, "a reversal says why"
    return advice.reason_code


def _mti(advice: Advice) -> str:
    """
    Return 0420 or 0220; a repeat has 1 at the end and nothing else changed.
    """
    first = "042" if advice.kind in TAKING_BACK else "022"
    return first + ("1" if advice.attempts else "0")
