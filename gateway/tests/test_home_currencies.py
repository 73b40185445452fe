"""
The currency of a country, and which one is a merchant's own.
"""

import re

import pytest
from counterfoil import home_currencies
from counterfoil.countries import COUNTRIES
from counterfoil.home_currencies import currency_of
from counterfoil.money import CURRENCIES
from counterfoil.web.currencies import AHEAD_MIN, own_of


def test_every_country_stands_once_and_has_a_currency_of_the_list() -> None:
    """Two letters each; of every row the first word is the currency."""
    words = re.findall(r"[A-Z]+", home_currencies._LIST)
    named = [word for word in words if len(word) == 2]

    assert len(named) == len(set(named))
    assert set(named) == COUNTRIES.keys() - {"AQ"} | {"XK"}  # Nobody pays in the Antarctic.
    assert {word for word in words if len(word) != 2} <= CURRENCIES.keys()


@pytest.mark.parametrize(
    ("country", "code"),
    [("US", "USD"), ("DE", "EUR"), ("GB", "GBP"), ("JP", "JPY"), ("CH", "CHF"), ("??", "USD")],
)
def test_a_country_has_its_currency(country: str, code: str) -> None:
    """One that nobody knows has dollars."""
    assert currency_of(country) == code


@pytest.mark.parametrize(
    ("latest", "code"),
    [
        ({}, "USD"),
        ({"EUR": 1}, "USD"),
        ({"EUR": AHEAD_MIN - 1, "GBP": 1}, "USD"),
        ({"EUR": AHEAD_MIN}, "EUR"),
        ({"EUR": AHEAD_MIN, "USD": 1}, "USD"),
        ({"EUR": 100, "USD": 100}, "USD"),
    ],
)
def test_one_sale_in_another_currency_makes_it_nobodys_own(
    latest: dict[str, int], code: str
) -> None:
    """Of a shop in the United States: only what it takes far more often is."""
    assert own_of("US", latest) == code
