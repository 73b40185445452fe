"""
Three books side by side: whatever one party says otherwise is named with its amount.
"""

from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import msgspec
import pytest
from counterfoil.ledger.listing import ListedDeposit, ListedPayment, OurBooks
from counterfoil_proof import books
from counterfoil_proof.books import BooksAway, against_charges, against_deposits, against_orders

TODAY = date(2026, 11, 25)

PAYMENT = ListedPayment(
    merchant="mer_1",
    payment="pay_1",
    terminal_id="TERM0001",
    rrn="632706000001",
    currency="USD",
    state="captured",
    amount_minor=4200,
    held_minor=0,
    captured_minor=4200,
    refunded_minor=0,
    order="1001",
    confirmation_number="201972468703",
    is_under_way=False,
)
DEPOSIT = ListedDeposit(
    merchant="mer_1",
    reference="CF261123000001",
    currency="USD",
    state="funded",
    gross_minor=4200,
    refunds_minor=0,
    fees_minor=100,
    adjustments_minor=0,
    net_minor=4100,
    paid_minor=4100,
)
CHARGE: dict[str, Any] = {
    "terminal_id": "TERM0001", "rrn": "632706000001", "currency": "USD", "state": "captured",
    "held_minor": 0, "captured_minor": 4200, "refunded_minor": 0,
}  # fmt: skip
PAID: dict[str, Any] = {
    "reference": "CF261123000001", "currency": "USD", "gross": 4200, "refunds": 0, "fees": 100,
    "adjustments": 0, "net": 4100, "state": "paid", "value_date": "2026-11-24",
    "items": [{"terminal_id": "TERM0001"}],
}  # fmt: skip
ORDER: dict[str, Any] = {
    "order": "1001", "payment_id": "pay_1", "rrn": "632706000001", "currency": "USD",
    "confirmation_number": "201972468703", "amount_minor": 4200, "status": "paid",
}  # fmt: skip


def ours(
    *payments: ListedPayment, deposits: tuple[ListedDeposit, ...] = (), is_everything: bool = True
) -> OurBooks:
    return OurBooks(
        is_everything=is_everything,
        terminals=frozenset({"TERM0001"}),
        payments=list(payments),
        deposits=list(deposits),
    )


def but(**changes: Any) -> ListedPayment:
    return msgspec.structs.replace(PAYMENT, **changes)


def test_three_books_that_agree_differ_in_nothing() -> None:
    """The road of one payment, told three times."""
    mine = ours(PAYMENT, deposits=(DEPOSIT,))

    assert list(against_charges(mine, [CHARGE])) == []
    assert list(against_deposits(mine, [PAID], TODAY)) == []
    assert list(against_orders(mine, [ORDER])) == []


@pytest.mark.parametrize(
    ("payment", "charges", "minor"),
    [
        (PAYMENT, [{**CHARGE, "captured_minor": 4100}], -100),
        (PAYMENT, [], -4200),
        (but(captured_minor=0, state="voided"), [CHARGE], 4200),
        (PAYMENT, [{**CHARGE, "refunded_minor": 4200, "state": "refunded"}], 4200),
        (but(captured_minor=0, held_minor=4200), [{**CHARGE, "captured_minor": 0}], -4200),
        (PAYMENT, [{**CHARGE, "currency": "EUR"}], None),
    ],
)
def test_what_the_acquirer_took_otherwise_is_named(
    payment: ListedPayment, charges: list[dict[str, Any]], minor: int | None
) -> None:
    """Held, captured or refunded, by RRN."""
    (found,) = against_charges(ours(payment), charges)

    assert found.difference_minor == minor
    assert payment.payment in found.subject


def test_a_charge_that_we_do_not_know_is_named() -> None:
    """Charged for nothing: the worst of all differences."""
    stranger = {**CHARGE, "rrn": "632706000009"}
    (found,) = against_charges(ours(PAYMENT), [CHARGE, stranger])

    assert found.what == "the acquirer charged what we do not know"
    assert found.difference_minor == 4200


@pytest.mark.parametrize(
    "charge",
    [
        {**CHARGE, "rrn": "632706000009", "state": "declined", "captured_minor": 0},
        {**CHARGE, "rrn": "632706000009", "terminal_id": "TERM0002"},
    ],
)
def test_a_charge_that_took_nothing_or_is_not_ours_is_no_matter(charge: dict[str, Any]) -> None:
    """Declines leave no trace in the sums, and other terminals are other books."""
    assert list(against_charges(ours(PAYMENT), [CHARGE, charge])) == []


def test_what_is_under_way_is_left_out() -> None:
    """A reversal that is still owed is no difference yet."""
    waiting = but(state="reversing", captured_minor=0, is_under_way=True)

    assert list(against_charges(ours(waiting), [CHARGE])) == []
    assert list(against_orders(ours(waiting), [{**ORDER, "status": "not_paid"}])) == []


@pytest.mark.parametrize(
    ("deposit", "row", "minor"),
    [
        (DEPOSIT, {**PAID, "fees": 90}, -10),
        (DEPOSIT, {**PAID, "state": "returned"}, -4100),
        (DEPOSIT, {**PAID, "state": "pending"}, -4100),
        (msgspec.structs.replace(DEPOSIT, paid_minor=0), PAID, 4100),
        (msgspec.structs.replace(DEPOSIT, paid_minor=4000), PAID, 100),
    ],
)
def test_a_deposit_that_differs_is_named(
    deposit: ListedDeposit, row: dict[str, Any], minor: int
) -> None:
    """Announced or paid otherwise."""
    (found,) = against_deposits(ours(deposits=(deposit,)), [row], TODAY)

    assert found.difference_minor == minor


def test_a_deposit_on_one_side_only_is_named() -> None:
    """Its report was not read, or it is a forgery."""
    (unread,) = against_deposits(ours(), [PAID], TODAY)
    (unknown,) = against_deposits(ours(deposits=(DEPOSIT,)), [], TODAY)

    assert (unread.difference_minor, unknown.difference_minor) == (4100, -4100)


def test_the_statement_of_a_day_that_is_not_over_is_not_missed() -> None:
    """The bank writes it when the day ends."""
    waiting = msgspec.structs.replace(DEPOSIT, paid_minor=0)
    row = {**PAID, "value_date": TODAY.isoformat()}

    assert list(against_deposits(ours(deposits=(waiting,)), [row], TODAY)) == []


@pytest.mark.parametrize(
    ("payment", "order", "minor"),
    [
        (but(captured_minor=0, state="reversed"), ORDER, -4200),
        (PAYMENT, {**ORDER, "status": "not_paid"}, 4200),
        (PAYMENT, {**ORDER, "amount_minor": 4300}, -100),
        (PAYMENT, {**ORDER, "confirmation_number": "000000000000"}, 4200),
        (PAYMENT, {**ORDER, "rrn": "000000000000"}, 4200),
        (but(refunded_minor=4200), ORDER, -4200),
    ],
)
def test_an_order_that_differs_is_named(
    payment: ListedPayment, order: dict[str, Any], minor: int
) -> None:
    """The shop ships what was not paid, or charged what it does not ship."""
    (found,) = against_orders(ours(payment), [order])

    assert found.difference_minor == minor


def test_a_refunded_order_agrees() -> None:
    """Given back on both sides."""
    refunded = but(refunded_minor=4200)

    assert list(against_orders(ours(refunded), [{**ORDER, "status": "refunded"}])) == []


def test_a_paid_order_without_a_payment_is_named() -> None:
    """Unless only another merchant's books were laid beside it."""
    (found,) = against_orders(ours(), [ORDER])

    assert found.difference_minor == -4200
    assert list(against_orders(ours(is_everything=False), [ORDER])) == []


def test_a_charge_of_which_the_shop_does_not_know_is_named() -> None:
    """Its order stands undecided in the shop's books."""
    undecided = {**ORDER, "payment_id": None, "rrn": None, "status": "unknown"}
    (found,) = against_orders(ours(PAYMENT), [undecided])

    assert found.what == "the shop does not know that it was paid"
    assert found.difference_minor == 4200
    assert list(against_orders(ours(but(order=None)), [undecided])) == []


def test_the_parties_are_asked_by_their_own_commands(tmp_path: Path) -> None:
    """On empty folders: books without a row, or a sentence that says what is missing."""
    with pytest.raises(BooksAway, match=r"counterfoil_rail day show .*no rail has run"):
        books.compare(tmp_path, ours())


@pytest.mark.parametrize("printed", ["nothing", "print('no json')", "raise SystemExit(3)"])
def test_a_party_that_does_not_tell_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, printed: str
) -> None:
    """No comparison is no agreement."""
    (tmp_path / "silent_party.py").write_text(printed.replace("nothing", "pass"))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    ask: Callable[..., Any] = books._ask

    with pytest.raises(BooksAway, match="silent_party orders"):
        ask(tmp_path, "silent_party", "orders")
