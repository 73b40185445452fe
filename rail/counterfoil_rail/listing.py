"""
The books as others read them: every charge, oldest first, also while no rail runs.
"""

import json
import sqlite3
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

from counterfoil_rail.store import StoreError, open_readable, rail_folder

Row = dict[str, object]

_CHARGES = """
    SELECT id, rrn, terminal_id, amount_minor, currency, state, batch, kind, stan, brand, bin,
           last4, response_code, approval_code, authorized_minor, held_minor, captured_minor,
           refunded_minor, credited_minor, released_minor, expired_minor,
           (SELECT ifnull(sum(amount_minor), 0) FROM entry
            WHERE charge_id = charge.id AND reverses IS NOT NULL) AS reversed_minor,
           expires_at, merchant_id, network_transaction_id, at
    FROM charge ORDER BY id
"""
# What a charge has put into batches, and how far each of that has come.
_MOVEMENTS = """
    SELECT entry.charge_id,
           CASE WHEN charge.kind <> 'authorization' AND entry.mti = charge.mti
                    AND entry.stan = charge.stan AND entry.sent_at = charge.sent_at
                THEN charge.kind
                WHEN entry.kind = 'credit' THEN 'refund' ELSE 'capture' END AS kind,
           entry.rrn, entry.amount_minor, ifnull(undone_minor, 0) AS reversed_minor,
           number AS batch,
           CASE WHEN undone_minor = entry.amount_minor
                THEN iif(at_close, 'released', 'reversed')
                WHEN deposit.state = 'pending' THEN 'settled'
                WHEN deposit.id IS NOT NULL THEN deposit.state
                WHEN closing.day IS NOT NULL THEN 'closed'
                WHEN batch.closed_at IS NOT NULL THEN 'ended'
                ELSE 'open' END AS state
    FROM entry
    JOIN charge ON charge.id = entry.charge_id
    JOIN batch ON batch.id = entry.batch_id
    LEFT JOIN (SELECT reverses, sum(amount_minor) AS undone_minor,
                      max(mti IN ('0500', '0520')) AS at_close
               FROM entry WHERE reverses IS NOT NULL GROUP BY reverses) AS undo
        ON undo.reverses = entry.id
    LEFT JOIN closing ON closing.batch_id = entry.batch_id
    LEFT JOIN item ON item.entry_id = entry.id
    LEFT JOIN deposit ON deposit.id = item.deposit_id
    WHERE entry.kind IN ('debit', 'credit')
    ORDER BY entry.charge_id, entry.id
"""
_COLUMNS = ("at", "rrn", "terminal_id", "kind", "state", "amount_minor", "currency")
_MORE_COLUMNS = ("batch", "response_code", "brand", "last4")


def charges(state: Path) -> Iterator[Row]:
    """
    Yield every charge with its movements in the books below *state*; none without books.

    Raises:
        StoreError: The books are there but cannot be read.
    """
    books = open_readable(rail_folder(state))
    if books is None:
        return
    try:
        books.execute("BEGIN")  # Both queries see the same books.
        movements = groupby(books.execute(_MOVEMENTS), key=lambda row: row["charge_id"])
        ahead = next(movements, None)
        for row in books.execute(_CHARGES):
            charge = dict(row)
            charge["movements"] = []
            if ahead is not None and ahead[0] == charge["id"]:
                charge["movements"] = [_movement(moved) for moved in ahead[1]]
                ahead = next(movements, None)
            del charge["id"]
            yield charge
    except sqlite3.Error as error:
        raise StoreError(f"cannot read the books: {error}") from error
    finally:
        books.close()


def as_json(rows: Iterator[Row]) -> Iterator[str]:
    """
    Yield the pieces of a JSON list of *rows*, a line for each.
    """
    separator = "["
    for row in rows:
        yield f"{separator}{json.dumps(row)}"
        separator = ",\n "
    yield "[]\n" if separator == "[" else "]\n"


def as_table(rows: Iterator[Row]) -> Iterator[str]:
    """
    Yield the lines of a table for people, a charge in each.
    """
    columns = (*_COLUMNS, *_MORE_COLUMNS)
    line = "{:<25}{:<14}{:<13}{:<15}{:<10}{:>12} {:<10}{:<8}{:<15}{:<12}{:<5}"
    yield line.format(*columns).rstrip() + "\n"
    for row in rows:
        values = ("" if row[column] is None else str(row[column]) for column in columns)
        yield line.format(*values).rstrip() + "\n"


def _movement(row: sqlite3.Row) -> Row:
    movement = dict(row)
    del movement["charge_id"]
    return movement
