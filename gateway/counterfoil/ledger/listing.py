"""
Our payments and deposits as a list, so that another party's books can be laid beside them.

The gateway knows no other party: whoever compares comes through the entry point group
`counterfoil.audits` (the sandbox's comparison with rail and shop comes that way).
"""

from pathlib import Path
from typing import Protocol
from uuid import UUID

import msgspec

from counterfoil import ids
from counterfoil.ledger.audit import Difference
from counterfoil.store.audit import snapshot
from counterfoil.store.database import Database

GROUP = "counterfoil.audits"
LISTED_MAX = 1_000_000
TERMINALS_MAX = 100_000


class TooManyToList(Exception):
    """
    More payments than can be laid side by side; audit one merchant at a time.
    """


class ListedPayment(msgspec.Struct, frozen=True, kw_only=True):
    """
    A payment; `is_under_way`: it, or a message about it, has no end yet. Amounts in minor units.
    """

    merchant: str
    payment: str
    terminal_id: str
    rrn: str
    currency: str
    state: str
    amount_minor: int
    held_minor: int
    captured_minor: int
    refunded_minor: int
    order: str | None
    confirmation_number: str | None
    is_under_way: bool


class ListedDeposit(msgspec.Struct, frozen=True, kw_only=True):
    """
    A deposit as the acquirer's report announced it, and what the bank has paid of it.
    """

    merchant: str
    reference: str
    currency: str
    state: str
    gross_minor: int
    refunds_minor: int
    fees_minor: int
    adjustments_minor: int
    net_minor: int
    paid_minor: int


class OurBooks(msgspec.Struct, frozen=True, kw_only=True):
    """
    What another party's books are compared with: everybody's, or one merchant's.
    """

    is_everything: bool
    terminals: frozenset[str]
    payments: list[ListedPayment]
    deposits: list[ListedDeposit]


class Comparison(Protocol):
    """
    What an entry point of the group is: a function of a folder and our books.
    """

    def __call__(self, folder: Path, ours: OurBooks) -> list[Difference]:
        """
        Return what differs.
        """
        ...


async def our_books(database: Database, merchant_id: UUID | None = None) -> OurBooks:
    """
    Return one merchant's payments and deposits, or everybody's.

    Raises:
        TooManyToList: Audit one merchant at a time.
        DatabaseAway: The database does not answer.
    """
    async with snapshot(database) as view:
        terminals = await view.rows("audit_terminals", merchant_id, TERMINALS_MAX)
        payments = await view.rows("audit_listed_payments", merchant_id, LISTED_MAX + 1)
        deposits = await view.rows("audit_listed_deposits", merchant_id, LISTED_MAX)
    if len(payments) > LISTED_MAX:
        raise TooManyToList(
            f"more than {LISTED_MAX} payments cannot be compared at once: choose one --merchant"
        )
    return OurBooks(
        is_everything=merchant_id is None,
        terminals=frozenset(row["terminal_id"] for row in terminals),
        payments=[
            ListedPayment(
                merchant=ids.written(ids.MERCHANT, row["merchant_id"]),
                payment=ids.written(ids.PAYMENT, row["payment_id"]),
                terminal_id=row["terminal_id"],
                rrn=row["rrn"],
                currency=row["currency"],
                state=row["state"],
                amount_minor=row["amount_minor"],
                held_minor=row["held_minor"],
                captured_minor=row["captured_minor"],
                refunded_minor=row["refunded_minor"],
                order=row["order_number"],
                confirmation_number=row["confirmation_number"],
                is_under_way=row["is_under_way"],
            )
            for row in payments
        ],
        deposits=[
            ListedDeposit(
                merchant=ids.written(ids.MERCHANT, row["merchant_id"]),
                **{name: row[name] for name in ListedDeposit.__struct_fields__[1:]},
            )
            for row in deposits
        ],
    )
