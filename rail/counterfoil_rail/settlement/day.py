"""
The business day: a counter that only a command moves.

An advance is one transaction (settle the day that ends, make its statements, book what
is due on the new one) and then the files. Whatever a crash left unwritten is written at
the next start or advance.
"""

import sqlite3
from datetime import date, timedelta
from pathlib import Path
from typing import NamedTuple

from counterfoil_rail.books import Books
from counterfoil_rail.clock import Clock, Moment, system_clock
from counterfoil_rail.faults import Faults
from counterfoil_rail.holds import expire_holds
from counterfoil_rail.settlement import bank, deposits, fees, queries
from counterfoil_rail.settlement.banking_days import is_banking_day, next_banking_day
from counterfoil_rail.settlement.files import write_due
from counterfoil_rail.store import (
    StoreError,
    locked,
    open_readable,
    open_writable,
    prepare_folder,
    rail_folder,
)

DAYS_MAX = 366  # In one command.
STATEMENT_FORMS = ("camt053", "bai2", "both")


class Advanced(NamedTuple):
    """
    What one advance of the business day has done.
    """

    business_day: str
    deposits: int
    statements: int
    files: int


class BusinessDays:
    """
    The business day of the books in *folder*, open for writing.

    *statements* says which forms the bank writes from now on; None leaves that as it was.
    """

    def __init__(
        self,
        books: Books,
        connection: sqlite3.Connection,
        folder: Path,
        *,
        faults: Faults,
        clock: Clock,
        statements: str | None = None,
    ) -> None:
        if statements not in {None, *STATEMENT_FORMS}:
            raise ValueError(f"statements are {', '.join(STATEMENT_FORMS)}: {statements!r}")
        fees.teach(connection)
        self._books = books
        self._connection = connection
        self._folder = folder
        self._faults = faults
        self._clock = clock
        first = clock().date().isoformat()
        with books.transaction():
            connection.execute(queries.BEGIN_DAYS, (first, statements or STATEMENT_FORMS[0]))
            if statements:
                connection.execute(queries.SET_STATEMENTS, (statements,))
        day, self._forms = connection.execute(queries.FIND_DAY).fetchone()
        self.today = date.fromisoformat(day)
        write_due(connection, folder, self.today)

    def advance(self) -> Advanced:
        """
        End the business day and begin the next one.

        Raises:
            OSError: The day has ended but its files cannot be written yet.
        """
        ending, run = self.today, self._connection.execute
        beginning = ending + timedelta(days=1)
        made_at = Moment.of(self._clock()).at
        with self._books.transaction():
            settled = deposits.settle(run, ending, self._faults)
            statements = bank.end_day(run, ending, self._faults, forms=self._forms, made_at=made_at)
            bank.book(run, beginning, self._faults)
            expire_holds(self._books, at=made_at)
            run(queries.SET_DAY, (beginning.isoformat(),))
        self.today = beginning
        written = write_due(self._connection, self._folder, beginning)
        return Advanced(beginning.isoformat(), settled, statements, written)


def advance_stopped(state: Path, days: int, *, clock: Clock = system_clock) -> list[Advanced]:
    """
    Advance the business day of a rail that is not running.

    Raises:
        StoreError: The folder cannot be used, or a rail works in it.
    """
    folder = prepare_folder(state)
    with locked(folder):
        connection = open_writable(folder)
        books = Books(connection)
        try:
            business_days = BusinessDays(books, connection, folder, faults=Faults(), clock=clock)
            return [business_days.advance() for _ in range(days)]
        except (OSError, sqlite3.Error) as error:
            raise StoreError(f"the day cannot be advanced: {error}") from error
        finally:
            books.close()


def show(state: Path) -> dict[str, object]:
    """
    Return the business day, and what it is to a bank.

    Raises:
        StoreError: No rail has run on this folder yet.
    """
    connection = open_readable(rail_folder(state))
    found = None
    if connection is not None:
        found = connection.execute(queries.FIND_DAY).fetchone()
        connection.close()
    if found is None:
        raise StoreError(f"no rail has run in {rail_folder(state)} yet: start it first")
    today = date.fromisoformat(found["day"])
    return {
        "business_day": today.isoformat(),
        "is_banking_day": is_banking_day(today),
        "next_banking_day": next_banking_day(today).isoformat(),
        "statements": found["statements"],
    }
