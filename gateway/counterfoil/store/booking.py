"""
Booking one file: the steps of a transaction that shows either whole or not at all.

Each step is one named query with the merchant as its first parameter. Whatever is many comes as
arrays or as a COPY, so that a report of a hundred thousand lines is booked in seconds.
"""

from collections.abc import Iterable, Sequence
from datetime import date, datetime
from typing import Any
from uuid import UUID

import asyncpg
import msgspec

from counterfoil.store.queries import query

STEP_SECONDS_MAX = 120.0  # One step of a large file; a payment's steps have their own deadline.
NOT_REPORTED_MAX = 1_000
GAPS_MAX = 100
LARGE = 1_000  # Rows from which on a file is planned for, whatever statistics there are.
NOT_PAID_MAX = 1_000

Rows = list[asyncpg.Record]


class BookingRefused(Exception):
    """
    The database refused a row: the file says what our books cannot hold. Nothing was booked.
    """


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """
    A file that came: its digest, what it is, whose it is, and its exact bytes.
    """

    digest: bytes
    kind: str
    name: str
    content: bytes
    merchant_id: UUID | None = None
    file_id: str | None = None


class Transfer(msgspec.Struct, frozen=True, kw_only=True):
    """
    One row of the journal about a deposit; the amount is positive, in minor units.
    """

    debit: str
    credit: str
    amount_minor: int
    currency: str
    cause: str
    reference: str


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """
    Something that does not agree: what, by how much, and what a person does next.
    """

    kind: str
    subject: str
    currency: str
    amount_minor: int
    movement_id: UUID | None = None
    reference: str | None = None
    next_step: str


class DepositMove(msgspec.Struct, frozen=True, kw_only=True):
    """
    A deposit's new state, and what has come of it; `cause` says why when the state changes.
    """

    acquirer: str
    reference: str
    before: str | None
    state: str
    paid_minor: int
    parts: int
    cause: str


_LINE_COLUMNS = (
    "line",
    "reference",
    "terminal_id",
    "batch_number",
    "kind",
    "rrn",
    "approval_code",
    "last_four",
    "brand",
    "currency",
    "amount_minor",
    "interchange_minor",
    "scheme_minor",
    "markup_minor",
    "transacted_on",
    "movement_id",
    "outcome",
)
_ENTRY_COLUMNS = (
    "number",
    "amount_minor",
    "booked_on",
    "value_on",
    "bank_reference",
    "description",
    "is_return",
    "acquirer",
    "reference",
    "outcome",
)


class Booking:
    """
    The steps of booking one file; nothing of them shows before the transaction commits.
    """

    def __init__(
        self, connection: "asyncpg.Connection[asyncpg.Record]", merchant_id: UUID, at: datetime
    ) -> None:
        self._connection = connection
        self.merchant_id = merchant_id
        self.at = at
        self._is_planned = False

    async def step(self, name: str, *arguments: Any) -> Rows:
        """
        Run the named query; its first parameter is the merchant.
        """
        return await self._connection.fetch(
            query(name), self.merchant_id, *arguments, timeout=STEP_SECONDS_MAX
        )

    async def many(
        self, name: str, leading: Iterable[Any], rows: Sequence[tuple[Any, ...]]
    ) -> Rows:
        """
        Run the named query once for all *rows*, each column of them one array.
        """
        if not rows:
            return []
        return await self.step(
            name, *leading, *(list(column) for column in zip(*rows, strict=True))
        )

    async def plan_for_many(self) -> None:
        """
        Let every later step of this transaction expect many rows.
        """
        if not self._is_planned:
            await self._connection.fetch(query("plan_for_many"))
            self._is_planned = True

    async def keep(self, file: Kept) -> bool:
        """
        Keep a file as read; False when somebody else has read it meanwhile.
        """
        return bool(
            await self.step(
                "keep_read",
                file.digest,
                file.kind,
                file.name,
                file.file_id,
                file.content,
                self.at,
            )
        )

    async def file_with_id(self, kind: str, file_id: str) -> asyncpg.Record | None:
        """
        Return the file that was read under this id.
        """
        rows = await self.step("file_with_id", kind, file_id)
        return rows[0] if rows else None

    async def batches(self, acquirer: str, batches: Sequence[tuple[str, str, int]]) -> Rows:
        """
        Return the state here of each batch that a report names.
        """
        return await self.many("batches_named", [acquirer], batches)

    async def items(self, acquirer: str, keys: Sequence[tuple[str, str]]) -> Rows:
        """
        Return what we have under each terminal and RRN.
        """
        if len(keys) >= LARGE:
            await self.plan_for_many()
            await self._connection.execute(query("analyze_items"), timeout=STEP_SECONDS_MAX)
        return await self.many("items_of_lines", [acquirer], keys)

    async def payments(self, acquirer: str, keys: Sequence[tuple[str, str]]) -> Rows:
        """
        Return what became of the payments under each terminal and RRN.
        """
        return await self.many("payments_of_lines", [acquirer], keys)

    async def add_lines(
        self, acquirer: str, digest: bytes, lines: Sequence[tuple[Any, ...]]
    ) -> None:
        """
        Add a report's lines, each with its outcome.
        """
        await self._copy(
            "settlement_lines",
            ("merchant_id", "acquirer", "file_digest", *_LINE_COLUMNS),
            [(self.merchant_id, acquirer, digest, *line) for line in lines],
        )
        if len(lines) >= LARGE:
            await self.plan_for_many()
            await self._connection.execute(query("analyze_lines"), timeout=STEP_SECONDS_MAX)

    async def settle(self, movements: Sequence[UUID]) -> int:
        """
        Settle what a report's lines matched; return how many movements were not settled before.
        """
        rows = await self.step("settle_movements", self.at, movements)
        number: int = rows[0]["number"]
        return number

    async def items_without_line(
        self, acquirer: str, batches: Sequence[tuple[str, str, int]]
    ) -> Rows:
        """
        Return the items of these batches for which no line has come.
        """
        return await self.many("items_without_line", [acquirer], batches)

    async def batches_not_reported(self, acquirer: str, card_acceptor_id: str) -> Rows:
        """
        Return closed batches that no report has named.
        """
        return await self.step("batches_not_reported", acquirer, card_acceptor_id, NOT_REPORTED_MAX)

    async def batches_without_report(self, since: datetime, until: datetime, limit: int) -> Rows:
        """
        Return batches closed in that time that are on no report and no list.
        """
        return await self.step("batches_without_report", since, until, limit)

    async def find(self, findings: Sequence[tuple[UUID, Finding]]) -> None:
        """
        Put findings on the list, each under its id unless it stands there already.
        """
        once = {(each.kind, each.subject): (made, each) for made, each in findings}
        rows = [(made, *msgspec.structs.astuple(each)) for made, each in once.values()]
        await self.many("open_findings", [self.at], rows)

    async def resolve_missing_there(self, digest: bytes, resolution: str) -> None:
        """
        Resolve what was missing there and has come with this file.
        """
        await self.step("resolve_missing_there", digest, self.at, resolution)

    async def resolve(self, findings: Sequence[tuple[str, str]], resolution: str) -> None:
        """
        Resolve open findings, named by kind and subject.
        """
        await self.many("resolve_findings", [self.at, resolution], findings)

    async def book(self, transfers: Sequence[tuple[UUID, Transfer]]) -> None:
        """
        Add rows to the journal.
        """
        rows = [(made, *msgspec.structs.astuple(each)) for made, each in transfers]
        await self.many("book_transfers", [self.at], rows)

    async def deposits(self, references: Iterable[str]) -> Rows:
        """
        Return the merchant's deposits with these references.
        """
        return await self.step("deposits_by_reference", sorted(set(references)))

    async def announce(
        self,
        acquirer: str,
        digest: bytes,
        business_date: date,
        deposits: Sequence[tuple[Any, ...]],
        adjustments: Sequence[tuple[str, int, str, int, str]],
    ) -> None:
        """
        Add a report's deposits with their adjustments.
        """
        taken = await self.many(
            "announce_deposits", [acquirer, digest, business_date, self.at], deposits
        )
        if len(taken) != len(deposits):
            raise BookingRefused("one of its deposits was announced before")
        await self.many("add_adjustments", [acquirer], adjustments)

    async def begin_deposits(
        self, deposits: Sequence[tuple[UUID, str, str, str, str]], actor: str
    ) -> None:
        """
        Begin the history of deposits (event, acquirer, reference, state, cause).
        """
        await self.many(
            "add_deposit_events",
            [self.at, actor],
            [
                (made, acquirer, reference, None, state, cause)
                for made, acquirer, reference, state, cause in deposits
            ],
        )

    async def add_paid(self, deposits: Sequence[tuple[str, str, str, date]]) -> None:
        """
        Add deposits (acquirer, reference, currency, day) that came without a report.
        """
        await self.many("add_paid_deposits", [self.at], deposits)

    async def move(self, moves: Sequence[tuple[UUID, DepositMove]], actor: str) -> None:
        """
        Change deposits, with a row of history for each whose state changes.
        """
        await self.many(
            "move_deposits",
            [self.at],
            [
                (each.acquirer, each.reference, each.state, each.paid_minor, each.parts)
                for _, each in moves
            ],
        )
        await self.many(
            "add_deposit_events",
            [self.at, actor],
            [
                (made, each.acquirer, each.reference, each.before, each.state, each.cause)
                for made, each in moves
                if each.before != each.state
            ],
        )

    async def move_movements(
        self, deposits: Sequence[tuple[str, str]], before: str, after: str, cause: str
    ) -> None:
        """
        Move what these deposits pay for from one state to another.
        """
        if deposits:
            acquirers, references = (list(column) for column in zip(*deposits, strict=True))
            rows = await self.step("lines_of_deposits", acquirers, references, LARGE)
            if rows[0]["number"] >= LARGE:
                await self.plan_for_many()
            await self.step(
                "move_paid_movements", self.at, before, after, acquirers, references, cause
            )

    async def statement_before(
        self, account: str, statement_id: str, currency: str, first: date, last: date
    ) -> asyncpg.Record | None:
        """
        Return a statement that was read under this id, or that covers one of these days.
        """
        rows = await self.step(
            "statements_of_account", account, statement_id, currency, first, last
        )
        return rows[0] if rows else None

    async def add_statement(self, statement: tuple[Any, ...]) -> None:
        """
        Add one statement.
        """
        await self.step("add_bank_statement", *statement)

    async def add_entries(
        self, account: str, statement_id: str, currency: str, entries: Sequence[tuple[Any, ...]]
    ) -> None:
        """
        Add a statement's entries.
        """
        await self._copy(
            "bank_entries",
            ("merchant_id", "account", "statement_id", "currency", *_ENTRY_COLUMNS),
            [(self.merchant_id, account, statement_id, currency, *each) for each in entries],
        )

    async def entries(self, deposits: Sequence[tuple[str, str]]) -> Rows:
        """
        Return all that the bank booked for these deposits (acquirer, reference).
        """
        return await self.many("entries_of_deposits", [], deposits)

    async def set_outcomes(self, entries: Sequence[tuple[str, str, int, str]]) -> None:
        """
        Change what entries turned out to be.
        """
        await self.many("set_entry_outcomes", [], entries)

    async def gaps(self, account: str, currency: str) -> Rows:
        """
        Return an account's statements before which one is missing.
        """
        return await self.step("statement_gaps", account, currency, GAPS_MAX)

    async def open_gaps(self, account: str) -> list[str]:
        """
        Return the subjects of the gaps that stand on the list for an account.
        """
        return [row["subject"] for row in await self.step("open_gaps", account)]

    async def not_paid(self, currency: str, before: date) -> Rows:
        """
        Return deposits that the bank should have booked before that day.
        """
        return await self.step("deposits_not_paid", currency, before, NOT_PAID_MAX)

    async def _copy(
        self, table: str, columns: Sequence[str], records: list[tuple[Any, ...]]
    ) -> None:
        if records:
            await self._connection.copy_records_to_table(
                table, records=records, columns=list(columns), timeout=STEP_SECONDS_MAX
            )
