"""
Deposits: what reached the bank, explained line by line, to the cent.
"""

import re
from typing import Any
from uuid import UUID

import asyncpg
from starlette.exceptions import HTTPException
from starlette.responses import Response

from counterfoil.people.roles import Right
from counterfoil.settlement.batch_names import written_name
from counterfoil.settlement.explained import DepositAnswer, FindingAnswer, finding_answer, summary
from counterfoil.settlement.explained import explained as explained_deposit
from counterfoil.settlement.report_page import OUTCOMES, deposit_state
from counterfoil.settlement.report_table import as_csv
from counterfoil.settlement.reports import NothingToReport, Reporter
from counterfoil.settlement.words import deposit_subject
from counterfoil.store.books import BookStore
from counterfoil.web.downloads import csv_file
from counterfoil.web.rendering import page
from counterfoil.web.visit import Page, Visit

PAGE_MAX = 25
LINES_PAGE_MAX = 100
LINE_MAX = 1_000_000
REFERENCE = re.compile(r"[A-Za-z0-9-]{1,35}")

WORDS = {
    "announced": "On its way",
    "partly_paid": "Partly in the bank",
    "funded": "In the bank",
    "overpaid": "More than announced",
    "returned": "Went back",
    "without_report": "Without a report",
}
GOOD_OUTCOMES = frozenset({"matched", "split", "date_shifted"})
ADJUSTMENTS = {
    "chargeback": "Chargeback: a cardholder's bank took a payment back",
    "reserve": "Reserve: kept by the acquirer for later",
    "reserve_release": "Reserve: given back by the acquirer",
    "correction": "Correction by the acquirer",
    "monthly_fee": "Monthly fee of the acquirer",
}
CAUSES = {
    "report": "The acquirer's report came",
    "statement": "The bank's statement came",
    "nothing_to_pay": "It adds up to zero: there is nothing to pay",
}


async def list_deposits(visit: Visit) -> Response:
    """
    The merchant's deposits, newest first.
    """
    merchant_id, shown, before = _merchant(visit), visit.asked("state"), visit.asked("before")
    rows = await visit.desk.desk.deposits.page(
        merchant_id,
        state=shown if shown in WORDS else None,
        before=before if REFERENCE.fullmatch(before) else None,
        limit=PAGE_MAX + 1,
    )
    found = [_line(row) for row in rows[:PAGE_MAX]]
    return page(
        visit,
        "deposits.html",
        deposits=found,
        older=found[-1]["deposit"].reference if len(rows) > PAGE_MAX else None,
        is_first=not before,
        shown=shown if shown in WORDS else "",
        choices=[("", "All"), *WORDS.items()],
    )


async def show_deposit(visit: Visit) -> Response:
    """
    One deposit: its sums as a bill, what the bank booked, and every payment in it.
    """
    row, after = await _one(visit), visit.asked("after")
    is_line = after.isascii() and after.isdigit() and len(after) <= len(str(LINE_MAX))
    number = int(after) if is_line else 0
    store, books = visit.desk.desk.deposits, BookStore(visit.desk.database)
    whole = await explained_deposit(
        row, store, after_line=min(number, LINE_MAX), limit=LINES_PAGE_MAX
    )
    subject = deposit_subject(whole.reference)
    findings = [
        finding_answer(each)
        for each in await books.findings(_merchant(visit), whole.reference, subject)
    ]
    about = {each.movement: each for each in findings if each.movement}
    return page(
        visit,
        "deposit.html",
        **_line(row),
        whole=whole,
        lines=_lines(whole, about),
        findings=findings,
        changes=_changes(whole),
        numbers=_numbers(whole),
        outcomes=OUTCOMES,
        good_outcomes=GOOD_OUTCOMES,
        adjustments=ADJUSTMENTS,
        more=whole.next_line if isinstance(whole.next_line, int) else None,
        is_first=number == 0,
    )


async def deposit_csv(visit: Visit) -> Response:
    """
    One deposit with all its lines, for a spreadsheet.
    """
    row, desk = await _one(visit), visit.desk
    reporter = Reporter(desk.database, desk.clock, mode=desk.configuration.mode)
    try:
        report = await reporter.deposit(row["reference"], _merchant(visit))
    except NothingToReport:
        raise HTTPException(404) from None
    return csv_file(as_csv(report), f"deposit-{row['reference']}")


def _merchant(visit: Visit) -> UUID:
    return visit.who.merchant.merchant_id


async def _one(visit: Visit) -> asyncpg.Record:
    reference = visit.named("deposit_id")
    row = None
    if REFERENCE.fullmatch(reference):
        row = await visit.desk.desk.deposits.deposit(_merchant(visit), reference)
    if row is None:
        raise HTTPException(404)
    return row


def _line(row: asyncpg.Record) -> dict[str, Any]:
    """
    Return a deposit with how it stands, and by how much announced and booked differ.
    """
    deposit = summary(row)
    tone, said = deposit_state(deposit)
    differs_by = deposit.net_minor - deposit.paid_minor
    if deposit.state == "without_report":
        differs_by = -deposit.paid_minor
    return {
        "deposit": deposit,
        "tone": tone,
        "words": WORDS[deposit.state],
        "said": said,
        "differs_by": differs_by,
    }


def _lines(whole: DepositAnswer, about: dict[str, FindingAnswer]) -> list[dict[str, Any]]:
    return [
        {
            "line": each,
            "fees_minor": each.interchange_minor + each.scheme_minor + each.markup_minor,
            "batch": _batch(whole.acquirer, each.batch),
            "finding": about.get(each.movement) if each.movement else None,
        }
        for each in whole.lines or []
    ]


def _batch(acquirer: str, reference: str) -> str:
    terminal_id, currency, number = reference.rsplit("/", 2)
    return written_name(acquirer, terminal_id, currency, int(number))


def _numbers(whole: DepositAnswer) -> list[tuple[str, str, int]]:
    """
    Return how many lines turned out to be what, in words.
    """
    counts = whole.line_counts or {}
    return [
        ("good" if name in GOOD_OUTCOMES else "bad", OUTCOMES[name], number)
        for name, number in counts.items()
    ]


def _changes(whole: DepositAnswer) -> list[dict[str, Any]]:
    return [
        {
            "at": each.at,
            "words": WORDS[each.state],
            "why": CAUSES.get(each.cause, each.cause.replace("_", " ").capitalize()),
        }
        for each in whole.states or []
    ]


PAGES = (
    Page(path="/deposits", endpoint=list_deposits, right=Right.READ_DEPOSITS),
    Page(path="/deposits/{deposit_id}.csv", endpoint=deposit_csv, right=Right.EXPORT),
    Page(path="/deposits/{deposit_id}", endpoint=show_deposit, right=Right.READ_DEPOSITS),
)
