"""
What every page of the shop promises, and what its doors refuse.
"""

import re
from collections.abc import Callable

import pytest
from counterfoil_shop import catalog
from counterfoil_shop.guards import FORM_BYTES_MAX
from starlette.testclient import TestClient

Fill = Callable[..., dict[str, str]]


def test_the_window_shows_every_product_with_its_price(browser: TestClient) -> None:
    """Promise: all that is sold is on the first page."""
    page = browser.get("/").text

    for product in catalog.PRODUCTS:
        assert f'href="/products/{product.slug}"' in page
        assert catalog.dollars(product.amount_minor) in page
        assert browser.get(f"/products/{product.slug}").status_code == 200
        assert browser.get(f"/static/products/{product.slug}.svg").status_code == 200


@pytest.mark.parametrize("path", ["/", "/checkout?product=daybook", "/orders/1", "/none"])
def test_every_page_comes_with_strict_headers(browser: TestClient, path: str) -> None:
    """Promise: no script, nothing from elsewhere, no frame, no copy in a cache."""
    headers = browser.get(path).headers

    assert "default-src 'none'" in headers["content-security-policy"]
    assert "script-src" not in headers["content-security-policy"]
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert headers["cache-control"] == "no-store"
    assert headers["x-content-type-options"] == "nosniff"


def test_no_page_carries_script_or_inline_style(browser: TestClient) -> None:
    """Promise: the pages live within their own policy."""
    for path in ("/", "/products/daybook", "/checkout?product=daybook"):
        page = browser.get(path).text
        assert "<script" not in page
        assert "style=" not in page
        assert not re.search(r'(?:src|href)="(?:https?:)?//', page)


def test_the_form_names_its_fields_for_the_browser(browser: TestClient) -> None:
    """Promise: a browser that knows the shopper's card can fill it in."""
    page = browser.get("/checkout?product=daybook&quantity=3").text

    for token in ("name", "email", "cc-number", "cc-exp", "cc-csc", "billing postal-code"):
        assert f'autocomplete="{token}"' in page
    assert "Pay $72.00" in page


def test_a_fault_is_tied_to_its_field_and_the_card_is_not_shown_again(
    browser: TestClient, filled_form: Fill
) -> None:
    """Promise: aria-describedby leads to the message; card fields come back empty."""
    form = filled_form(browser, email="ada", card_cvv="987", card_expiry="11/31")

    answer = browser.post("/checkout", data=form)

    assert answer.status_code == 422
    assert 'aria-invalid="true" aria-describedby="email-fault email-help"' in answer.text
    assert 'id="email-fault"' in answer.text
    assert 'value="Ada Lovelace"' in answer.text
    assert f'value="{form["form_token"]}"' in answer.text
    for secret in ("4242424242424242", 'value="4242', 'value="987"', 'value="11/31"'):
        assert secret not in answer.text


def test_an_order_is_read_with_its_own_token_only(browser: TestClient, filled_form: Fill) -> None:
    """Promise: counting order numbers opens nothing; wrong and missing look alike."""
    mine = browser.post("/checkout", data=filled_form(browser)).url
    other = browser.post("/checkout", data=filled_form(browser)).url

    assert browser.get(mine).status_code == 200
    for path in (
        "/orders/1001",
        "/orders/1001?token=",
        f"/orders/1001?token={other.params['token']}",
        "/orders/1001.json",
        "/orders/7777?token=x",
        f"/orders/{'9' * 40}?token=x",
        f"/checkout?again=1001&token={other.params['token']}",
    ):
        assert browser.get(path).status_code == 404


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
    ],
)
def test_a_form_from_another_site_is_refused(
    browser: TestClient, filled_form: Fill, headers: dict[str, str]
) -> None:
    """Promise: no other page can order in a shopper's name."""
    form = filled_form(browser)

    assert browser.post("/checkout", data=form, headers=headers).status_code == 403


def test_a_form_from_the_shop_s_own_page_is_taken(browser: TestClient, filled_form: Fill) -> None:
    """Promise: browsers, which send these headers, can buy."""
    headers = {"Sec-Fetch-Site": "same-origin", "Origin": "http://127.0.0.1:8080"}

    answer = browser.post("/checkout", data=filled_form(browser), headers=headers)

    assert "Thank you" in answer.text


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"a=" + b"x" * FORM_BYTES_MAX, "application/x-www-form-urlencoded", 413),
        (b"{}", "application/json", 415),
        (b"name=%ff", "application/x-www-form-urlencoded", 400),
        (b"\xff", "application/x-www-form-urlencoded", 400),
        (b"name=a&name=b", "application/x-www-form-urlencoded", 400),
        (b"&".join([b"a=b"] * 30), "application/x-www-form-urlencoded", 400),
        (b"product=none", "application/x-www-form-urlencoded", 404),
        (b"product=daybook", "application/x-www-form-urlencoded", 422),
    ],
)
def test_what_is_no_form_of_ours_is_refused(
    browser: TestClient, body: bytes, kind: str, status: int
) -> None:
    """Promise: too long, of another type, garbled, or about nothing: each has its answer."""
    answer = browser.post("/checkout", content=body, headers={"Content-Type": kind})

    assert answer.status_code == status


def test_another_host_name_is_refused(browser: TestClient) -> None:
    """Promise: a foreign name that points to this machine opens no page."""
    assert browser.get("/", headers={"Host": "evil.example"}).status_code == 400
