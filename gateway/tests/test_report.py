"""
The end of the day on paper: every amount once, in words that are true, safe in a spreadsheet.
"""

import csv
import io
import itertools
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, time, timedelta
from html.parser import HTMLParser
from typing import Any

import msgspec
import pytest
from counterfoil.settlement import reports
from counterfoil.settlement.report_facts import BrandTotal, Report, added
from counterfoil.settlement.report_page import as_page, batch_state, deposit_state
from counterfoil.settlement.report_table import COLUMNS, as_csv, safe
from counterfoil.settlement.reports import NothingToReport, Reporter
from counterfoil.store.database import Database
from counterfoil.store.deposits import DepositStore
from hypothesis import given
from hypothesis import strategies as st
from ledger_day import VALUE_DAY, Day
from payment_stage import START

DAY = START.date()  # 00:30 in Chicago: the same date there.


@pytest.fixture
async def day(database: Database) -> AsyncIterator[Day]:
    """A whole day: sold, refunded, voided, closed, settled, funded."""
    made = await Day.begun(database)
    await made.close()
    await made.settle()
    await made.fund()
    return made


def reporter(day: Day) -> Reporter:
    return Reporter(day.stage.database, day.stage.clock, mode="test")


async def of_day(day: Day, when: date = DAY) -> Report:
    """Return the report of the day, or of another."""
    return await reporter(day).day(when, day.stage.merchant.merchant_id)


def rows(report: Report, record: str) -> list[dict[str, str]]:
    """Return the rows of one record of the CSV."""
    read = csv.DictReader(io.StringIO(as_csv(report)))
    return [row for row in read if row["record"] == record]


class Page(HTMLParser):
    """
    What stands on a page: its words, how often each element, and elements left open.
    """

    def __init__(self, html: str) -> None:
        super().__init__()
        self.words: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("style", "title"):
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


async def test_a_day_has_its_batch_its_deposit_and_its_sums(day: Day) -> None:
    """What was captured and refunded, by brand and currency, and what came of it."""
    report = await of_day(day)

    (part,) = report.merchants
    (total,) = part.brands
    assert (total.currency, total.brand) == ("USD", "visa")
    assert (total.captures, total.captures_minor) == (3, 9700)
    assert (total.refunds, total.refunds_minor) == (1, 2500)
    (batch,) = part.batches
    assert batch.state == "closed"
    assert batch.ours is not None
    assert batch.host is not None
    assert (batch.ours["count"], batch.ours["amount_minor"]) == (4, 7200)
    assert (batch.host["count"], batch.host["amount_minor"]) == (4, 7200)
    assert sum(item.amount_minor for item in batch.items) == total.net_minor == 7200
    (found,) = part.deposits
    assert found.deposit.net_minor == found.deposit.paid_minor == 6400
    assert sum(each.fees_minor for each in found.brands) == found.deposit.fees_minor == 300
    assert part.findings == []


async def test_another_day_is_empty(day: Day) -> None:
    """A batch belongs to the day on which its close began, by the merchant's clock."""
    report = await of_day(day, DAY - timedelta(days=1))

    assert report.merchants[0].batches == []
    assert report.merchants[0].deposits == []


async def test_a_deposit_is_on_the_day_of_its_money_too(day: Day) -> None:
    """Whoever looks at a bank statement finds it by that date."""
    report = await of_day(day, VALUE_DAY)

    assert report.merchants[0].batches == []
    assert [each.deposit.reference for each in report.merchants[0].deposits] == [day.reference]


async def test_a_days_report_without_a_merchant_names_all_that_did_something(day: Day) -> None:
    """And leaves out who did not."""
    other = await Day.begun(day.stage.database)
    await other.close()

    report = await reporter(day).day(DAY)

    ids = [each.merchant for each in report.merchants]
    assert f"mer_{day.stage.merchant.merchant_id.hex}" in ids
    assert f"mer_{other.stage.merchant.merchant_id.hex}" in ids
    assert all(each.batches or each.deposits for each in report.merchants)
    assert Page(as_page(report)).text.count("All merchants") == 1


async def test_today_shows_what_is_open(database: Database) -> None:
    """Honestly: it may grow, and nobody has compared it."""
    day = await Day.begun(database)
    report = await reporter(day).day(None, day.stage.merchant.merchant_id)

    (batch,) = report.merchants[0].batches
    assert batch.state == "open"
    assert sum(each.net_minor for each in batch.brands) == 7200
    assert sum(each.amount_minor for each in batch.items) == 7200
    assert {each.item for each in batch.items} == {None}
    assert "Open: more may still come" in Page(as_page(report)).text


async def test_a_batch_and_a_deposit_are_reported_alone(day: Day) -> None:
    """By the names that people read elsewhere."""
    merchant_id = day.stage.merchant.merchant_id
    batch = await reporter(day).batch("TERM0001/USD/1", merchant_id)
    deposit = await reporter(day).deposit(day.reference)

    assert batch.subject == "TERM0001/USD/000001"
    assert len(batch.merchants[0].batches[0].items) == 4
    assert len(deposit.merchants[0].deposits[0].deposit.lines or []) == 4
    assert deposit.merchants[0].batches == []


@pytest.mark.parametrize("name", ["TERM0001/USD/000077", "TERM0001", "a/b/c", "TERM0001/USD/²"])
async def test_what_is_not_there_is_said(day: Day, name: str) -> None:
    """With where to look."""
    with pytest.raises(NothingToReport, match="no batch"):
        await reporter(day).batch(name, day.stage.merchant.merchant_id)
    with pytest.raises(NothingToReport, match="no deposit"):
        await reporter(day).deposit("CF000000000000")


async def test_the_csv_adds_up_to_the_report(day: Day) -> None:
    """A row for each thing, plain decimals, the same sums."""
    report = await of_day(day)

    assert as_csv(report).splitlines()[0] == ",".join(COLUMNS)
    (batch,) = rows(report, "batch")
    assert (batch["amount"], batch["count"], batch["state"]) == ("72.00", "4", "closed")
    items = rows(report, "batch_item")
    assert sum(float(row["amount"]) for row in items) == 72.0
    (deposit,) = rows(report, "deposit")
    parts = [*rows(report, "deposit_line"), *rows(report, "adjustment")]
    net = sum(
        float(row[name] or 0)
        for row in parts
        for name in ("amount", "interchange", "scheme", "markup")
    )
    assert f"{net:.2f}" == deposit["amount"] == "64.00"
    (entry,) = rows(report, "bank_entry")
    assert entry["amount"] == "64.00"


async def test_days_in_the_csv_are_those_of_the_merchants_zone(day: Day) -> None:
    """Late in the evening in Chicago it is the next day in UTC."""
    report = await of_day(day)
    (part,) = report.merchants
    (batch,) = part.batches
    late = datetime.combine(DAY + timedelta(days=1), time(3), UTC)
    items = [msgspec.structs.replace(each, at=late) for each in batch.items]
    batch = msgspec.structs.replace(batch, closed_at=late, items=items)
    part = msgspec.structs.replace(part, batches=[batch])

    report = msgspec.structs.replace(report, merchants=[part])

    shown = rows(report, "batch") + rows(report, "batch_item")
    assert len(shown) > 1
    assert {row["date"] for row in shown} == {DAY.isoformat()}


@given(st.text())
def test_no_text_becomes_a_formula(text: str) -> None:
    """Whatever a shopper writes into an order, a spreadsheet shows it."""
    written = safe(text)

    assert not written.startswith(("=", "+", "-", "@", "\t", "\r", "\n"))
    assert written.removeprefix("'") == text or written == text


async def test_an_order_that_looks_like_a_formula_stays_text(database: Database) -> None:
    """In the CSV with a quote before it, on the page as it is, without becoming HTML."""
    day = await Day.begun(database)
    await day.stage.paid(amount_minor=100, order_number="=cmd|' /C calc'!A0")
    await day.stage.paid(amount_minor=100, order_number="<script>alert(1)</script>")
    await day.close()
    report = await of_day(day)

    orders = [row["order"] for row in rows(report, "batch_item")]
    assert "'=cmd|' /C calc'!A0" in orders
    assert "<script>" not in as_page(report)
    assert "&lt;script&gt;alert(1)" in as_page(report)


async def test_the_page_says_it_all_in_order(day: Day) -> None:
    """The deposit explains itself from the payments down to the bank."""
    text = Page(as_page(await of_day(day))).text

    steps = [
        "End of day 2026-11-23",
        "The Book Shop",
        "Totals",
        "Batch TERM0001/USD/000001",
        "Closed: both sides' totals agree.",
        f"Deposit {day.reference}",
        "In the bank, to the cent.",
        "Payments (3) 97.00",
        "Refunds (1) \u221225.00",
        "Interchange, kept by issuers \u22121.80",
        "Scheme fees, kept by the card brands \u22120.30",
        "Markup, kept by the acquirer \u22120.90",
        "Chargeback: case 77 \u22125.00",
        "Net 64.00",
        "Booked by the bank on Tue 24 Nov 2026",
        "Still to come 0.00",
    ]
    places = [text.find(step) for step in steps]
    assert -1 not in places, steps[places.index(-1)]
    assert places == sorted(places)


async def test_the_page_is_whole_and_needs_nothing_from_elsewhere(day: Day) -> None:
    """Every element closed, every table with a caption, no address to load from."""
    html = as_page(await of_day(day))
    page = Page(html)

    assert page.open == []
    tables = [tag for tag, _ in page.elements if tag == "table"]
    assert len(tables) == sum(tag == "caption" for tag, _ in page.elements) > 4
    assert all(attrs.get("scope") for tag, attrs in page.elements if tag == "th")
    assert not {tag for tag, _ in page.elements} & {"script", "img", "link", "iframe"}
    assert "http" not in html
    headings = [int(tag[1]) for tag, _ in page.elements if tag in ("h1", "h2", "h3", "h4")]
    assert headings[0] == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(headings))


async def test_what_does_not_agree_stands_first(database: Database) -> None:
    """With its amount and the next step."""
    day = await Day.begun(database)
    await day.close()
    await day.settle(first_more_minor=25)
    report = await of_day(day)
    text = Page(as_page(report)).text

    assert text.index("What does not agree") < text.index("Totals")
    assert "0.25 USD" in text
    assert "another amount" in text
    assert rows(report, "finding")[0]["amount"] == "0.25"


async def test_states_are_honest(day: Day) -> None:
    """Nothing that is on its way is called there, and nothing that went wrong is called well."""
    report = await of_day(day)
    batch = report.merchants[0].batches[0]
    deposit = report.merchants[0].deposits[0].deposit

    def so(state: str, **changes: Any) -> tuple[str, str]:
        return deposit_state(msgspec.structs.replace(deposit, state=state, **changes))

    assert so("announced") == (
        "wait", "On its way: due on 2026-11-24, not in the bank yet."
    )  # fmt: skip
    assert so("partly_paid", paid_minor=10)[1] == "Partly in the bank: 0.10 of 64.00 USD."
    assert so("overpaid", paid_minor=6500)[0] == "bad"
    assert so("returned")[0] == "bad"
    assert so("without_report", net_minor=0)[0] == "bad"
    assert so("funded", net_minor=-100, paid_minor=-100)[1].startswith("Taken from")
    for state, how in (
        ("open", "wait"), ("closing", "wait"), ("totalling", "wait"), ("uploading", "wait"),
        ("needs_a_person", "bad"), ("closed", "good"),
    ):  # fmt: skip
        assert batch_state(msgspec.structs.replace(batch, state=state))[0] == how


async def test_json_is_the_whole_report(day: Day) -> None:
    """What programs read is what people see; amounts in minor units."""
    report = await of_day(day)

    read = msgspec.json.decode(msgspec.json.encode(report), type=Report)

    assert read == report


def test_totals_are_added_by_currency_and_brand() -> None:
    """Never across currencies."""
    one = BrandTotal(currency="USD", brand="visa", captures=1, captures_minor=100)
    two = BrandTotal(currency="USD", brand="visa", refunds=1, refunds_minor=30, fees_minor=2)
    three = BrandTotal(currency="EUR", brand="visa", captures=1, captures_minor=7)

    eur, usd = added([one, two, three])

    assert eur == three
    assert (usd.captures, usd.captures_minor, usd.refunds_minor) == (1, 100, 30)
    assert (usd.net_minor, usd.fees_minor) == (70, 2)


async def test_a_long_deposit_is_read_page_by_page_and_counted_once(
    day: Day, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only its lines are many: whatever else belongs to it is read once."""
    whole = (await of_day(day)).merchants[0].deposits[0]
    counted = []
    line_counts = DepositStore.line_counts

    async def noted(store: DepositStore, deposit: Any) -> dict[str, int]:
        counted.append(deposit["reference"])
        return await line_counts(store, deposit)

    monkeypatch.setattr(DepositStore, "line_counts", noted)
    for size in (1, 2, 3, 4):
        monkeypatch.setattr(reports, "LINES_PAGE_MAX", size)
        counted.clear()

        (found,) = (await of_day(day)).merchants[0].deposits

        assert found == whole
        assert [line.line for line in found.deposit.lines or []] == [1, 2, 3, 4]
        assert counted == [day.reference]
