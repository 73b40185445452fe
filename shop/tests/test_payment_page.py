"""
Orders that are paid on the gateway's page: the shop never sees the card.
"""

import hashlib
import hmac
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest
from counterfoil_shop import books as shop_books
from counterfoil_shop import till as shop_till
from counterfoil_shop.books import Books, Purchase, read_all
from starlette.testclient import TestClient

Fill = Callable[..., dict[str, str]]
Until = Callable[[Callable[[], bool]], None]
CARD_NUMBER = "4242424242424242"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A till that looks again at once.
    """
    monkeypatch.setattr(shop_till, "LOOK_AGAIN_SECONDS", 0.1)
    monkeypatch.setattr(shop_till, "LOOKS_PER_PAGE_LOOK", 1)
    monkeypatch.setattr(shop_till, "STOP_WAITS_SECONDS_MAX", 0.2)


@pytest.fixture
def placed(browser: TestClient, filled_form: Fill) -> str:
    """
    An order that waits on the payment page; the address of its page here.
    """
    form = filled_form(browser, way="page", card_number="", card_expiry="", card_cvv="")
    answer = browser.post("/checkout", data=form, follow_redirects=False)
    assert answer.status_code == 303
    return str(answer.headers["location"])


def way_back(url: str, secret: str, checkout: str, status: str = "paid") -> str:
    """
    The address to which the page leads, as the gateway signs it.
    """
    values = [checkout, status, "pay_1", "123456789012", str(int(time.time()))]
    signed = "\n".join(("counterfoil-return-1", *values)).encode()
    signature = hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()
    names = ("checkout", "status", "payment", "confirmation", "at", "signature")
    parts = urlsplit(url)
    added = urlencode(dict(zip(names, (*values, signature), strict=True)))
    return f"{parts.path}?{parts.query}&{added}"


def test_the_order_leads_on_to_the_page_and_no_form_does(
    browser: TestClient, gateway: Any, placed: str
) -> None:
    """Promise: our own page leads on; the form's answer stays here, as our policy says."""
    page = browser.get(placed).text
    ((key, checkout),) = gateway.checkouts.items()

    assert key.startswith("shop-")
    assert placed.startswith("/orders/1001?token=")
    assert f'content="0; url={checkout["url"]}"' in page
    assert f'href="{checkout["url"]}"' in page
    assert "refresh" not in browser.get(placed.replace("&go=1", "")).text
    assert checkout["return_url"].startswith("http://127.0.0.1:8080/orders/1001/back?token=")
    assert checkout["amount_minor"] == 4200
    assert checkout["description"] == "1 \N{MULTIPLICATION SIGN} Letter Set No. 42"
    assert gateway.sales == 0


def test_who_comes_back_signed_sees_the_order_paid(
    browser: TestClient, gateway: Any, placed: str
) -> None:
    """Promise: the books say what the gateway says, with brand and last four of the card."""
    checkout = gateway.pay_on_page()
    back = way_back(checkout["return_url"], checkout["return_secret"], checkout["id"])

    page = browser.get(back).text

    assert 'value="123456789012"' in page
    assert "Mastercard ending in 4444" in page


@pytest.mark.parametrize("secret", ["rsec_another", None])
def test_a_return_that_lies_is_not_believed(
    browser: TestClient, gateway: Any, placed: str, secret: str | None
) -> None:
    """Promise: signed by somebody else or rightly signed, only the gateway says what is paid."""
    ((_, checkout),) = gateway.checkouts.items()
    signed = way_back(checkout["return_url"], secret or checkout["return_secret"], checkout["id"])

    page = browser.get(signed).text

    assert "is not paid yet" in page
    assert "confirmation-number" not in page


def test_an_order_is_found_paid_although_nobody_comes_back(
    browser: TestClient, gateway: Any, placed: str, folder: Path, until: Until
) -> None:
    """Promise: the browser may die."""
    gateway.pay_on_page()

    until(lambda: read_all(folder / "orders.db")[0].status == "paid")


def test_an_order_that_nobody_pays_ends_with_its_page(
    browser: TestClient, gateway: Any, placed: str, folder: Path, until: Until
) -> None:
    """Promise: expired or cancelled is not paid."""
    ((_, checkout),) = gateway.checkouts.items()
    checkout["state"] = "cancelled"

    until(lambda: read_all(folder / "orders.db")[0].status == "not_paid")
    assert "was not charged" in browser.get(placed).text


def test_a_page_that_could_not_be_opened_is_asked_for_again(
    browser: TestClient, gateway: Any, filled_form: Fill, folder: Path, until: Until
) -> None:
    """Promise: under the same key, so that there is one page."""
    gateway.script = "refuse"
    form = filled_form(browser, way="page", card_number="")
    answer = browser.post("/checkout", data=form)
    assert "was not charged" in answer.text

    gateway.script = "approve"
    again = browser.post("/checkout", data=filled_form(browser, way="page", card_number=""))
    assert "is not paid yet" in again.text
    assert len(gateway.checkouts) == 1


def test_a_card_that_was_typed_all_the_same_is_kept_nowhere(
    browser: TestClient, gateway: Any, filled_form: Fill, folder: Path
) -> None:
    """Promise: it is not looked at, sent, or written down."""
    browser.post("/checkout", data=filled_form(browser, way="page"))

    (order,) = read_all(folder / "orders.db")
    assert (order.way, order.card_last4) == ("page", None)
    assert CARD_NUMBER.encode() not in (folder / "orders.db").read_bytes()
    assert CARD_NUMBER not in str(gateway.checkouts)


def test_name_and_address_are_asked_for_and_the_card_is_not(
    browser: TestClient, gateway: Any, filled_form: Fill
) -> None:
    """Promise: only what the shop needs itself."""
    form = filled_form(browser, way="page", name="", email="nobody", card_number="")

    answer = browser.post("/checkout", data=form)

    assert answer.status_code == 422
    assert 'href="#name"' in answer.text
    assert 'href="#email"' in answer.text
    assert 'href="#card_number"' not in answer.text
    assert gateway.checkouts == {}


def test_books_of_the_version_before_are_brought_over(tmp_path: Path, purchase: Purchase) -> None:
    """Promise: every order is there, and numbers go on."""
    path = tmp_path / "orders.db"
    table = shop_books._TABLE
    for line in ("way  ", "return_url", "checkout_id  ", "checkout_url", "return_secret  "):
        start = table.index(f"    {line}")
        table = table[:start] + table[table.index("\n", start) + 1 :]
    table = table.replace(",\n    CHECK (way = 'page' OR card_last4 IS NOT NULL)", "")
    table = table.replace(",\n    CHECK ((checkout_id IS NULL) = (return_secret IS NULL))", "")
    with closing(sqlite3.connect(path)) as old:
        old.executescript(table + "PRAGMA user_version = 1;")
        old.execute(
            "INSERT INTO orders VALUES (1007, 'a', 'f', 'k', 'daybook', 1, 2400, 'USD', 'Ada', "
            "'a@b.c', '', 'visa', '4242', 'unknown', NULL, NULL, NULL, NULL, NULL, 'then', NULL)"
        )
        old.commit()

    with closing(Books(path)) as books:
        new, _ = books.place(purchase)
        known = books.order(1007)

    assert known is not None
    assert (known.way, known.card_last4, new.number) == ("shop", "4242", 1008)
