"""
What comes back from the acquirer and the bank: which files came, whose they are, what held them.

A file is booked in one transaction (`booking`): everything it says, or nothing. Within it the
merchant's row is locked, so that two files of one merchant never see half of each other.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from uuid import UUID

import asyncpg

from counterfoil.ids import FINDING, written
from counterfoil.store.booking import Booking, BookingRefused, Kept
from counterfoil.store.database import IN_DOUBT, Database, DatabaseAway, Lock

BATCHES_ASKED_MAX = 1_000
MERCHANTS_ASKED_MAX = 10_000
COMMIT_SLACK = timedelta(seconds=60)  # A commit may come this much later than its time says.


class SettlementStore:
    """
    Files that came, and whose they are.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def file(self, digest: bytes) -> asyncpg.Record | None:
        """
        Return the file with these exact bytes, if it came before.
        """
        return await self._database.row("file_by_digest", digest)

    async def known(self, digests: Sequence[bytes]) -> set[bytes]:
        """
        Return which of these files came before.
        """
        rows = await self._database.rows("known_files", list(digests))
        return {row["digest"] for row in rows}

    async def hold(self, file: Kept, reason: str, *, looks_again: bool, at: datetime) -> None:
        """
        Keep a file that is not booked, and why.
        """
        await self._database.rows(
            "keep_held",
            file.digest,
            file.kind,
            file.name,
            file.merchant_id,
            file.file_id,
            reason,
            looks_again,
            file.content,
            at,
        )

    async def held_to_look_at(self, *, everything: bool, limit: int) -> list[bytes]:
        """
        Return held files that something has changed for, or all that wait for something.
        """
        rows = await self._database.rows("held_to_look_at", COMMIT_SLACK, everything, limit)
        return [row["digest"] for row in rows]

    async def held_by_prefix(self, digits: str) -> list[bytes]:
        """
        Return up to two held files whose digest begins with these hex digits.
        """
        return [row["digest"] for row in await self._database.rows("held_by_prefix", digits)]

    async def put_aside(self, digest: bytes, at: datetime, actor: str, note: str) -> str | None:
        """
        Note that nobody waits for a held file; return its name, None when it is held no more.
        """
        row = await self._database.row("put_file_aside", digest, at, actor, note)
        return row["name"] if row else None

    async def content(self, digest: bytes) -> tuple[str, bytes] | None:
        """
        Return a file's name and its exact bytes.
        """
        row = await self._database.row("file_content", digest)
        return (row["name"], row["content"]) if row else None

    async def merchants_of_acceptor(
        self, acquirers: list[str], card_acceptor_id: str
    ) -> list[tuple[UUID, str]]:
        """
        Return whose card acceptor id this is, and at which acquirer.
        """
        rows = await self._database.rows("merchants_of_acceptor", acquirers, card_acceptor_id)
        return [(row["merchant_id"], row["acquirer"]) for row in rows]

    async def merchants_of_account(
        self, account: str, currency: str, acquirers: list[str]
    ) -> list[UUID]:
        """
        Return whose bank account this is.
        """
        rows = await self._database.rows("merchants_of_account", account, currency, acquirers)
        return [row["merchant_id"] for row in rows]

    async def acquirers_of(self, merchant_id: UUID, acquirers: list[str]) -> list[str]:
        """
        Return at which of *acquirers* a merchant has a terminal.
        """
        rows = await self._database.rows("acquirers_of_merchant", merchant_id, acquirers)
        return [row["acquirer"] for row in rows]

    async def merchants_without_report(self, since: datetime, until: datetime) -> list[UUID]:
        """
        Return whose batches were closed in that time, and are on no report and no list.
        """
        rows = await self._database.rows(
            "merchants_without_report", since, until, MERCHANTS_ASKED_MAX
        )
        return [row["merchant_id"] for row in rows]

    async def add_account(
        self,
        merchant_id: UUID,
        account: str,
        currency: str,
        at: datetime,
        *,
        actor: str,
        event_id: UUID,
    ) -> None:
        """
        Let the statements of a bank account count as a merchant's, and note who said so.

        Raises:
            asyncpg.UniqueViolationError: It is another merchant's.
            asyncpg.ForeignKeyViolationError: There is no such merchant.
        """
        await self._database.rows(
            "add_bank_account", merchant_id, account, currency, at, event_id, actor
        )

    async def resolve_finding(
        self,
        merchant_id: UUID,
        finding_id: UUID,
        at: datetime,
        resolution: str,
        *,
        actor: str,
        event_id: UUID,
    ) -> bool:
        """
        Note that a person has cleared a finding up, and who; False when it was not open.
        """
        return bool(
            await self._database.rows(
                "resolve_finding",
                merchant_id,
                finding_id,
                at,
                resolution,
                event_id,
                actor,
                written(FINDING, finding_id),
                lock=Lock("lock_payment_of_finding", (merchant_id, finding_id)),
            )
        )

    @asynccontextmanager
    async def booking(self, merchant_id: UUID, at: datetime) -> AsyncIterator[Booking]:
        """
        Lend the transaction in which a file of this merchant is booked, whole or not at all.

        Raises:
            BookingRefused: The books cannot hold what the file says.
            DatabaseAway: No answer in time: in doubt; take the file again to learn.
        """
        try:
            async with self._database.acquire() as connection, connection.transaction():
                booking = Booking(connection, merchant_id, at)
                await booking.step("lock_merchant")
                yield booking
        except (asyncpg.IntegrityConstraintViolationError, asyncpg.DataError) as error:
            rule = getattr(error, "constraint_name", None) or type(error).__name__
            raise BookingRefused(f"our books cannot hold it ({rule})") from error
        except IN_DOUBT as error:
            raise DatabaseAway(f"no answer while booking: {type(error).__name__}") from error
