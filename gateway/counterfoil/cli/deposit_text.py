"""
Deposits, findings and files as `counterfoil settlement` prints them: for people and for programs.
"""

from typing import Any

import asyncpg
import msgspec

from counterfoil import ids
from counterfoil.cli.console import say, say_json, table
from counterfoil.money import currency, decimal_text
from counterfoil.settlement.explained import DepositAnswer, FindingAnswer

FILE_COLUMNS = ("received_at", "kind", "state", "file_id", "name")
HELD_COLUMNS = ("file", "received_at", "kind", "name", "reason")
FILE_DIGITS = 12  # So many of its digest name a file to people.
DEPOSIT_COLUMNS = ("reference", "state", "net", "paid", "currency", "business_date", "value_date")
_LINE_COLUMNS = (
    *("line", "kind", "batch", "rrn", "brand", "last_four", "amount"),
    *("interchange", "scheme", "markup", "outcome", "order"),
)
_PARTS = ("lines", "adjustment_lines", "entries")
_SUMS = ("gross", "refunds", "interchange", "scheme", "markup", "adjustments", "net", "paid")


def told_finding(found: FindingAnswer) -> dict[str, Any]:
    """
    Return a finding with its amount as people write it.
    """
    told: dict[str, Any] = msgspec.to_builtins(found)
    return {**told, "amount": amount_text(found.amount_minor, found.currency)}


def told_file(row: asyncpg.Record) -> dict[str, Any]:
    """
    Return a file that came.
    """
    merchant_id = row["merchant_id"]
    is_aside = row["aside_at"] is not None
    return {
        "file": row["digest"].hex()[:FILE_DIGITS],
        "received_at": f"{row['received_at']:%Y-%m-%dT%H:%M:%SZ}",
        "kind": row["kind"],
        "state": "aside" if is_aside else row["state"],
        "name": row["name"],
        "file_id": row["file_id"],
        "merchant": ids.written(ids.MERCHANT, merchant_id) if merchant_id else None,
        "reason": row["reason"],
        "looks_again": row["looks_again"],
        "bytes": row["bytes"],
        "digest": row["digest"].hex(),
        "aside_by": row["aside_by"],
        "aside_at": f"{row['aside_at']:%Y-%m-%dT%H:%M:%SZ}" if is_aside else None,
        "aside_note": row["aside_note"],
    }


def told_deposit(found: DepositAnswer) -> dict[str, Any]:
    """
    Return a deposit with every amount as people write it beside the one for programs.
    """
    shown: dict[str, Any] = msgspec.to_builtins(found)
    code = found.currency
    for part in (shown, *(each for name in _PARTS for each in shown.get(name, ()))):
        part |= {
            name.removesuffix("_minor"): amount_text(value, code)
            for name, value in list(part.items())
            if name.endswith("_minor")
        }
    return shown


def amount_text(minor: int, code: str) -> str:
    """
    Return an amount in decimals: `42.00`.
    """
    return decimal_text(minor, currency(code))


def print_rows(found: list[dict[str, Any]], columns: tuple[str, ...], *, json: bool) -> None:
    """
    Print rows as JSON, or some columns of them for people.
    """
    if json:
        say_json(found)
    elif found:
        table(list(columns), [_cells(each, columns) for each in found])
    else:
        say("Nothing.")


def explain(shown: dict[str, Any]) -> None:
    """
    Print a deposit as a bill is printed: what it is made of, then the sums, then the bank.
    """
    code = shown["currency"]
    say(f"Deposit {shown['reference']} of {shown['acquirer']}: {shown['state']}")
    say(f"business day {shown['business_date']}, value date {shown['value_date']}")
    if shown["lines"]:
        table(list(_LINE_COLUMNS), [_cells(each, _LINE_COLUMNS) for each in shown["lines"]])
    for each in shown["adjustment_lines"]:
        say(f"{each['kind']}: {each['amount']} {code} {each['text']}".rstrip())
    for name in _SUMS:
        say(f"{name:<12} {shown[name]:>16} {code}")
    for each in shown["entries"]:
        say(
            f"bank, {each['value_on']}: {each['amount']} {code} ({each['outcome']}, {each['text']})"
        )
    if not shown["entries"]:
        say("The bank's statements do not have it yet.")


def _cells(row: dict[str, Any], columns: tuple[str, ...]) -> list[str]:
    return ["" if row[name] is None else str(row[name]) for name in columns]
