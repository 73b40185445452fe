"""
The books of closing batches: how far each is, its uploaded items, and every close once.

Beside `books`, on the same connection and in the same transactions; only the rules of
the close (`closes`, `uploads`) come here.
"""

import json
import sqlite3
from dataclasses import astuple, dataclass
from typing import NamedTuple

from counterfoil_rail.message import Answer, Key
from counterfoil_rail.records import EntryKind

_FIND = """
    SELECT batch_id, merchant_id, acquirer_id, state, forgotten, day
    FROM closing WHERE batch_id = ?
"""
_FIND_BY_NAME = """
    SELECT batch_id, closing.merchant_id, acquirer_id, state, forgotten, day
    FROM batch JOIN closing ON batch_id = batch.id
    WHERE terminal_id = ? AND currency = ? AND number = ?
"""
_SAVE = "INSERT OR REPLACE INTO closing VALUES (?, ?, ?, ?, ?, ?)"
_HAS_OTHER_MERCHANT = """
    SELECT 1 FROM entry JOIN charge ON charge.id = charge_id
    WHERE batch_id = ? AND rtrim(merchant_id) <> ? LIMIT 1
"""

# Debits and credits, oldest first: what of each stands, and whether it was uploaded.
_LINES = """
    SELECT id, charge_id, kind, amount_minor, amount_minor - ifnull(undone_minor, 0),
           ifnull(reversals, 0), rrn,
           EXISTS (SELECT 1 FROM upload WHERE entry_id = entry.id AND response_code = '00')
    FROM entry
    LEFT JOIN (SELECT reverses, sum(amount_minor) AS undone_minor, count(*) AS reversals
               FROM entry WHERE batch_id = ?1 AND reverses IS NOT NULL GROUP BY reverses) AS undo
        ON undo.reverses = entry.id
    WHERE batch_id = ?1 AND kind IN ('debit', 'credit')
    ORDER BY id
"""

_FIND_RECONCILIATION = """
    SELECT asked, response_code, settlement_date, further FROM reconciliation
    WHERE terminal_id = ? AND sent_at = ? AND stan = ? AND mti = ?
"""
_ADD_RECONCILIATION = "INSERT INTO reconciliation VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
_FIND_UPLOAD = """
    SELECT asked, response_code FROM upload WHERE terminal_id = ? AND sent_at = ? AND stan = ?
"""
_ADD_UPLOAD = "INSERT INTO upload VALUES (?, ?, ?, ?, ?, ?)"
# What was answered stays, for repeats; only the items are no longer taken.
_FORGET_UPLOADS = """
    UPDATE upload SET entry_id = NULL
    WHERE entry_id IN (SELECT id FROM entry WHERE batch_id = ?)
"""
_IS_TAKEN = "SELECT 1 FROM upload WHERE entry_id = ? AND response_code = '00'"


@dataclass(slots=True)
class Closing:
    """
    A batch that a 0500 has come for, as its row in the books.
    """

    batch_id: int
    merchant_id: str
    acquirer_id: str
    state: str = "uploading"
    forgotten: int | None = None
    day: str | None = None

    @property
    def is_in_balance(self) -> bool:
        """
        Tell whether both sides have agreed: its number never comes back.
        """
        return self.day is not None

    def agree(self, day: str) -> None:
        """
        Note that both sides have agreed, on business day *day*.
        """
        self.state, self.day, self.forgotten = "balanced", day, None


class Line(NamedTuple):
    """
    A debit or credit of a batch, what of it stands, and how many reversals stand beside it.
    """

    id: int
    charge_id: int
    kind: EntryKind
    gross_minor: int
    amount_minor: int
    reversals: int
    rrn: str
    is_uploaded: int

    @property
    def number(self) -> int:
        """
        What it adds to the number of its kind less the number of the reversals.
        """
        return 1 - self.reversals


class Closings:
    """
    The closings in the books, open for writing.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._run = connection.execute

    def find(self, batch_id: int) -> Closing | None:
        """
        Return the closing of a batch; None when no 0500 has come for it.
        """
        row = self._run(_FIND, (batch_id,)).fetchone()
        return Closing(*row) if row else None

    def find_by_name(self, terminal_id: str, currency: str, number: str) -> Closing | None:
        """
        Return the closing of a batch by its name, also when there is no such batch.
        """
        row = self._run(_FIND_BY_NAME, (terminal_id, currency, number)).fetchone()
        return Closing(*row) if row else None

    def save(self, closing: Closing) -> None:
        """
        Write down how far *closing* is.
        """
        self._run(_SAVE, astuple(closing))

    def has_other_merchant(self, batch_id: int, merchant_id: str) -> bool:
        """
        Tell whether the batch holds anything of another merchant.
        """
        return self._run(_HAS_OTHER_MERCHANT, (batch_id, merchant_id)).fetchone() is not None

    def lines(self, batch_id: int) -> list[Line]:
        """
        Return the debits and credits of a batch, oldest first.
        """
        return [Line(*row) for row in self._run(_LINES, (batch_id,))]

    def earlier_close(self, key: Key) -> tuple[str, Answer] | None:
        """
        Return what a 0500 or 0520 of *key* asked and was told, if one was acted on.
        """
        row = self._run(_FIND_RECONCILIATION, key).fetchone()
        if row is None:
            return None
        asked, code, settlement_date, further = row
        answer = Answer(
            code, settlement_date=settlement_date, note="repeated", further=json.loads(further)
        )
        return asked, answer

    def remember_close(self, key: Key, asked: str, answer: Answer) -> None:
        """
        Write down a 0500 or 0520 with its answer, so that a repeat gets the same one.
        """
        told = (answer.response_code, answer.settlement_date, json.dumps(answer.further))
        self._run(_ADD_RECONCILIATION, (*key, asked, *told))

    def earlier_upload(self, key: Key) -> tuple[bytes, str] | None:
        """
        Return what a 0320 of *key* asked and the code it got, if one was acted on.
        """
        row = self._run(_FIND_UPLOAD, key[:3]).fetchone()
        return (row[0], row[1]) if row else None

    def remember_upload(self, key: Key, asked: bytes, entry_id: int | None, code: str) -> None:
        """
        Write down a 0320; with code 00 the entry is taken, until the upload begins anew.
        """
        self._run(_ADD_UPLOAD, (*key[:3], asked, entry_id, code))

    def begin_upload(self, closing: Closing) -> None:
        """
        Wait for every item of the batch, also for those that an earlier upload has brought.
        """
        closing.state = "uploading"
        self._run(_FORGET_UPLOADS, (closing.batch_id,))

    def is_taken(self, entry_id: int) -> bool:
        """
        Tell whether an entry was uploaded already.
        """
        return self._run(_IS_TAKEN, (entry_id,)).fetchone() is not None
