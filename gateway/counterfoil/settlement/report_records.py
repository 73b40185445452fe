"""
What the acquirer's settlement report says, record by record.

`report_layout` knows how a record is written, this module what it means; whether the
records of a file agree with each other is for `report_file`.
"""

from datetime import date
from functools import lru_cache
from typing import Literal

import msgspec

from counterfoil.settlement.held import FileHeld, has_card_number
from counterfoil.settlement.report_layout import fields_of

LineKind = Literal["sale", "capture", "refund"]
AdjustmentKind = Literal["chargeback", "reserve", "reserve_release", "correction", "monthly_fee"]

_LINE_KINDS: dict[str, LineKind] = {"SALE": "sale", "CAPTURE": "capture", "REFUND": "refund"}
_ADJUSTMENT_KINDS: dict[str, AdjustmentKind] = {
    "CHARGEBACK": "chargeback",
    "RESERVE": "reserve",
    "RESERVE_RELEASE": "reserve_release",
    "CORRECTION": "correction",
    "MONTHLY_FEE": "monthly_fee",
}


class ReportLine(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """
    One payment or refund (negative) that the acquirer settles. Amounts are in minor units.
    """

    number: int
    terminal_id: str
    batch_number: int
    kind: LineKind
    rrn: str
    approval_code: str | None
    card_masked: str
    card_brand: str
    currency: str
    amount_minor: int
    interchange_minor: int
    scheme_fee_minor: int
    markup_minor: int
    deposit_reference: str
    transaction_date: date

    @property
    def fees_minor(self) -> int:
        """
        What the acquirer keeps of this line: interchange, scheme fee and markup.
        """
        return self.interchange_minor + self.scheme_fee_minor + self.markup_minor

    @property
    def card_last_four(self) -> str:
        """
        The last four digits of the card.
        """
        return self.card_masked[-4:]


class Adjustment(msgspec.Struct, frozen=True, kw_only=True):
    """
    What a deposit is raised (positive) or lowered by besides payments and their fees.
    """

    deposit_reference: str
    kind: AdjustmentKind
    currency: str
    amount_minor: int
    text: str


class Deposit(msgspec.Struct, frozen=True, kw_only=True):
    """
    What will reach the bank account: net = gross - refunds - fees + adjustments.

    Refunds and fees are positive numbers, adjustments signed; a negative net is a debit.
    """

    reference: str
    currency: str
    gross_minor: int
    refunds_minor: int
    fees_minor: int
    adjustments_minor: int
    net_minor: int
    value_date: date
    line_count: int


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """
    One report: the lines, adjustments and deposits of a business day, in the file's order.
    """

    acquirer_institution_id: str
    card_acceptor_id: str
    business_date: date
    file_id: str
    lines: tuple[ReportLine, ...]
    adjustments: tuple[Adjustment, ...]
    deposits: tuple[Deposit, ...]


def line_of(text: str, number: int, record: int) -> ReportLine:
    """
    Return a P record, which must be the file's *number*-th.

    Raises:
        FileHeld: It is none.
    """
    fields = fields_of("P", text, record)
    if int(fields["line number"]) != number:
        raise FileHeld(
            "the line numbers do not ascend by one",
            expected=number,
            found=fields["line number"],
            record=record,
        )
    amount = int(fields["amount"])
    kind = _LINE_KINDS[fields["kind"]]
    if amount == 0 or (amount < 0) != (kind == "refund"):
        raise FileHeld(f"the amount of a {kind} has the wrong sign", found=amount, record=record)
    return ReportLine(
        number=number,
        terminal_id=fields["terminal id"],
        batch_number=int(fields["batch number"]),
        kind=kind,
        rrn=fields["RRN"],
        approval_code=fields["approval code"] or None,
        card_masked=fields["masked card"],
        card_brand=fields["brand"],
        currency=fields["currency"],
        amount_minor=amount,
        interchange_minor=int(fields["interchange fee"]),
        scheme_fee_minor=int(fields["scheme fee"]),
        markup_minor=int(fields["markup"]),
        deposit_reference=fields["deposit reference"],
        transaction_date=date_of(fields["transaction date"], record),
    )


def adjustment_of(text: str, record: int) -> Adjustment:
    """
    Return an A record.

    Raises:
        FileHeld: It is none.
    """
    fields = fields_of("A", text, record)
    if has_card_number(fields["text"]):
        raise FileHeld("a text seems to hold a card number in the clear", record=record)
    return Adjustment(
        deposit_reference=fields["deposit reference"],
        kind=_ADJUSTMENT_KINDS[fields["kind"]],
        currency=fields["currency"],
        amount_minor=int(fields["amount"]),
        text=fields["text"],
    )


def deposit_of(text: str, record: int) -> Deposit:
    """
    Return a D record.

    Raises:
        FileHeld: It is none.
    """
    fields = fields_of("D", text, record)
    if has_card_number(fields["deposit reference"]):
        raise FileHeld("a reference seems to be a card number in the clear", record=record)
    return Deposit(
        reference=fields["deposit reference"],
        currency=fields["currency"],
        gross_minor=int(fields["gross"]),
        refunds_minor=int(fields["refunds"]),
        fees_minor=int(fields["fees"]),
        adjustments_minor=int(fields["adjustments"]),
        net_minor=int(fields["net"]),
        value_date=date_of(fields["value date"], record),
        line_count=int(fields["number of P lines"]),
    )


def date_of(text: str, record: int) -> date:
    """
    Return the date in *text*, written 2026-11-20.

    Raises:
        FileHeld: There is no such day.
    """
    try:
        return _date_of(text)
    except ValueError:
        raise FileHeld("a date does not exist", found=text, record=record) from None


_date_of = lru_cache(maxsize=1024)(date.fromisoformat)  # A file repeats the same few dates.
