"""
An amount that cannot be read: what is wrong with it, told apart, and what to write.
"""

import pytest
from counterfoil.amounts import amount_or_fault
from counterfoil.money import currency


@pytest.mark.parametrize(
    ("text", "code", "said"),
    [
        ("", "USD", "Write an amount in USD, such as 500.00."),
        (".5", "USD", "Write an amount in USD, such as 500.00."),
        ("0", "USD", "Write more than zero: 0.01 USD or more."),
        ("0.00", "USD", "Write more than zero: 0.01 USD or more."),
        ("0", "JPY", "Write more than zero: 1 JPY or more."),
        ("0.001", "USD", "Write up to 2 decimals: USD has no more."),
        ("1.2345", "KWD", "Write up to 3 decimals: KWD has no more."),
        ("5.00", "JPY", "Write a whole amount: JPY has no decimals."),
        ("-1", "USD", "Write the amount without a minus sign, such as 500.00."),
        ("\N{MINUS SIGN}1.00", "USD", "Write the amount without a minus sign, such as 500.00."),
        ("(1.00)", "USD", "Write the amount without a minus sign, such as 500.00."),
        ("$42", "USD", "Write the amount without currency sign or letters, such as 500.00."),
        ("42 EUR", "EUR", "Write the amount without currency sign or letters, such as 500.00."),
        ("1e3", "JPY", "Write the amount without currency sign or letters, such as 500."),
        ("٤٢", "USD", "Write the amount without currency sign or letters, such as 500.00."),
        ("1 000,00", "USD", "without a separator, like 1000.00."),
        ("1\N{NO-BREAK SPACE}000,00", "USD", "without a separator, like 1000.00."),
        ("1.000,00", "EUR", "Write thousands without a separator"),
        ("1,00,000", "JPY", "without a separator, like 1000."),
        ("1'000", "CHF", "without a separator, like 1000.00."),
        ("1,234", "KWD", "Write it without the comma"),
        ("1,234,56", "USD", "Write thousands without a separator, like 1000.00."),
        ("1,234,567,8", "KWD", "Write thousands without a separator, like 1000.000."),
        ("10,000,000,000", "USD", "This is too large: write at most 9,999,999,999.99 USD."),
        ("0" * 22 + "420", "USD", "This is too large"),
    ],
)
def test_what_is_no_amount_is_told_with_what_to_write(text: str, code: str, said: str) -> None:
    """Each mistake by its own name, with an example of this currency."""
    fault = amount_or_fault(text, currency(code))

    assert isinstance(fault, str)
    assert said in fault


def test_nothing_is_an_amount_where_it_may_be() -> None:
    """No tax is fine; no sale of nothing is."""
    assert amount_or_fault("0.00", currency("USD"), may_be_zero=True) == 0
    assert isinstance(amount_or_fault("0.00", currency("USD")), str)
