"""
Files from outside: booked whole or held whole, once, whatever happens on the way.
"""

import asyncio
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from counterfoil.config import ConfigurationRefused, load
from counterfoil.settlement import folders as folders_module
from counterfoil.settlement.folders import Folders
from counterfoil.settlement.incoming import FILE_BYTES_MAX, FileTooLarge, Taken
from counterfoil.store import booking as booking_store
from counterfoil.store.database import Database, DatabaseAway
from counterfoil.store.queries import query
from settlement_books import VALUE, Books, Item, Paid, line_of, net_of

REFERENCE = "CF261123000001"
CARD = "4111111111111111"


@pytest.fixture
async def books(database: Database) -> Books:
    """A merchant of its own."""
    return await Books.set_up(database)


async def nothing_is_booked(books: Books, taken: Taken) -> None:
    """Say that a file was held, is kept, and has left no trace in the books."""
    assert taken.state == "held", taken
    assert taken.reason
    rows = await books.everything()
    assert {table: number for table, number in rows.items() if table != "transfers"} == {
        table: 0 for table in rows if table != "transfers"
    }
    assert all(row["cause"] == "batch_closed" for row in await books.of("transfers"))
    kept = await books.store.content(bytes.fromhex(taken.digest))
    assert kept is not None


async def a_report(books: Books) -> tuple[list[Item], bytes]:
    items = await books.batch(("capture", 4200), ("capture", 1000), ("refund", 300))
    return items, books.report((REFERENCE, [line_of(each) for each in items]))


async def test_the_exact_bytes_are_kept(books: Books) -> None:
    """With their digest."""
    _, report = await a_report(books)

    taken = await books.take(report, "folder/report.csv")

    assert await books.store.content(bytes.fromhex(taken.digest)) == ("report.csv", report)


@pytest.mark.parametrize("which", ["report", "statement"])
async def test_the_same_bytes_again_are_known_and_booked_once(books: Books, which: str) -> None:
    """Under whatever name they come."""
    items, report = await a_report(books)
    content = report
    if which == "statement":
        await books.take(report)
        content = books.statement(Paid(net_of([line_of(each) for each in items]), REFERENCE))
    await books.take(content, "one")
    before = await books.everything()

    taken = await books.take(content, "two")

    assert (taken.state, taken.kind) == ("known", which)
    assert await books.everything() == before


async def test_f17_the_same_file_by_many_workers_is_booked_once(books: Books) -> None:
    """One reads it, the others find it known."""
    _, report = await a_report(books)

    taken = await asyncio.gather(*(books.take(report) for _ in range(4)))

    assert sorted(each.state for each in taken) == ["known", "known", "known", "read"]
    assert len(await books.of("deposits")) == 1


async def test_the_same_file_id_with_other_bytes_is_held(books: Books) -> None:
    """Somebody has to say which of the two counts."""
    items, report = await a_report(books)
    await books.take(report, "first.csv")
    before = await books.everything()

    taken = await books.take(books.report((REFERENCE, [line_of(items[0])])))

    assert taken.state == "held"
    assert "first.csv" in (taken.reason or "")
    assert await books.everything() == before


async def test_a_deposit_that_another_report_announced_is_held(books: Books) -> None:
    """A deposit has one report."""
    items, report = await a_report(books)
    await books.take(report)
    before = await books.everything()

    again = books.report((REFERENCE, [line_of(each) for each in items]), number=2)
    taken = await books.take(again)

    assert taken.state == "held"
    assert REFERENCE in (taken.reason or "")
    assert await books.everything() == before


@pytest.mark.parametrize(
    "content",
    [b"", b"\x00\xff", b"Dear customer,\n", b"%PDF-1.7", b"<html></html>", b"01,broken", b"H,\n"],
)
async def test_what_cannot_be_read_is_held(books: Books, content: bytes) -> None:
    """Kept, with the reason."""
    await nothing_is_booked(books, await books.take(content + books.acceptor.encode()))


async def test_f18_a_report_cut_off_anywhere_is_held(books: Books) -> None:
    """At a byte of every record."""
    _, report = await a_report(books)
    ends = [at for at in range(len(report)) if report[at : at + 1] == b"\n"]

    for end in [*ends[:-1], *(at + 7 for at in ends[:-1]), len(report) - 1]:
        await nothing_is_booked(books, await books.take(report[:end]))


async def test_a_report_of_another_merchant_is_held(books: Books) -> None:
    """Its card acceptor is nobody here."""
    items, _ = await a_report(books)
    lines = [line_of(each) for each in items]

    taken = await books.take(books.report((REFERENCE, lines), acceptor="OTHERMERCHANT01"))

    await nothing_is_booked(books, taken)
    assert "nobody here" in (taken.reason or "")


async def test_a_report_from_another_institution_is_held(books: Books) -> None:
    """A test acquirer is configured in a test installation only: modes never mix."""
    items, _ = await a_report(books)
    lines = [line_of(each) for each in items]

    taken = await books.take(books.report((REFERENCE, lines), institution="777777"))

    await nothing_is_booked(books, taken)
    assert "other mode" in (taken.reason or "")


@pytest.mark.parametrize("change", [{"batch_number": 999_999}, {"terminal_id": "TERM0009"}])
async def test_a_report_for_an_unknown_batch_is_held(books: Books, change: dict[str, Any]) -> None:
    """One wrong line holds all of it."""
    items, _ = await a_report(books)
    lines = [*map(line_of, items[1:]), line_of(items[0], **change)]

    taken = await books.take(books.report((REFERENCE, lines)))

    await nothing_is_booked(books, taken)
    assert "not this merchant's" in (taken.reason or "")


async def test_a_report_before_the_close_is_held_until_the_batch_is_closed(books: Books) -> None:
    """Then it is read by itself."""
    items = await books.batch(("capture", 4200), state="totalling")
    taken = await books.take(books.report((REFERENCE, [line_of(each) for each in items])))
    await nothing_is_booked(books, taken)
    books.clock.move(3600)  # type: ignore[attr-defined]
    await books.intake.retry_held()
    early = await books.intake.retry_held()
    assert taken.digest not in [each.digest for each in early]

    await books.close(1)
    again = await books.intake.retry_held()

    assert [each.state for each in again if each.digest == taken.digest] == ["read"]
    assert await books.movement_states(items) == ["settled"]


async def test_a_line_for_an_item_of_an_open_batch_holds_the_report(books: Books) -> None:
    """It names a batch of ours that is closed, and an item that is in another one, still open."""
    (closed,) = await books.batch(("capture", 4200))
    (open_,) = await books.batch(("capture", 900), number=2, state="open")

    lines = [line_of(closed), line_of(open_, batch_number=1)]
    taken = await books.take(books.report((REFERENCE, lines)))

    await nothing_is_booked(books, taken)
    assert "not closed" in (taken.reason or "")


async def test_a_statement_of_an_unknown_account_is_held_until_it_is_known(books: Books) -> None:
    """An operator says whose it is; then it is read by itself."""
    account = f"DE{books.acceptor}"
    taken = await books.take(books.statement(Paid(100, "", text="RENT"), account=account))
    await nothing_is_booked(books, taken)

    for _ in range(2):  # Said again, it is no second change.
        await books.store.add_account(
            books.merchant_id,
            account,
            "USD",
            books.clock.now(),
            actor="cli:ada",
            event_id=uuid4(),
        )
    again = await books.intake.retry_held()

    assert [each.state for each in again if each.digest == taken.digest] == ["read"]
    assert await books.entry_outcomes() == ["unrelated"]
    noted = await books.database.rows("changes_page", books.merchant_id, None, None, None, 9)
    assert [(row["actor"], row["what"], row["about"], row["after"]) for row in noted] == [
        ("cli:ada", "bank_account_added", account, "USD")
    ]


async def test_a_statement_of_days_that_were_read_is_held(books: Books) -> None:
    """Another statement of the same day says something else: nothing is booked twice."""
    await books.take(books.statement(Paid(100, "", text="RENT"), day=VALUE))
    before = await books.everything()

    taken = await books.take(books.statement(Paid(200, "", text="RENT"), day=VALUE))

    assert taken.state == "held"
    assert await books.everything() == before


async def test_the_same_statement_in_another_format_is_read_and_books_nothing(books: Books) -> None:
    """Same days, same balances: it has been said before."""
    await books.take(books.statement(Paid(5000, REFERENCE), day=VALUE, opening_minor=0))
    before = await books.everything()

    again = books.statement(Paid(5000, REFERENCE), day=VALUE, opening_minor=0, name="OTHER")
    taken = await books.take(again)

    assert taken.state == "read"
    assert await books.everything() == before


async def test_a_deposit_in_the_wrong_currency_is_held(books: Books) -> None:
    """Nothing is added over currencies."""
    _, report = await a_report(books)
    await books.take(report)
    before = await books.everything()

    taken = await books.take(books.statement(Paid(100, REFERENCE), code="EUR"))

    assert taken.state == "held"
    assert await books.everything() == before


async def test_a_held_file_does_not_keep_a_card_number(books: Books) -> None:
    """A report with a card in the clear is held without its bytes."""
    _, report = await a_report(books)
    content = report.replace(b"************1111", CARD.encode(), 1)

    taken = await books.take(content, f"{CARD}.csv")

    assert taken.state == "held"
    assert CARD not in taken.name + (taken.reason or "")
    assert await books.store.content(bytes.fromhex(taken.digest)) == ("************1111.csv", b"")


async def test_a_file_that_is_too_large_is_not_kept(books: Books) -> None:
    """Whoever sends it hears of it; the database does not."""
    with pytest.raises(FileTooLarge):
        await books.take(b"H" * (FILE_BYTES_MAX + 1))


class Cut:
    """Lets the n-th statement of a booking fail."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, at: int) -> None:
        self.asked = 0
        self.at = at
        monkeypatch.setattr(booking_store, "query", self)

    def __call__(self, name: str) -> str:
        self.asked += 1
        if self.asked == self.at:
            raise ConnectionResetError("the line was cut")
        return query(name)


@pytest.mark.parametrize("which", ["report", "statement", "late report"])
async def test_f17_a_booking_cut_at_any_statement_leaves_nothing_and_is_done_again(
    books: Books, monkeypatch: pytest.MonkeyPatch, which: str
) -> None:
    """Everything or nothing, at every statement; then once, as if nothing had happened."""
    items, report = await a_report(books)
    await books.batch(("capture", 50), number=2)
    lines = [line_of(items[0]), line_of(items[1], amount_minor=7), line_of(items[1], rrn="1" * 12)]
    report = books.report((REFERENCE, lines), adjustments={REFERENCE: [("RESERVE", -5)]})
    statement = books.statement(
        Paid(2000, REFERENCE), Paid(40, "CF261123000009"), Paid(-7, "", text="FEE")
    )
    content = statement if which == "statement" else report
    if which == "statement":
        await books.take(report)
    if which == "late report":
        await books.take(statement)
    before = await books.everything()

    cuts = 0
    for at in range(1, 100):
        with monkeypatch.context() as patched:
            cut = Cut(patched, at)
            try:
                await books.take(content)
            except DatabaseAway:
                cuts += 1
                assert await books.everything() == before
                continue
            assert cut.asked < at
            break

    assert cuts > 8
    after = await books.everything()
    assert after != before
    assert (await books.take(content)).state == "known"
    assert await books.everything() == after


async def test_what_our_books_cannot_hold_is_held_with_the_rule(
    books: Books, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A rule of the schema refuses: the file is held, the worker goes on."""
    _, report = await a_report(books)
    broken = query("add_deposit_events").replace(
        "SELECT $1, $2, $3, n.*", "SELECT $1, $2, NULLIF($3::text, $3), n.*"
    )

    def patched(name: str) -> str:
        return broken if name == "add_deposit_events" else query(name)

    with monkeypatch.context() as patching:
        patching.setattr(booking_store, "query", patched)
        taken = await books.take(report)

    await nothing_is_booked(books, taken)


async def test_files_in_a_folder_are_read_once_and_when_they_are_complete(
    books: Books, tmp_path: Path
) -> None:
    """Regular files that have not changed between two looks, by name; nothing is moved."""
    items, report = await a_report(books)
    reports, statements = tmp_path / "reports", tmp_path / "statements"
    reports.mkdir()
    statements.mkdir()
    folders = Folders(books.intake, books.store, reports=str(reports), statements=str(statements))
    (reports / "1.csv").write_bytes(report)
    (reports / ".2.csv").write_bytes(b"hidden")
    (reports / "3.csv.part").write_bytes(b"not yet")
    (reports / "4.csv").symlink_to(reports / "1.csv")
    (reports / "5.csv").mkdir()
    net = net_of([line_of(each) for each in items])
    (statements / "1.xml").write_bytes(books.statement(Paid(net, REFERENCE)))

    rounds = [await folders.read_folders() for _ in range(3)]

    assert rounds == [0, 0, 0]
    assert (await books.deposit(REFERENCE))["state"] == "funded"
    assert (reports / "1.csv").read_bytes() == report
    files = await books.sql(
        "SELECT name FROM incoming_files WHERE merchant_id = $1 ORDER BY name", books.merchant_id
    )
    assert [row["name"] for row in files] == ["1.csv", "1.xml"]


async def test_a_file_that_grows_waits(books: Books, tmp_path: Path) -> None:
    """Half a report is not held: it is not there yet."""
    _, report = await a_report(books)
    folders = Folders(books.intake, books.store, reports=str(tmp_path), statements=None)
    path = tmp_path / "1.csv"
    path.write_bytes(report[:100])
    await folders.read_folders()
    path.write_bytes(report)

    await folders.read_folders()
    assert await books.of("deposits") == []
    await folders.read_folders()
    assert len(await books.of("deposits")) == 1


async def test_a_full_folder_is_worked_through_without_a_pause(
    books: Books, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A round says how many files wait; known ones are asked after at once and hashed once."""
    monkeypatch.setattr(folders_module, "FILES_AT_ONCE_MAX", 3)
    monkeypatch.setattr(folders_module, "FILES_LOOKED_AT_MAX", 8)
    hashed = []

    def content(path: Path) -> bytes:
        hashed.append(path.name)
        return path.read_bytes()

    monkeypatch.setattr(folders_module, "_content", content)
    for number in range(10):
        (tmp_path / f"{number}.csv").write_bytes(f"{books.acceptor} {number}".encode())
    for number in range(5, 10):
        await books.take((tmp_path / f"{number}.csv").read_bytes(), f"{number}.csv")
    asked = []
    known = books.store.known

    async def noted(digests: Any) -> set[bytes]:
        asked.append(len(digests))
        return await known(digests)

    monkeypatch.setattr(books.store, "known", noted)
    folders = Folders(books.intake, books.store, reports=str(tmp_path), statements=None)

    rounds = [await folders.read_folders() for _ in range(4)]

    assert rounds == [0, 2, 0, 0]
    assert asked == [0, 8, 2, 0]
    assert hashed[:8] == [f"{number}.csv" for number in range(9, 1, -1)]
    assert hashed[8:] == ["2.csv", "3.csv", "4.csv", "1.csv", "0.csv", "0.csv", "1.csv"]


async def plans_of(books: Books, content: bytes) -> dict[str, Any]:
    """Take a file, and return what its transaction knew before it ended."""
    seen: dict[str, Any] = {}
    settle = booking_store.Booking.settle

    async def noted(booking: booking_store.Booking, movements: Any) -> int:
        connection = booking._connection
        seen["nestloop"] = await connection.fetchval("SHOW enable_nestloop")
        seen["lines"] = await connection.fetchval(
            "SELECT reltuples FROM pg_class WHERE relname = 'settlement_lines'"
        )
        return await settle(booking, movements)

    with pytest.MonkeyPatch.context() as patching:
        patching.setattr(booking_store.Booking, "settle", noted)
        assert (await books.take(content)).state == "read"
    return seen


async def test_a_small_report_is_not(books: Books) -> None:
    """A few rows are looked up one by one, however large the tables are."""
    _, report = await a_report(books)
    assert (await plans_of(books, report))["nestloop"] == "on"


async def test_a_large_report_is_planned_for(books: Books) -> None:
    """Thousands of rows that nobody has analyzed: no statement loops over them."""
    number = 3_000
    items = await books.batch(*[("capture", 100)] * number)
    seen = await plans_of(books, books.report((REFERENCE, [line_of(each) for each in items])))

    assert set(await books.movement_states(items)) == {"settled"}
    assert seen["nestloop"] == "off"
    assert seen["lines"] > 0
    assert await books.sql("SHOW enable_nestloop") == [("on",)]


async def test_a_folder_that_is_not_there_is_no_fault(books: Books, tmp_path: Path) -> None:
    """It may be mounted later."""
    folders = Folders(
        books.intake, books.store, reports=str(tmp_path / "no"), statements=str(tmp_path / "no")
    )

    assert await folders.read_folders() == 0


def test_a_pattern_of_references_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    """At start, with the acquirer's name: not when the first statement comes."""
    path = tmp_path / "counterfoil.toml"
    path.write_text(
        '[[acquirer]]\nname = "one"\nmode = "test"\nhost = "127.0.0.1"\nport = 1\n'
        'institution_id = "1"\nforwarding_id = "2"\ndeposit_reference = "CF("\n'
    )

    with pytest.raises(ConfigurationRefused, match="'one': deposit_reference"):
        load(path, environment={})
