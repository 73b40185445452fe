"""
Amounts are minor units or decimal strings.
"""

from decimal import Decimal

import pytest
from counterfoil_client import InvalidAmount
from counterfoil_client.amounts import AMOUNT_MINOR_MAX, DECIMALS, minor_units
from hypothesis import given
from hypothesis import strategies as st

currencies = st.sampled_from(sorted(DECIMALS))


@pytest.mark.parametrize(
    ("text", "currency", "minor"),
    [
        ("42.00", "USD", 4200),
        ("42", "USD", 4200),
        ("42.5", "EUR", 4250),
        ("0.01", "USD", 1),
        ("42", "JPY", 42),
        ("0.001", "BHD", 1),
        ("1.234", "KWD", 1234),
    ],
)
def test_a_decimal_string_has_the_currencys_decimals(text: str, currency: str, minor: int) -> None:
    """
    JPY has none, BHD three.
    """
    assert minor_units(text, currency) == minor


@given(st.integers(1, AMOUNT_MINOR_MAX), currencies)
def test_minor_units_and_their_decimal_string_are_the_same_amount(minor: int, code: str) -> None:
    """
    Exact for every amount that DE 4 can carry.
    """
    decimals = DECIMALS[code]
    text = f"{Decimal(minor).scaleb(-decimals):f}"

    assert minor_units(text, code) == minor_units(minor, code) == minor


@pytest.mark.parametrize("text", ["999999999999999", "10000000000.00", "0", "9" * 40])
def test_an_amount_out_of_range_is_told_the_range(text: str) -> None:
    """
    Of digits alone, however many.
    """
    with pytest.raises(InvalidAmount, match="between 1 and 999999999999 minor units"):
        minor_units(text, "USD")


@given(currencies, st.integers(1, 6))
def test_too_many_decimals_are_refused(code: str, extra: int) -> None:
    """
    Even if they are zeros: nobody rounds here.
    """
    with pytest.raises(InvalidAmount):
        minor_units("1." + "0" * (DECIMALS[code] + extra), code)


@pytest.mark.parametrize("amount", [42.0, 4200.0, True, False, Decimal("42.00"), None, b"42"])
def test_a_float_or_a_bool_is_a_type_error_that_says_what_to_pass(amount: object) -> None:
    """
    0.1 + 0.2 is nobody's price.
    """
    with pytest.raises(TypeError, match=r"4200.*'42\.00'"):
        minor_units(amount, "USD")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "text",
    ["", "-1", "+1", "1e3", "1_000", "1,00", " 1", "1.", ".5", "NaN", "٤٢", "0", "0.00", "9" * 13],
)
def test_anything_else_is_no_amount(text: str) -> None:
    """
    Only digits and one point, above zero, at most twelve digits.
    """
    with pytest.raises(InvalidAmount):
        minor_units(text, "USD")


@pytest.mark.parametrize("amount", [0, -1, AMOUNT_MINOR_MAX + 1])
def test_an_amount_is_positive_and_fits_the_network(amount: int) -> None:
    """
    DE 4 has twelve digits.
    """
    with pytest.raises(InvalidAmount):
        minor_units(amount, "USD")


@pytest.mark.parametrize("currency", ["usd", "XTS", "", "840", None])
def test_an_unknown_currency_is_refused(currency: str) -> None:
    """
    Its decimals would be a guess.
    """
    with pytest.raises(InvalidAmount):
        minor_units(100, currency)
