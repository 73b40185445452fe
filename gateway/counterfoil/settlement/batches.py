"""
Batches as people and programs outside see them.
"""

from typing import Any

import asyncpg
import msgspec

from counterfoil import ids
from counterfoil.money import currency, decimal_text
from counterfoil.network.closing import Totals
from counterfoil.store.batches import totals_of


def reference_of(row: asyncpg.Record) -> str:
    """
    Return the batch's name: TERM0001/USD/000007.
    """
    return f"{row['terminal_id']}/{row['currency']}/{row['batch_number']:06d}"


def shown_batch(row: asyncpg.Record) -> dict[str, Any]:
    """
    Return a batch with both sides' totals; amounts in minor units.
    """
    ours, host = totals_of(row["our_totals"]), totals_of(row["host_totals"])
    return {
        "merchant": ids.written(ids.MERCHANT, row["merchant_id"]),
        "batch": reference_of(row),
        "acquirer": row["acquirer"],
        "currency": row["currency"],
        "state": row["state"],
        "items": row["items"] if ours else None,
        "net": decimal_text(ours.net_minor, currency(row["currency"])) if ours else None,
        "ours": side(ours),
        "host": side(host),
        "differs_by_minor": ours.net_minor - host.net_minor if ours and host else None,
        "settlement_date": row["settlement_date"],
        "cause": row["close_cause"],
        "opened_at": _time(row["opened_at"]),
        "closing_at": _time(row["closing_at"]),
        "closed_at": _time(row["closed_at"]),
    }


def side(totals: Totals | None) -> dict[str, Any] | None:
    """
    Return one side's totals: count and net amount first, then the gross counts and amounts.
    """
    if totals is None:
        return None
    return {
        "count": totals.count,
        "amount_minor": totals.net_minor,
        **msgspec.structs.asdict(totals),
    }


def shown_item(row: asyncpg.Record) -> dict[str, Any]:
    """
    Return one item of a batch; `upload` is what the host answered to its 0320, if it was asked.
    """
    return {
        "item": row["item_number"],
        "kind": row["kind"],
        "amount_minor": row["amount_minor"],
        "rrn": row["rrn"],
        "state": row["state"],
        "payment": ids.written(ids.PAYMENT, row["payment_id"]),
        "order": row["order_number"],
        "confirmation_number": row["confirmation_number"],
        "card": f"{row['brand']} {row['card_last_four']}",
        "upload": row["upload_response"],
    }


def _time(value: Any) -> str | None:
    return f"{value:%Y-%m-%dT%H:%M:%SZ}" if value else None
