"""
The host's journal, as an acquirer gives it to a merchant who has lost data: JSON lines.

The first line says what it is and which numbers were used: for each terminal the highest
trace number of each day (month and day of DE 7, in UTC), and the highest batch of each
currency. Each further line is a charge, and the last says how many there were. The form is
the gateway's `counterfoil quarantine compare`; what stands in it is this rail's own knowledge.
"""

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from counterfoil_rail.listing import Row, charges
from counterfoil_rail.store import StoreError, open_readable, rail_folder

FORMAT = "counterfoil-host-journal-1"
_CHARGE = (
    *("terminal_id", "rrn", "kind", "state", "currency", "amount_minor", "held_minor"),
    *("captured_minor", "refunded_minor", "credited_minor", "batch", "stan", "approval_code", "at"),
)
_STANS = """
    SELECT terminal_id, substr(sent_at, 1, 4) AS day, max(stan) AS stan
    FROM exchange GROUP BY terminal_id, day ORDER BY terminal_id, day
"""
_BATCHES = """
    SELECT terminal_id, currency, max(number) AS number
    FROM batch GROUP BY terminal_id, currency ORDER BY terminal_id, currency
"""


def journal(state: Path) -> Iterator[str]:
    """
    Yield the lines of the journal of the books below *state*.

    Raises:
        StoreError: There are none, or they cannot be read.
    """
    yield json.dumps({"format": FORMAT, "from": None, "terminals": _numbers(state)}) + "\n"
    written = 0
    for charge in charges(state):
        yield json.dumps({name: charge[name] for name in _CHARGE}) + "\n"
        written += 1
    yield json.dumps({"charges": written}) + "\n"


def _numbers(state: Path) -> list[Row]:
    books = open_readable(rail_folder(state))
    if books is None:
        raise StoreError(f"there are no books below {state}")
    found: dict[str, dict[str, dict[str, int]]] = {}
    try:
        for terminal_id, day, stan in books.execute(_STANS):
            _of(found, terminal_id)["last_stans"][day] = int(stan)
        for terminal_id, currency, number in books.execute(_BATCHES):
            _of(found, terminal_id)["last_batches"][currency] = int(number)
    except sqlite3.Error as error:
        raise StoreError(f"cannot read the books: {error}") from error
    finally:
        books.close()
    return [{"terminal_id": terminal_id, **numbers} for terminal_id, numbers in found.items()]


def _of(found: dict[str, dict[str, dict[str, int]]], terminal_id: str) -> dict[str, dict[str, int]]:
    return found.setdefault(terminal_id, {"last_stans": {}, "last_batches": {}})
