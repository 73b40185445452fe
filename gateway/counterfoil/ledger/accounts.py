"""
The chart of accounts: every name that a transfer may debit or credit, and what stands there.

Stands beside the whole road: each step of a payment, a batch or a deposit is one transfer
between two of these. A balance is debits minus credits in minor units; all balances of a
merchant and currency add up to zero, because every transfer has two ends.
"""

from enum import StrEnum
from types import MappingProxyType
from typing import NamedTuple


class Account(StrEnum):
    """
    An account of a merchant's books, one for each currency.
    """

    ISSUER = "issuer"
    HELD = "held"
    RELEASED = "released"
    OPEN = "open"
    REFUNDED = "refunded"
    OUTSIDE = "outside"
    BATCHED = "batched"
    IN_TRANSIT = "in_transit"
    FEES_INTERCHANGE = "fees_interchange"
    FEES_SCHEME = "fees_scheme"
    FEES_MARKUP = "fees_markup"
    ADJUSTMENTS = "adjustments"
    UNEXPLAINED = "unexplained"
    DEPOSITED = "deposited"


class Flow(NamedTuple):
    """
    A transfer's two ends.
    """

    debit: Account
    credit: Account


MEANINGS = MappingProxyType(
    {
        Account.ISSUER: "what issuers promised: every approval is taken from here",
        Account.HELD: "approved, and neither captured nor released yet",
        Account.RELEASED: "given back before it was batched: reversed, voided, lapsed",
        Account.OPEN: "captured less refunded, in a batch that is not closed yet",
        Account.REFUNDED: "given back after it was captured",
        Account.OUTSIDE: "given back by the merchant otherwise: cash, a bank transfer; negative",
        Account.BATCHED: "closed with the acquirer, not yet on one of its reports",
        Account.IN_TRANSIT: "announced in a deposit, not yet in the bank",
        Account.FEES_INTERCHANGE: "kept by issuers",
        Account.FEES_SCHEME: "kept by card schemes",
        Account.FEES_MARKUP: "kept by the acquirer",
        Account.ADJUSTMENTS: "taken (or, negative, given) by the acquirer beside payments",
        Account.UNEXPLAINED: "on a report or statement, and not found in these books; zero is well",
        Account.DEPOSITED: "in the merchant's bank account",
    }
)

FEES = (Account.FEES_INTERCHANGE, Account.FEES_SCHEME, Account.FEES_MARKUP)


def _both_ways(one: Account, other: Account) -> frozenset[Flow]:
    return frozenset((Flow(one, other), Flow(other, one)))


# Every way that money takes. A transfer of another form is a forgery or a defect.
FLOWS: frozenset[Flow] = frozenset(
    {
        Flow(Account.HELD, Account.ISSUER),  # approved
        Flow(Account.ISSUER, Account.HELD),  # a person knows that less was approved than was asked
        Flow(Account.RELEASED, Account.HELD),  # reversed, or voided before its capture
        Flow(Account.REFUNDED, Account.OUTSIDE),  # a person knows that it was given back otherwise
    }
).union(
    _both_ways(Account.OPEN, Account.HELD),  # captured; the other way: the capture was refused
    # Voided after its capture; the other way: the host's batch was closed, a refund is owed.
    _both_ways(Account.RELEASED, Account.OPEN),
    _both_ways(Account.REFUNDED, Account.OPEN),  # refunded; the other way: refused by the host
    _both_ways(Account.BATCHED, Account.OPEN),  # a batch closed: captures; the other way: refunds
    _both_ways(Account.IN_TRANSIT, Account.BATCHED),  # on a report: captures; refunds
    *(_both_ways(fee, Account.IN_TRANSIT) for fee in FEES),
    _both_ways(Account.ADJUSTMENTS, Account.IN_TRANSIT),
    *(
        _both_ways(Account.UNEXPLAINED, other)
        for other in (Account.BATCHED, Account.IN_TRANSIT, Account.DEPOSITED)
    ),
    _both_ways(Account.DEPOSITED, Account.IN_TRANSIT),  # paid; the other way: returned, or a debit
)
