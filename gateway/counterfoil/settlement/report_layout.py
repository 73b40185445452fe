"""
The records of the settlement report, as data that reads like the format's description.

Numbers are written in one way only (no leading zeros, no plus, no minus zero), so that no
two files say the same thing differently.
"""

import re

from counterfoil.money import CURRENCIES
from counterfoil.settlement.held import FileHeld

FORMAT_NAME = "COUNTERFOIL-SETTLEMENT"
FORMAT_VERSION = "1"

_NAME = r"[!-+\--~](?:[ -+\--~]{0,%d}[!-+\--~])?"  # Printable ASCII but the comma, no blank ends.
_AMOUNT = r"0|-?[1-9][0-9]{0,11}"  # DE 4 has twelve digits.
_FEE = r"0|[1-9][0-9]{0,11}"
_SUM = r"0|-?[1-9][0-9]{0,17}"
_TOTAL = r"0|[1-9][0-9]{0,17}"
_COUNT = r"0|[1-9][0-9]{0,6}"
_DATE = r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
_CURRENCY = r"[A-Z]{3}"
_REFERENCE = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,33}[A-Za-z0-9])?"  # ISO 20022, Max35Text.
_MASKED_CARD = r"\*{8,15}[0-9]{4}"

LAYOUTS: dict[str, tuple[tuple[str, str], ...]] = {
    "H": (
        ("record", "H"),
        ("format", FORMAT_NAME),
        ("version", FORMAT_VERSION),
        ("acquirer institution id", r"[0-9]{1,11}"),
        ("card acceptor id", _NAME % 13),
        ("business date", _DATE),
        ("file id", _NAME % 38),
    ),
    "P": (
        ("record", "P"),
        ("line number", _COUNT),
        ("terminal id", _NAME % 6),
        ("batch number", r"[0-9]{6}"),
        ("kind", r"SALE|CAPTURE|REFUND"),
        ("RRN", r"[0-9]{12}"),
        ("approval code", r"[A-Za-z0-9]{0,6}"),
        ("masked card", _MASKED_CARD),
        ("brand", r"[a-z]{1,20}"),
        ("currency", _CURRENCY),
        ("amount", _AMOUNT),
        ("interchange fee", _FEE),
        ("scheme fee", _FEE),
        ("markup", _FEE),
        ("deposit reference", _REFERENCE),
        ("transaction date", _DATE),
    ),
    "A": (
        ("record", "A"),
        ("deposit reference", _REFERENCE),
        ("kind", r"CHARGEBACK|RESERVE|RESERVE_RELEASE|CORRECTION|MONTHLY_FEE"),
        ("currency", _CURRENCY),
        ("amount", _AMOUNT),
        ("text", r"[ -+\--~]{0,140}"),
    ),
    "D": (
        ("record", "D"),
        ("deposit reference", _REFERENCE),
        ("currency", _CURRENCY),
        ("gross", _TOTAL),
        ("refunds", _TOTAL),
        ("fees", _TOTAL),
        ("adjustments", _SUM),
        ("net", _SUM),
        ("value date", _DATE),
        ("number of P lines", _COUNT),
    ),
    "T": (
        ("record", "T"),
        ("number of records", _COUNT),
        ("number of P lines", _COUNT),
        ("hash total of the RRNs", r"[0-9]{12}"),
        ("sum of amounts", _SUM),
        ("sum of interchange fees", _TOTAL),
        ("sum of scheme fees", _TOTAL),
        ("sum of markups", _TOTAL),
        ("sum of nets", _SUM),
    ),
}

_NAMES = {mark: tuple(name for name, _ in layout) for mark, layout in LAYOUTS.items()}
_PATTERNS = {
    mark: re.compile(",".join(f"({pattern})" for _, pattern in layout))
    for mark, layout in LAYOUTS.items()
}


def fields_of(mark: str, text: str, record: int) -> dict[str, str]:
    """
    Return the fields of a record of kind *mark* by name, each well formed.

    Raises:
        FileHeld: It is no such record; the sentence names the field, not what stands in it.
    """
    found = _PATTERNS[mark].fullmatch(text)
    if found is None:
        raise FileHeld(_fault(mark, text), record=record)
    fields = dict(zip(_NAMES[mark], found.groups(), strict=True))
    if fields.get("currency", "USD") not in CURRENCIES:
        raise FileHeld("the currency is not on the list of ISO 4217", record=record)
    return fields


def _fault(mark: str, text: str) -> str:
    """
    Return what is wrong with a record that its layout refuses.
    """
    values, layout = text.split(","), LAYOUTS[mark]
    if len(values) != len(layout):
        return f"the {mark} record has {len(values)} fields where {len(layout)} are due"
    wrong = next(
        name
        for value, (name, pattern) in zip(values, layout, strict=True)
        if not re.fullmatch(pattern, value)
    )
    if wrong == "masked card":
        return "the card is not masked down to its last four digits"
    return f"the {wrong} of the {mark} record is not well formed"
