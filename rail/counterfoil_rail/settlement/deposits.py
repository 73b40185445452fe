"""
Settle a business day: one deposit for each merchant and currency, fees deducted.

Every batch closed in balance is settled once. A mistake of the acquirer is in its report
and in what it pays alike; the books of the batches keep the truth.
"""

import sqlite3
from collections.abc import Callable
from datetime import date, timedelta
from itertools import groupby
from typing import NamedTuple

from counterfoil_rail.faults import Faults
from counterfoil_rail.settlement import queries
from counterfoil_rail.settlement.banking_days import next_banking_day

Run = Callable[..., sqlite3.Cursor]

HALF_A_YEAR = timedelta(days=183)
REFERENCE_NUMBERS = 1_000_000

# Mistakes in one line of a report, and what each does to it.
_LINE_MISTAKES = {
    "report_amount_differs": queries.RAISE_ITEM,
    "report_date_shifted": queries.SHIFT_ITEM,
    "report_unknown_batch": queries.MOVE_ITEM,
    "report_duplicate_line": queries.REPEAT_ITEM,
    "report_extra_line": queries.INVENT_ITEM,
    "report_missing_line": queries.DROP_ITEM,
}
# Mistakes in a report as a file; `report` makes them.
FILE_MISTAKES = (
    "report_bad_trailer",
    "report_truncated",
    "report_other_merchant",
    "report_twice",
)


class Account(NamedTuple):
    """
    A merchant's bank account in one currency.
    """

    id: int
    merchant_id: str
    acquirer_id: str
    currency: str
    is_due: int


def settle(run: Run, day: date, faults: Faults) -> int:
    """
    Settle every batch that was closed in balance; return how many deposits that makes.
    """
    run(queries.OPEN_ACCOUNTS)
    accounts = [Account(*row) for row in run(queries.ACCOUNTS)]
    adjustments = faults.take_adjustments() if accounts else {}
    due = [account for account in accounts if account.is_due]
    if adjustments and not due:
        due = accounts[:1]
    made = 0
    for _, of_merchant in groupby(due, key=lambda account: account.merchant_id):
        made += _settle_merchant(run, list(of_merchant), day, faults, adjustments)
        adjustments = {}
    run(queries.END_CLOSINGS)
    return made


def _settle_merchant(
    run: Run, accounts: list[Account], day: date, faults: Faults, adjustments: dict[str, int]
) -> int:
    """
    Make the deposits that one report tells; the first bears mistakes and adjustments.
    """
    made = 0
    for account in accounts:
        is_first = not made
        deposit_id = _begin_deposit(run, account, day)
        if is_first:
            _make_mistakes(run, deposit_id, faults)
        given = adjustments if is_first else {}
        for kind, amount_minor in given.items():
            text = f"{kind.lower().replace('_', ' ')} by the sandbox"
            run(queries.ADD_ADJUSTMENT, (deposit_id, kind, amount_minor, text))
        made += _end_deposit(run, deposit_id)
    if made and not faults.strikes("deposit_without_report"):
        mistakes = " ".join(name for name in FILE_MISTAKES if faults.strikes(name))
        due_day = day + timedelta(days=1) if faults.strikes("report_late") else day
        first = accounts[0]
        report = (first.merchant_id, day.isoformat(), first.acquirer_id, mistakes)
        run(queries.ADD_REPORT, (*report, due_day.isoformat()))
    return made


def _begin_deposit(run: Run, account: Account, day: date) -> int:
    """
    Put everything that the account's batches hold into a new deposit.
    """
    deposit_id = int(run(queries.LAST_DEPOSIT_ID).fetchone()[0]) + 1
    reference = f"CF{day:%y%m%d}{deposit_id % REFERENCE_NUMBERS:06d}"
    value_date = next_banking_day(day).isoformat()
    whose = (account.merchant_id, account.currency)
    run(queries.ADD_DEPOSIT, (deposit_id, reference, *whose, day.isoformat(), value_date))
    which = {
        "deposit_id": deposit_id,
        "merchant_id": account.merchant_id,
        "currency": account.currency,
        "year": day.year,
        "latest": (day + HALF_A_YEAR).isoformat(),
        "earliest": (day - HALF_A_YEAR).isoformat(),
    }
    run(queries.ADD_ITEMS, which)
    return deposit_id


def _make_mistakes(run: Run, deposit_id: int, faults: Faults) -> None:
    """
    Do to the first item what armed mistakes say; they wait while there is no item.
    """
    for name, mistake in _LINE_MISTAKES.items():
        item = run(queries.FIRST_ITEM, (deposit_id,)).fetchone()
        if item is not None and faults.strikes(name):
            run(mistake, item)


def _end_deposit(run: Run, deposit_id: int) -> bool:
    """
    Sum a deposit up; one that holds nothing is dropped: nobody is paid nothing.
    """
    sums = run(queries.SUM_ITEMS, (deposit_id,)).fetchone()
    adjustments_number, adjustments_minor = run(queries.SUM_ADJUSTMENTS, (deposit_id,)).fetchone()
    if not sums[0] and not adjustments_number:
        run(queries.DROP_DEPOSIT, (deposit_id,))
        return False
    run(queries.SAVE_SUMS, (*sums, adjustments_minor, deposit_id))
    return True
