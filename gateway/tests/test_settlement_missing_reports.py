"""
A batch that no report names is asked after, even when no report comes at all.
"""

from datetime import date
from uuid import uuid4

import pytest
from counterfoil.ids import Ids
from counterfoil.settlement.missing_reports import ask_for_reports, settlement_day
from counterfoil.store.database import Database
from payment_stage import HandClock
from settlement_books import Books, line_of

A_DAY = 86_400.0


@pytest.fixture
async def books(database: Database) -> Books:
    """A merchant of its own."""
    return await Books.set_up(database)


async def ask(books: Books, days: float) -> int:
    """Ask *days* after the close."""
    clock = HandClock(books.clock.now())
    clock.move(days * A_DAY)
    return await ask_for_reports(books.store, clock, Ids(clock))


async def test_a_batch_without_a_report_is_asked_after_once(books: Books) -> None:
    """Closed on a Monday before Thanksgiving: the third banking day after is the Friday."""
    await books.batch(("capture", 4200), ("refund", 200))
    await books.batch(number=2)

    assert await ask(books, 4) == 0
    assert await books.findings() == []
    assert await ask(books, 5) == 1
    assert await ask(books, 6) == 0
    assert await books.findings() == [("batch_missing", 4000)]


async def test_it_is_resolved_when_the_report_comes(books: Books) -> None:
    """Late is better than never."""
    items = await books.batch(("capture", 4200))
    await ask(books, 7)

    await books.take(books.report(("CF261123000001", [line_of(each) for each in items])))

    assert await books.findings("resolved") == [("batch_missing", 4200)]
    assert await ask(books, 8) == 0


async def test_what_a_person_has_cleared_up_is_not_opened_again(books: Books) -> None:
    """The answer stands on the list."""
    await books.batch(("capture", 4200))
    await ask(books, 7)
    (finding,) = await books.of("findings")
    await books.store.resolve_finding(
        books.merchant_id,
        finding["finding_id"],
        books.clock.now(),
        "asked",
        actor="cli:ada",
        event_id=uuid4(),
    )

    assert await ask(books, 8) == 0


async def test_without_a_settlement_date_the_day_of_the_close_counts(books: Books) -> None:
    """A batch that a person ended has none of the acquirer's; a report of that day names it too."""
    (first,) = await books.batch(("capture", 4200))
    await books.batch(("capture", 700), number=2)
    await books.sql(
        "UPDATE batches SET settlement_date = NULL WHERE merchant_id = $1", books.merchant_id
    )

    await books.take(books.report(("CF261123000001", [line_of(first)])))

    assert await books.findings() == [("batch_missing", 700)]
    await books.sql("DELETE FROM findings WHERE merchant_id = $1", books.merchant_id)
    assert await ask(books, 7) == 1


@pytest.mark.parametrize(
    ("written", "closed_on", "day"),
    [
        ("1123", date(2026, 11, 24), date(2026, 11, 23)),
        ("1231", date(2027, 1, 1), date(2026, 12, 31)),
        ("0101", date(2026, 12, 31), date(2027, 1, 1)),
        (None, date(2026, 11, 24), date(2026, 11, 24)),
        ("0000", date(2026, 11, 24), date(2026, 11, 24)),
    ],
)
def test_a_settlement_date_is_in_the_year_near_the_close(
    written: str | None, closed_on: date, day: date
) -> None:
    """It is written without one."""
    assert settlement_day(written, closed_on) == day
