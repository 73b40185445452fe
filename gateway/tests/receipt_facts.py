"""
What the store knows of a confirmed payment when its receipt is made.
"""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

FACTS: dict[str, Any] = {
    "merchant_name": "The Book Shop",
    "city": "Springfield",
    "region": "IL",
    "country": "US",
    "merchant_email": "owner@bookshop.example",
    "timezone": "America/Chicago",
    "payment_id": UUID("01993b00-0000-7000-8000-000000000001"),
    "created_at": datetime(2026, 11, 23, 6, 30, 12, tzinfo=UTC),
    "acknowledged_at": datetime(2026, 11, 23, 6, 30, 15, tzinfo=UTC),
    "kind": "sale",
    "state": "captured",
    "amount_minor": 4200,
    "authorized_minor": 4200,
    "captured_minor": 4200,
    "released_minor": 0,
    "refunded_minor": 0,
    "currency": "USD",
    "card_brand": "visa",
    "card_bin": "411111",
    "card_last_four": "1111",
    "response_code": "00",
    "duplicate_of": None,
    "approval_code": "A1B2C3",
    "confirmation_number": "572400000004",
    "order_number": "1001",
    "description": "Two books",
    "rrn": "632706000123",
}
