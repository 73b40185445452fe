"""
What a bank statement says, whatever its form: `camt053` and `bai2` write it down.
"""

from dataclasses import dataclass
from typing import NamedTuple


class Booking(NamedTuple):
    """
    One entry of a statement: a credit is positive, a debit negative.
    """

    id: int
    amount_minor: int
    is_return: int
    reference: str


@dataclass(frozen=True, slots=True)
class Statement:
    """
    One account on one day. `made_at` is an instant in UTC, `day` YYYY-MM-DD.
    """

    account_id: str
    merchant_id: str
    currency: str
    day: str
    number: int
    opening_minor: int
    closing_minor: int
    made_at: str
    bookings: list[Booking]

    @property
    def name(self) -> str:
        """
        What the statement is called, and its files begin with.
        """
        return f"{self.account_id}-{self.day.replace('-', '')}"

    def bank_reference(self, booking: Booking) -> str:
        """
        Return the bank's own reference of one entry.
        """
        return f"BK{self.day[2:].replace('-', '')}{booking.id:06d}"

    def text(self, booking: Booking) -> str:
        """
        Return the remittance text of one entry, with the deposit's reference.
        """
        return f"COUNTERFOIL {_what(booking)} {booking.reference}"


def _what(booking: Booking) -> str:
    if booking.is_return:
        return "RETURN OF SETTLEMENT"
    return "SETTLEMENT" if booking.amount_minor > 0 else "SETTLEMENT DEBIT"
