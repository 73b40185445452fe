"""
The sums of one merchant's journal in one currency, and the equations between them.

Balances are debits less credits. Refunds count against what was captured, so that
open, batched and everything after it are net; fees and adjustments are positive when the
acquirer kept them, unexplained is positive when money is missing.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple
from uuid import UUID

import msgspec

from counterfoil import ids
from counterfoil.ledger.accounts import FEES, FLOWS, Account
from counterfoil.ledger.rules import NEXT_STEP_OF_FLOWS


class Sums(msgspec.Struct, frozen=True, kw_only=True):
    """
    What an audit says of one merchant and currency, in minor units.

    `in_transit_minor` is everything batched and not yet in the bank: not on a report yet
    (`awaiting_report_minor`), or announced and not paid. `outside_minor` is the part of the
    refunds that did not go through the acquirer.
    """

    merchant: str
    currency: str
    authorized_minor: int
    captured_minor: int
    released_minor: int
    held_minor: int
    refunded_minor: int
    outside_minor: int
    open_minor: int
    batched_minor: int
    in_transit_minor: int
    awaiting_report_minor: int
    deposited_minor: int
    fees_minor: int
    adjustments_minor: int
    unexplained_minor: int


class Proof(NamedTuple):
    """
    Two ways to the same amount.
    """

    subject: str
    expected: int
    found: int
    next_step: str | None = None


class Books:
    """
    One merchant's journal in one currency, added up.
    """

    def __init__(self, merchant_id: UUID, currency: str) -> None:
        self.merchant_id = merchant_id
        self.currency = currency
        self._flows: dict[tuple[str, str], int] = {}
        self._balances: defaultdict[str, int] = defaultdict(int)
        self._movements: defaultdict[str, int] = defaultdict(int)
        self._not_placed = 0

    def flowed(self, debit: str, credit: str, amount_minor: int) -> None:
        """
        Add what went from the account *credit* to the account *debit*.
        """
        self._flows[debit, credit] = amount_minor
        self._balances[debit] += amount_minor
        self._balances[credit] -= amount_minor

    def moved(self, kind: str, state: str, amount_minor: int) -> None:
        """
        Add the captures, or less the refunds, that stand in *state*.
        """
        self._movements[state] += amount_minor if kind == "capture" else -amount_minor

    def not_placed(self, amount_minor: int) -> None:
        """
        Add what report and bank named and nobody could place; each is also on a list of findings.
        """
        self._not_placed += amount_minor

    def proofs(self) -> Iterable[Proof]:
        """
        Yield every equation that must hold between the sums.
        """
        sums = self.sums()
        yield Proof(
            "authorized = captured + released + held",
            sums.captured_minor + sums.released_minor + sums.held_minor,
            sums.authorized_minor,
        )
        yield Proof(
            "captured - refunded = open + batched - given back outside",
            sums.open_minor + sums.batched_minor - sums.outside_minor,
            sums.captured_minor - sums.refunded_minor,
        )
        yield Proof(
            "batched = deposited + fees + adjustments + in transit + unexplained",
            sums.deposited_minor
            + sums.fees_minor
            + sums.adjustments_minor
            + sums.in_transit_minor
            + sums.unexplained_minor,
            sums.batched_minor,
        )
        yield Proof(
            "open = captures and refunds that are pending",
            self._movements["pending"],
            sums.open_minor,
        )
        yield Proof(
            "batched, on no report = captures and refunds that are batched",
            self._movements["batched"],
            sums.awaiting_report_minor,
        )
        yield Proof(
            "unexplained = lines and deposits that nobody could place",
            self._not_placed,
            sums.unexplained_minor,
        )
        for (debit, credit), amount_minor in self._flows.items():
            if (debit, credit) not in FLOWS:
                subject = f"nothing goes from {credit} to {debit}"
                yield Proof(subject, 0, amount_minor, NEXT_STEP_OF_FLOWS)

    def sums(self) -> Sums:
        """
        Return what stands where.
        """
        balance, flow = self._balances, self._flow
        return Sums(
            merchant=ids.written(ids.MERCHANT, self.merchant_id),
            currency=self.currency,
            authorized_minor=-balance[Account.ISSUER],
            captured_minor=flow(Account.OPEN, Account.HELD)
            - flow(Account.HELD, Account.OPEN)
            + flow(Account.OPEN, Account.RELEASED)
            - flow(Account.RELEASED, Account.OPEN),
            released_minor=balance[Account.RELEASED],
            held_minor=balance[Account.HELD],
            refunded_minor=balance[Account.REFUNDED],
            outside_minor=-balance[Account.OUTSIDE],
            open_minor=balance[Account.OPEN],
            batched_minor=flow(Account.BATCHED, Account.OPEN) - flow(Account.OPEN, Account.BATCHED),
            in_transit_minor=balance[Account.BATCHED] + balance[Account.IN_TRANSIT],
            awaiting_report_minor=balance[Account.BATCHED],
            deposited_minor=balance[Account.DEPOSITED],
            fees_minor=sum(balance[fee] for fee in FEES),
            adjustments_minor=balance[Account.ADJUSTMENTS],
            unexplained_minor=balance[Account.UNEXPLAINED],
        )

    def _flow(self, debit: Account, credit: Account) -> int:
        return self._flows.get((debit, credit), 0)


def books_of(
    flows: Iterable[Mapping[str, Any]],
    movements: Iterable[Mapping[str, Any]],
    unexplained: Iterable[Mapping[str, Any]],
) -> list[Books]:
    """
    Return everybody's books, ordered by merchant and currency.
    """
    found: dict[tuple[UUID, str], Books] = {}

    def of(row: Mapping[str, Any]) -> Books:
        key = (row["merchant_id"], row["currency"])
        return found.setdefault(key, Books(*key))

    for row in flows:
        of(row).flowed(row["debit_account"], row["credit_account"], row["amount_minor"])
    for row in movements:
        of(row).moved(row["kind"], row["state"], row["amount_minor"])
    for row in unexplained:
        of(row).not_placed(row["amount_minor"])
    return [found[key] for key in sorted(found)]
