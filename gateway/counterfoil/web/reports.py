"""
The end of the day: a page, a table for a spreadsheet, and a document to keep.
"""

from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse, Response

from counterfoil.people.roles import Right
from counterfoil.settlement.batch_names import written_name
from counterfoil.settlement.report_facts import BatchReport, MerchantReport, Report
from counterfoil.settlement.report_page import (
    as_page,
    batch_state,
    currencies,
    deposit_state,
)
from counterfoil.settlement.report_table import as_csv
from counterfoil.settlement.reports import Reporter
from counterfoil.store.books import BookStore
from counterfoil.web.downloads import csv_file
from counterfoil.web.pdf import as_file, pdf_of
from counterfoil.web.rendering import page
from counterfoil.web.visit import Page, Visit

DAYS_LISTED = 31


async def list_days(visit: Visit) -> Response:
    """
    The last days on which anything was closed or due, and any other day by its date.
    """
    asked, fault = visit.asked("day"), None
    if asked:
        if day := _read_day(asked):
            return RedirectResponse(f"/reports/{day.isoformat()}", 303)
        fault = "This is no day. Choose another one."
    zone = ZoneInfo(visit.who.merchant.timezone)
    today = visit.desk.clock.now().astimezone(zone).date()
    first = today - timedelta(days=DAYS_LISTED)
    rows = await BookStore(visit.desk.database).days(
        visit.who.merchant.merchant_id,
        visit.who.merchant.timezone,
        since=datetime.combine(first, datetime.min.time(), zone),
        first=first,
        last=today,
    )
    return page(
        visit,
        "reports.html",
        status=422 if fault else 200,
        days=rows,
        today=today,
        wanted=today.isoformat(),
        fault=fault,
        listed=DAYS_LISTED,
    )


async def show_day(visit: Visit) -> Response:
    """
    One day: its totals, batches and deposits, and what does not agree.
    """
    day = _day(visit)
    report = await _report(visit, day, is_short=True)
    zone = ZoneInfo(visit.who.merchant.timezone)
    today = visit.desk.clock.now().astimezone(zone).date()
    (part,) = report.merchants
    return page(
        visit,
        "report-day.html",
        report=report,
        part=part,
        day=day,
        is_today=day == today,
        before=_beside(day, -1),
        after=_beside(day, 1) if day < today else None,
        totals=currencies(part.brands),
        batches=[_batch(each) for each in part.batches],
        deposits=_deposits(part),
    )


async def day_csv(visit: Visit) -> Response:
    """
    One day with every item and line, for a spreadsheet.
    """
    day = _day(visit)
    return csv_file(as_csv(await _report(visit, day)), f"report-{day.isoformat()}")


async def day_pdf(visit: Visit) -> Response:
    """
    One day as a document.
    """
    day = _day(visit)
    page_to_print = as_page(await _report(visit, day))
    return as_file(await pdf_of(page_to_print), f"report-{day.isoformat()}")


async def _report(visit: Visit, day: date, *, is_short: bool = False) -> Report:
    desk = visit.desk
    reporter = Reporter(desk.database, desk.clock, mode=desk.configuration.mode)
    return await reporter.day(day, visit.who.merchant.merchant_id, is_short=is_short)


def _batch(batch: BatchReport) -> dict[str, Any]:
    terminal_id, currency, number = batch.batch.rsplit("/", 2)
    tone, said = batch_state(batch)
    return {
        "batch": batch,
        "name": written_name(batch.acquirer, terminal_id, currency, int(number)),
        "items": sum(each.captures + each.refunds for each in batch.brands),
        "net_minor": sum(each.net_minor for each in batch.brands),
        "tone": tone,
        "said": said,
    }


def _deposits(part: MerchantReport) -> list[dict[str, Any]]:
    found = []
    for each in part.deposits:
        tone, said = deposit_state(each.deposit)
        found.append({"deposit": each.deposit, "tone": tone, "said": said})
    return found


def _day(visit: Visit) -> date:
    day = _read_day(visit.named("day"))
    if day is None:
        raise HTTPException(404)
    return day


def _read_day(text: str) -> date | None:
    """
    Return the day of `2026-11-28`, a year from the ends of the calendar: no zone leads over them.
    """
    try:
        day = date.fromisoformat(text) if len(text) == len("2026-11-28") else None
    except ValueError:
        return None
    return day if day and date.min.year + 1 < day.year < date.max.year - 1 else None


def _beside(day: date, days: int) -> date:
    return day + timedelta(days=days)


PAGES = (
    Page(path="/reports", endpoint=list_days, right=Right.READ_DEPOSITS),
    Page(path="/reports/{day}.csv", endpoint=day_csv, right=Right.EXPORT),
    Page(path="/reports/{day}.pdf", endpoint=day_pdf, right=Right.EXPORT),
    Page(path="/reports/{day}", endpoint=show_day, right=Right.READ_DEPOSITS),
)
