"""
Deposits and batches as others read them, also while no rail runs.
"""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

from counterfoil_rail.settlement import queries
from counterfoil_rail.store import StoreError, open_readable, rail_folder

Row = dict[str, object]

DEPOSIT_COLUMNS = {
    "reference": 16,
    "merchant": 17,
    "currency": 10,
    "business_date": 15,
    "gross": 12,
    "refunds": 12,
    "fees": 10,
    "adjustments": 13,
    "net": 12,
    "value_date": 12,
    "state": 8,
}
BATCH_COLUMNS = {
    "terminal_id": 13,
    "currency": 10,
    "number": 8,
    "state": 15,
    "business_date": 15,
    "debits_number": 15,
    "debits_minor": 14,
    "credits_number": 16,
    "credits_minor": 15,
    "net_minor": 12,
}


def deposits(state: Path) -> Iterator[Row]:
    """
    Yield every deposit with its items and adjustments, oldest first.

    Raises:
        StoreError: The books are there but cannot be read.
    """
    with_books = _rows(state, queries.LIST_DEPOSITS)
    for books, deposit in with_books:
        which = (deposit.pop("id"),)
        deposit["adjustment_items"] = [
            dict(row) for row in books.execute(queries.LIST_ADJUSTMENTS, which)
        ]
        deposit["items"] = [dict(row) for row in books.execute(queries.LIST_ITEMS, which)]
        yield deposit


def batches(state: Path) -> Iterator[Row]:
    """
    Yield every batch with its totals, in the order in which they were opened.

    Raises:
        StoreError: The books are there but cannot be read.
    """
    for _, batch in _rows(state, queries.LIST_BATCHES):
        yield batch


def as_table(rows: Iterator[Row], columns: dict[str, int]) -> Iterator[str]:
    """
    Yield the lines of a table for people: *columns* are names and widths.
    """
    yield "".join(f"{name:<{width}}" for name, width in columns.items()).rstrip() + "\n"
    for row in rows:
        values = {name: "" if row[name] is None else str(row[name]) for name in columns}
        yield "".join(f"{values[name]:<{width}}" for name, width in columns.items()).rstrip() + "\n"


def _rows(state: Path, query: str) -> Iterator[tuple[sqlite3.Connection, Row]]:
    books = open_readable(rail_folder(state))
    if books is None:
        return
    try:
        for row in books.execute(query):
            yield books, dict(row)
    except sqlite3.Error as error:
        raise StoreError(f"cannot read the books: {error}") from error
    finally:
        books.close()
