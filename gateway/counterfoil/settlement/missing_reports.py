"""
Ask after reports that never come: batches that were closed days ago, and that no report names.

A report tells of the batches that it leaves out (reconcile.py). An acquirer that sends no
report at all tells nothing, so a duty of the worker looks by itself.
"""

from datetime import date, datetime, timedelta

import asyncpg
import msgspec
import structlog

from counterfoil.clock import Clock
from counterfoil.ids import Ids
from counterfoil.settlement import words
from counterfoil.settlement.banking_days import next_banking_day
from counterfoil.store.booking import Finding
from counterfoil.store.settlement import BATCHES_ASKED_MAX, SettlementStore

BANKING_DAYS_MAX = 3
LOOKS_BACK = timedelta(days=60)  # What is older was named while it was younger.
HALF_A_YEAR = timedelta(days=183)
NO_REPORT = (
    "The batch was closed with the acquirer more than three banking days ago, and no report names "
    "it. Look at `counterfoil settlement held` and whether reports arrive in their folder; then "
    "ask the acquirer for the report of that day."
)

log = structlog.get_logger("settlement")


async def ask_for_reports(store: SettlementStore, clock: Clock, ids: Ids) -> int:
    """
    Put on the list which batches should have been on a report by now; return how many are new.
    """
    now = clock.now()
    since, until = now - LOOKS_BACK, now - timedelta(days=BANKING_DAYS_MAX)
    told = 0
    for merchant_id in await store.merchants_without_report(since, until):
        async with store.booking(merchant_id, now) as booking:
            rows = await booking.batches_without_report(since, until, BATCHES_ASKED_MAX)
            findings = [_finding(row) for row in rows if _is_overdue(row, now)]
            await booking.find([(ids.new(), each) for each in findings])
        for each in findings:
            log.error("report_missing", merchant=merchant_id.hex, batch=each.subject)
        told += len(findings)
    return told


def _finding(row: asyncpg.Record) -> Finding:
    name = words.batch_name(row["terminal_id"], row["currency"], row["batch_number"])
    finding = words.batch_missing(name, row["amount_minor"], row["currency"])
    return msgspec.structs.replace(finding, next_step=NO_REPORT)


def _is_overdue(row: asyncpg.Record, now: datetime) -> bool:
    """
    Return whether more than the banking days that a report takes have passed.
    """
    settled_on = settlement_day(row["settlement_date"], row["closed_at"].date())
    return next_banking_day(settled_on, BANKING_DAYS_MAX) < now.date()


def settlement_day(written: str | None, closed_on: date) -> date:
    """
    Return the day of a settlement date (DE 15, MMDD), in the year that is nearest to the close.

    Without a settlement date, or with one that is no date, the day of the close itself.
    """
    for year in (closed_on.year, closed_on.year + 1, closed_on.year - 1):
        try:
            day = date(year, int((written or "")[:2]), int((written or "")[2:]))
        except ValueError:
            continue
        if abs(day - closed_on) <= HALF_A_YEAR:
            return day
    return closed_on
