"""
What the store knows of a confirmed payment when its receipt is made.
"""

from datetime import UTC, datetime
from typing import Any

FACTS: dict[str, Any] = {
    "merchant_name": "The Book Shop",
    "city": "Springfield",
    "region": "IL",
    "country": "US",
    "merchant_email": "owner@bookshop.example",
    "timezone": "America/Chicago",
    "acknowledged_at": datetime(2026, 11, 23, 6, 30, 15, tzinfo=UTC),
    "kind": "sale",
    "amount_minor": 4200,
    "authorized_minor": 4200,
    "currency": "USD",
    "card_brand": "visa",
    "card_bin": "411111",
    "card_last_four": "1111",
    "approval_code": "A1B2C3",
    "confirmation_number": "572400000004",
    "order_number": "1001",
    "description": "Two books",
    "rrn": "632706000123",
}
