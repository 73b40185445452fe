"""
The chart of accounts: every name that any statement writes is in it, with its meaning.
"""

import re
from pathlib import Path

from counterfoil import settlement
from counterfoil.ledger.accounts import FEES, FLOWS, MEANINGS, Account
from counterfoil.store import queries
from counterfoil.store.database import Database
from ledger_day import Day

# What else stands between quotes where transfers are written.
NO_ACCOUNTS = {
    "acknowledged", "approved", "batch_closed", "captured", "voided", "sale", "refund",
    "host_accepted", "host_batch_closed", "_refused", "void",
    "capture", "reversal", "accepted", "refused", "0",
    "captured_final", "credit", "forced", "expired",
}  # fmt: skip


def test_every_account_has_a_meaning() -> None:
    """A name that no page explains is nobody's."""
    assert set(MEANINGS) == set(Account)


def test_every_account_is_reached_and_left() -> None:
    """Each stands on both ends of some flow, but what went back outside never comes again."""
    debited = {flow.debit for flow in FLOWS}
    credited = {flow.credit for flow in FLOWS}

    assert set(Account) - debited == {Account.OUTSIDE}
    assert set(Account) - credited == set()


def test_every_account_that_a_statement_writes_is_in_the_chart() -> None:
    """A typing mistake in SQL would open an account of its own."""
    written: set[str] = set()
    for text in queries._all().values():
        for insert in re.findall(r"INSERT INTO transfers\b(.*?)(?:\n\)|;)", text, re.DOTALL):
            written |= set(re.findall(r"'([a-z_0-9]+)'", insert))

    assert written - NO_ACCOUNTS <= {account.value for account in Account}
    assert {"held", "issuer", "open", "batched", "refunded", "released"} <= written


def test_every_account_that_the_settlement_names_is_in_the_chart() -> None:
    """Transfers about deposits are put together in Python."""
    folder = Path(settlement.__file__).parent
    text = "\n".join(path.read_text("utf-8") for path in folder.glob("*.py"))
    pairs = re.findall(r'signed\(\s*"(\w+)",\s*"(\w+)"', text)

    assert {"in_transit", "batched", "unexplained"} <= {word for pair in pairs for word in pair}
    assert {word for pair in pairs for word in pair} <= {account.value for account in Account}


async def test_a_whole_day_takes_only_ways_of_the_chart(database: Database) -> None:
    """Each transfer of a day is one of the listed flows."""
    day = await Day.whole(database)

    taken = {(debit, credit) for debit, credit, _ in await day.stage.transfers()}

    assert taken <= FLOWS
    assert {fee.value for fee in FEES} <= {debit for debit, _ in taken}
