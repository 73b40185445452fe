"""
The rail's own books: accounts, charges, batches, and every request once.

Stands at the end of a message's path; its SQL stands in `queries`. All calls of one
turn run inside `transaction()`; what they wrote is durable when it has ended.
"""

import contextlib
import sqlite3
from collections.abc import Iterator
from operator import attrgetter

from counterfoil_rail import queries
from counterfoil_rail.cards import Card
from counterfoil_rail.message import Answer, Key, Request
from counterfoil_rail.records import Batch, Charge, Entry, EntryKind, Exchange

BATCHES_CACHED_MAX = 1000

_charge_row = attrgetter(*queries.CHARGE_COLUMNS)
_charge_changes = attrgetter(*queries.CHARGE_CHANGES)
_batch_row = attrgetter(*queries.BATCH_COLUMNS)
_batch_changes = attrgetter(*queries.BATCH_CHANGES)


class Books:
    """
    The books, open for writing.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._run = connection.execute
        self._batches: dict[tuple[str, str, str], Batch] = {}
        self._changed: dict[int, Batch] = {}
        self._count_ids()

    def close(self) -> None:
        """
        Close the file.
        """
        self._connection.close()

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """
        Make everything written inside durable together, or none of it.
        """
        self._run("BEGIN IMMEDIATE")
        try:
            yield
            self._save_batches()
            self._run("COMMIT")
        except BaseException:
            self._forget()
            raise

    # Charges and the lines they put into batches.

    def next_charge_id(self) -> int:
        """
        Return the id of the next charge: ascending, in no use yet.
        """
        self._last_charge_id += 1
        return self._last_charge_id

    def add_charge(self, charge: Charge) -> None:
        """
        Write down a decided charge.
        """
        self._run(queries.ADD_CHARGE, _charge_row(charge))

    def save_charge(self, charge: Charge) -> None:
        """
        Write down what has become of *charge*.
        """
        self._run(queries.SAVE_CHARGE, (*_charge_changes(charge), charge.id))

    def charge(self, charge_id: int) -> Charge:
        """
        Return a charge that is in the books.
        """
        return Charge(*self._run(queries.FIND_CHARGE, (charge_id,)).fetchone())

    def lapsed_holds(self, at: str, number_max: int) -> list[Charge]:
        """
        Return charges whose hold has lapsed by *at*, the longest ago first.
        """
        return [Charge(*row) for row in self._run(queries.LAPSED_HOLDS, (at, number_max))]

    def end_holds(self, rrn: str | None, *, at: str) -> int:
        """
        Let the hold of *rrn*, or every hold, end at *at*; return how many that are.
        """
        return self._run(queries.END_HOLDS, (at, rrn)).rowcount

    def entries(self, charge: Charge) -> list[Entry]:
        """
        Return the debits and credits of *charge*, oldest first.
        """
        rows = self._run(queries.ENTRIES_OF_CHARGE, (charge.id,))
        return [
            Entry(row[0], row[1], row[2], row[3], Key(*row[4:8]), row[8], row[9], bool(row[10]))
            for row in rows
        ]

    def add_entry(
        self,
        kind: EntryKind,
        batch: Batch,
        charge_id: int,
        amount_minor: int,
        *,
        key: Key,
        rrn: str,
        at: str,
        reverses: int | None = None,
        at_close: bool = False,
    ) -> None:
        """
        Put a line into *batch* and into its totals.
        """
        assert at_close or batch.closed_at is None, "nothing enters a closed batch"
        line = (batch.id, charge_id, kind, amount_minor, key.mti, key.stan, key.sent_at)
        self._run(queries.ADD_ENTRY, (*line, rrn, reverses, at))
        batch.count(kind, amount_minor)
        self._changed[batch.id] = batch

    # Batches.

    def batch(self, terminal_id: str, currency: str, number: str, *, at: str) -> Batch:
        """
        Return the batch, opened now if it is new.
        """
        name = (terminal_id, currency, number)
        found = self._batches.get(name)
        if found is None:
            row = self._run(queries.FIND_BATCH, name).fetchone()
            found = Batch(*row) if row else self._open_batch(name, at)
            self._batches[name] = found
        return found

    def batch_by_id(self, batch_id: int) -> Batch:
        """
        Return a batch that exists.
        """
        return self.batch(*self._run(queries.BATCH_NAME, (batch_id,)).fetchone(), at="")

    def count_authorization(self, batch: Batch) -> None:
        """
        Count an approved authorization in the totals of *batch*.
        """
        batch.authorizations_number += 1
        self._changed[batch.id] = batch

    def end_batch(self, batch: Batch, *, at: str) -> None:
        """
        Let nothing enter or leave *batch* any more.
        """
        if batch.closed_at is None:
            batch.closed_at = at
            self._changed[batch.id] = batch

    def close_batches(self, name: tuple[str, str, str] | None, *, at: str) -> int:
        """
        Close the open batch *name*, or all of them; return how many that were.
        """
        self._batches.clear()
        closed = self._run(queries.CLOSE_BATCHES, (at, *(name or (None, None, None))))
        return closed.rowcount

    # Accounts.

    def move_account(
        self, card_ref: bytes, currency: str, *, held_minor: int = 0, spent_minor: int = 0
    ) -> bool:
        """
        Add to what an account holds and has spent; False when its limit forbids it.
        """
        moved = self._run(queries.MOVE_ACCOUNT, (card_ref, currency, held_minor, spent_minor))
        return moved.rowcount == 1

    def settle_account(self, charge: Charge, *, held_minor: int = 0, spent_minor: int = 0) -> None:
        """
        Move the account of *charge* by what it holds or has spent already.
        """
        moved = self.move_account(
            charge.card_ref, charge.currency, held_minor=held_minor, spent_minor=spent_minor
        )
        assert moved, "an account bears what its own charge has taken from it"

    def room(self, card_ref: bytes, currency: str) -> int:
        """
        Return what an account has left, in minor units.
        """
        return int(self._run(queries.ROOM_OF_ACCOUNT, (card_ref, currency)).fetchone()[0])

    def open_account(self, card: Card, currency: str) -> None:
        """
        Make the account of *card* in *currency*, if it is not there yet.
        """
        account = (card.ref, currency, card.bin, card.issuer, card.last4, card.limit_minor)
        self._run(queries.ADD_ACCOUNT, account)

    # Requests and tombstones.

    def exchange(self, key: Key) -> Exchange | None:
        """
        Return the request of *key* if it was acted on before.
        """
        row = self._run(queries.FIND_EXCHANGE, key).fetchone()
        if row is None:
            return None
        card_ref, processing_code, amount_minor, charge_id, *told = row
        return Exchange(card_ref, processing_code, amount_minor, charge_id, Answer(*told))

    def remember(self, request: Request, card: Card, answer: Answer, charge_id: int | None) -> None:
        """
        Write down a request with its answer, so that a repeat gets the same one.
        """
        asked = (card.ref, request.fields["3"], request.amount_minor, charge_id)
        told = (
            answer.response_code,
            answer.approval_code,
            answer.settlement_date,
            answer.verification,
            answer.network_transaction_id,
            answer.approved_minor,
        )
        self._run(queries.ADD_EXCHANGE, (*request.key, *asked, *told))

    def bury(self, original: Key, request: Request, *, at: str) -> None:
        """
        Refuse *original* for ever: its reversal came first.
        """
        said = request.fields
        self._run(
            queries.ADD_TOMBSTONE, (*original, said["37"], request.amount_minor, said["39"], at)
        )

    def is_buried(self, key: Key) -> bool:
        """
        Tell whether the request of *key* was reversed before it came.
        """
        return self._run(queries.FIND_TOMBSTONE, key).fetchone() is not None

    def _open_batch(self, name: tuple[str, str, str], at: str) -> Batch:
        self._last_batch_id += 1
        batch = Batch(self._last_batch_id, *name, opened_at=at)
        self._run(queries.ADD_BATCH, _batch_row(batch))
        return batch

    def _save_batches(self) -> None:
        for batch in self._changed.values():
            self._run(queries.SAVE_BATCH, (*_batch_changes(batch), batch.id))
        self._changed.clear()
        if len(self._batches) > BATCHES_CACHED_MAX:
            self._batches.clear()

    def _forget(self) -> None:
        """
        Undo the transaction and everything in memory that came from it.
        """
        if self._connection.in_transaction:
            self._run("ROLLBACK")
        self._batches.clear()
        self._changed.clear()
        self._count_ids()

    def _count_ids(self) -> None:
        self._last_charge_id: int = self._run(queries.LAST_CHARGE_ID).fetchone()[0]
        self._last_batch_id: int = self._run(queries.LAST_BATCH_ID).fetchone()[0]
