"""
Refused refunds that stand for a void or reversal: what a person may do about them, and did.
"""

from collections.abc import Callable
from datetime import datetime
from uuid import UUID

import msgspec

from counterfoil.store.database import Database, Lock


class RefusedRefund(msgspec.Struct, frozen=True, kw_only=True):
    """
    A finding, and how the payment behind it stands. Amounts in minor units.

    `left_minor` can still be given back, `by_merchant_minor` the merchant gave back by itself
    since; None where the finding is about no payment.
    """

    kind: str
    state: str
    resolution: str | None
    amount_minor: int
    currency: str
    merchant_id: UUID | None
    payment_id: UUID | None
    payment_state: str | None
    movement_state: str | None
    left_minor: int | None
    by_merchant_minor: int | None
    is_amount_unknown: bool | None


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """
    What a person decided: *outside* it went back otherwise, else it is asked again.

    *taken_minor* is what the acquirer says it took, where that is not what was asked.
    """

    actor: str
    note: str
    outside: bool
    taken_minor: int | None = None


class RefusedRefundStore:
    """
    Reads such findings and ends them.
    """

    def __init__(self, database: Database, ids: Callable[[], UUID]) -> None:
        self._database = database
        self._ids = ids

    async def read(self, merchant_id: UUID, finding_id: UUID) -> RefusedRefund | None:
        """
        Return the finding with its payment, None if there is no such finding.
        """
        row = await self._database.row("refused_refund", merchant_id, finding_id)
        return RefusedRefund(**row) if row else None

    async def end(
        self, merchant_id: UUID, finding_id: UUID, at: datetime, decision: Decision
    ) -> bool:
        """
        Do as a person decided and resolve the finding; False if that is not possible (any more).

        Raises:
            DatabaseAway: In doubt; the same again changes nothing if it was done.
        """
        word = "Returned otherwise, says" if decision.outside else "Asked again by"
        row = await self._database.row(
            "end_refused_refund",
            merchant_id,
            finding_id,
            self._ids(),
            [self._ids() for _ in range(3)],
            at,
            decision.actor,
            f"{word} {decision.actor}: {decision.note}",
            decision.taken_minor,
            decision.outside,
            lock=Lock("lock_payment_of_finding", (merchant_id, finding_id)),
        )
        return row is not None
