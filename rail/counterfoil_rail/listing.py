"""
The books as others read them: every charge, oldest first, also while no rail runs.
"""

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from counterfoil_rail.store import StoreError, open_readable, rail_folder

_CHARGES = """
    SELECT rrn, terminal_id, amount_minor, currency, state, batch, kind, stan, brand, bin, last4,
           response_code, approval_code, held_minor, captured_minor, refunded_minor,
           merchant_id, network_transaction_id, at
    FROM charge ORDER BY id
"""
_COLUMNS = ("at", "rrn", "terminal_id", "kind", "state", "amount_minor", "currency")
_MORE_COLUMNS = ("batch", "response_code", "brand", "last4")


def charges(state: Path) -> Iterator[dict[str, object]]:
    """
    Yield every charge in the books below *state*; none when there are no books.

    Raises:
        StoreError: The books are there but cannot be read.
    """
    books = open_readable(rail_folder(state))
    if books is None:
        return
    try:
        for row in books.execute(_CHARGES):
            yield dict(row)
    except sqlite3.Error as error:
        raise StoreError(f"cannot read the books: {error}") from error
    finally:
        books.close()


def as_json(state: Path) -> Iterator[str]:
    """
    Yield the pieces of a JSON list of all charges, a line for each.
    """
    separator = "["
    for charge in charges(state):
        yield f"{separator}{json.dumps(charge)}"
        separator = ",\n "
    yield "[]\n" if separator == "[" else "]\n"


def as_table(state: Path) -> Iterator[str]:
    """
    Yield the lines of a table for people, a charge in each.
    """
    columns = (*_COLUMNS, *_MORE_COLUMNS)
    row = "{:<25}{:<14}{:<13}{:<15}{:<10}{:>12} {:<10}{:<8}{:<15}{:<12}{:<5}"
    yield row.format(*columns).rstrip() + "\n"
    for charge in charges(state):
        values = ("" if charge[column] is None else str(charge[column]) for column in columns)
        yield row.format(*values).rstrip() + "\n"
