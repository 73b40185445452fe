"""
What each item costs the merchant: interchange, scheme fee and markup.

The table (`fees.json`) has basis points and a fixed part by brand and kind. Integer
arithmetic: basis points round half up, then the fixed part is added. What the table
does not list is free: a refund costs nothing, and gives no fee back.
"""

import json
import sqlite3
from importlib.resources import files
from typing import Literal

Part = Literal["interchange", "scheme", "markup"]

BASIS_POINTS = 10_000

_TABLE: dict[str, dict[str, dict[str, dict[str, int]]]] = json.loads(
    files(__package__).joinpath("fees.json").read_text("ascii")
)
_RATES: dict[tuple[str, str, str], tuple[int, int]] = {
    (brand, kind, part): (rate["basis_points"], rate["fixed_minor"])
    for brand, kinds in _TABLE.items()
    for kind, parts in kinds.items()
    for part, rate in parts.items()
}


def fee_minor(part: Part, brand: str, kind: str, amount_minor: int) -> int:
    """
    Return one part of the fee for an item of *amount_minor* (not negative).
    """
    known = brand if brand in _TABLE else "other"
    basis_points, fixed_minor = _RATES.get((known, kind, part), (0, 0))
    return (amount_minor * basis_points + BASIS_POINTS // 2) // BASIS_POINTS + fixed_minor


def teach(connection: sqlite3.Connection) -> None:
    """
    Let SQL on *connection* call `fee_minor(part, brand, kind, amount_minor)`.
    """
    connection.create_function("fee_minor", 4, fee_minor, deterministic=True)
