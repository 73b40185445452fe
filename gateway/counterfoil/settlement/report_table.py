"""
A report as CSV: one row for each thing, for whoever goes on in a spreadsheet.

Text that came from outside may begin with what a spreadsheet takes for a formula; it is
written so that it stays text. Amounts are plain decimals with a point.
"""

import csv
import io
from collections.abc import Iterator
from typing import Any
from zoneinfo import ZoneInfo

from counterfoil.money import currency, decimal_text
from counterfoil.settlement.report_facts import (
    BatchReport,
    BrandTotal,
    DepositReport,
    MerchantReport,
    Report,
)

COLUMNS = (
    "record",
    "merchant",
    "currency",
    "batch",
    "deposit",
    "kind",
    "brand",
    "card",
    "rrn",
    "order",
    "confirmation_number",
    "date",
    "count",
    "amount",
    "interchange",
    "scheme",
    "markup",
    "state",
    "text",
    "at",
)
AMOUNTS = frozenset({"amount", "interchange", "scheme", "markup"})
# What spreadsheets begin a formula with (OWASP, CSV injection), full-width forms included.
FORMULA_BEGINNINGS = tuple("=+-@\t\r\n＝＋－＠")

Row = dict[str, Any]


def as_csv(report: Report) -> str:
    """
    Return *report* as CSV (RFC 4180).
    """
    written = io.StringIO(newline="")
    writer = csv.DictWriter(written, COLUMNS, restval="")
    writer.writeheader()
    for part in report.merchants:
        for row in _rows(part):
            writer.writerow(
                {
                    name: value if name in AMOUNTS else safe(value)
                    for name, value in row.items()
                    if value is not None
                }
            )
    return written.getvalue()


def safe(value: object) -> str:
    """
    Return *value* as text that no spreadsheet computes.
    """
    text = str(value)
    return f"'{text}" if text.startswith(FORMULA_BEGINNINGS) else text


def _rows(part: MerchantReport) -> Iterator[Row]:
    zone = ZoneInfo(part.timezone)
    for batch in part.batches:
        for row in _batch_rows(batch, zone):
            yield {**row, "merchant": part.merchant}
    for deposit in part.deposits:
        for row in _deposit_rows(deposit):
            yield {**row, "merchant": part.merchant}
    for finding in part.findings:
        yield {
            "record": "finding",
            "merchant": part.merchant,
            "currency": finding.currency,
            "deposit": finding.reference,
            "kind": finding.kind,
            "amount": _decimal(finding.amount_minor, finding.currency),
            "state": finding.state,
            "text": f"{finding.subject}: {finding.next_step}",
        }


def _batch_rows(batch: BatchReport, zone: ZoneInfo) -> Iterator[Row]:
    """
    Return the rows of a batch; their days are those of *zone*, as on its page.
    """
    same = {"currency": batch.currency, "batch": batch.batch}
    net = sum(each.net_minor for each in batch.brands)
    yield {
        **same,
        "record": "batch",
        "date": batch.closed_at.astimezone(zone).date() if batch.closed_at else None,
        "count": sum(each.captures + each.refunds for each in batch.brands),
        "amount": _decimal(net, batch.currency),
        "state": batch.state,
        "text": batch.note,
    }
    for each in batch.brands:
        yield from _brand_rows(each, {**same, "record": "batch_brand"})
    for item in batch.items:
        yield {
            **same,
            "record": "batch_item",
            "kind": item.kind,
            "brand": item.brand,
            "card": item.last_four,
            "rrn": item.rrn,
            "order": item.order,
            "confirmation_number": item.confirmation_number,
            "date": item.at.astimezone(zone).date(),
            "at": item.at.isoformat(timespec="seconds"),
            "count": 1,
            "amount": _decimal(item.amount_minor, batch.currency),
            "state": item.state,
        }


def _brand_rows(total: BrandTotal, same: Row) -> Iterator[Row]:
    for kind, count, minor in (
        ("capture", total.captures, total.captures_minor),
        ("refund", total.refunds, -total.refunds_minor),
    ):
        if count:
            yield {
                **same,
                "kind": kind,
                "brand": total.brand,
                "count": count,
                "amount": _decimal(minor, total.currency),
            }


def _deposit_rows(found: DepositReport) -> Iterator[Row]:
    deposit = found.deposit
    code = deposit.currency
    same = {"currency": code, "deposit": deposit.reference}
    yield {
        **same,
        "record": "deposit",
        "date": deposit.value_date,
        "count": len(deposit.lines or []),
        "amount": _decimal(deposit.net_minor, code),
        "interchange": _decimal(-deposit.interchange_minor, code),
        "scheme": _decimal(-deposit.scheme_minor, code),
        "markup": _decimal(-deposit.markup_minor, code),
        "state": deposit.state,
    }
    for line in deposit.lines or []:
        yield {
            **same,
            "record": "deposit_line",
            "batch": line.batch,
            "kind": line.kind,
            "brand": line.brand,
            "card": line.last_four,
            "rrn": line.rrn,
            "order": line.order,
            "confirmation_number": line.confirmation_number,
            "date": line.transacted_on,
            "count": 1,
            "amount": _decimal(line.amount_minor, code),
            "interchange": _decimal(-line.interchange_minor, code),
            "scheme": _decimal(-line.scheme_minor, code),
            "markup": _decimal(-line.markup_minor, code),
            "state": line.outcome,
        }
    for adjustment in deposit.adjustment_lines or []:
        yield {
            **same,
            "record": "adjustment",
            "kind": adjustment.kind,
            "amount": _decimal(adjustment.amount_minor, code),
            "text": adjustment.text,
        }
    for entry in deposit.entries or []:
        yield {
            **same,
            "record": "bank_entry",
            "kind": "return" if entry.is_return else "payment",
            "date": entry.booked_on,
            "amount": _decimal(entry.amount_minor, code),
            "state": entry.outcome,
            "text": entry.bank_reference,
        }


def _decimal(minor: int, code: str) -> str:
    return decimal_text(minor, currency(code))
