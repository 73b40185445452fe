"""
Batches, deposits and the end of the day as pages show them: to the cent, and only one's own.
"""

import csv
import io
import re
from datetime import timedelta
from typing import Any
from uuid import uuid4
from zoneinfo import ZoneInfo

import pytest
from counterfoil.payments.movements import refund
from counterfoil.people.roles import Role
from counterfoil.settlement.batch_names import read_name, written_name
from counterfoil.settlement.report_page import as_page
from counterfoil.settlement.reports import Reporter
from counterfoil.store.batches import BatchKey
from counterfoil.web import batches
from payment_stage import Stage
from settlement_books import Books, Item, Paid, line_of, net_of
from web_stage import Site, WindowlessBrowser, words

FUNDED = "CF261123000001"
ANNOUNCED = "CF261123000002"
SHORT = "CF261123000003"


class Told:
    """A merchant with three deposits: funded to the cent, on its way, and ten cents short."""

    def __init__(self, site: Site, books: Books, items: list[Item], net: int) -> None:
        self.site, self.books, self.items, self.net = site, books, items, net


@pytest.fixture
async def told(stage: Stage) -> Told:
    """Three closed batches, the acquirer's report of them, and what the bank booked."""
    books = await Books.of_stage(stage)
    items = await books.batch(("capture", 4200), ("capture", 1000), ("refund", 300))
    (other,) = await books.batch(("capture", 9000), number=2)
    (third,) = await books.batch(("capture", 5000), number=3)
    lines, given = [line_of(each) for each in items], {FUNDED: [("CHARGEBACK", -200)]}
    groups = [(FUNDED, lines), (ANNOUNCED, [line_of(other)]), (SHORT, [line_of(third)])]
    await books.take(books.report(*groups, adjustments=given))
    net = net_of(lines, given[FUNDED])
    short = net_of([line_of(third)]) - 10
    await books.take(books.statement(Paid(net, FUNDED), Paid(short, SHORT)))
    return Told(await Site.of(stage), books, items, net)


@pytest.fixture
async def bookkeeper(told: Told) -> WindowlessBrowser:
    """Somebody who reads and exports."""
    return await told.site.signed_in(Role.BOOKKEEPER)


def name_of(stage: Stage, number: int = 1) -> str:
    """Return how the address names a batch of the stage's terminal."""
    return written_name(stage.acquirer, "TERM0001", "USD", number)


@pytest.mark.parametrize("terminal", ["TERM0001", "A/B.C~D ", "%2e%2e/x", "........"])
def test_every_terminal_has_a_name_for_addresses(terminal: str) -> None:
    """Whatever the acquirer has called it; nothing in it means something to an address."""
    key = BatchKey(uuid4(), "north-1", terminal, "USD", 7)

    name = written_name(key.acquirer, key.terminal_id, key.currency, key.batch_number)

    assert read_name(key.merchant_id, name) == key
    assert re.fullmatch(r"[A-Za-z0-9_.~-]+", name)


@pytest.mark.parametrize("text", ["", "a.b.USD.1", "a.b.usd.000001", "a/b.c.USD.000001", "a" * 200])
def test_what_names_no_batch_is_none(text: str) -> None:
    """Nobody asks the database for it."""
    assert read_name(uuid4(), text) is None


async def test_deposits_are_listed_with_their_difference(bookkeeper: WindowlessBrowser) -> None:
    """In words, and to the cent."""
    said = words(await bookkeeper.get("/deposits"))

    assert "On its way" in said
    assert "In the bank" in said
    assert "Partly in the bank" in said
    assert "0.10 USD" in said


async def test_deposits_are_filtered_by_state(bookkeeper: WindowlessBrowser) -> None:
    """And a state that there is not shows all."""
    funded = words(await bookkeeper.get("/deposits?state=funded"))
    odd = words(await bookkeeper.get("/deposits?state=odd"))

    assert FUNDED in funded
    assert ANNOUNCED not in funded
    assert ANNOUNCED in odd


async def test_a_deposit_is_explained_like_a_bill(
    told: Told, bookkeeper: WindowlessBrowser
) -> None:
    """Gross, refunds, fees, chargeback, net, the bank, and every payment with its page."""
    answer = await bookkeeper.get(f"/deposits/{FUNDED}")

    said = words(answer)
    for each in ("52.00 USD", "−3.00 USD", "−1.26 USD", "−0.10 USD", "−0.20 USD", "Chargeback"):
        assert each in said
    assert "To the cent: no difference" in said
    assert "3 matched" in said
    for item in told.items:
        assert f'href="/payments/pay_{item.payment_id.hex}"' in answer.text
    assert f'href="/batches/{name_of(told.site.stage)}"' in answer.text


async def test_a_deposit_that_is_short_says_by_how_much(bookkeeper: WindowlessBrowser) -> None:
    """Ten cents, still to come, and what to do about it."""
    said = words(await bookkeeper.get(f"/deposits/{SHORT}"))

    assert "Partly in the bank" in said
    assert "Still to come 0.10 USD" in said


async def test_a_long_deposit_comes_in_pages(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each line stands on one page."""
    monkeypatch.setattr("counterfoil.web.deposits.LINES_PAGE_MAX", 2)
    browser = await told.site.signed_in(Role.BOOKKEEPER)

    first = (await browser.get(f"/deposits/{FUNDED}")).text
    second = (await browser.get(f"/deposits/{FUNDED}?after=2")).text

    assert "?after=2#lines" in first
    assert [f"pay_{each.payment_id.hex}" in first for each in told.items] == [True, True, False]
    assert [f"pay_{each.payment_id.hex}" in second for each in told.items] == [False, False, True]
    for nonsense in ("9" * 5000, "-1", "two"):
        answer = await browser.get(f"/deposits/{FUNDED}?after={nonsense}")
        assert answer.status_code == 200, nonsense[:8]


async def test_lists_come_in_pages(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    """Newest first; what stands on one page does not stand on the next."""
    monkeypatch.setattr("counterfoil.web.deposits.PAGE_MAX", 2)
    monkeypatch.setattr("counterfoil.web.batches.PAGE_MAX", 2)
    browser = await told.site.signed_in(Role.BOOKKEEPER)

    deposits = (await browser.get("/deposits")).text
    older_deposits = (await browser.get(f"/deposits?before={ANNOUNCED}")).text
    batches = (await browser.get("/batches")).text
    older_batches = (await browser.get(f"/batches?before={name_of(told.site.stage, 2)}")).text

    assert f"before={ANNOUNCED}" in deposits
    assert FUNDED not in deposits
    assert FUNDED in older_deposits
    assert SHORT not in older_deposits
    assert "TERM0001/USD/000002" in batches
    assert "TERM0001/USD/000001" not in batches
    assert "TERM0001/USD/000001" in older_batches
    assert "TERM0001/USD/000002</a>" not in older_batches


async def test_a_deposit_is_a_table_for_a_spreadsheet(bookkeeper: WindowlessBrowser) -> None:
    """With every line, and a name of its own."""
    answer = await bookkeeper.get(f"/deposits/{FUNDED}.csv")

    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.headers["content-disposition"] == f'attachment; filename="deposit-{FUNDED}.csv"'
    assert answer.text.count("deposit_line") == 3


async def test_a_batch_shows_items_and_history(told: Told, bookkeeper: WindowlessBrowser) -> None:
    """And its CSV has them all."""
    name = name_of(told.site.stage)

    answer = await bookkeeper.get(f"/batches/{name}")
    table = await bookkeeper.get(f"/batches/{name}.csv")

    said = words(answer)
    assert "Closed: both sides' totals agree." in said
    assert "Amount, USD" in said
    assert "42.00 " in said
    assert "−3.00 " in said
    assert "Close now" not in said
    assert f'href="/payments/pay_{told.items[0].payment_id.hex}"' in answer.text
    assert table.text.count("batch_item") == 3


async def test_a_batch_that_needs_a_person_says_what_to_do(told: Told) -> None:
    """Whom to ask for what, and what the operator types then."""
    stage = told.site.stage
    await told.books.batch(("capture", 700), number=4, state="needs_a_person")
    browser = await told.site.signed_in()

    listed = words(await browser.get("/batches?state=needs-a-person"))
    said = words(await browser.get(f"/batches/{name_of(stage, 4)}"))

    assert "Needs a person" in listed
    assert "TERM0001/USD/000003" not in listed
    assert "counterfoil batch retry TERM0001/USD/000004" in said
    assert "You do both in Attention" in said
    bookkeeper = await told.site.signed_in(Role.BOOKKEEPER)
    theirs = await bookkeeper.get(f"/batches/{name_of(stage, 4)}")
    assert "An owner or manager does both in Attention" in words(theirs)
    assert 'href="/attention#person"' in theirs.text
    assert (await bookkeeper.get("/attention")).status_code == 200


@pytest.fixture
async def open_site(stage: Stage) -> Site:
    """A merchant whose open batch holds one sale."""
    await stage.paid()
    return await Site.of(stage)


async def open_batch(stage: Stage) -> str:
    """Return the name of the batch that takes payments now."""
    (row,) = await stage.sql(
        "SELECT batch_number FROM batches WHERE merchant_id = $1 AND state = 'open'",
        stage.merchant.merchant_id,
    )
    return name_of(stage, row["batch_number"])


async def test_an_open_batch_has_its_lines_in_every_form(open_site: Site) -> None:
    """As page, CSV and PDF's page: the sale and its refund, each at its own time."""
    stage = open_site.stage
    payment = await stage.paid(amount_minor=1000, order_number="to-refund")
    stage.clock.move(4 * 60)
    await refund(stage.command(payment, amount_minor=300), stage.road)
    browser, name = await open_site.signed_in(Role.BOOKKEEPER), await open_batch(stage)
    took, gave = (
        f"{each:%Y-%m-%dT%H:%M}"
        for each in (payment.created_at, payment.created_at + timedelta(minutes=4))
    )

    shown = (await browser.get(f"/batches/{name}")).text
    table = (await browser.get(f"/batches/{name}.csv")).text
    items = [
        row
        for row in csv.DictReader(io.StringIO(table.removeprefix("\N{BYTE ORDER MARK}")))
        if row["record"] == "batch_item"
    ]

    assert [(row["kind"], row["amount"], row["order"]) for row in items] == [
        ("capture", "42.00", "1001"),
        ("capture", "10.00", "to-refund"),
        ("refund", "-3.00", "to-refund"),
    ]
    assert [row["at"][:16] for row in items] == [took, took, gave]
    assert {row["date"] for row in items} == {took[:10]}
    whens = re.findall(r'data-label="When"><time datetime="([^"]{16})', shown)
    assert whens == [took, took, gave]


async def test_the_items_of_a_fixed_batch_say_when_each_was_made(
    told: Told, bookkeeper: WindowlessBrowser
) -> None:
    """A refund as of itself, not of its sale; on the page, in the table and in the report."""
    made = told.books.clock.now() - timedelta(hours=5, minutes=7)
    await told.site.stage.sql(
        "UPDATE movements SET created_at = $3 WHERE merchant_id = $1 AND movement_id = $2",
        *(told.books.merchant_id, told.items[2].movement_id, made),
    )
    key = read_name(told.books.merchant_id, name_of(told.site.stage))
    assert key is not None
    reporter = Reporter(told.site.stage.database, told.books.clock, mode="test")

    shown = (await bookkeeper.get(f"/batches/{name_of(told.site.stage)}")).text
    table = (await bookkeeper.get(f"/batches/{name_of(told.site.stage)}.csv")).text
    report = as_page(await reporter.batch(key.reference, told.books.merchant_id))

    assert f'data-label="When"><time datetime="{made:%Y-%m-%dT%H:%M}' in shown
    assert f",{made:%Y-%m-%dT%H:%M}" in table
    here = made.astimezone(ZoneInfo(told.site.stage.merchant.timezone))
    assert f"{here.day} {here:%b %H:%M}" in report


async def test_a_manager_closes_a_batch_now(open_site: Site) -> None:
    """After a page that says what is closed; by the same road as the cutoff, in their name."""
    stage = open_site.stage
    browser, name = await open_site.signed_in(Role.MANAGER), await open_batch(open_site.stage)

    asked = words(await browser.get(f"/batches/{name}/close"))
    sent = await browser.send(f"/batches/{name}/close", {})
    shown = words(await browser.get(sent.headers["location"]))

    assert "1 item, 42.00 USD" in asked
    assert (sent.status_code, sent.headers["location"]) == (303, f"/batches/{name}?done=closing")
    assert "Closing began: you asked for it" in shown
    assert "Ada Byron" in shown
    assert await open_batch(stage) != name


async def test_a_batch_that_is_being_closed_is_looked_at_again(open_site: Site) -> None:
    """By the page itself, without its frame, until the acquirer has answered."""
    stage = open_site.stage
    browser, name = await open_site.signed_in(Role.MANAGER), await open_batch(open_site.stage)
    still = (await browser.get(f"/batches/{name}")).text
    sent = await browser.send(f"/batches/{name}/close", {})

    page = (await browser.get(sent.headers["location"])).text
    part = await browser.get(f"/batches/{name}/live")
    await stage.sql(
        "UPDATE batches SET state = 'needs_a_person' WHERE merchant_id = $1 AND state = 'closing'",
        stage.merchant.merchant_id,
    )
    after = await browser.get(f"/batches/{name}/live")

    assert "data-live" not in still
    assert f'data-live="/batches/{name}/live"' in page
    assert "<html" not in part.text
    assert "its word appears here" in words(part)
    assert "its word appears here" not in words(after)
    assert "What to do" in words(after)


async def test_a_batch_that_is_closed_is_looked_at_no_more(
    open_site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that waits for somebody seldom. What can be closed is asked for the frame only."""
    stage, asked = open_site.stage, []
    browser, name = await open_site.signed_in(Role.MANAGER), await open_batch(open_site.stage)
    closable = batches._closable

    async def noted(visit: Any) -> Any:
        asked.append(visit.request.url.path)
        return await closable(visit)

    monkeypatch.setattr(batches, "_closable", noted)
    await browser.get(f"/batches/{name}")
    seconds = {}
    for state in ("open", "closing", "needs_a_person", "closed"):
        await stage.sql(
            "UPDATE batches SET state = $2 WHERE merchant_id = $1",
            stage.merchant.merchant_id,
            state,
        )
        answer = await browser.get(f"/batches/{name}/live")
        seconds[state] = answer.headers["Counterfoil-Again-Seconds"]

    assert seconds == {"open": "2", "closing": "2", "needs_a_person": "60", "closed": "0"}
    assert asked == [f"/batches/{name}"]


async def test_what_is_closed_already_is_not_closed_again(open_site: Site) -> None:
    """A second click changes nothing, and the page says why."""
    browser, name = await open_site.signed_in(), await open_batch(open_site.stage)
    await browser.get(f"/batches/{name}/close")
    await browser.send(f"/batches/{name}/close", {})
    before = await open_site.stage.count("batch_events")

    again = await browser.send(f"/batches/{name}/close", {})

    assert again.status_code == 303
    assert await open_site.stage.count("batch_events") == before
    assert "nothing to close" in words(await browser.get(f"/batches/{name}/close"))
    assert "nothing to close" in words(await browser.get("/batches/close"))


async def test_all_open_batches_close_at_once(open_site: Site) -> None:
    """From the list."""
    browser, name = await open_site.signed_in(), await open_batch(open_site.stage)
    await browser.get("/batches/close")

    answer = await browser.send("/batches/close", {})

    assert answer.headers["location"] == "/batches?done=closing"
    assert await open_batch(open_site.stage) != name


@pytest.mark.parametrize("role", [Role.BOOKKEEPER, Role.CLERK, Role.DEVELOPER])
async def test_only_who_may_close_closes(open_site: Site, role: Role) -> None:
    """Neither the form nor what it sends."""
    browser, name = await open_site.signed_in(role), await open_batch(open_site.stage)
    await browser.get("/no-such-page")

    assert (await browser.get(f"/batches/{name}/close")).status_code == 403
    assert (await browser.send(f"/batches/{name}/close", {})).status_code == 403
    assert await open_batch(open_site.stage) == name


@pytest.mark.parametrize("path", ["/batches", "/deposits", "/reports", "/reports/2026-11-23"])
async def test_who_takes_payments_sees_no_books(stage: Stage, path: str) -> None:
    """Clerks and developers are refused."""
    site = await Site.of(stage)
    for role in (Role.CLERK, Role.DEVELOPER):
        assert (await (await site.signed_in(role)).get(path)).status_code == 403


async def test_another_merchants_books_are_not_there(told: Told, stage: Stage) -> None:
    """Whoever asks for them gets the same answer as for what does not exist."""
    stranger = await Site.of(await Stage.set_up(stage.database))
    browser = await stranger.signed_in()
    name = name_of(told.site.stage)

    for path in (
        f"/batches/{name}",
        f"/batches/{name}.csv",
        f"/batches/{name}/close",
        f"/deposits/{FUNDED}",
        f"/deposits/{FUNDED}.csv",
        "/batches/odd",
        "/deposits/a b",
        "/deposits/\N{POUND SIGN}",
    ):
        assert (await browser.get(path)).status_code == 404, path
    await browser.get("/no-such-page")
    assert (await browser.send(f"/batches/{name}/close", {})).status_code == 404
    assert FUNDED not in (await browser.get("/deposits")).text
    assert "No batch yet" in words(await browser.get("/batches"))


async def test_a_day_is_reported(told: Told, bookkeeper: WindowlessBrowser) -> None:
    """Its batches by the merchant's clock, its deposits, and the way to the days beside it."""
    await told.site.stage.sql(
        "UPDATE batches SET closing_at = opened_at WHERE merchant_id = $1",
        told.site.stage.merchant.merchant_id,
    )

    listed = words(await bookkeeper.get("/reports"))
    answer = await bookkeeper.get("/reports/2026-11-23")
    table = await bookkeeper.get("/reports/2026-11-23.csv")

    said = words(answer)
    assert "23 Nov 2026" in listed
    assert "End of day, 23 Nov 2026" in said
    assert "USD in all 4 192.00 USD 1 −3.00 USD 189.00 USD" in said
    assert f'href="/deposits/{FUNDED}"' in answer.text
    assert 'href="/reports/2026-11-22"' in answer.text
    assert "batch_item" in table.text
    assert 'filename="report-2026-11-23.csv"' in table.headers["content-disposition"]


async def test_any_day_may_be_asked_for(bookkeeper: WindowlessBrowser) -> None:
    """One without anything says so; what is no day comes back at its field."""
    empty = words(await bookkeeper.get("/reports/2020-02-29"))
    chosen = await bookkeeper.get("/reports?day=2020-02-29")
    odd = [await bookkeeper.get(f"/reports?day={day}") for day in ("2021-02-29", "nonsense")]

    assert "Nothing on this day" in empty
    assert chosen.headers["location"] == "/reports/2020-02-29"
    for answer in odd:
        assert answer.status_code == 422
        field = re.search(r'<input id="day"[^>]*>', answer.text)
        assert field
        assert 'aria-invalid="true" aria-describedby="day-said"' in field[0]
        assert re.search(r'value="20\d\d-\d\d-\d\d"', field[0])  # A browser shows nothing else.
        assert "This is no day. Choose another one." in words(answer)
        assert "The last 31 days" in words(answer)
    for path in ("/reports/2021-02-29", "/reports/0001-01-01", "/reports/9999-12-31", "/reports/x"):
        assert (await bookkeeper.get(path)).status_code == 404


async def test_a_day_is_a_document(
    bookkeeper: WindowlessBrowser, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The report that the operator's command prints, of this merchant alone."""
    printed: list[str] = []

    async def noted(html: str) -> bytes:
        printed.append(html)
        return b"%PDF-1.7"

    monkeypatch.setattr("counterfoil.web.reports.pdf_of", noted)

    answer = await bookkeeper.get("/reports/2026-11-24.pdf")

    assert answer.headers["content-type"] == "application/pdf"
    assert 'filename="report-2026-11-24.pdf"' in answer.headers["content-disposition"]
    assert answer.content == b"%PDF-1.7"
    assert FUNDED in printed[0]
    assert "End of day 2026-11-24" in printed[0]
