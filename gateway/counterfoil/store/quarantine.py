"""
The quarantine in the database: what is compared, what was found, and the way out.
"""

import json
from collections.abc import Sequence
from datetime import date, datetime
from uuid import UUID

import asyncpg

from counterfoil.ids import Ids
from counterfoil.outside.compare import KINDS, NEXT_STEPS, Difference, Ours
from counterfoil.outside.host_journal import Charge, Terminal
from counterfoil.store.database import Database

STAN_MARGIN = 1_000  # What was sent after the journal was written, if anything was.
FEED_MARGIN = (
    1_000_000_000  # Events told after the backup: more than years of the busiest merchant.
)
PAGE_MAX = 1_000


class QuarantineStore:
    """
    Reads and writes what a comparison needs.
    """

    def __init__(self, database: Database, ids: Ids) -> None:
        self._database = database
        self._ids = ids

    async def terminals(self, acquirer: str) -> dict[str, UUID]:
        """
        Return whose each terminal of *acquirer* is.
        """
        rows = await self._database.rows("terminals_of_acquirer", acquirer)
        return {row["terminal_id"]: row["merchant_id"] for row in rows}

    async def known(self, acquirer: str, charges: Sequence[Charge]) -> dict[tuple[str, str], Ours]:
        """
        Return what we have of these charges, by terminal and RRN.
        """
        rows = await self._database.rows(
            "payments_of_charges",
            acquirer,
            [each.terminal_id for each in charges],
            [each.rrn for each in charges],
        )
        return {(row["terminal_id"], row["rrn"]): Ours(**row) for row in rows}

    async def taken(
        self, acquirer: str, since: datetime | None, after: tuple[UUID, UUID] | None
    ) -> list[asyncpg.Record]:
        """
        Return a page of what we hold or have taken there, after a given payment.
        """
        merchant_id, payment_id = after or (None, None)
        return await self._database.rows(
            "payments_taken_at", acquirer, since, merchant_id, payment_id, PAGE_MAX
        )

    async def find(self, merchant_id: UUID, found: Sequence[Difference], at: datetime) -> None:
        """
        Put differences of a merchant on the list of findings; what a person resolved stays so.
        """
        await self._database.rows(
            "open_restored_findings",
            merchant_id,
            at,
            [self._ids.new() for _ in found],
            [each.kind for each in found],
            [each.subject for each in found],
            [each.currency for each in found],
            [each.amount_minor for each in found],
            [f"{each.words}. {NEXT_STEPS[each.kind]}" for each in found],
        )

    async def compared(
        self,
        acquirer: str,
        at: datetime,
        terminals: Sequence[Terminal],
        charges: int,
        found: Sequence[tuple[UUID, Difference]],
    ) -> None:
        """
        Note that a comparison is done; findings that it did not find again agree by now.
        """
        numbers = json.dumps(
            [
                {
                    "terminal_id": each.terminal_id,
                    "last_stans": each.last_stans,
                    "last_batches": each.last_batches,
                }
                for each in terminals
            ]
        )
        await self._database.rows(
            "note_comparison",
            acquirer,
            at,
            charges,
            len(found),
            numbers,
            list(KINDS),
            [merchant_id for merchant_id, _ in found],
            [each.subject for _, each in found],
        )

    async def standing(self) -> asyncpg.Record:
        """
        Return whether nothing may move, since when, why, and how many findings are open.
        """
        row = await self._database.row("quarantine_standing", list(KINDS))
        assert row is not None
        return row

    async def comparisons(self) -> list[asyncpg.Record]:
        """
        Return the last comparison with each acquirer that has terminals.
        """
        return await self._database.rows("comparisons")

    async def move_stans(
        self, merchant_id: UUID, acquirer: str, terminal_id: str, day: date, last: int
    ) -> None:
        """
        Let a terminal's trace numbers of *day* go on beyond *last*.
        """
        await self._database.rows(
            "move_stans", merchant_id, acquirer, terminal_id, day, last + 1 + STAN_MARGIN
        )

    async def move_batch(
        self,
        merchant_id: UUID,
        acquirer: str,
        terminal_id: str,
        currency: str,
        last: int,
        at: datetime,
    ) -> bool:
        """
        Begin to close the open batch, if the host knows it; open one beyond *last*.

        Also where there is none yet: the first one here would have a number that the host knows.
        """
        row = await self._database.row(
            "move_batch_past_host",
            merchant_id,
            acquirer,
            terminal_id,
            currency,
            last,
            at,
            self._ids.new(),
            self._ids.new(),
        )
        return row is not None

    async def waive(self, acquirer: str, actor: str, reason: str, at: datetime) -> bool:
        """
        Note that *actor* goes on without *acquirer*; False when there is nothing to waive.
        """
        row = await self._database.row(
            "waive_comparison", acquirer, at, actor, reason, self._ids.new()
        )
        return row is not None

    async def history(self) -> list[asyncpg.Record]:
        """
        Return what persons decided about quarantines, newest first.
        """
        return await self._database.rows("quarantine_history")

    async def lift(self, at: datetime, actor: str) -> bool:
        """
        End the quarantine; False when something is not compared, or a finding is open.

        In the same commit every feed goes on beyond what its readers may have seen.
        """
        row = await self._database.row(
            "lift_quarantine", list(KINDS), at, FEED_MARGIN, self._ids.new(), actor
        )
        return row is not None

    async def keep(self, payment_id: UUID, until: datetime, at: datetime, actor: str) -> bool:
        """
        Give an approval more time, in quarantine only; False when it is not one.
        """
        row = await self._database.row(
            "keep_approval", payment_id, until, at, self._ids.new(), actor
        )
        return row is not None

    async def merchant_of(self, payment_id: UUID) -> UUID | None:
        """
        Return whose payment this is.
        """
        row = await self._database.row("merchant_of_payment", payment_id)
        return row["merchant_id"] if row else None

    async def resolve(self, merchant_id: UUID, subject: str, at: datetime, note: str) -> None:
        """
        Resolve the finding about one payment.
        """
        await self._database.rows(
            "resolve_restored_finding", merchant_id, subject, list(KINDS), at, note
        )
