"""
The receipt: what must stand on it, and what must never.
"""

from datetime import UTC, datetime
from html.parser import HTMLParser
from typing import Any
from uuid import UUID

import pytest
from counterfoil.payments.lifecycle import State
from counterfoil.receipts.outcome import outcome
from counterfoil.receipts.receipt import (
    BRANDS,
    KINDS,
    as_html,
    as_text,
    grouped,
    receipt,
)
from hypothesis import given
from hypothesis import strategies as st
from receipt_facts import FACTS

HELD: dict[str, Any] = {"kind": "authorization", "state": "authorized", "captured_minor": 0}


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
        "Description",
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


@pytest.mark.parametrize(
    ("minor", "code", "said"), [(4200, "JPY", "4,200"), (4200, "KWD", "4.200")]
)
def test_amounts_have_the_decimals_of_their_currency(minor: int, code: str, said: str) -> None:
    """Nobody reads 42.00 yen."""
    amounts = {"amount_minor": minor, "captured_minor": minor}
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
    assert all("not yet captured" in text for text in texts(**HELD))


def test_a_partial_approval_shows_what_was_approved_of_what_was_asked() -> None:
    """The customer pays the approved amount, and sees that it is not all."""
    for text in texts(authorized_minor=2100, captured_minor=2100):
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
    state = "authorized" if kind == "authorization" else "captured"

    assert receipt({**FACTS, "kind": kind, "state": state}, test=False).kind == KINDS[kind]


NOT_CHARGED: dict[str, Any] = {
    "acknowledged_at": None,
    "confirmation_number": None,
    "approval_code": None,
    "authorized_minor": 0,
    "captured_minor": 0,
}


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"response_code": "51"}, "not enough money"),
        ({"response_code": "43"}, "declined"),
        ({"response_code": None}, "use another card"),
        ({"response_code": None, "duplicate_of": UUID(int=1)}, "paid already"),
    ],
)
def test_a_decline_has_a_receipt_too(said: dict[str, Any], why: str) -> None:
    """It says "not charged" and why, and never what would teach a thief; by which name to ask."""
    for text in texts(**NOT_CHARGED, state="declined", **said):
        assert "Not charged" in text
        assert why in text
        assert "pay_01993b00" in text
        assert "2026-11-23 00:30:12 CST" in text
        assert "name the reference" in text
        for wrong in ("Thank you", "Confirmation number", "Approval code", "stolen", "None"):
            assert wrong not in text


@pytest.mark.parametrize(
    ("state", "said"),
    [
        ("voiding", "Cancelled: not charged"),
        ("voided", "Cancelled: not charged"),
        ("reversing", "Not charged"),
        ("reversed", "Not charged"),
        ("expired", "Not charged"),
        ("not_sent", "Not charged"),
        ("processing", "This is no receipt"),
        ("approved", "This is no receipt"),
        ("verified", "Nothing was taken"),
        ("unanswered", "Nothing was taken"),
    ],
)
@pytest.mark.parametrize("for_merchant", [True, False])
def test_what_is_not_paid_says_so(state: str, said: str, for_merchant: bool) -> None:
    """To both readers; nobody is thanked for a payment that does not stand."""
    kind = "verification" if state in ("verified", "unanswered") else "sale"
    for text in texts(state=state, kind=kind, captured_minor=0, for_merchant=for_merchant):
        assert said in text
        assert "Thank you" not in text
        assert "been paid" not in text


@pytest.mark.parametrize("state", ["reversing", "reversed"])
@pytest.mark.parametrize(
    ("code", "said", "wrong"),
    [
        (None, "No clear answer came from your bank in time.", "had agreed"),
        ("68", "No clear answer came from your bank in time.", "had agreed"),
        ("00", "Your bank had agreed", "No clear answer"),
        ("10", "Your bank had agreed", "No clear answer"),
    ],
)
def test_an_approval_is_told_only_where_one_came(
    state: str, code: str | None, said: str, wrong: str
) -> None:
    """What went back because nobody answered was never agreed to; nothing is charged either way."""
    for text in texts(**NOT_CHARGED, state=state, response_code=code):
        plain = " ".join(text.split())
        assert said in plain
        assert "Not charged" in plain
        assert wrong not in plain


def test_every_state_has_its_words_or_is_an_ordinary_one() -> None:
    """A new state would else be shown as paid."""
    ordinary = {State.CAPTURED, State.AUTHORIZED}

    for state in State:
        assert (outcome({**FACTS, "state": state}) is None) == (state in ordinary)


def test_refunds_made_since_are_named_and_what_stays_paid() -> None:
    """In part and in full, each with its time where it was looked up."""
    later = datetime(2026, 11, 25, 16, 0, tzinfo=UTC)
    facts = {**FACTS, "refunded_minor": 1250}
    shown = receipt(facts, test=False, refunds=[(later, 1250)])

    for text in (as_text(shown, for_merchant=False), as_html(shown, for_merchant=False)):
        assert "Refunded in part" in text
        assert "12.50 USD" in text
        assert "2026-11-25 10:00:00 CST" in text
        assert "29.50 USD" in text
    for text in texts(refunded_minor=4200):
        assert "Refunded in full" in text
        assert "0.00 USD" in text


def test_a_part_of_an_authorization_shows_what_is_taken_or_held() -> None:
    """Not what was asked at first, which is told beside it."""
    taken = {"kind": "authorization", "state": "captured", "captured_minor": 3000}
    held = {**HELD, "released_minor": 200}

    for text in texts(**taken):
        assert "30.00" in text
        assert "of 42.00 USD" in text
        assert "not yet captured" not in text
    assert all("40.00" in text for text in texts(**held))


def test_tax_and_tip_are_told_if_the_merchant_has_named_them() -> None:
    """With what the amount was before, so that it adds up; and no row without."""
    for text in texts(tax_minor=300, tip_minor=500):
        for said in ("34.00", "3.00", "5.00", "Subtotal", "Tax", "Tip"):
            assert said in text
    assert not any("Tip" in text or "Subtotal" in text for text in texts(tip_minor=0))


def test_a_credit_that_was_taken_back_is_none() -> None:
    """Nobody waits for the money."""
    for text in texts(kind="credit", state="voided", authorized_minor=0, captured_minor=0):
        assert "no money comes" in text
        assert "gives you money" not in text


def test_a_confirmation_number_is_shown_as_it_is_read_aloud() -> None:
    """In groups of four."""
    assert grouped("572400000004") == "5724 0000 0004"
