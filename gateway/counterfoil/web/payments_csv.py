"""
Payments as lines of a file for a spreadsheet.

A spreadsheet takes a cell that begins with one of a few signs for a formula, and customers may
write what they like into an order: such a cell gets an apostrophe before it.
"""

import csv
import io
from collections.abc import Sequence
from zoneinfo import ZoneInfo

from counterfoil import ids
from counterfoil.money import currency, decimal_text
from counterfoil.payments.payment import Payment
from counterfoil.settlement.report_table import safe
from counterfoil.terminal.sale import Parts
from counterfoil.web.words import kind_words, state_words

HEADINGS = (
    "payment",
    "made at (UTC)",
    "day",
    "kind",
    "stands",
    "amount",
    "captured",
    "refunded",
    "currency",
    "card",
    "last four",
    "order",
    "description",
    "customer e-mail",
    "approval code",
    "confirmation number",
    "RRN",
    "acquirer",
    "terminal",
    "tax",
    "tip",
)


def csv_row(payment: Payment, timezone: str, parts: Parts) -> list[str]:
    """
    Return *payment* under HEADINGS; its day is the merchant's. What was not named is empty.
    """
    money = currency(payment.currency)
    named = (parts.tax_minor, parts.tip_minor)
    return [
        ids.written(ids.PAYMENT, payment.payment_id),
        f"{payment.created_at:%Y-%m-%d %H:%M:%S}",
        f"{payment.created_at.astimezone(ZoneInfo(timezone)):%Y-%m-%d}",
        kind_words(payment),
        state_words(payment),
        decimal_text(payment.amount_minor, money),
        decimal_text(payment.captured_minor, money),
        decimal_text(payment.refunded_minor, money),
        payment.currency,
        payment.card_brand,
        payment.card_last_four,
        payment.order_number or "",
        payment.description or "",
        payment.customer_email or "",
        payment.approval_code or "",
        payment.confirmation_number or "",
        payment.rrn,
        payment.acquirer,
        payment.terminal_id,
        *(decimal_text(minor, money) if minor else "" for minor in named),
    ]


def csv_line(cells: Sequence[str]) -> str:
    """
    Return one line of the file.
    """
    written = io.StringIO()
    csv.writer(written).writerow([safe(each) for each in cells])
    return written.getvalue()
