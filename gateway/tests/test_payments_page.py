"""
The payments page: found by what is known of one, filtered, page by page, as a file.
"""

import csv
import io
import json
import re
from collections.abc import Iterator
from html import unescape
from typing import Any
from urllib.parse import quote

import asyncpg
import pytest
from counterfoil import ids
from counterfoil.money import currency
from counterfoil.payments.lifecycle import Kind
from counterfoil.payments.movements import refund
from counterfoil.payments.payment import Payment
from counterfoil.people.roles import Role
from counterfoil.settlement.report_table import FORMULA_BEGINNINGS, safe
from counterfoil.store import search as searching
from counterfoil.store.queries import query
from counterfoil.web import payments as pages
from counterfoil.web.payments_csv import HEADINGS
from payment_stage import Stage
from scripted_link import says
from terminal_stage import TerminalStage
from web_stage import Site, WindowlessBrowser, words

_ROW = re.compile(r'<th scope="row"><a href="/payments/(pay_[0-9a-f]{32})"')
_NEXT = re.compile(r'href="([^"]*)" rel="next"')
_PREVIOUS = re.compile(r'href="([^"]*)" rel="prev"')


@pytest.fixture
async def site(stage: Stage) -> Site:
    """The pages of the stage's merchant."""
    return await Site.of(stage)


def written(payment: Payment) -> str:
    return ids.written(ids.PAYMENT, payment.payment_id)


async def shown(browser: WindowlessBrowser, path: str) -> list[str]:
    """Return the payments on a page."""
    answer = await browser.get(path)
    assert answer.status_code == 200, answer.text
    return _ROW.findall(answer.text)


async def test_a_payment_is_found_by_whatever_is_known_of_it(stage: Stage, site: Site) -> None:
    """And the other is not."""
    one = await stage.paid(
        amount_minor=4242, order_number="blue shoes", customer_email="Ada@Shopper.Example"
    )
    other = await stage.paid(amount_minor=5000, order_number="2", customer_email="b@b.example")
    browser = await site.signed_in()
    assert one.confirmation_number is not None
    number = one.confirmation_number
    grouped = f"{number[:4]} {number[4:8]} {number[8:]}"

    for text in ("42.42", "$42.42", "42.42 usd", "blue shoes", "ada@shopper.example", number,
                 grouped, one.rrn):  # fmt: skip
        assert await shown(browser, f"/payments?q={quote(text)}") == [written(one)], text
    for text in ("1111", "a1b2c3"):
        assert await shown(browser, f"/payments?q={text}") == [written(other), written(one)], text
    found = await browser.get(f"/payments?q={written(one)}")
    assert found.headers["location"] == f"/payments/{written(one)}"


@pytest.mark.parametrize("code", ["7K", "A7", "k9x", "12345", "H7K2P9"])
async def test_a_voice_code_is_found_however_short_it_is(
    stage: Stage, site: Site, code: str
) -> None:
    """As it was typed at the terminal."""
    stage.link.script.append(says("00"))
    one = await stage.paid(kind=Kind.FORCED, voice_approval_code=code, order_number="by voice")
    await stage.paid(order_number="2")
    browser = await site.signed_in()

    for text in (code, f"approval:{code}"):
        assert await shown(browser, f"/payments?q={text}") == [written(one)]


async def test_what_is_under_way_or_was_declined_is_found_too(stage: Stage, site: Site) -> None:
    """By the same words."""
    waiting = await stage.take(amount_minor=777, order_number="w")
    stage.link.script.append(says("05"))
    declined = await stage.take(amount_minor=777, order_number="d")
    browser = await site.signed_in()

    for text in ("7.77", "1111", "shopper@example.com"):
        found = await shown(browser, f"/payments?q={quote(text)}")
        assert found == [written(declined), written(waiting)], text


async def test_the_page_says_how_it_understood(stage: Stage, site: Site) -> None:
    """Each meaning by itself can be chosen."""
    await stage.paid(order_number="1111")
    browser = await site.signed_in()

    answer = await browser.get("/payments?q=1111")

    assert (
        "Looked for cards that end in 1111 , the amount 1,111.00 USD , the approval code 1111 "
        "or the order 1111 ." in words(answer)
    )
    assert 'href="/payments?q=order%3A1111"' in answer.text


async def test_an_amount_of_another_currency_is_another_amount(stage: Stage, site: Site) -> None:
    """4,200 yen are not 42 dollars."""
    yen = await stage.paid(amount_minor=4200, currency=currency("JPY"))
    dollars = await stage.paid(amount_minor=4200)
    browser = await site.signed_in()

    assert await shown(browser, "/payments?q=42") == [written(dollars)]
    assert await shown(browser, "/payments?q=4200") == [written(yen)]


async def test_filters_narrow_and_are_kept_in_the_links(stage: Stage, site: Site) -> None:
    """State, kind, currency, days in the merchant's zone."""
    sale = await stage.paid()
    back = await stage.paid(amount_minor=900)
    forwarder = stage.forwarder()
    while await forwarder.forward():
        pass
    await refund(stage.command(back, amount_minor=100), stage.road)
    stage.clock.move(86_400)
    hold = await stage.paid(kind=Kind.AUTHORIZATION)
    euros = await stage.paid(currency=currency("EUR"))
    browser = await site.signed_in()
    every = [written(each) for each in (euros, hold, back, sale)]

    for narrowing, expected in {
        "": every,
        "standing=authorized": [written(hold)],
        "standing=refunded": [written(back)],
        "standing=paid&currency=USD": [written(back), written(sale)],
        "kind=authorization": [written(hold)],
        "card=amex": [],
        "from=2026-11-24": every[:2],
        "to=2026-11-23": every[2:],
        "from=2026-11-23&to=2026-11-23&standing=refunded": [written(back)],
        f"acquirer={stage.acquirer}": every,
    }.items():
        assert await shown(browser, f"/payments?{narrowing}") == expected, narrowing


@pytest.mark.parametrize(
    ("narrowing", "name", "said"),
    [
        ("from=yesterday", "from", "Write the first day as 2026-11-28."),
        ("from=28.11.2026", "from", "Write the first day as 2026-11-28."),
        ("from=2026-13-45", "from", "There is no 2026-13-45 in the calendar: write another day."),
        ("to=2026-02-30", "to", "There is no 2026-02-30 in the calendar: write another day."),
        ("from=1926-11-28", "from", "Write a year from 2000 to 2099."),
        ("from=2026-11-24&to=2026-11-23", "to", "The last day lies before the first."),
        ("standing=rich", "standing", "Choose how it stands."),
        ("kind=gift", "kind", "Choose a kind."),
        ("card=library", "card", "Choose a card."),
        ("currency=ZZZ", "currency", "Choose a currency."),
        ("acquirer=another", "acquirer", "Choose an acquirer."),
    ],
)
async def test_a_filter_that_cannot_be_is_told_at_its_field_and_nothing_is_looked_for(
    stage: Stage, site: Site, narrowing: str, name: str, said: str
) -> None:
    """On the page, and where it was to be a file."""
    await stage.paid()
    browser = await site.signed_in()

    for path in ("/payments", "/payments.csv"):
        answer = await browser.get(f"{path}?{narrowing}")

        assert answer.status_code == 422
        assert "text/html" in answer.headers["content-type"]
        assert f'aria-describedby="{name}-said"' in answer.text
        assert f'<p class="fault" id="{name}-said">{said}</p>' in answer.text
        assert f'<a href="#{name}">{said}</a>' in answer.text
        assert _ROW.findall(answer.text) == []


async def test_a_currency_that_nobody_paid_in_finds_nothing(stage: Stage, site: Site) -> None:
    """It is one, all the same."""
    await stage.paid()
    browser = await site.signed_in()

    assert await shown(browser, "/payments?currency=CHF") == []


async def test_pages_lead_both_ways_and_show_each_payment_once(
    stage: Stage, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Forward to the end and back to the beginning."""
    monkeypatch.setattr(pages, "SHOWN_MAX", 3)
    every = [written(await stage.paid(order_number=f"{number}")) for number in range(8)][::-1]
    browser = await site.signed_in()

    seen, path, last = [], "/payments?standing=paid", ""
    while path:
        text = (await browser.get(path)).text
        seen.append(_ROW.findall(text))
        last, found = path, _NEXT.search(text)
        path = unescape(found.group(1)) if found else ""
    assert seen == [every[:3], every[3:6], every[6:]]

    text = (await browser.get(last)).text
    for expected in (every[3:6], every[:3]):
        found = _PREVIOUS.search(text)
        assert found
        text = (await browser.get(unescape(found.group(1)))).text
        assert _ROW.findall(text) == expected
    assert not _PREVIOUS.search(text)


async def test_who_looks_for_something_rare_goes_on_from_where_was_looked(
    stage: Stage, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The page says so, and its link leads on."""
    monkeypatch.setattr(searching, "STEPS", (2, 2))
    hold = await stage.paid(kind=Kind.AUTHORIZATION)
    for number in range(6):
        await stage.paid(order_number=f"{number}")
    browser = await site.signed_in()

    first = await browser.get("/payments?kind=authorization")
    further = _NEXT.search(first.text)

    assert "There may be some further back." in words(first)
    assert further
    assert "Look further back" in first.text
    assert await shown(browser, unescape(further.group(1))) == [written(hold)]


async def test_the_search_form_leads_to_an_address_that_can_be_kept(site: Site) -> None:
    """Empty fields do not stand in it; a card number neither."""
    browser = await site.signed_in()
    await browser.get("/payments")

    plain = await browser.send("/payments/search", {"q": " 42 usd ", "kind": "", "from": ""})
    card = await browser.send("/payments/search", {"q": "4111 1111 1111 1111"})
    typed = await browser.get("/payments?q=4111111111111111")

    assert plain.headers["location"] == "/payments?q=42+usd"
    for answer in (card, typed):
        assert answer.status_code == 303
        assert answer.headers["location"] == "/payments?q=card%3A1111&card-number=yes"
    answer = await browser.get(card.headers["location"])
    assert "A whole card number is not kept here" in words(answer)
    assert "411111" not in answer.text


async def test_another_merchants_payments_are_not_found(stage: Stage, site: Site) -> None:
    """By nothing that is known of them."""
    other = await Stage.set_up(stage.database)
    theirs = await other.paid()
    browser = await site.signed_in()

    for text in ("1111", "42", "1001", theirs.rrn, theirs.confirmation_number, "A1B2C3", ""):
        assert await shown(browser, f"/payments?q={text}") == [], text


async def test_what_customers_wrote_is_shown_and_not_run(stage: Stage, site: Site) -> None:
    """Neither what was typed into the box."""
    await stage.paid(order_number="<img src=x onerror=alert(1)>")
    browser = await site.signed_in()

    for path in ("/payments", f"/payments?q={quote('<img src=x onerror=alert(1)>')}"):
        text = (await browser.get(path)).text
        assert "<img src=x" not in text
        assert "&lt;img src=x" in text


async def test_the_file_has_what_the_page_shows_and_no_formula(stage: Stage, site: Site) -> None:
    """Every field that a customer writes, and more payments than one step reads."""
    for sign in FORMULA_BEGINNINGS:
        if sign.isascii() and sign.isprintable():
            await stage.paid(order_number=f"{sign}cmd()", description=f'{sign}1,"2')
    await stage.paid(order_number="plain", customer_email="=a@b.example")
    bookkeeper = await site.signed_in(Role.BOOKKEEPER)

    answer = await bookkeeper.get("/payments.csv?standing=paid")
    rows = list(csv.DictReader(io.StringIO(answer.text.removeprefix("\N{BYTE ORDER MARK}"))))

    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert "attachment" in answer.headers["content-disposition"]
    assert tuple(rows[0]) == HEADINGS
    assert [row["order"] for row in rows] == ["plain", "'@cmd()", "'-cmd()", "'+cmd()", "'=cmd()"]
    assert rows[0]["customer e-mail"] == "'=a@b.example"
    assert rows[0]["amount"] == "42.00"
    for row in rows:
        assert not any(str(cell).startswith(FORMULA_BEGINNINGS) for cell in row.values())


async def test_the_file_has_tax_and_tip_in_its_last_columns(stage: Stage, site: Site) -> None:
    """As a clerk named them, and nothing where nobody did; those before stay where they were."""
    terminal = TerminalStage(stage)
    await terminal.sold(charge_again=True)
    await terminal.sold(charge_again=True, tax_minor=0, currency="JPY", order_number="yen")
    await stage.paid(order_number="by the shop")
    browser = await site.signed_in()

    answer = await browser.get("/payments.csv")
    rows = list(csv.reader(io.StringIO(answer.text.removeprefix("\N{BYTE ORDER MARK}"))))

    assert rows[0][-3:] == ["terminal", "tax", "tip"]
    assert [(row[11], row[-2], row[-1]) for row in rows[1:]] == [
        ("by the shop", "", ""),
        ("yen", "", "200"),
        ("T-1001", "3.00", "2.00"),
    ]


@pytest.mark.parametrize("sign", FORMULA_BEGINNINGS)
def test_a_cell_that_looks_like_a_formula_gets_an_apostrophe(sign: str) -> None:
    """Others stay as they are."""
    assert safe(f"{sign}1") == f"'{sign}1"
    assert safe(f"1{sign}") == f"1{sign}"


async def test_a_file_that_is_cut_says_so(
    stage: Stage, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At its end; nobody takes it for the whole."""
    monkeypatch.setattr(pages, "PAGE_MAX", 2)
    monkeypatch.setattr(pages, "CSV_ROWS_MAX", 4)
    for number in range(6):
        await stage.paid(order_number=f"{number}")
    browser = await site.signed_in()

    lines = (await browser.get("/payments.csv")).text.splitlines()

    assert len(lines) == 1 + 4 + 1
    assert lines[-1] == "Cut after 4 payments: choose fewer days."


async def test_only_who_may_export_gets_the_file(site: Site) -> None:
    """Nor is it offered to others."""
    developer = await site.signed_in(Role.DEVELOPER)

    assert (await developer.get("/payments.csv")).status_code == 403
    assert "As CSV" not in (await developer.get("/payments")).text
    assert (await (await site.signed_in(Role.CLERK)).get("/payments")).status_code == 403


def scans(plan: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Return how each table of a plan is read, and by which index."""
    if "Relation Name" in plan or "Index Name" in plan:
        yield plan["Node Type"], plan.get("Index Name", plan.get("Relation Name", ""))
    for each in plan.get("Plans", ()):
        yield from scans(each)


LOW, HIGH = searching.FIRST, searching.LAST


@pytest.mark.parametrize(
    ("name", "value", "index"),
    [
        ("find_by_last_four", "1111", "payments_by_last_four"),
        ("find_by_amount", 4200, "payments_by_amount"),
        ("find_by_approval", "A1B2C3", "payments_by_approval"),
        ("find_by_email", "a@b.example", "payments_by_email"),
        ("find_by_order", "1", "payments_by_order"),
    ],
)
async def test_each_search_has_its_index(
    stage: Stage, name: str, value: object, index: str
) -> None:
    """That begins with the merchant, and is read in the order of the pages."""
    async with stage.database.acquire() as connection, connection.transaction():
        await connection.execute("SET LOCAL enable_seqscan = off")
        await connection.execute("SET LOCAL enable_bitmapscan = off")
        found = await explained(connection, name, stage, value, LOW, HIGH, False, 26)

    assert {node for node, _ in found} <= {"Index Scan", "Index Only Scan"}
    assert index in {each for _, each in found}


async def explained(
    connection: "asyncpg.Connection[asyncpg.Record]", name: str, stage: Stage, *arguments: object
) -> list[tuple[str, str]]:
    text = await connection.fetchval(
        f"EXPLAIN (FORMAT json) {query(name)}", stage.merchant.merchant_id, *arguments
    )
    return list(scans(json.loads(text)[0]["Plan"]))
