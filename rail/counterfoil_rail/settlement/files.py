"""
Write reports and statements to `DIR/rail/files`, each once.

What a file says is made from rows that are durable before it is begun; a file that is
there stays as it is. So a crash at any byte is made good by calling `write_due` again.
"""

import sqlite3
from datetime import date
from pathlib import Path

from counterfoil_rail.settlement import bai2, camt053, queries
from counterfoil_rail.settlement.report import Report
from counterfoil_rail.settlement.statement import Booking, Statement
from counterfoil_rail.store import write_private_pieces

FOLDER = "files"
_FORMS = {
    "camt053": [(camt053.SUFFIX, camt053.write)],
    "bai2": [(bai2.SUFFIX, bai2.write)],
    "both": [(camt053.SUFFIX, camt053.write), (bai2.SUFFIX, bai2.write)],
}


def write_due(connection: sqlite3.Connection, folder: Path, today: date) -> int:
    """
    Write every report and statement of the days before *today* that is not written yet.

    Raises:
        OSError: The disk does not take them; call again when it does.
    """
    return _write_reports(connection, folder / FOLDER / "reports", today) + _write_statements(
        connection, folder / FOLDER / "statements"
    )


def _write_reports(connection: sqlite3.Connection, folder: Path, today: date) -> int:
    written = 0
    for row in connection.execute(queries.REPORTS_TO_WRITE, (today.isoformat(),)).fetchall():
        report = Report(*row)
        for copy in range(1, report.copies + 1):
            path = _new_file(folder, report.file_name(copy))
            if path is not None:
                write_private_pieces(path, report.pieces(connection.execute))
                written += 1
        connection.execute(queries.REPORT_IS_WRITTEN, (report.merchant_id, report.day))
    return written


def _write_statements(connection: sqlite3.Connection, folder: Path) -> int:
    written = 0
    for row in connection.execute(queries.STATEMENTS_TO_WRITE).fetchall():
        account_id, name, merchant_id, currency, day, number, opening, closing, *rest = row
        forms, mistakes, made_at = rest
        closing += "statement_bad_balance" in mistakes
        bookings = [
            Booking(*booking)
            for booking in connection.execute(queries.BOOKINGS_OF_DAY, (account_id, day))
        ]
        balances = (opening, closing)
        statement = Statement(
            name, merchant_id, currency, day, number, *balances, made_at, bookings
        )
        for suffix, write in _FORMS[forms]:
            for copy in ("", "-2") if "statement_twice" in mistakes else ("",):
                path = _new_file(folder, f"{statement.name}{copy}.{suffix}")
                if path is not None:
                    write_private_pieces(path, (write(statement),))
                    written += 1
        connection.execute(queries.STATEMENT_IS_WRITTEN, (account_id, day))
    return written


def _new_file(folder: Path, name: str) -> Path | None:
    """
    Return where a file goes, or None when it is there already.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = folder / name
    return None if path.exists() else path
