"""
Commands of the end of the day: `day advance`, `day show`, `deposits`, `batches`.
"""

import json
from pathlib import Path

from cyclopts import App

from counterfoil_rail.console import JsonList, State, fail, write
from counterfoil_rail.control import (
    ADVANCE_SECONDS_MAX,
    ControlError,
    NotRunningError,
    ask,
)
from counterfoil_rail.listing import as_json
from counterfoil_rail.settlement import listing
from counterfoil_rail.settlement.day import DAYS_MAX, Advanced, advance_stopped, show
from counterfoil_rail.store import StoreError, rail_folder

day = App(name="day", help="The rail's business day: settlement happens when it ends.")


@day.command
def advance(*, state: State, days: int = 1, as_json_list: JsonList = False) -> None:
    """
    End the business day: settle, write reports and statements, book what is due.

    Parameters
    ----------
    days
        How many days, one after the other.
    as_json_list
        One JSON list with what each day made.
    """
    if not 1 <= days <= DAYS_MAX:
        fail(f"--days is 1 to {DAYS_MAX}: {days}")
    try:
        done = _advance(state, days)
    except (StoreError, ControlError) as error:
        fail(str(error))
    if as_json_list:
        write([f"{json.dumps([one._asdict() for one in done])}\n"])
    else:
        write(_sentence(one) for one in done)


@day.command(name="show")
def show_day(*, state: State, as_json_object: JsonList = False) -> None:
    """
    Print the business day.

    Parameters
    ----------
    as_json_object
        With what it is to a bank, as JSON.
    """
    try:
        shown = show(state)
    except StoreError as error:
        fail(str(error))
    write([f"{json.dumps(shown) if as_json_object else shown['business_day']}\n"])


def deposits(*, state: State, as_json_list: JsonList = False) -> None:
    """
    List every deposit, also when no rail runs.

    Parameters
    ----------
    as_json_list
        As one JSON list, with the items of each.
    """
    rows = listing.deposits(state)
    write(as_json(rows) if as_json_list else listing.as_table(rows, listing.DEPOSIT_COLUMNS))


def batches(*, state: State, as_json_list: JsonList = False) -> None:
    """
    List every batch with the host's own totals, also when no rail runs.

    Parameters
    ----------
    as_json_list
        As one JSON list instead of a table.
    """
    rows = listing.batches(state)
    write(as_json(rows) if as_json_list else listing.as_table(rows, listing.BATCH_COLUMNS))


def _advance(state: Path, days: int) -> list[Advanced]:
    """
    Ask the rail that runs; if none does, work on its books.
    """
    try:
        answer = ask(rail_folder(state), {"advance": days}, seconds=ADVANCE_SECONDS_MAX)
    except NotRunningError:
        return advance_stopped(state, days)
    return [Advanced(*one) for one in answer["days"]]


def _sentence(one: Advanced) -> str:
    made = f"deposits {one.deposits}, statements {one.statements}, files {one.files}"
    return f"{one.business_day} begins; the day before: {made}\n"
