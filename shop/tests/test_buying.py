"""
From the form to the order's page, over a gateway that follows a script.
"""

import asyncio
import re
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx2
import pytest
from counterfoil_client import AsyncClient, Card
from counterfoil_shop import app as shop_app
from counterfoil_shop import till as shop_till
from counterfoil_shop.books import Books, read_all
from starlette.testclient import TestClient

Fill = Callable[..., dict[str, str]]
Until = Callable[[Callable[[], bool]], None]
CARD_NUMBER = "4242424242424242"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A till that looks again at once and a page that does not wait long.
    """
    monkeypatch.setattr(shop_till, "LOOK_AGAIN_SECONDS", 0.1)
    monkeypatch.setattr(shop_till, "PAGE_WAITS_SECONDS_MAX", 1.0)
    monkeypatch.setattr(shop_till, "STOP_WAITS_SECONDS_MAX", 0.2)


def test_a_paid_order_shows_its_confirmation_number(browser: TestClient, filled_form: Fill) -> None:
    """Promise: POST leads by 303 to a page with the number, the card's end and the RRN."""
    answer = browser.post("/checkout", data=filled_form(browser), follow_redirects=False)

    assert answer.status_code == 303
    assert re.fullmatch(r"/orders/1001\?token=[\w-]{32}", answer.headers["location"])
    page = browser.get(answer.headers["location"]).text
    assert '<data class="confirmation" id="confirmation-number"' in page
    assert 'value="123456789012"' in page
    assert "632706000123" in page
    assert "Visa ending in 4242" in page
    assert "refresh" not in page


def test_the_json_of_an_order_has_what_a_program_needs(
    browser: TestClient, filled_form: Fill
) -> None:
    """Promise: the same address with .json tells the order's facts."""
    page = browser.post("/checkout", data=filled_form(browser))

    told = browser.get(str(page.url).replace("?", ".json?")).json()

    assert told == {
        "order": "1001",
        "payment_id": f"pay_{0:032x}",
        "rrn": "632706000123",
        "confirmation_number": "123456789012",
        "amount_minor": 4200,
        "currency": "USD",
        "status": "paid",
        "shopper_message": None,
    }


def test_a_decline_is_told_in_the_shopper_s_words_with_another_try(
    browser: TestClient, gateway: Any, filled_form: Fill
) -> None:
    """Promise: not charged, why, and a form that knows the shopper but not the card."""
    gateway.script = "decline"

    page = browser.post("/checkout", data=filled_form(browser)).text

    assert "Your card was not charged" in page
    assert "there is not enough money" in page
    again = re.search(r'href="(/checkout\?[^"]*)"', page)
    assert again
    form = browser.get(again[1].replace("&amp;", "&")).text
    assert 'value="Ada Lovelace"' in form
    assert "4242424242424242" not in form


def test_the_same_form_twice_is_one_order_and_one_payment(
    browser: TestClient, gateway: Any, filled_form: Fill
) -> None:
    """Promise: a double click or a reload never charges twice."""
    form = filled_form(browser)

    first = browser.post("/checkout", data=form, follow_redirects=False)
    second = browser.post("/checkout", data=form, follow_redirects=False)

    assert first.headers["location"] == second.headers["location"]
    assert gateway.sales == 1


async def test_the_same_form_twice_at_once_is_one_payment(
    gateway: Any, folder: Path, filled_form: Fill, open_shop: Callable[[], TestClient]
) -> None:
    """Promise: also when the second submission comes while the first is under way."""
    with open_shop() as browser:
        form = filled_form(browser)
        gateway.answering.clear()
        posts = [asyncio.to_thread(post, browser, form) for _ in range(5)]
        waiting = asyncio.gather(*posts)
        await asyncio.sleep(0.3)
        gateway.answering.set()
        places = {answer.headers["location"] for answer in await waiting}

    assert len(places) == 1
    assert gateway.sales == 1


async def test_a_shopper_who_hangs_up_does_not_stop_the_payment(
    gateway: Any, folder: Path, purchase: Any
) -> None:
    """Promise: the payment goes on to its confirmation number without anybody waiting."""
    gateway.answering.clear()
    client = AsyncClient(
        gateway.url, "sk_test_x", ca=gateway.authority, journal=folder / "journal.db"
    )
    card = Card(number=CARD_NUMBER, expiry_month=12, expiry_year=2030, cvv="123")
    with closing(Books(shop_app.books_path(folder))) as books:
        async with client, shop_till.Till(books, client) as till:
            waiting = asyncio.create_task(till.buy(purchase, card))
            await asyncio.sleep(0.2)
            waiting.cancel()
            gateway.answering.set()
            order = await till.buy(purchase, card)

    assert (order.status, gateway.sales) == ("paid", 1)


def test_an_answer_that_takes_long_shows_a_page_that_finds_out(
    browser: TestClient, gateway: Any, filled_form: Fill, until: Until
) -> None:
    """Promise: unknown is said, the page looks again by itself and ends in paid."""
    gateway.answering.clear()

    page = browser.post("/checkout", data=filled_form(browser))

    assert "We are finding out" in page.text
    assert '<meta http-equiv="refresh"' in page.text
    gateway.answering.set()
    until(lambda: "Thank you, Ada Lovelace" in browser.get(page.url).text)


def test_an_order_that_a_crash_left_open_is_not_paid_when_the_gateway_never_saw_it(
    open_shop: Callable[[], TestClient], folder: Path, purchase: Any, until: Until
) -> None:
    """Promise: an order written before a crash, whose payment never left, is not charged."""
    with closing(Books(shop_app.books_path(folder))) as books:
        books.place(purchase)

    with open_shop():
        until(lambda: statuses(folder) == ["not_paid"])


def test_an_order_that_a_crash_left_open_is_paid_when_the_gateway_charged_it(
    open_shop: Callable[[], TestClient],
    gateway: Any,
    folder: Path,
    filled_form: Fill,
    until: Until,
) -> None:
    """Promise: at the next start the approval is acknowledged and the order is paid."""
    with open_shop() as browser:
        gateway.answering.clear()
        post(browser, filled_form(browser))
        assert statuses(folder) == ["unknown"]
    gateway.answering.set()

    with open_shop():
        until(lambda: statuses(folder) == ["paid"])
    assert gateway.sales == 1


def test_a_refund_is_noticed(
    browser: TestClient, gateway: Any, folder: Path, filled_form: Fill, until: Until
) -> None:
    """Promise: an order whose money went back says refunded, and keeps its number."""
    page = browser.post("/checkout", data=filled_form(browser))
    (payment,) = gateway.payments.values()

    payment["refunded_minor"] = payment["amount_minor"]

    until(lambda: statuses(folder) == ["refunded"])
    assert "was refunded" in browser.get(page.url).text


def test_what_the_gateway_refuses_is_not_charged_and_asks_to_check_the_card(
    browser: TestClient, gateway: Any, filled_form: Fill
) -> None:
    """Promise: a refusal that names the card tells the shopper to look at the card."""
    gateway.script = "refuse"

    page = browser.post("/checkout", data=filled_form(browser)).text

    assert shop_till.NOT_CHARGED.replace("'", "&#39;") in page


def test_no_card_number_is_on_the_shop_s_disk_or_in_its_log(
    browser: TestClient,
    gateway: Any,
    folder: Path,
    filled_form: Fill,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Promise: books, journal and log have brand and last four digits, nothing more."""
    caplog.set_level("DEBUG")
    for script in ("approve", "decline", "refuse"):
        gateway.script = script
        browser.post("/checkout", data=filled_form(browser, name=CARD_NUMBER))
        browser.post("/checkout", data=filled_form(browser))

    written = b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())
    for number in (CARD_NUMBER, "4242 4242 4242 4242"):
        assert number.encode() not in written
        assert number not in caplog.text
    assert len(read_all(shop_app.books_path(folder))) == 3


def test_a_shop_starts_and_says_so_while_the_gateway_is_away(
    open_shop: Callable[[], TestClient], gateway: Any, filled_form: Fill
) -> None:
    """Promise: pages are there at once; a payment ends in "nothing was charged" or unknown."""
    gateway.script = "busy"

    with open_shop() as browser:
        page = browser.post("/checkout", data=filled_form(browser)).text

    assert "Not paid" in page or "We are finding out" in page


def test_order_numbers_go_on_after_a_restart(
    open_shop: Callable[[], TestClient], folder: Path, filled_form: Fill
) -> None:
    """Promise: 1001, 1002, ...; no number is given twice."""
    for _ in range(2):
        with open_shop() as browser:
            post(browser, filled_form(browser))

    assert [order.number for order in read_all(shop_app.books_path(folder))] == [1001, 1002]


def post(browser: TestClient, form: dict[str, str]) -> httpx2.Response:
    return browser.post("/checkout", data=form, follow_redirects=False)


def statuses(folder: Path) -> list[str]:
    return [order.status for order in read_all(shop_app.books_path(folder))]
