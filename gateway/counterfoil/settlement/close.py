"""
Close a batch with the acquirer: wait, freeze, compare, upload if need be.

Stands between *capture* and *settlement*. Each call of `Closer.step` brings every
batch that is due one step further; each step is committed before its message is
written, keeps its trace number for all repeats, and is found again after a crash:

    closing     until nothing of the batch is in flight; then items and totals are fixed
    totalling   0500 (repeats 0501): 00 closes, 95 asks for every item
    uploading   0320 for each item (repeats 0321), then 0520: 00 closes, else a person

A person who has seen to a refused close begins it anew: a second attempt, from the 0500 on,
under new trace numbers. After a silence it goes on under the old ones.
"""

import asyncio
from datetime import timedelta

import structlog

from counterfoil.network.closing import IN_BALANCE, OUT_OF_BALANCE_CODE, Totals, host_totals
from counterfoil.network.message import MessageError
from counterfoil.network.outcome import Answered
from counterfoil.payments.road import Road
from counterfoil.routing.routes import NoRoute
from counterfoil.settlement.batch_messages import BatchMessages
from counterfoil.store.batches import Batch, BatchKey, BatchStore, Upload
from counterfoil.store.merchants import MerchantStore
from counterfoil.store.numbers import TerminalUsedUp
from counterfoil.vault import VaultClosed

UNDER_WAY_MAX = 20
ROUND_SECONDS_MAX = 0.5
FINISH_SECONDS_MAX = 5.0
LEASE_SECONDS = 900.0  # A worker's own death ends its leases at once.
HEAVY_AT_ONCE_MAX = 2  # Statements that move a whole batch: ten thousand items take seconds.
AT_ONCE = 0.0
LOOK_AGAIN_SECONDS = 0.2
TROUBLE_SECONDS = 5.0
SPACING_SECONDS = (5.0, 15.0, 30.0)  # After the first, second, ... try without an answer.
TOTALS_TRIES_MAX = 4  # One 0500 and three 0501 (protocols 1.7, T5); then a person.
UPLOAD_TRIES_MAX = 10
ITEMS_MAX = 9_999  # DE 71 has four digits.
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
        self._acquirers = acquirers
        self._messages = BatchMessages(road, batches, merchants, answer_seconds=answer_seconds)
        self._heavy = asyncio.Semaphore(HEAVY_AT_ONCE_MAX)
        self._under_way: dict[BatchKey, asyncio.Task[None]] = {}

    async def step(self) -> int:
        """
        Begin the next step of every batch that is due; return how many steps began or ended.

        Waits a moment only: a batch whose answer does not come holds up no other.
        """
        claimed = await self._claim()
        for batch in claimed:
            self._under_way[batch.key] = asyncio.create_task(self._one_step(batch))
        if self._under_way:
            await asyncio.wait(
                self._under_way.values(),
                timeout=ROUND_SECONDS_MAX,
                return_when=asyncio.FIRST_COMPLETED,
            )
        ended = [key for key, task in self._under_way.items() if task.done()]
        faults = [self._under_way.pop(key).exception() for key in ended]
        for fault in filter(None, faults):
            raise fault
        return len(claimed) + len(ended)

    async def finish(self) -> None:
        """
        End what is under way; what does not end in time is found again by the next worker.
        """
        tasks = list(self._under_way.values())
        self._under_way.clear()
        if not tasks:
            return
        _, late = await asyncio.wait(tasks, timeout=FINISH_SECONDS_MAX)
        for task in late:
            task.cancel()
        for ended in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(ended, Exception):
                log.warning("batch_step_failed", reason=f"{type(ended).__name__}: {ended}")

    async def _claim(self) -> list[Batch]:
        ready = [name for name in self._acquirers if self._road.routes.link(name).ready]
        room = UNDER_WAY_MAX - len(self._under_way)
        if not ready or not room:
            return []
        now = self._road.clock.now()
        lease_until = now + timedelta(seconds=LEASE_SECONDS)
        return await self._batches.claim(
            ready, now, lease_until, room, under_way=self._under_way.keys()
        )

    async def _one_step(self, batch: Batch) -> None:
        pause_seconds = TROUBLE_SECONDS
        try:
            pause_seconds = await self._next(batch)
        except (NoRoute, TerminalUsedUp, VaultClosed, MessageError) as error:
            # This one's trouble: no other batch waits for it.
            log.error("batch_not_closable", batch=batch.key.reference, reason=str(error))
        finally:
            pause = timedelta(seconds=pause_seconds)
            await self._batches.release(batch.key, self._road.clock.now() + pause)

    async def _next(self, batch: Batch) -> float:
        """
        Go one step; return after how many seconds to look again.
        """
        match batch.state:
            case "closing":
                return await self._wait_and_freeze(batch)
            case "totalling":
                return await self._compare(batch)
            case _:
                return await self._upload(batch)

    async def _wait_and_freeze(self, batch: Batch) -> float:
        """
        Fix the items once nothing is in flight any more.
        """
        now = self._road.clock.now()
        waiting = await self._batches.in_flight(batch.key)
        if waiting:
            if not batch.closing_at or now - batch.closing_at <= WAIT_ALARM:
                return LOOK_AGAIN_SECONDS
            log.error("batch_waits", batch=batch.key.reference, in_flight=waiting)
            return TROUBLE_SECONDS
        totals = await self._batches.totals(batch.key)
        if totals.debits + totals.credits > ITEMS_MAX:
            return await self._needs_a_person(batch, f"more than {ITEMS_MAX:,} items")
        async with self._heavy:
            await self._batches.freeze(batch.key, totals, now, self._road.ids.new())
        return AT_ONCE

    async def _compare(self, batch: Batch) -> float:
        """
        Send our totals; close, or go on to the upload, as the host says.
        """
        answer = await self._messages.totals(batch, "totals", "0500")
        if answer is None:
            return await self._give_up_unless_patient(batch, "totals")
        if _in_balance(answer):
            return await self._close_if_equal(batch, answer, "totals_agree")
        if answer.response_code == OUT_OF_BALANCE_CODE:
            log.warning("batch_out_of_balance", batch=batch.key.reference)
            return await self._move(batch, "uploading", "out_of_balance", answer=answer)
        why = f"the host refused the totals with {answer.response_code}"
        return await self._needs_a_person(batch, why, answer)

    async def _upload(self, batch: Batch) -> float:
        """
        Upload what is left; when all items are answered, ask for the final word.
        """
        if waiting := await self._batches.to_upload(batch.key, batch.attempt):
            return await self._upload_items(batch, waiting)
        answer = await self._messages.totals(batch, "final", "0520")
        if answer is None:
            return await self._give_up_unless_patient(batch, "final")
        if _in_balance(answer):
            return await self._close_if_equal(batch, answer, "items_uploaded")
        why = f"still out of balance after the upload (response {answer.response_code})"
        return await self._needs_a_person(batch, why, answer)

    async def _upload_items(self, batch: Batch, waiting: list[Upload]) -> float:
        last = await self._batches.count_items(batch.key)
        merchant, station = await self._messages.place(batch.key)
        answers = await asyncio.gather(
            *(self._messages.item(batch, each, last, merchant, station) for each in waiting),
            return_exceptions=True,
        )
        for fault in answers:  # Only now: no item of this step is still under way.
            if isinstance(fault, BaseException):
                raise fault
        pairs = zip(waiting, answers, strict=True)
        silent = [each.item.item_number for each, answer in pairs if answer is None]
        if not silent:
            return AT_ONCE
        tries = [await self._messages.tries(batch, "item", number) for number in silent]
        if max(tries) > UPLOAD_TRIES_MAX:
            return await self._needs_a_person(batch, "the host does not take the items")
        return _spacing(max(tries))

    async def _give_up_unless_patient(self, batch: Batch, step: str) -> float:
        tries = await self._messages.tries(batch, step)
        if tries < TOTALS_TRIES_MAX:
            return _spacing(tries)
        return await self._needs_a_person(batch, "the host does not answer the totals")

    async def _close_if_equal(self, batch: Batch, answer: Answered, cause: str) -> float:
        """
        Close the batch on our side too, unless the host counts otherwise than it says.
        """
        ours, theirs = batch.our_totals, host_totals(answer.fields)
        assert ours is not None, "a batch is frozen before it is compared"
        if theirs is not None and _standing(ours) != _standing(theirs):
            why = "the host says in balance, with other totals"
            return await self._needs_a_person(batch, why, answer)
        ids = self._road.ids
        async with self._heavy:
            items = await self._batches.closed(
                batch.key,
                batch.state,
                at=self._road.clock.now(),
                host=theirs,
                settlement_date=_settlement_date(answer),
                cause=cause,
                actor="acquirer",
                ids=(ids.new(), ids.new(), ids.new()),
            )
        log.info("batch_closed", batch=batch.key.reference, items=items, cause=cause)
        return AT_ONCE

    async def _needs_a_person(
        self, batch: Batch, why: str, answer: Answered | None = None
    ) -> float:
        log.error("batch_needs_a_person", batch=batch.key.reference, reason=why)
        return await self._move(batch, "needs_a_person", "not_agreed", answer=answer, note=why)

    async def _move(
        self,
        batch: Batch,
        after: str,
        cause: str,
        *,
        answer: Answered | None = None,
        note: str | None = None,
    ) -> float:
        await self._batches.move(
            batch.key,
            batch.state,
            after,
            host=host_totals(answer.fields) if answer else None,
            settlement_date=_settlement_date(answer) if answer else None,
            at=self._road.clock.now(),
            event_id=self._road.ids.new(),
            cause=cause,
            actor="acquirer" if cause == "out_of_balance" else "worker",
            note=note,
        )
        return AT_ONCE


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


def _standing(totals: Totals) -> tuple[int, int, int, int]:
    """
    Return what stands in the end: how a host counts what was taken back is its own affair.
    """
    return (
        totals.debits - totals.debit_reversals,
        totals.debits_minor - totals.debit_reversals_minor,
        totals.credits - totals.credit_reversals,
        totals.credits_minor - totals.credit_reversals_minor,
    )


def _settlement_date(answer: Answered) -> str | None:
    date = answer.fields.get(15)
    return date if isinstance(date, str) else None


def _spacing(tries: int) -> float:
    """
    Return the pause after a try without an answer; one that was not even written is the first.
    """
    return SPACING_SECONDS[min(max(tries, 1), len(SPACING_SECONDS)) - 1]
