"""
The card is shown by brand and last four digits only.
"""

import pytest
from counterfoil_client import Card, InvalidCard, Limits
from counterfoil_client.errors import ConfigurationError


@pytest.mark.parametrize(
    ("number", "brand"),
    [
        ("4111 1111 1111 1111", "visa"),
        ("5555-5555-5555-4444", "mastercard"),
        ("378282246310005", "amex"),
        ("6011111111111117", "discover"),
        ("3530111333300000", "card"),
    ],
)
def test_a_card_shows_brand_and_last_four(number: str, brand: str) -> None:
    """
    Spaces and hyphens are dropped.
    """
    card = Card(number=number, expiry_month=1, expiry_year=2030)

    assert card.number.isdigit()
    assert card.brand == brand
    assert repr(card) == f"Card({brand} {'*' * (len(card.number) - 4)}{card.last4})"


@pytest.mark.parametrize(
    "fields",
    [
        {"number": "4111"},
        {"number": "4111x1111x1111x1111"},
        {"number": 4111111111111111},
        {"cvv": "12"},
        {"cvv": 123},
        {"expiry_month": 13},
        {"expiry_month": "12"},
        {"expiry_year": 30},
    ],
)
def test_what_is_no_card_is_refused_without_repeating_it(fields: dict[str, object]) -> None:
    """
    The message may end in a log.
    """
    good: dict[str, object] = {"number": "4111111111111111", "expiry_month": 1, "cvv": "123"}

    with pytest.raises(InvalidCard) as refused:
        Card(**{**good, "expiry_year": 2030, **fields})  # type: ignore[arg-type]

    assert not any(
        str(fields[name]) in str(refused.value) for name in ("number", "cvv") if name in fields
    )


@pytest.mark.parametrize("seconds", [0.0, -1.0, float("inf"), float("nan")])
def test_every_limit_is_above_zero_and_finite(seconds: float) -> None:
    """
    Nothing waits for ever.
    """
    with pytest.raises(ConfigurationError):
        Limits(call_seconds=seconds)
