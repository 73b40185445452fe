"""
What stands in a report: a day, a batch or a deposit of each merchant. Amounts in minor units.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Any, Literal

import msgspec

from counterfoil.settlement.explained import DepositAnswer, FindingAnswer


class BrandTotal(msgspec.Struct, frozen=True, kw_only=True):
    """
    What was captured and refunded with one brand of card, in one currency; fees where known.
    """

    currency: str
    brand: str
    captures: int = 0
    captures_minor: int = 0
    refunds: int = 0
    refunds_minor: int = 0
    fees_minor: int = 0

    @property
    def net_minor(self) -> int:
        """
        Captured less refunded, before fees.
        """
        return self.captures_minor - self.refunds_minor


class ReportItem(msgspec.Struct, frozen=True, kw_only=True):
    """
    One capture or refund in a batch, made *at*; its number comes when the batch is fixed.
    """

    item: int | None
    at: datetime
    kind: Literal["capture", "refund"]
    amount_minor: int
    brand: str
    last_four: str
    rrn: str
    approval_code: str | None
    order: str | None
    confirmation_number: str | None
    payment: str
    state: str


class BatchReport(msgspec.Struct, frozen=True, kw_only=True):
    """
    A batch: what it holds, and both sides' totals (count and net) once it was compared.
    """

    batch: str
    acquirer: str
    currency: str
    state: str
    note: str | None
    cause: str | None
    settlement_date: str | None
    opened_at: datetime
    closing_at: datetime | None
    closed_at: datetime | None
    ours: dict[str, Any] | None
    host: dict[str, Any] | None
    brands: list[BrandTotal]
    items: list[ReportItem]


class DepositReport(msgspec.Struct, frozen=True, kw_only=True):
    """
    A deposit, decomposed, and its sums by brand.
    """

    deposit: DepositAnswer
    brands: list[BrandTotal]


class MerchantReport(msgspec.Struct, frozen=True, kw_only=True):
    """
    One merchant's part of a report; `brands` adds its batches up.
    """

    merchant: str
    name: str
    place: str
    timezone: str
    brands: list[BrandTotal]
    batches: list[BatchReport]
    deposits: list[DepositReport]
    findings: list[FindingAnswer]


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """
    A report of a day, a batch or a deposit.
    """

    kind: Literal["day", "batch", "deposit"]
    subject: str
    mode: Literal["test", "live"]
    made_at: datetime
    merchants: list[MerchantReport]


def added(totals: Iterable[BrandTotal]) -> list[BrandTotal]:
    """
    Return totals added up by currency and brand, in that order.
    """
    found: dict[tuple[str, str], BrandTotal] = {}
    for each in totals:
        key = (each.currency, each.brand)
        before = found.get(key, BrandTotal(currency=each.currency, brand=each.brand))
        found[key] = BrandTotal(
            currency=each.currency,
            brand=each.brand,
            captures=before.captures + each.captures,
            captures_minor=before.captures_minor + each.captures_minor,
            refunds=before.refunds + each.refunds,
            refunds_minor=before.refunds_minor + each.refunds_minor,
            fees_minor=before.fees_minor + each.fees_minor,
        )
    return [found[key] for key in sorted(found)]
