"""
What a person types to find a payment: what it may mean, and what never stands in an address.
"""

import pytest
from counterfoil.amounts import read_amount
from counterfoil.money import AMOUNT_MINOR_MAX, CURRENCIES, Money, currency
from counterfoil.receipts.confirmation import check_digit
from counterfoil.receipts.receipt import grouped
from counterfoil.store.search import By, Key
from counterfoil.web.search import understand
from hypothesis import example, given
from hypothesis import strategies as st

DOLLARS = ["USD"]


def meanings(text: str, in_use: list[str] = DOLLARS) -> set[tuple[str, object, str | None]]:
    return {(each.by.value, each.value, each.currency) for each in understand(text, in_use).keys}


@pytest.mark.parametrize(
    "text", ["42.00", "$42", "$ 42.00", "42 usd", "USD 42", "usd 42.0", "42,00", "  42.00  "]
)
def test_an_amount_is_an_amount_however_it_is_written(text: str) -> None:
    """And nothing else, when a sign, a currency or decimals stand there."""
    assert meanings(text) == {("amount", 4200, "USD")}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("42", {("amount", 4200, "USD"), ("approval", "42", None), ("order", "42", None)}),
        ("k9", {("approval", "K9", None), ("approval", "k9", None), ("order", "k9", None)}),
        ("approval:7", {("approval", "7", None)}),
        ("approval:1234567", set()),
        ("1,234", {("amount", 123400, "USD"), ("order", "1,234", None)}),
        (
            "4242",
            {
                ("amount", 424200, "USD"),
                ("approval", "4242", None),
                ("order", "4242", None),
                ("last_four", "4242", None),
            },
        ),
        (
            "a1b2c3",
            {
                ("approval", "A1B2C3", None),
                ("approval", "a1b2c3", None),
                ("order", "a1b2c3", None),
            },
        ),
        ("Ada@Shop.Example", {("email", "ada@shop.example", None)}),
        ("order:4242", {("order", "4242", None)}),
        ("card:4242", {("last_four", "4242", None)}),
        ("amount:42.00 USD", {("amount", 4200, "USD")}),
        ("rrn:632706000001", {("rrn", "632706000001", None)}),
        ("blue shoes", {("order", "blue shoes", None)}),
        ("", set()),
        ("card:42", set()),
        ("€42", {("amount", 4200, "EUR")}),
        ("¥42", {("amount", 42, "JPY")}),
        ("42.50 JPY", {("order", "42.50 JPY", None)}),
        ("42 xyz", {("order", "42 xyz", None)}),
    ],
)
def test_words_mean_what_they_may_mean(text: str, expected: set[tuple[str, object, str]]) -> None:
    """Everything that fits is looked for."""
    assert meanings(text) == expected


@pytest.mark.parametrize("text", ["1,234,56", "$1,234,56", "1,234,56 USD", "1,234,5", "12,345,67"])
def test_commas_for_thousands_and_for_decimals_are_no_amount(text: str) -> None:
    """Nor are they one where an amount is typed."""
    assert meanings(text) == {("order", text, None)}


@given(st.from_regex(r"[1-9]{1,4}(?:[.,][1-9]{1,4}){0,2}", fullmatch=True))
@example("1,234.56")
@example("1234,56")
@example("1,234,56")
@example("1.234,56")
def test_an_amount_is_read_as_where_one_is_typed(text: str) -> None:
    """No other amount is found than a form would take."""
    read = read_amount(text, currency("USD"))

    found = {value for by, value, _ in meanings(text) if by == "amount"}

    assert found == ({read} if read is not None else set())


@pytest.mark.parametrize(
    "text", ["4242.4242.4242.4242", "4242/4242/4242/4242", "order:4242_4242_4242_4242"]
)
def test_a_card_number_with_other_signs_stands_in_no_address(text: str) -> None:
    """Its last four are looked for."""
    understood = understand(text, DOLLARS)

    assert (understood.text, understood.was_card_number) == ("card:4242", True)


def test_an_amount_is_of_every_currency_in_use() -> None:
    """Each with its own decimals."""
    assert meanings("42", ["JPY", "KWD", "USD"]) >= {
        ("amount", 42, "JPY"), ("amount", 42000, "KWD"), ("amount", 4200, "USD")
    }  # fmt: skip
    assert meanings("$42", ["CAD", "USD"]) == {("amount", 4200, "CAD"), ("amount", 4200, "USD")}


@given(st.integers(0, 10**11 - 1), st.sampled_from(["", " ", "-"]))
def test_a_confirmation_number_is_known_grouped_or_not(number: int, between: str) -> None:
    """By its check digit; one with a wrong digit is none."""
    digits = f"{number:011d}"
    right = digits + check_digit(digits)
    wrong = digits + str((int(check_digit(digits)) + 1) % 10)

    assert ("confirmation", right, None) in meanings(grouped(right).replace(" ", between))
    assert not {each for each in meanings(wrong) if each[0] == "confirmation"}


@given(st.integers(0, AMOUNT_MINOR_MAX), st.sampled_from(sorted(CURRENCIES)))
def test_an_amount_as_we_write_it_is_read_as_it_is(minor: int, code: str) -> None:
    """With its currency, in all of them; with what to type to mean only that."""
    text = str(Money(minor, currency(code)))
    understood = understand(text, DOLLARS)

    if len(text.partition(" ")[0].partition(".")[0]) <= 10:
        assert understood.keys == (Key(by=By.AMOUNT, value=minor, currency=code),)
        [(_, only)] = understood.said
        assert understand(only, []).keys == understood.keys


@given(st.text(max_size=400))
def test_nothing_that_can_be_typed_is_too_much(text: str) -> None:
    """Each meaning has words, and words that mean only it."""
    understood = understand(text, ["EUR", "JPY", "USD"])

    assert len(understood.text) <= 300
    for _, only in understood.said:
        again = understand(only, ["EUR", "JPY", "USD"])
        assert set(again.keys) <= set(understood.keys)
        assert again.payment == understood.payment


@pytest.mark.parametrize(
    "number", ["4111111111111111", "4111 1111 1111 1111", "4111-1111-1111-1111", "378282246310005"]
)
@pytest.mark.parametrize("around", ["{}", "card {} please", "order:{}", "card:{}", " {}\t"])
def test_a_whole_card_number_is_not_kept(number: str, around: str) -> None:
    """Its last four are looked for, whatever somebody calls it."""
    understood = understand(around.format(number), DOLLARS)

    assert understood.was_card_number
    assert understood.text == f"card:{number[-4:]}"
    assert [(each.by, each.value) for each in understood.keys] == [(By.LAST_FOUR, number[-4:])]


def test_a_card_number_with_a_wrong_digit_is_not_kept_either() -> None:
    """Unless it is said to be an order."""
    assert understand("4111111111111112", DOLLARS).was_card_number
    assert meanings("order:4111111111111112") == {("order", "4111111111111112", None)}


def test_a_payment_is_known_by_its_id() -> None:
    """In either case of its letters."""
    name = "pay_0198f2a1c0de7001af32bf2b2799cd96"

    assert understand(name, DOLLARS).payment == name
    assert understand(name.upper(), DOLLARS).payment == name
