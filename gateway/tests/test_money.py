"""
Money: minor units and a currency, to the wire and back (F38).
"""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from counterfoil.cards import Card
from counterfoil.money import (
    AMOUNT_MINOR_MAX,
    CURRENCIES,
    Currency,
    Money,
    UnknownCurrency,
    amount_text,
    currency,
    currency_of_number,
    decimal_text,
    grouped_text,
)
from counterfoil.network.dialect import load_dialect
from counterfoil.network.message import Fields
from counterfoil.network.requests import (
    REASON_PARTIAL,
    Original,
    Station,
    Trace,
    capture,
    credit,
    forced,
    refund,
    request,
    reversal,
)
from hypothesis import given
from hypothesis import strategies as st

DIALECT = load_dialect()
RAIL_LIST = Path(__file__).parents[2] / "rail" / "counterfoil_rail" / "currencies.json"
MINOR = st.integers(-AMOUNT_MINOR_MAX, AMOUNT_MINOR_MAX)
ANY = st.sampled_from(sorted(CURRENCIES.values(), key=lambda each: each.code))
AT = datetime(2026, 11, 23, 6, 30, tzinfo=UTC)
STATION = Station("first-bank", "123456", "987654", "TERM0001", "MERCHANT0000001", " " * 40, "5942")
TRACE = Trace(7, AT, "1123003000", "632706000001")
CARD = Card("4111111111111111", 12, 2030, "927")
USD = currency("USD")
JPY = currency("JPY")


# Each message that asks for money, or gives it: its type, what builds it, what else that takes.
ASKING: dict[str, tuple[str, Callable[..., Fields], dict[str, Any]]] = {
    "sale": ("0200", request, {"order": "1", "postal_code": None, "street": None}),
    "authorization": (
        "0100",
        request,
        {"order": None, "postal_code": "62704", "street": "10 Main"},
    ),
    "forced": ("0220", forced, {"order": "1", "approval_code": "V1234"}),
    "credit": ("0200", credit, {"order": "1"}),
}
FOLLOWING: dict[str, tuple[str, Callable[..., Fields], dict[str, Any]]] = {
    "capture": ("0220", capture, {"approval_code": "A1B2C3"}),
    "refund": ("0220", refund, {}),
    "reversal": ("0420", reversal, {"reason": "68", "approval_code": None}),
}


@pytest.mark.parametrize("what", [*ASKING, *FOLLOWING])
@given(minor=st.integers(1, AMOUNT_MINOR_MAX), money=ANY)
def test_f38_an_amount_survives_fields_4_and_49(what: str, minor: int, money: Currency) -> None:
    """F38: what the acquirer reads is what the merchant asked for, in every currency."""
    asked = {"amount_minor": minor, "currency": money, "batch_number": 1}
    if what in ASKING:
        mti, build, more = ASKING[what]
        fields = build(STATION, TRACE, CARD, **asked, **more)
    else:
        mti, build, more = FOLLOWING[what]
        fields = build(STATION, TRACE, Original("0100", 6, AT), CARD.number, **asked, **more)
    read = DIALECT.codec.decode(DIALECT.codec.encode(mti, fields))

    assert int(read.text(4)) == minor
    assert currency_of_number(read.text(49)) == money


@given(st.data(), st.integers(2, AMOUNT_MINOR_MAX), ANY)
def test_f38_what_remains_of_a_part_survives_field_95(
    data: st.DataObject, minor: int, money: Currency
) -> None:
    """F38: a partial void's original amount and what remains of it, in every currency."""
    remains = data.draw(st.integers(1, minor - 1))
    fields = reversal(
        STATION,
        TRACE,
        Original("0220", 6, AT),
        "4111111111111111",
        amount_minor=minor,
        currency=money,
        batch_number=1,
        reason=REASON_PARTIAL,
        approval_code=None,
        remaining_minor=remains,
    )
    read = DIALECT.codec.decode(DIALECT.codec.encode("0420", fields))

    assert (int(read.text(4)), int(read.text(95)[:12]), read.text(95)[12:]) == (
        minor, remains, "0" * 30,
    )  # fmt: skip
    assert currency_of_number(read.text(49)) == money


@given(MINOR, ANY)
def test_a_decimal_text_is_the_same_amount(minor: int, money: Currency) -> None:
    """As many decimals as the currency has, and not a unit more or less."""
    text = decimal_text(minor, money)

    assert Decimal(text).scaleb(money.exponent) == minor
    assert len(text.partition(".")[2]) == money.exponent


@pytest.mark.parametrize(
    ("minor", "code", "text"),
    [
        (4200, "USD", "42.00"),
        (5, "USD", "0.05"),
        (-5, "USD", "-0.05"),
        (0, "USD", "0.00"),
        (4200, "JPY", "4200"),
        (4200, "BHD", "4.200"),
        (7, "KWD", "0.007"),
        (100, "ISK", "100"),
    ],
)
def test_f38_decimals_are_those_of_the_currency(minor: int, code: str, text: str) -> None:
    """Yen have none, dollars two, dinars three."""
    assert decimal_text(minor, currency(code)) == text


def test_money_is_written_with_its_currency() -> None:
    """An amount without a currency says nothing."""
    assert str(Money(4200, USD)) == "42.00 USD"


@given(st.integers(-(10**9), 10**9), st.integers(-(10**9), 10**9))
def test_amounts_of_one_currency_add_up(one: int, other: int) -> None:
    """And subtracting takes back what was added."""
    total = Money(one, USD) + Money(other, USD)

    assert total.minor == one + other
    assert total - Money(other, USD) == Money(one, USD)


def test_f38_amounts_of_different_currencies_do_not_add_up() -> None:
    """DESIGN 5.5: no adding of different currencies."""
    with pytest.raises(ValueError, match="cannot combine USD with JPY"):
        Money(1, USD) + Money(1, JPY)
    with pytest.raises(ValueError, match="cannot combine USD with JPY"):
        Money(1, USD) - Money(1, JPY)


@pytest.mark.parametrize("minor", [42.0, Decimal(42), True, "42"])
def test_an_amount_is_an_integer(minor: object) -> None:
    """No float, no decimal, no text, not even a truth value."""
    with pytest.raises(TypeError):
        Money(minor, USD)  # type: ignore[arg-type]


@pytest.mark.parametrize("minor", [AMOUNT_MINOR_MAX + 1, -AMOUNT_MINOR_MAX - 1])
def test_an_amount_that_field_4_cannot_carry_is_refused(minor: int) -> None:
    """Twelve digits and no more."""
    with pytest.raises(ValueError, match="at most 999999999999"):
        Money(minor, USD)


def test_the_list_is_that_of_the_witness() -> None:
    """The rail read ISO 4217 by itself: letters and numbers agree on every currency."""
    rail: dict[str, str] = json.loads(RAIL_LIST.read_text())
    ours = {each.number: each.code for each in CURRENCIES.values()}

    differing = {number for number in rail.keys() & ours.keys() if rail[number] != ours[number]}
    assert differing == set()
    assert len(rail.keys() & ours.keys()) > 140


def test_no_number_names_two_currencies() -> None:
    """DE 49 leads back to exactly one."""
    numbers = [each.number for each in CURRENCIES.values()]

    assert len(numbers) == len(set(numbers))
    assert all(len(number) == 3 and number.isdigit() for number in numbers)


@pytest.mark.parametrize("code", ["", "usd", "XTS", "US", "DOLLAR", "4111111111111111"])
def test_an_unknown_currency_is_refused_without_repeating_it(code: str) -> None:
    """Whatever stands there may be part of a card number."""
    with pytest.raises(UnknownCurrency) as letters:
        currency(code)
    with pytest.raises(UnknownCurrency) as digits:
        currency_of_number(code)

    assert not code or code not in str(letters.value) + str(digits.value)


@pytest.mark.parametrize(
    ("minor", "code", "text"),
    [
        (0, "USD", "0.00"),
        (-5, "USD", "\u22120.05"),
        (123456789, "USD", "1,234,567.89"),
        (-1234, "JPY", "\u22121,234"),
        (1234567, "BHD", "1,234.567"),
    ],
)
def test_amounts_are_grouped_for_people(minor: int, code: str, text: str) -> None:
    """With the currency's own decimals."""
    assert grouped_text(minor, currency(code)) == text
    assert amount_text(minor, code) == f"{text} {code}"
