"""
The shop's books: written once, decided once, read by anybody.
"""

from contextlib import closing
from pathlib import Path

import pytest
from counterfoil_shop import log
from counterfoil_shop.books import Books, Order, Outcome, Purchase, read_all

PAID = Outcome("paid", "pay_1", "632706000123", "123456789012", "123456")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "shop" / "orders.db"


def test_a_new_order_is_unknown_until_it_is_decided(path: Path, purchase: Purchase) -> None:
    """Promise: an order without an outcome says so."""
    with closing(Books(path)) as books:
        order, fresh = books.place(purchase)

    assert (order.number, order.status, fresh) == (1001, "unknown", True)


def test_the_same_form_finds_its_order(path: Path, purchase: Purchase) -> None:
    """Promise: one form, one order, one idempotency key."""
    with closing(Books(path)) as books:
        first, _ = books.place(purchase)
        second, fresh = books.place(purchase)

    assert first == second
    assert not fresh


def test_an_order_for_the_payment_page_is_never_seen_without_its_way_back(
    path: Path, purchase: Purchase
) -> None:
    """Promise: whoever finds the order, at any moment, opens a page that leads back."""
    seen = []

    def lead_back(order: Order) -> str:
        seen.append(read_all(path))  # What another connection finds meanwhile.
        return f"http://127.0.0.1:8080/orders/{order.number}/back"

    with closing(Books(path)) as books:
        order, _ = books.place(purchase, lead_back)

        assert (order.way, order.return_url) == ("page", lead_back(order))
        assert seen == [[], [order]]
        assert books.place(purchase, lead_back) == (order, False)


def test_an_order_whose_way_back_cannot_be_made_is_not_placed(
    path: Path, purchase: Purchase
) -> None:
    """Promise: both or neither."""

    def lead_back(order: Order) -> str:
        raise ValueError(order.number)

    with closing(Books(path)) as books:
        with pytest.raises(ValueError, match="1001"):
            books.place(purchase, lead_back)

        assert read_all(path) == []
        assert books.place(purchase)[1]


def test_a_decided_order_keeps_its_outcome(path: Path, purchase: Purchase) -> None:
    """Promise: an outcome is final."""
    with closing(Books(path)) as books:
        order, _ = books.place(purchase)

        assert books.decide(order.number, PAID)
        assert not books.decide(order.number, Outcome("not_paid"))
        assert [each.status for each in read_all(path)] == ["paid"]


def test_only_a_paid_order_can_be_refunded(path: Path, purchase: Purchase) -> None:
    """Promise: refunded means that it was paid before."""
    with closing(Books(path)) as books:
        order, _ = books.place(purchase)

        assert not books.refund("pay_1")
        books.decide(order.number, PAID)
        assert books.refund("pay_1")
        assert not books.refund("pay_1")


def test_no_order_is_paid_without_a_confirmation_number(path: Path, purchase: Purchase) -> None:
    """Promise: the schema refuses it, whatever the code does."""
    with closing(Books(path)) as books:
        order, _ = books.place(purchase)

        with pytest.raises(Exception, match="CHECK"):
            books.decide(order.number, Outcome("paid", "pay_1"))


def test_books_that_do_not_exist_list_nothing_and_are_not_made(path: Path) -> None:
    """Promise: reading leaves no trace."""
    assert read_all(path) == []
    assert not path.parent.exists()


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("card 4242424242424242 said", "card ************4242 said"),
        ("4242 4242 4242 4242", "************4242"),
        ("378282246310005", "***********0005"),
        ("4242424242424241", "4242424242424241"),
        ("123456789012", "123456789012"),
    ],
)
def test_a_log_line_never_shows_a_card_number(text: str, masked: str) -> None:
    """Promise: what looks like a card number and checks like one is starred."""
    assert log.mask_cards(text) == masked
