"""
Answers that nobody waits for any more: what they change, which is almost nothing.

An approval that comes late never becomes a payment: its reversal is owed already. It is kept
beside the payment, for a person who looks. Only one thing follows from it: if the host has said
"original not found" (25) to the reversal, and now approves that very original, the reversal is
owed anew, whether the 25 had ended it already or not (reliability.md, rule 15).
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from functools import partial
from uuid import UUID

import structlog

from counterfoil.clock import Clock
from counterfoil.ids import Ids
from counterfoil.network.message import FieldsView, Message
from counterfoil.network.outcome import Answered, Late
from counterfoil.network.response_codes import APPROVALS, PARTIAL_APPROVAL
from counterfoil.payments.conclude import shown
from counterfoil.store.database import DatabaseAway
from counterfoil.store.payments import LateApproval, PaymentStore

NAMED_BY = (7, 11, 37, 41)  # Without these nobody can say which request it answers.
PAYMENT_ANSWERS = ("0110", "0210", "0230")
PAUSES_SECONDS = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0)  # Until a database that is away is back.
UNDER_WAY_MAX = 1000  # A host that floods us with answers does not fill our memory.

log = structlog.get_logger("network")


class LateAnswers:
    """
    What one acquirer's link hands over when nobody waits for it any more.
    """

    def __init__(
        self,
        acquirer: str,
        store: PaymentStore,
        ids: Ids,
        clock: Clock,
        *,
        late_seconds: float,
        faults: tuple[type[Exception], ...] = (),
        pauses: tuple[float, ...] = PAUSES_SECONDS,
    ) -> None:
        self._acquirer = acquirer
        self._store = store
        self._ids = ids
        self._clock = clock
        self._late_seconds = late_seconds
        self._faults = faults  # What one may meet that no repetition mends.
        self._pauses = pauses
        self._under_way: set[asyncio.Task[None]] = set()

    def late(self, late: Late) -> None:
        """
        Keep the answer to a request whose outcome was told already, and see what it changes.
        """
        if isinstance(late.outcome, Answered):
            self._take("late_answer", late.outcome.mti, late.outcome.fields, is_kept=True)

    def unmatched(self, message: Message) -> None:
        """
        See whether an answer that no request is known for approves what was reversed.
        """
        self._take("unmatched_answer", message.mti, message.fields, is_kept=False)

    async def drain(self) -> None:
        """
        Wait until everything handed over has been seen to.
        """
        while self._under_way:
            await asyncio.wait(self._under_way)

    def _take(self, event: str, mti: str, fields: FieldsView, *, is_kept: bool) -> None:
        code = fields.get(39)
        log.warning(event, acquirer=self._acquirer, rrn=fields.get(37), response_code=code)
        if any(fields.get(number) is None for number in NAMED_BY):
            return
        if len(self._under_way) >= UNDER_WAY_MAX:
            log.error("late_answer_not_kept", reason="too many at once")
            return
        name = self._ids.new()  # One for all tries: what was written is not written again.
        if is_kept:
            self._begin(partial(self._keep, name, mti, fields))
        if mti in PAYMENT_ANSWERS and (code in APPROVALS or code == PARTIAL_APPROVAL):
            self._begin(partial(self._owe_again, name, fields))

    def _begin(self, work: Callable[[], Awaitable[None]]) -> None:
        task = asyncio.create_task(self._until_done(work))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    async def _until_done(self, work: Callable[[], Awaitable[None]]) -> None:
        """
        Do *work*, again while the database is away: nobody else will.
        """
        for pause_seconds in (*self._pauses, 0.0):
            try:
                await work()
                return
            except DatabaseAway as error:
                reason = str(error)
                await asyncio.sleep(pause_seconds)
            except self._faults as error:
                reason = type(error).__name__
                break
        log.error("late_answer_not_kept", reason=reason)

    async def _keep(self, message_id: UUID, mti: str, fields: FieldsView) -> None:
        await self._store.keep_received(
            self._acquirer,
            _text(fields, 41),
            int(_text(fields, 11)),
            message_id,
            mti,
            shown(dict(fields)),
            self._clock.now(),
            _text(fields, 7),
            _text(fields, 37),
        )

    async def _owe_again(self, event_id: UUID, fields: FieldsView) -> None:
        now = self._clock.now()
        approval = LateApproval(
            acquirer=self._acquirer,
            terminal_id=_text(fields, 41),
            rrn=_text(fields, 37),
            stan=int(_text(fields, 11)),
            transmitted=_text(fields, 7),
            event_id=event_id,
            late_until=now + timedelta(seconds=self._late_seconds),
            at=now,
        )
        payment = await self._store.owe_again(approval)
        if payment is not None:
            log.error("approved_after_reversal", payment=payment.payment_id.hex, rrn=payment.rrn)


def _text(fields: FieldsView, number: int) -> str:
    return str(fields[number])
