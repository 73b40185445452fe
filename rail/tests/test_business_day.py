"""
The business day: holidays, the commands, and crashes at any byte.
"""

import asyncio
import contextlib
import json
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from importlib.resources import files as package_files
from pathlib import Path
from typing import Any

import pytest
from counterfoil_rail import store
from counterfoil_rail.faults import FAULTS
from counterfoil_rail.listing import charges
from counterfoil_rail.settlement import bank, files
from counterfoil_rail.settlement.banking_days import holiday, is_banking_day, next_banking_day
from counterfoil_rail.settlement.day import advance_stopped, show

from .conftest import Gateway, Sandbox, Start, close, payment
from .reading import read_camt, read_report

COMMAND = [sys.executable, "-m", "counterfoil_rail"]
# The Federal Reserve's own list for 2026 and 2027, and days it keeps or does not keep instead.
HOLIDAYS = """
    2026-01-01 2026-01-19 2026-02-16 2026-05-25 2026-06-19 2026-09-07 2026-10-12 2026-11-11
    2026-11-26 2026-12-25
    2027-01-01 2027-01-18 2027-02-15 2027-05-31 2027-07-05 2027-09-06 2027-10-11 2027-11-11
    2027-11-25
"""


def friday() -> datetime:
    """The clock of these tests."""
    return datetime(2026, 11, 27, 23, 30, tzinfo=UTC)


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, timeout=20)


def test_banks_keep_the_holidays_of_the_federal_reserve() -> None:
    """Every weekday of two years; a Saturday's holiday is kept on no other day."""
    days = [date(2026, 1, 1) + timedelta(days=n) for n in range(730)]

    closed = [str(day) for day in days if day.weekday() < 5 and not is_banking_day(day)]

    assert closed == HOLIDAYS.split()
    assert holiday(date(2026, 7, 3)) is None
    assert holiday(date(2028, 1, 1)) is None
    assert holiday(date(2022, 6, 20)) == "Juneteenth National Independence Day"
    assert next_banking_day(date(2026, 11, 25)) == date(2026, 11, 27)
    assert next_banking_day(date(2026, 12, 31)) == date(2027, 1, 4)


async def test_answers_carry_the_business_day(start: Start) -> None:
    """DE 15 follows the counter, not the clock, also after a restart."""
    async with start(clock=friday) as rail, rail.link() as gateway:
        first = await gateway.ask(payment())
        rail.days.advance()
        second = await gateway.ask(payment())
        closed = await gateway.ask(close())
    async with start(clock=lambda: friday() + timedelta(days=9)) as rail:
        today = rail.days.today

    assert (first["15"], second["15"], closed["15"]) == ("1127", "1128", "1128")
    assert today == date(2026, 11, 28)
    assert show(rail.state) == {
        "business_day": "2026-11-28",
        "is_banking_day": False,
        "next_banking_day": "2026-11-30",
        "statements": "camt053",
    }


async def test_commands_work_while_the_rail_runs(rail: Sandbox, gateway: Gateway) -> None:
    """`day advance` goes through the control port; the listings read beside it."""
    await gateway.ask(payment(amount=900))
    await gateway.ask(close(debits=[900]))
    state = ("--state", str(rail.state), "--json")
    before = rail.days.today

    advanced, shown, deposits, batches = [
        await asyncio.to_thread(_run, *command, *state)
        for command in (
            ("day", "advance", "--days", "2"),
            ("day", "show"),
            ("deposits",),
            ("batches",),
        )
    ]

    days = json.loads(advanced.stdout)
    assert [day["business_day"] for day in days] == [
        str(before + timedelta(days=n)) for n in (1, 2)
    ]
    assert days[0]["deposits"] == 1
    assert json.loads(shown.stdout)["business_day"] == days[1]["business_day"]
    assert rail.days.today == before + timedelta(days=2)
    assert len(rail.logged("day_advanced")) == 2
    assert json.loads(deposits.stdout)[0]["gross"] == 900
    assert json.loads(batches.stdout)[0]["state"] == "settled"


async def test_commands_work_while_no_rail_runs(start: Start, tmp_path: Path) -> None:
    """On the books themselves, under the lock; tables for people; wrong asks say why."""
    async with start(clock=friday) as rail, rail.link() as gateway:
        await gateway.ask(payment(amount=900))
        await gateway.ask(close(debits=[900]))
    state = ("--state", str(tmp_path))

    advanced = _run("day", "advance", *state)
    deposits, batches = _run("deposits", *state), _run("batches", *state)
    with store.locked(tmp_path / "rail"):
        refused = _run("day", "advance", *state)

    assert "2026-11-28 begins" in advanced.stdout
    assert deposits.stdout.splitlines()[1].split()[:2] == ["CF261127000001", "MERCHANT0000001"]
    assert batches.stdout.splitlines()[1].split()[3] == "settled"
    assert refused.returncode == 1
    assert "another rail already works" in refused.stderr
    with pytest.raises(store.StoreError, match="no rail has run"):
        show(tmp_path / "nowhere")


def _written(folder: Path) -> dict[str, bytes]:
    found: Iterable[Path] = (folder / "rail" / "files").rglob("*")
    return {path.name: path.read_bytes() for path in found if path.is_file()}


@pytest.fixture
async def closed(start: Start, tmp_path: Path) -> Path:
    """A folder with a batch to settle, a report twice to write, and a stopped rail."""
    async with start(clock=friday, statements="both") as rail, rail.link() as gateway:
        await gateway.ask(payment(amount=900))
        await gateway.ask(payment(amount=500))
        await gateway.ask(close(debits=[900, 500]))
    return tmp_path


async def test_a_crash_while_files_are_written_changes_nothing(
    start: Start, closed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before, inside and after any file: the next start makes the very same files."""
    untouched = shutil.copytree(closed, closed.parent / f"{closed.name}-untouched")
    whole = await _advanced(start, closed)
    assert len(whole) == 4  # Two copies of the report, two forms of the statement.
    real = store.write_private_pieces

    for crash in range(len(whole) * 3):
        shutil.rmtree(closed)
        shutil.copytree(untouched, closed)
        written = 0

        def _dying(path: Path, pieces: Iterable[bytes], at: int = crash) -> None:
            nonlocal written
            number, step = divmod(at, 3)
            written += 1
            if written - 1 == number:
                if step == 1:
                    path.with_name(f"{path.name}.draft").write_bytes(b"".join(pieces)[:40])
                if step == 2:
                    real(path, pieces)
                raise OSError("the machine dies here")
            real(path, pieces)

        monkeypatch.setattr(files, "write_private_pieces", _dying)
        with pytest.raises(OSError, match="dies here"):
            await _advanced(start, closed)
        monkeypatch.setattr(files, "write_private_pieces", real)
        async with start(clock=friday) as rail:
            assert rail.days.today == date(2026, 11, 28)
        assert _written(closed) == whole


async def _advanced(start: Start, folder: Path) -> dict[str, bytes]:
    async with start(clock=friday, faults={"report_twice": "1"}) as rail:
        rail.days.advance()
    return _written(folder)


async def test_a_crash_before_the_commit_leaves_the_day_as_it_was(
    start: Start, closed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing settled, nothing written, and the rail goes on; then the day ends once."""

    def _dying(*_: object) -> None:
        raise sqlite3.OperationalError("disk I/O error")

    async with start(clock=friday) as rail, rail.link() as gateway:
        with monkeypatch.context() as patch:
            patch.setattr(bank, "book", _dying)
            with pytest.raises(sqlite3.OperationalError):
                rail.days.advance()
        assert rail.days.today == date(2026, 11, 27)
        assert (rail.deposits(), rail.files()) == ([], {})
        assert (await gateway.ask(payment(f60="000002")))["39"] == "00"
        rail.days.advance()
        assert len(rail.deposits()) == 1
        read_report(rail.report())


def test_a_killed_advance_is_finished_by_the_next(closed: Path) -> None:
    """SIGKILL in the middle of many days: whole files only, each day's once."""
    command = [*COMMAND, "day", "advance", "--days", "366", "--state", str(closed)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    folder = closed / "rail" / "files" / "statements"
    until = time.monotonic() + 10
    while time.monotonic() < until and not (folder.exists() and len(list(folder.iterdir())) > 20):
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()

    advance_stopped(closed, 1)

    today = date.fromisoformat(str(show(closed)["business_day"]))
    days = [
        date(2026, 11, 27) + timedelta(days=n) for n in range((today - date(2026, 11, 27)).days)
    ]
    expected = {f"MERCHANT0000001USD-{day:%Y%m%d}" for day in days if is_banking_day(day)}
    written = {path.name for path in folder.iterdir() if not path.name.endswith(".draft")}
    assert len(days) > 10
    assert written == {f"{name}.{form}" for name in expected for form in ("camt053.xml", "bai2")}
    for path in folder.glob("*.xml"):
        read_camt(path.read_text())


async def test_books_of_the_online_version_still_open(start: Start, tmp_path: Path) -> None:
    """Version 1 gets the new tables, whoever opens it first; its batches can be closed."""
    sale = payment(amount=900)
    _old_books(tmp_path, sale)

    assert [charge["movements"] for charge in charges(tmp_path)] == [[_movement(sale)]]
    async with start(clock=friday) as rail, rail.link() as gateway:
        assert (await gateway.ask(close(debits=[900])))["39"] == "00"
        rail.days.advance()
        assert rail.deposits()[0]["items"][0]["rrn"] == sale["37"]


def _movement(sale: dict[str, str]) -> dict[str, Any]:
    return {
        "kind": "sale",
        "rrn": sale["37"],
        "amount_minor": 900,
        "reversed_minor": 0,
        "batch": "000001",
        "state": "open",
    }


def _old_books(state: Path, sale: dict[str, str]) -> None:
    """Make books as version 1 left them, with one sale."""
    folder = store.prepare_folder(state)
    (folder / "account.key").write_bytes(bytes(32))
    at = "2026-11-23T10:15:00.000Z"
    schema = package_files("counterfoil_rail").joinpath("schema.sql").read_text()
    key = (sale["11"], sale["7"], sale["37"])
    with contextlib.closing(sqlite3.connect(folder / "books.sqlite")) as books:
        books.executescript(f"{schema}; PRAGMA user_version = 1;")
        books.execute(
            "INSERT INTO batch (id, terminal_id, currency, number, opened_at, debits_number,"
            " debits_minor) VALUES (1, 'TERM0001', 'USD', '000001', ?, 1, 900)",
            (at,),
        )
        books.execute(
            "INSERT INTO charge VALUES (1, 'sale', 'captured', '0200', 'TERM0001',"
            " 'MERCHANT0000001', ?, ?, ?, zeroblob(32), '411111', 'visa', '1111', 'USD',"
            " 900, 900, 0, 900, 0, '000001', '00', '123456', NULL, ?)",
            (*key, at),
        )
        books.execute(
            "INSERT INTO entry VALUES (1, 1, 1, 'debit', 900, '0200', ?, ?, ?, NULL, ?)",
            (*key, at),
        )
        books.commit()


_CHARGES_OF_VERSION_2 = """
    1 sale          captured 0200 00 900 900   0 900   0
    2 sale          refunded 0200 00 900 900   0 900 900
    3 sale          reversed 0200 00 900 900   0   0   0
    4 sale          declined 0200 05 900   0   0   0   0
    5 authorization held     0100 00 900 600 600   0   0
    6 authorization captured 0100 00 900 900 500 400   0
    7 authorization reversed 0100 00 900 900   0   0   0
"""


def _books_of_version_2(state: Path) -> None:
    folder = store.prepare_folder(state)
    (folder / "account.key").write_bytes(bytes(32))
    package = package_files("counterfoil_rail")
    schemas = [package.joinpath(*name.split("/")).read_text() for name in store.SCHEMAS[:2]]
    at = "2026-11-23T10:15:00.000Z"
    with contextlib.closing(sqlite3.connect(folder / "books.sqlite")) as books:
        books.executescript(f"{';'.join(schemas)}; PRAGMA user_version = 2;")
        books.execute("INSERT INTO account VALUES (zeroblob(32), 'USD', '4', 'A', '1', 9000, 9, 8)")
        books.execute(
            "INSERT INTO batch (id, terminal_id, currency, number, opened_at)"
            " VALUES (1, 'TERM0001', 'USD', '000001', ?)",
            (at,),
        )
        for line in _CHARGES_OF_VERSION_2.split("\n")[1:-1]:
            number, kind, charge_state, mti, code, *amounts = line.split()
            books.execute(
                "INSERT INTO charge VALUES (?, ?, ?, ?, 'TERM0001', 'MERCHANT0000001', ?,"
                " '1123101500', ?, zeroblob(32), '411111', 'visa', '1111', 'USD', ?, ?, ?, ?, ?,"
                " '000001', ?, '123456', NULL, ?)",
                (number, kind, charge_state, mti, number, number, *amounts, code, at),
            )
        entry = "(?, 1, 3, ?, 900, '0200', '3', '1123101500', '3', ?, ?)"
        books.execute(f"INSERT INTO entry VALUES {entry}", (1, "debit", None, at))
        books.execute(f"INSERT INTO entry VALUES {entry}", (2, "debit_reversal", 1, at))
        books.commit()


def test_books_of_version_2_tell_the_same_in_parts(tmp_path: Path) -> None:
    """What was authorized is held, captured or released; what refers to a charge still does."""
    _books_of_version_2(tmp_path)

    rows = list(charges(tmp_path))

    parts = ("authorized", "held", "captured", "refunded", "released", "expired", "reversed")
    told = [[row["state"], *(row[f"{part}_minor"] for part in parts)] for row in rows]
    assert told == [
        ["captured", 900, 0, 900, 0, 0, 0, 0],
        ["refunded", 900, 0, 900, 900, 0, 0, 0],
        ["reversed", 900, 0, 0, 0, 900, 0, 900],
        ["declined", 0, 0, 0, 0, 0, 0, 0],
        ["held", 900, 600, 0, 0, 300, 0, 0],
        ["captured", 900, 500, 400, 0, 0, 0, 0],
        ["reversed", 900, 0, 0, 0, 900, 0, 0],
    ]
    assert rows[4]["expires_at"] == "2026-11-30T10:15:00.000Z"
    books = sqlite3.connect(tmp_path / "rail" / "books.sqlite")
    with contextlib.closing(books):
        assert books.execute("PRAGMA foreign_key_check").fetchall() == []
        with pytest.raises(sqlite3.IntegrityError, match="more is reversed than the line holds"):
            books.execute(
                "INSERT INTO entry VALUES (3, 1, 3, 'debit_reversal', 1, '0420', '9',"
                " '1123101500', '3', 1, '')"
            )


def test_every_mistake_and_command_is_documented() -> None:
    """`docs/reference/rail.md` names each fault and each new command."""
    page = (Path(__file__).parents[2] / "docs" / "reference" / "rail.md").read_text()

    for name in FAULTS:
        assert f"`{name}`" in page, name
    for command in ("day advance", "day show", "deposits", "batches"):
        assert f"counterfoil-rail {command}" in page
