"""
The card and the address that a shopper typed. Neither is ever written down or shown.
"""

import re
from typing import Any

import msgspec

from counterfoil_client.errors import InvalidCard

_NUMBER = re.compile(r"[0-9]{12,19}", re.ASCII)
_CVV = re.compile(r"[0-9]{3,4}", re.ASCII)
_SPACING = re.compile(r"[ -]")
_BRANDS = (
    (re.compile(r"4"), "visa"),
    (re.compile(r"5[1-5]|2(?:22[1-9]|2[3-9]|[3-6]|7[01]|720)"), "mastercard"),
    (re.compile(r"3[47]"), "amex"),
    (re.compile(r"6011|65|64[4-9]"), "discover"),
)


class Card(msgspec.Struct, frozen=True, kw_only=True):
    """
    A card as typed. Spaces and hyphens in the number are dropped; the gateway checks the rest.

    `repr()` shows the brand and the last four digits only.
    """

    number: str
    expiry_month: int
    expiry_year: int
    cvv: str | None = None

    def __post_init__(self) -> None:
        """
        Refuse what cannot be a card, without repeating it.
        """
        msgspec.structs.force_setattr(self, "number", _digits(self.number))
        if self.cvv is not None and not (isinstance(self.cvv, str) and _CVV.fullmatch(self.cvv)):
            raise InvalidCard("a CVV is a string of three or four digits")
        if not (_whole(self.expiry_month) and 1 <= self.expiry_month <= 12):
            raise InvalidCard("expiry_month is a number from 1 to 12")
        if not (_whole(self.expiry_year) and 2000 <= self.expiry_year <= 2099):
            raise InvalidCard("expiry_year is a year of four digits, like 2030")

    @property
    def last4(self) -> str:
        """
        The last four digits, which may be shown.
        """
        return self.number[-4:]

    @property
    def brand(self) -> str:
        """
        The scheme by the number's first digits, or `card`.
        """
        return next((name for start, name in _BRANDS if start.match(self.number)), "card")

    def __repr__(self) -> str:
        return f"Card({self.brand} {'*' * (len(self.number) - 4)}{self.last4})"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        return [("brand", self.brand), ("last4", self.last4)]


class Billing(msgspec.Struct, frozen=True, kw_only=True):
    """
    The cardholder's address, for the issuer to compare. It is not written to the journal.
    """

    postal_code: str | None = None
    street: str | None = None


def _digits(number: str) -> str:
    digits = _SPACING.sub("", number) if isinstance(number, str) else ""
    if not _NUMBER.fullmatch(digits):
        raise InvalidCard("a card number is a string of 12 to 19 digits")
    return digits


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
