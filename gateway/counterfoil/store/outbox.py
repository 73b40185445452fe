"""
The outbox in the database: e-mails that are owed, leased and ticked off.
"""

import asyncio
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from counterfoil.clock import Clock
from counterfoil.store.database import Database
from counterfoil.store.writer import GroupWriter

NOTED_TOGETHER = 25
NOTED_WITHIN_SECONDS = 0.05  # So much later a mail is noted, for others to be noted with it.


class OwedMail(msgspec.Struct, frozen=True, kw_only=True):
    """
    One e-mail that we hold the lease of. `facts` are the payment's columns and its merchant's.
    """

    merchant_id: UUID
    outbox_id: UUID
    kind: str
    recipient: str
    attempts: int
    facts: dict[str, Any]


class OutboxStore:
    """
    What is owed to people. Who *stands_in* finds nothing due while a mailer lives.
    """

    def __init__(
        self, database: Database, owner: UUID, clock: Clock, *, stands_in: bool = False
    ) -> None:
        self._database = database
        self._owner = owner
        self._stands_in = stands_in
        self._sent = GroupWriter(database, "mail_sent", clock=clock)
        self._moment: asyncio.Future[None] | None = None
        self._together = 0

    async def claim_mail(
        self,
        now: datetime,
        lease_until: datetime,
        limit: int,
        *,
        sure_until: datetime | None = None,
    ) -> list[OwedMail]:
        """
        Take leases on up to *limit* e-mails that are due, of whichever merchants.

        Until *sure_until* nobody else takes them: nothing is claimed if this process's own lease,
        with whose end all of its leases end, is over by then.
        Nothing of an earlier claim may still be worked on: what it left is taken again.
        """
        due = await self._database.rows(
            "due_mail", now, limit, self._owner, self._stands_in, sure_until or now
        )
        if not due:
            return []
        # In one order, whoever asks: two that claim the same rows wait, and never for each other.
        keys = sorted((row["merchant_id"], row["outbox_id"]) for row in due)
        merchants, ids = zip(*keys, strict=True)
        rows = await self._database.rows(
            "claim_mail", merchants, ids, self._owner, lease_until, now
        )
        return [
            OwedMail(
                merchant_id=row["mail_merchant_id"],
                outbox_id=row["outbox_id"],
                kind=row["mail_kind"],
                recipient=row["recipient"],
                attempts=row["attempts"],
                facts=dict(row),
            )
            for row in rows
        ]

    async def is_ours(self, owed: OwedMail, sure_until: datetime) -> bool:
        """
        Return whether a mail that was claimed is still ours, and will be until *sure_until*.
        """
        own = (owed.merchant_id, owed.outbox_id, self._owner)
        return await self._database.row("own_mail", *own, sure_until) is not None

    async def mail_sent(self, owed: OwedMail, at: datetime, *, seconds_max: float) -> None:
        """
        Note that the mail server took it, together with others that it takes meanwhile.

        A database that is away is waited for, up to *seconds_max*: not to send it twice.

        Raises:
            DatabaseAway: It was away for longer.
        """
        await self._with_others()
        row = (owed.merchant_id, owed.outbox_id, self._owner, at)
        await self._sent.write(row, seconds_max=seconds_max)

    async def _with_others(self) -> None:
        """
        Wait a moment for others: a commit for each few mails costs payments more than sending them.
        """
        loop = asyncio.get_running_loop()
        if self._moment is None:
            self._moment, self._together = loop.create_future(), 0
            loop.call_later(NOTED_WITHIN_SECONDS, self._go_on, self._moment)
        moment = self._moment
        self._together += 1
        if self._together >= NOTED_TOGETHER:
            self._go_on(moment)
        await moment

    def _go_on(self, moment: "asyncio.Future[None]") -> None:
        if not moment.done():
            moment.set_result(None)
        if self._moment is moment:
            self._moment = None

    async def mail_failed(
        self, owed: OwedMail, state: str, next_try_at: datetime, reason: str
    ) -> None:
        """
        Note that it did not, and when to try again.
        """
        await self._database.rows(
            "mail_failed",
            owed.merchant_id,
            owed.outbox_id,
            self._owner,
            state,
            next_try_at,
            reason,
        )
