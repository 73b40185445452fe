"""
A deposit explained: these payments, these refunds, these fees, this net, on that day.

What the command line, the API and the reports show of deposits and findings. Amounts are in
minor units; refunds are negative in lines, and positive in a deposit's sum of refunds.
"""

from datetime import date, datetime
from typing import Any, Literal

import asyncpg
import msgspec
from msgspec import UNSET, UnsetType

from counterfoil import ids
from counterfoil.store.deposits import DepositStore

DepositState = Literal[
    "announced", "partly_paid", "funded", "overpaid", "returned", "without_report"
]
FindingKind = Literal[
    "missing_there",
    "missing_here",
    "amount_differs",
    "duplicate",
    "batch_missing",
    "returned",
    "refund_refused",
    "approval_denied",
    "without_report",
    "not_paid",
    "statement_missing",
    "restored_host_only",
    "restored_missing_there",
    "restored_state_differs",
    "restored_unclaimed",
]
LineOutcome = Literal["matched", "missing_here", "amount_differs", "date_shifted", "duplicate"]
EntryOutcome = Literal[
    "matched",
    "split",
    "amount_differs",
    "date_shifted",
    "returned",
    "without_report",
    "unrelated",
]


class DepositLine(msgspec.Struct, frozen=True, kw_only=True):
    """
    One line of the acquirer's report, and the payment of ours that it settles.
    """

    line: int
    kind: Literal["capture", "refund"]
    outcome: LineOutcome
    batch: str
    rrn: str
    approval_code: str | None
    brand: str
    last_four: str
    amount_minor: int
    interchange_minor: int
    scheme_minor: int
    markup_minor: int
    transacted_on: date
    payment: str | None
    movement: str | None
    movement_state: str | None
    order: str | None
    confirmation_number: str | None


class DepositAdjustment(msgspec.Struct, frozen=True, kw_only=True):
    """
    What a deposit is raised (positive) or lowered by besides payments and fees.
    """

    kind: str
    amount_minor: int
    text: str


class DepositEntry(msgspec.Struct, frozen=True, kw_only=True):
    """
    What the bank booked for a deposit; a return is negative.
    """

    account: str
    statement: str
    amount_minor: int
    booked_on: date
    value_on: date
    bank_reference: str
    text: str
    is_return: bool
    outcome: EntryOutcome


class DepositChange(msgspec.Struct, frozen=True, kw_only=True):
    """
    One change in the life of a deposit.
    """

    state: DepositState
    at: datetime
    cause: str
    actor: str


class DepositAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """
    A deposit: net = gross - refunds - fees + adjustments; a negative net is a debit.

    `lines` and what follows it are left out of lists. `next_line` is null with the last lines.
    """

    reference: str
    object: Literal["deposit"] = "deposit"
    acquirer: str
    currency: str
    state: DepositState
    business_date: date | None
    value_date: date | None
    gross_minor: int
    refunds_minor: int
    interchange_minor: int
    scheme_minor: int
    markup_minor: int
    fees_minor: int
    adjustments_minor: int
    net_minor: int
    paid_minor: int
    parts: int
    updated_at: datetime
    report: str | UnsetType | None = UNSET
    line_counts: dict[str, int] | UnsetType = UNSET
    lines: list[DepositLine] | UnsetType = UNSET
    next_line: int | UnsetType | None = UNSET
    adjustment_lines: list[DepositAdjustment] | UnsetType = UNSET
    entries: list[DepositEntry] | UnsetType = UNSET
    states: list[DepositChange] | UnsetType = UNSET


class FindingAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """
    Something that does not agree, by how much, and what a person does next.
    """

    id: str
    object: Literal["finding"] = "finding"
    kind: FindingKind
    subject: str
    currency: str
    amount_minor: int
    movement: str | None
    reference: str | None
    next_step: str
    state: Literal["open", "resolved"]
    opened_at: datetime
    resolved_at: datetime | None
    resolution: str | None


async def explained(
    row: asyncpg.Record, store: DepositStore, *, after_line: int = 0, limit: int
) -> DepositAnswer:
    """
    Return a deposit with everything that it is made of; *limit* lines from *after_line* on.
    """
    rows = await store.lines(row, after=after_line, limit=limit + 1)
    lines = [line_of(each) for each in rows[:limit]]
    return msgspec.structs.replace(
        summary(row),
        report=row["report_id"],
        line_counts=await store.line_counts(row),
        lines=lines,
        next_line=lines[-1].line if len(rows) > limit else None,
        adjustment_lines=[
            DepositAdjustment(
                kind=each["kind"], amount_minor=each["amount_minor"], text=each["description"]
            )
            for each in await store.adjustments(row)
        ],
        entries=[_entry(each) for each in await store.entries(row)],
        states=[
            DepositChange(
                state=each["to_state"], at=each["at"], cause=each["cause"], actor=each["actor"]
            )
            for each in await store.events(row)
        ],
    )


def summary(row: asyncpg.Record) -> DepositAnswer:
    """
    Return a deposit's sums, without its parts.
    """
    fees = ("interchange_minor", "scheme_minor", "markup_minor")
    same = (
        *("reference", "acquirer", "currency", "state", "business_date", "value_date"),
        *("gross_minor", "refunds_minor", *fees, "adjustments_minor", "net_minor"),
        *("paid_minor", "parts", "updated_at"),
    )
    values: dict[str, Any] = {name: row[name] for name in same}
    return DepositAnswer(**values, fees_minor=sum(row[name] for name in fees))


def finding_answer(row: asyncpg.Record) -> FindingAnswer:
    """
    Return one finding.
    """
    return FindingAnswer(
        id=ids.written(ids.FINDING, row["finding_id"]),
        kind=row["kind"],
        subject=row["subject"],
        currency=row["currency"],
        amount_minor=row["amount_minor"],
        movement=ids.written(ids.MOVEMENT, row["movement_id"]) if row["movement_id"] else None,
        reference=row["reference"],
        next_step=row["next_step"],
        state=row["state"],
        opened_at=row["opened_at"],
        resolved_at=row["resolved_at"],
        resolution=row["resolution"],
    )


def line_of(row: asyncpg.Record) -> DepositLine:
    """
    Return one line of a deposit.
    """
    return DepositLine(
        line=row["line"],
        kind=row["kind"],
        outcome=row["outcome"],
        batch=f"{row['terminal_id']}/{row['currency']}/{row['batch_number']:06d}",
        rrn=row["rrn"],
        approval_code=row["approval_code"],
        brand=row["brand"],
        last_four=row["last_four"],
        amount_minor=row["amount_minor"],
        interchange_minor=row["interchange_minor"],
        scheme_minor=row["scheme_minor"],
        markup_minor=row["markup_minor"],
        transacted_on=row["transacted_on"],
        payment=ids.written(ids.PAYMENT, row["payment_id"]) if row["payment_id"] else None,
        movement=ids.written(ids.MOVEMENT, row["movement_id"]) if row["movement_id"] else None,
        movement_state=row["movement_state"],
        order=row["order_number"],
        confirmation_number=row["confirmation_number"],
    )


def _entry(row: asyncpg.Record) -> DepositEntry:
    return DepositEntry(
        account=row["account"],
        statement=row["statement_id"],
        amount_minor=row["amount_minor"],
        booked_on=row["booked_on"],
        value_on=row["value_on"],
        bank_reference=row["bank_reference"],
        text=row["description"],
        is_return=row["is_return"],
        outcome=row["outcome"],
    )
