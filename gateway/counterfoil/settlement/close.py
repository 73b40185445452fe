"""
Close a batch with the acquirer: wait, freeze, compare, upload if need be.

Stands between *capture* and *settlement*. Each call of `Closer.step` brings every
batch that is due one step further; each step is committed before its message is
written, keeps its trace number for all repeats, and is found again after a crash:

    closing     until nothing of the batch is in flight; then items and totals are fixed
    totalling   0500 (repeats 0501): 00 closes, 95 asks for every item
    uploading   0320 for each item (repeats 0321), then 0520: 00 closes, else a person
"""

import asyncio
from datetime import timedelta

import structlog

from counterfoil.money import currency
from counterfoil.network.closing import (
    IN_BALANCE,
    OUT_OF_BALANCE_CODE,
    Totals,
    host_totals,
    item_request,
    totals_request,
)
from counterfoil.network.message import Fields
from counterfoil.network.outcome import Answered
from counterfoil.network.requests import Station, Trace
from counterfoil.payments.payment import Merchant
from counterfoil.payments.road import Road
from counterfoil.routing.routes import NoRoute
from counterfoil.store.batches import Batch, BatchKey, BatchStore, Upload
from counterfoil.store.merchants import MerchantStore

CLAIMED_AT_ONCE_MAX = 20
LEASE_SECONDS = 300.0
LOOK_AGAIN_SECONDS = 0.2
TOTALS_TRIES_MAX = 4  # One 0500 and three 0501 (protocols 1.7, T5); then a person.
UPLOAD_TRIES_MAX = 10
WAIT_ALARM = timedelta(minutes=5)
APPROVED = "00"

log = structlog.get_logger("close")


class Closer:
    """
    Brings closing batches to their end.
    """

    def __init__(
        self,
        road: Road,
        batches: BatchStore,
        merchants: MerchantStore,
        acquirers: list[str],
        *,
        answer_seconds: float,
    ) -> None:
        self._road = road
        self._batches = batches
        self._merchants = merchants
        self._acquirers = acquirers
        self._answer_seconds = answer_seconds

    async def step(self) -> int:
        """
        Bring every batch that is due one step further; return how many moved.
        """
        ready = [name for name in self._acquirers if self._road.routes.link(name).ready]
        if not ready:
            return 0
        now = self._road.clock.now()
        lease_until = now + timedelta(seconds=LEASE_SECONDS)
        claimed = await self._batches.claim(ready, now, lease_until, CLAIMED_AT_ONCE_MAX)
        steps = (self._one_step(each) for each in claimed)
        moved = await asyncio.gather(*steps, return_exceptions=True)
        for fault in moved:  # Only now: no step of this round is still under way.
            if isinstance(fault, BaseException):
                raise fault
        return sum(bool(each) for each in moved)

    async def _one_step(self, batch: Batch) -> bool:
        try:
            match batch.state:
                case "closing":
                    return await self._wait_and_freeze(batch)
                case "totalling":
                    return await self._compare(batch)
                case _:
                    return await self._upload(batch)
        except NoRoute as error:
            log.error("batch_without_route", batch=batch.key.reference, reason=str(error))
            return False
        finally:
            pause = timedelta(seconds=LOOK_AGAIN_SECONDS)
            await self._batches.release(batch.key, self._road.clock.now() + pause)

    async def _wait_and_freeze(self, batch: Batch) -> bool:
        """
        Fix the items once nothing is in flight any more.
        """
        now = self._road.clock.now()
        waiting = await self._batches.in_flight(batch.key)
        if waiting:
            if batch.closing_at and now - batch.closing_at > WAIT_ALARM:
                log.error("batch_waits", batch=batch.key.reference, in_flight=waiting)
            return False
        totals = await self._batches.totals(batch.key)
        return await self._batches.freeze(batch.key, totals, now, self._road.ids.new())

    async def _compare(self, batch: Batch) -> bool:
        """
        Send our totals; close, or go on to the upload, as the host says.
        """
        answer = await self._send_totals(batch, "totals", "0500")
        if answer is None:
            return await self._give_up_unless_patient(batch, "totals")
        theirs = host_totals(answer.fields)
        if _in_balance(answer):
            return await self._close(batch, theirs, answer, "totals_agree")
        if answer.response_code == OUT_OF_BALANCE_CODE:
            log.warning("batch_out_of_balance", batch=batch.key.reference)
            return await self._move(batch, "uploading", theirs, "out_of_balance")
        why = f"the host refused the totals with {answer.response_code}"
        return await self._needs_a_person(batch, theirs, why)

    async def _upload(self, batch: Batch) -> bool:
        """
        Upload what is left; when all items are answered, ask for the final word.
        """
        if waiting := await self._batches.to_upload(batch.key):
            return await self._upload_items(batch, waiting)
        answer = await self._send_totals(batch, "final", "0520")
        if answer is None:
            return await self._give_up_unless_patient(batch, "final")
        theirs = host_totals(answer.fields)
        if _in_balance(answer):
            return await self._close(batch, theirs, answer, "items_uploaded")
        why = f"still out of balance after the upload (response {answer.response_code})"
        return await self._needs_a_person(batch, theirs, why)

    async def _upload_items(self, batch: Batch, waiting: list[Upload]) -> bool:
        last = await self._batches.count_items(batch.key)
        merchant, station = await self._place(batch.key)
        tries = await asyncio.gather(
            *(self._send_item(batch.key, each, last, merchant, station) for each in waiting)
        )
        if max(tries) > UPLOAD_TRIES_MAX:
            return await self._needs_a_person(batch, None, "the host does not take the items")
        return True

    async def _send_totals(self, batch: Batch, step: str, mti: str) -> Answered | None:
        assert batch.our_totals is not None, "a batch is frozen before its totals are sent"
        merchant, station = await self._place(batch.key)
        trace, attempts = await self._trace(batch.key, step, 0, merchant, station)
        fields = totals_request(
            station,
            trace,
            batch.our_totals,
            currency=currency(batch.key.currency),
            batch_number=batch.key.batch_number,
        )
        return await self._ask(batch.key, step, 0, _repeated(mti, attempts), fields)

    async def _send_item(
        self, key: BatchKey, upload: Upload, last: int, merchant: Merchant, station: Station
    ) -> int:
        """
        Send one item; return how often it has been tried.
        """
        number = upload.item.item_number
        trace, attempts = await self._trace(key, "item", number, merchant, station)
        card = await self._batches.card(key, upload.card_token, self._road.vault)
        fields = item_request(
            station,
            trace,
            upload.item,
            card.number,
            currency=currency(key.currency),
            batch_number=key.batch_number,
            last=last,
        )
        await self._ask(key, "item", number, _repeated("0320", attempts), fields)
        return attempts

    async def _trace(
        self, key: BatchKey, step: str, item_number: int, merchant: Merchant, station: Station
    ) -> tuple[Trace, int]:
        """
        Commit one more try of a message and return the trace that it keeps for ever.
        """
        if known := await self._batches.sent(key, step, item_number):
            at, stan = known.transmitted_at, known.stan
        else:
            at = self._road.clock.now()
            stan = await self._road.stans.take(
                merchant.merchant_id, station.acquirer, station.terminal_id, at.date()
            )
        sent = await self._batches.about_to_send(
            key, step, item_number, business_day=at.date(), stan=stan, transmitted_at=at
        )
        return Trace(sent.stan, sent.transmitted_at, "", ""), sent.attempts

    async def _ask(
        self, key: BatchKey, step: str, item_number: int, mti: str, fields: Fields
    ) -> Answered | None:
        link = self._road.routes.link(key.acquirer)
        clock = self._road.clock
        outcome = await link.request(
            mti,
            fields,
            send_before=clock.monotonic() + self._road.timers.send_seconds,
            answer_within=self._answer_seconds,
        )
        if not isinstance(outcome, Answered):
            log.warning(
                "batch_message_unanswered",
                batch=key.reference,
                step=step,
                item=item_number,
                reason=outcome.reason,
            )
            return None
        code = outcome.response_code
        await self._batches.answered(key, step, item_number, code, clock.now())
        return outcome

    async def _give_up_unless_patient(self, batch: Batch, step: str) -> bool:
        sent = await self._batches.sent(batch.key, step, 0)
        if sent is None or sent.attempts < TOTALS_TRIES_MAX:
            return False
        return await self._needs_a_person(batch, None, "the host does not answer the totals")

    async def _place(self, key: BatchKey) -> tuple[Merchant, Station]:
        merchant = await self._merchants.merchant(key.merchant_id)
        assert merchant is not None, "a batch without its merchant"
        return merchant, await self._road.routes.station(merchant, key.acquirer, key.terminal_id)

    async def _close(
        self, batch: Batch, theirs: Totals | None, answer: Answered, cause: str
    ) -> bool:
        ids = self._road.ids
        date = answer.fields.get(15)
        items = await self._batches.closed(
            batch.key,
            batch.state,
            at=self._road.clock.now(),
            host=theirs,
            settlement_date=date if isinstance(date, str) else None,
            cause=cause,
            actor="acquirer",
            ids=(ids.new(), ids.new(), ids.new()),
        )
        log.info("batch_closed", batch=batch.key.reference, items=items, cause=cause)
        return items is not None

    async def _needs_a_person(self, batch: Batch, theirs: Totals | None, why: str) -> bool:
        log.error("batch_needs_a_person", batch=batch.key.reference, reason=why)
        return await self._move(batch, "needs_a_person", theirs, "not_agreed", why)

    async def _move(
        self, batch: Batch, after: str, theirs: Totals | None, cause: str, note: str | None = None
    ) -> bool:
        return await self._batches.move(
            batch.key,
            batch.state,
            after,
            host=theirs,
            at=self._road.clock.now(),
            event_id=self._road.ids.new(),
            cause=cause,
            actor="acquirer" if cause == "out_of_balance" else "worker",
            note=note,
        )


async def begin(
    keys: list[BatchKey], batches: BatchStore, road: Road, *, cause: str, actor: str
) -> list[BatchKey]:
    """
    Close batches to new traffic; return those that were open until now.
    """
    begun = []
    for key in keys:
        at, event_id = road.clock.now(), road.ids.new()
        if await batches.begin_close(key, at, cause=cause, actor=actor, event_id=event_id):
            road.batches.forget(key.merchant_id, key.acquirer, key.terminal_id, key.currency)
            begun.append(key)
    return begun


def _in_balance(answer: Answered) -> bool:
    return answer.response_code == APPROVED and answer.fields.get(66) == IN_BALANCE


def _repeated(mti: str, attempts: int) -> str:
    return mti if attempts == 1 else mti[:3] + "1"
