"""
What the checkout form accepts, and how it says what is wrong.
"""

from datetime import date

import pytest
from counterfoil_shop import catalog, checkout
from counterfoil_shop.checkout import Accepted

TODAY = date(2026, 11, 23)
GOOD = {
    "form_token": "f" * 32,
    "quantity": "2",
    "name": "Ada Lovelace",
    "email": "ada@example.com",
    "postal_code": "sw1a 1aa",
    "card_number": "4242 4242 4242 4242",
    "card_expiry": "12/30",
    "card_cvv": "123",
}
LETTERS = catalog.PRODUCTS[0]


def test_a_good_form_becomes_a_purchase_and_a_card() -> None:
    """Promise: the shop multiplies the price itself and keeps the card's end only."""
    accepted = checkout.check(GOOD, LETTERS, TODAY)

    assert isinstance(accepted, Accepted)
    assert accepted.purchase.amount_minor == 8400
    assert accepted.purchase.postal_code == "SW1A 1AA"
    assert (accepted.purchase.card_brand, accepted.purchase.card_last4) == ("visa", "4242")
    assert (accepted.card.expiry_month, accepted.card.expiry_year) == (12, 2030)
    assert "4242424242424242" not in repr(accepted)


@pytest.mark.parametrize("text", ["12/30", "12/2030", "12 / 30", "1230", "12-30", " 12/30 "])
def test_a_date_may_be_typed_in_many_ways(text: str) -> None:
    """Promise: no shopper fails because of a slash."""
    assert isinstance(checkout.check(GOOD | {"card_expiry": text}, LETTERS, TODAY), Accepted)


def test_a_card_is_good_through_the_month_it_expires_in() -> None:
    """Promise: 11/26 is good on the last day of November 2026 and not after."""
    form = GOOD | {"card_expiry": "11/26"}

    assert isinstance(checkout.check(form, LETTERS, date(2026, 11, 30)), Accepted)
    assert checkout.check(form, LETTERS, date(2026, 12, 1)) == {
        "card_expiry": "This card has expired. Use another card."
    }


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("form_token", "short"),
        ("quantity", "0"),
        ("quantity", "11"),
        ("quantity", "²"),
        ("quantity", "-1"),
        ("name", " "),
        ("name", "x" * 101),
        ("email", "ada"),
        ("email", "ada@localhost"),
        ("email", "ada@example.com\r\nBcc: eve@example.com"),
        ("email", "a" * 250 + "@example.com"),
        ("postal_code", "<script>"),
        ("card_number", ""),
        ("card_number", "4242 4242 4242 4241"),
        ("card_number", "4242"),
        ("card_number", "\u0664\u0662" * 8),
        ("card_expiry", ""),
        ("card_expiry", "13/30"),
        ("card_expiry", "00/30"),
        ("card_expiry", "12/99"),
        ("card_expiry", "soon"),
        ("card_cvv", "12"),
        ("card_cvv", "1234"),
        ("card_cvv", "12a"),
    ],
)
def test_each_fault_is_named_at_its_field(field: str, value: str) -> None:
    """Promise: one fault gives one message, at the field it belongs to."""
    faults = checkout.check(GOOD | {field: value}, LETTERS, TODAY)

    assert isinstance(faults, dict)
    assert list(faults) == [field]


def test_an_american_express_card_has_four_digits() -> None:
    """Promise: the security code's length is the brand's."""
    amex = GOOD | {"card_number": "3782 822463 10005"}

    assert "card_cvv" in checkout.check(amex, LETTERS, TODAY)  # type: ignore[operator]
    assert isinstance(checkout.check(amex | {"card_cvv": "1234"}, LETTERS, TODAY), Accepted)


@pytest.mark.parametrize("field", ["name", "email", "postal_code"])
def test_a_card_number_in_a_wrong_field_is_neither_kept_nor_shown(field: str) -> None:
    """Promise: what may be shown again never holds a card number."""
    slipped = GOOD | {field: "4242-4242-4242-4242@example.com"}

    assert "4242-4242" not in repr(checkout.typed(slipped))


def test_every_product_has_a_drawing_and_a_price() -> None:
    """Promise: the shop window has no empty place."""
    from counterfoil_shop import pages

    drawings = {path.stem for path in (pages._HERE / "static" / "products").glob("*.svg")}

    assert drawings == {product.slug for product in catalog.PRODUCTS}
    assert all(product.amount_minor > 0 for product in catalog.PRODUCTS)


def test_every_test_card_that_the_page_offers_passes_the_form() -> None:
    """Promise: what the hint box says can be typed."""
    for brand, number, _ in checkout.TEST_CARDS:
        cvv = "1234" if brand == "American Express" else "123"
        form = GOOD | {"card_number": number, "card_cvv": cvv}
        assert isinstance(checkout.check(form, LETTERS, TODAY), Accepted)
