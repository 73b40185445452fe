"""
What a chaos came to: everybody's own words, counted and compared.
"""

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

import msgspec
from counterfoil.config import Configuration
from counterfoil.opened import open_database
from counterfoil_rail.listing import charges
from counterfoil_shop.app import books_path, folder_of
from counterfoil_shop.books import Order, read_all

AUDIT_SECONDS_MAX = 300.0
COUNTS = """
SELECT count(*) FILTER (WHERE EXISTS (
           SELECT 1 FROM payment_events AS e
           WHERE e.merchant_id = p.merchant_id AND e.payment_id = p.payment_id
             AND e.to_state = 'approved')) AS approved,
       count(*) FILTER (WHERE p.confirmation_number IS NOT NULL) AS confirmed,
       count(*) FILTER (WHERE p.state = 'declined') AS declined,
       count(*) FILTER (WHERE p.state = 'reversed') AS reversed
FROM payments AS p
"""


class Audited(msgspec.Struct, frozen=True, kw_only=True):
    """
    What `counterfoil audit --sandbox` said: the gateway's books, the rail's and the shop's.
    """

    agrees: bool
    differences: list[dict[str, Any]]


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """
    The figures. `unknown`, `charged_without_order` and `orders_without_charge` must be 0.
    """

    attempted: int
    approved: int
    confirmed: int
    declined: int
    reversed: int
    kills: int
    freezes: int
    cuts: int
    unknown: int
    charged_without_order: int
    orders_without_charge: int
    recovery_seconds: float
    still_owed: list[str]
    audit: Audited

    @property
    def holds(self) -> bool:
        """
        Whether everything that must hold does; where nothing was sold, nothing is proved.
        """
        wrong = self.unknown + self.charged_without_order + self.orders_without_charge
        return not wrong and not self.still_owed and self.audit.agrees and self.confirmed > 0


async def counted(configuration: Configuration) -> dict[str, int]:
    """
    Return what the gateway counts.
    """
    async with open_database(configuration) as database, database.acquire() as connection:
        row = await connection.fetchrow(COUNTS)
    return {name: int(row[name]) for name in ("approved", "confirmed", "declined", "reversed")}


def laid_beside(state: Path) -> tuple[int, int, int, int]:
    """
    Compare the shop's orders with the rail's charges: orders, unknown ones, and both faults.
    """
    orders = read_all(books_path(folder_of(state)))
    standing = {
        str(each["rrn"]): int(str(each["held_minor"])) + _taken(each)
        for each in charges(state)
        if int(str(each["held_minor"])) + _taken(each) > 0
    }
    paid = {order.rrn: order for order in orders if order.status == "paid"}
    without_order = [rrn for rrn, stands in standing.items() if _due(paid.get(rrn)) < stands]
    without_charge = [rrn for rrn, order in paid.items() if standing.get(str(rrn), 0) < _due(order)]
    unknown = sum(order.status == "unknown" for order in orders)
    return len(orders), unknown, len(without_order), len(without_charge)


async def audited(state: Path, config: Path) -> Audited:
    """
    Audit as an operator would.
    """
    command = [sys.executable, "-m", "counterfoil.cli.main", "audit", "--sandbox", str(state)]
    process = await asyncio.create_subprocess_exec(
        *command,
        "--json",
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "COUNTERFOIL_CONFIG": str(config)},
    )
    said, complained = await asyncio.wait_for(process.communicate(), AUDIT_SECONDS_MAX)
    if not said:
        complaint = complained.decode(errors="replace").strip()[-500:]
        return Audited(agrees=False, differences=[{"what": "no audit", "subject": complaint}])
    told = json.loads(said)
    agrees = process.returncode == 0 and told["agrees"]
    return Audited(agrees=agrees, differences=told["differences"])


def _taken(charge: dict[str, object]) -> int:
    return int(str(charge["captured_minor"])) - int(str(charge["refunded_minor"]))


def _due(order: Order | None) -> int:
    return order.amount_minor if order else 0
