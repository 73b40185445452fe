"""
Answers that nobody waits for any more: what they change, which is almost nothing.

An approval that comes late never becomes a payment: its reversal is owed already. It is kept
beside the payment, for a person who looks. Only one thing follows from it: if the host had said
"original not found" (25) to the last reversal and so ended it, and now approves that very
original, the reversal is owed again (reliability.md, rule 15).
"""

import asyncio
from collections.abc import Coroutine
from datetime import timedelta
from typing import Any

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
        faults: tuple[type[Exception], ...] = (DatabaseAway,),
    ) -> None:
        self._acquirer = acquirer
        self._store = store
        self._ids = ids
        self._clock = clock
        self._late_seconds = late_seconds
        self._faults = faults  # What keeping one may meet and survive.
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
        if is_kept:
            self._begin(self._keep(mti, fields))
        if mti in PAYMENT_ANSWERS and (code in APPROVALS or code == PARTIAL_APPROVAL):
            self._begin(self._owe_again(fields))

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(self._quietly(work))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    async def _quietly(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except self._faults as error:
            log.warning("late_answer_not_kept", reason=type(error).__name__)

    async def _keep(self, mti: str, fields: FieldsView) -> None:
        await self._store.keep_received(
            self._acquirer,
            _text(fields, 41),
            int(_text(fields, 11)),
            self._ids.new(),
            mti,
            shown(dict(fields)),
            self._clock.now(),
        )

    async def _owe_again(self, fields: FieldsView) -> None:
        now = self._clock.now()
        approval = LateApproval(
            acquirer=self._acquirer,
            terminal_id=_text(fields, 41),
            rrn=_text(fields, 37),
            stan=int(_text(fields, 11)),
            transmitted=_text(fields, 7),
            event_id=self._ids.new(),
            late_until=now + timedelta(seconds=self._late_seconds),
            at=now,
        )
        payment = await self._store.owe_again(approval)
        if payment is not None:
            log.error("approved_after_reversal", payment=payment.payment_id.hex, rrn=payment.rrn)


def _text(fields: FieldsView, number: int) -> str:
    return str(fields[number])
