"""
The receipt: what must stand on it, and what must never.
"""

from datetime import UTC, datetime
from html.parser import HTMLParser
from typing import Any

import pytest
from counterfoil.receipts.receipt import BRANDS, KINDS, as_html, as_text, grouped, receipt
from hypothesis import given
from hypothesis import strategies as st
from receipt_facts import FACTS


def texts(*, test: bool = False, for_merchant: bool = False, **changes: Any) -> tuple[str, str]:
    """Return the receipt as text and as HTML."""
    shown = receipt({**FACTS, **changes}, test=test)
    return as_text(shown, for_merchant=for_merchant), as_html(shown, for_merchant=for_merchant)


@pytest.mark.parametrize("for_merchant", [True, False])
@pytest.mark.parametrize(
    "said",
    [
        "The Book Shop",
        "Springfield, IL, US",
        "42.00",
        "USD",
        "Sale",
        "Visa ending in 1111",
        "A1B2C3",
        "5724 0000 0004",
        "1001",
        "Two books",
        "632706000123",
        "2026-11-23 00:30:15 CST",
    ],
)
def test_a_receipt_says_what_the_schemes_ask_for(said: str, for_merchant: bool) -> None:
    """In both forms, for both readers; the time with its zone."""
    for text in texts(for_merchant=for_merchant):
        assert said in text


def test_a_receipt_shows_no_expiry_and_no_more_of_the_number() -> None:
    """Nor the BIN, though the row has it."""
    facts = {**FACTS, "expiry": "3103", "number": "4111111111111111", "card_token": "token"}
    shown = receipt(facts, test=False)

    for text in (
        as_text(shown, for_merchant=False),
        as_html(shown, for_merchant=False),
        repr(shown),
    ):
        for secret in ("3103", "4111111111111111", "411111", "token"):
            assert secret not in text


@pytest.mark.parametrize(
    ("zone", "when"),
    [
        ("UTC", "2026-11-23 06:30:15 UTC"),
        ("Europe/Zurich", "2026-11-23 07:30:15 CET"),
        ("Asia/Kathmandu", "2026-11-23 12:15:15 +0545"),
        ("Pacific/Auckland", "2026-11-23 19:30:15 NZDT"),
    ],
)
def test_the_time_is_the_merchants(zone: str, when: str) -> None:
    """As the customer saw it on the clock of the shop, and named, so that nobody guesses."""
    assert receipt({**FACTS, "timezone": zone}, test=False).when == when


def test_summer_time_is_the_one_of_that_day() -> None:
    """A receipt of July says so in November too."""
    july = datetime(2026, 7, 1, 12, 0, tzinfo=UTC)

    assert receipt({**FACTS, "acknowledged_at": july}, test=False).when == "2026-07-01 07:00:00 CDT"


@pytest.mark.parametrize(("minor", "code", "said"), [(4200, "JPY", "4200"), (4200, "KWD", "4.200")])
def test_amounts_have_the_decimals_of_their_currency(minor: int, code: str, said: str) -> None:
    """Nobody reads 42.00 yen."""
    amounts = {"amount_minor": minor, "authorized_minor": minor}
    shown = receipt({**FACTS, **amounts, "currency": code}, test=False)

    assert (shown.amount, shown.currency) == (said, code)


def test_a_test_receipt_says_that_no_money_moves() -> None:
    """And a live one does not."""
    assert all("no money moves" in text for text in texts(test=True))
    assert not any("no money moves" in text for text in texts(test=False))


def test_a_customer_is_told_whom_to_ask() -> None:
    """The merchant knows."""
    assert all("owner@bookshop.example" in text for text in texts())
    assert not any("owner@bookshop.example" in text for text in texts(for_merchant=True))


def test_an_authorization_does_not_claim_that_money_was_taken() -> None:
    """It says that it is not yet captured."""
    assert all("not yet captured" in text for text in texts(kind="authorization"))


def test_a_partial_approval_shows_what_was_approved_of_what_was_asked() -> None:
    """The customer pays the approved amount, and sees that it is not all."""
    for text in texts(authorized_minor=2100):
        assert "21.00" in text
        assert "of 42.00 USD" in text
    assert not any("in part" in text for text in texts())


def test_a_credit_gives_and_says_so() -> None:
    """Nobody reads "you have been paid" over money that goes away."""
    given = {"kind": "credit", "authorized_minor": 0}

    assert all("gives you money" in text and "42.00" in text for text in texts(**given))
    assert all(
        "you have given a credit" in text.lower() for text in texts(**given, for_merchant=True)
    )
    assert not any("paid" in text for text in texts(**given, for_merchant=True))


def test_what_was_not_given_is_not_shown() -> None:
    """No empty rows, and never the word None."""
    for text in texts(order_number=None, description=None, approval_code=None, region=""):
        assert "None" not in text
        assert "Order" not in text.replace("your order", "")
        assert "Springfield, US" in text


@given(st.text(min_size=1, max_size=80))
def test_nothing_that_a_shopper_types_becomes_markup(typed: str) -> None:
    """Order and description are text, whatever stands in them."""
    plain = as_html(receipt(FACTS, test=False), for_merchant=False)
    page = as_html(
        receipt({**FACTS, "order_number": typed, "description": typed}, test=False),
        for_merchant=False,
    )

    assert tags(page) == tags(plain)


def tags(page: str) -> list[str]:
    """Return the names of all tags of *page*, in order."""

    class Reader(HTMLParser):
        found: list[str]

        def handle_starttag(self, tag: str, attrs: object) -> None:
            self.found.append(tag)

    reader = Reader()
    reader.found = []
    reader.feed(page)
    return reader.found


def test_the_page_needs_nothing_from_anywhere_else() -> None:
    """No script, no picture, no style sheet: it reads the same in ten years."""
    _, page = texts()

    assert not {"script", "img", "link", "iframe"} & set(tags(page))
    assert "http" not in page


@pytest.mark.parametrize("brand", BRANDS)
def test_every_scheme_has_a_name_for_people(brand: str) -> None:
    """As it stands on the card."""
    assert (
        receipt({**FACTS, "card_brand": brand}, test=False).card
        == f"{BRANDS[brand]} ending in 1111"
    )


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_a_name_for_people(kind: str) -> None:
    """Sale, authorization."""
    assert receipt({**FACTS, "kind": kind}, test=False).kind == KINDS[kind]


def test_a_confirmation_number_is_shown_as_it_is_read_aloud() -> None:
    """In groups of four."""
    assert grouped("572400000004") == "5724 0000 0004"
