"""
Whether everybody tells the same story: the gateway's API, its database, and the rail's own books.

Called at the end of every story, when nothing is owed any more. What the client or the shop was
told is compared by the story itself, with the payments that `agreed` returns.
"""

from collections import Counter
from collections.abc import Iterable
from uuid import UUID

import asyncpg
from counterfoil import ids

from .merchants import Merchant
from .sandboxes import Json, eventually

# What the rail's books may say of a payment; None: they do not know it.
AT_THE_RAIL: dict[str, set[str | None]] = {
    "captured": {"captured"},
    "authorized": {"held"},
    "declined": {"declined"},
    "voided": {"reversed"},
    "reversed": {"reversed", "declined", None},
    "not_sent": {None},
    "verified": {None},
    "expired": {"reversed", "expired"},
}
OWED = """
SELECT 'payment', state, updated_at, NULL FROM payments
 WHERE merchant_id = $1 AND state IN ('processing', 'approved', 'reversing', 'voiding')
UNION ALL SELECT 'advice', kind, next_try_at, lease_until FROM advices
 WHERE merchant_id = $1 AND state = 'owed'
UNION ALL SELECT 'mail', kind, next_try_at, lease_until FROM outbox
 WHERE merchant_id = $1 AND state = 'owed'
"""
CONFIRMED = {"captured", "authorized", "voiding", "voided", "expired"}
ACCOUNTS = ("issuer", "held", "open", "released", "refunded")


async def agreed(merchant: Merchant) -> dict[str, Json]:
    """
    Wait until nothing is owed, compare everybody's books, and return the payments by their key.
    """
    async with merchant.sandbox.database() as database:
        await _settled(database, merchant)
        await _holds_in_the_database(database, merchant)
        rows = await database.fetch(
            "SELECT * FROM payments WHERE merchant_id = $1", merchant.merchant_id
        )
    payments = {}
    for row in rows:
        told = await merchant.payment(ids.written(ids.PAYMENT, row["payment_id"]))
        _the_api_tells_the_row(told, row)
        payments[str(told["idempotency_key"])] = told
    _the_rail_agrees(payments.values(), await merchant.sandbox.rail_books({merchant.terminal_id}))
    return payments


async def balances(merchant: Merchant, payment: Json) -> dict[str, int]:
    """
    Return what the journal's transfers of *payment* add up to: debits less credits.
    """
    async with merchant.sandbox.database() as database:
        rows = await database.fetch(
            "SELECT * FROM transfers WHERE merchant_id = $1 AND payment_id = $2",
            merchant.merchant_id,
            ids.read(ids.PAYMENT, payment["id"]),
        )
    return _balances(rows)


def states(payment: Json) -> list[str]:
    """
    Return the states that *payment* went through.
    """
    passed: list[str] = []
    for each in payment["states"]:
        if passed[-1:] != [each["state"]]:
            passed.append(each["state"])
    return passed


def messages(payment: Json, mti: str) -> list[Json]:
    """
    Return the messages of *payment* with that *mti*, masked, as the gateway tells them.
    """
    return [each["fields"] for each in payment["messages"] if each["mti"] == mti]


async def _settled(database: asyncpg.Connection, merchant: Merchant) -> None:
    owed: list[tuple[object, ...]] = []

    async def nothing_is_owed() -> bool:
        rows = await database.fetch(OWED, merchant.merchant_id)
        owed[:] = [tuple(each) for each in rows]
        return not owed

    try:
        await eventually(nothing_is_owed, "nothing is owed any more")
    except AssertionError as error:
        error.add_note(f"still owed: {owed}")
        raise


async def _holds_in_the_database(database: asyncpg.Connection, merchant: Merchant) -> None:
    """
    Check what must hold between the tables, whatever happened.
    """

    async def by_payment(table: str, order: str) -> dict[UUID, list[asyncpg.Record]]:
        found: dict[UUID, list[asyncpg.Record]] = {}
        for row in await database.fetch(
            f"SELECT * FROM {table} WHERE merchant_id = $1 ORDER BY {order}", merchant.merchant_id
        ):
            found.setdefault(row["payment_id"], []).append(row)
        return found

    transfers = await by_payment("transfers", "at")
    history = await by_payment("payment_events", "version")
    advices = await by_payment("advices", "position")
    mails = await by_payment("outbox", "kind")
    sent = await by_payment("network_messages", "message_id")
    for name, [row] in (await by_payment("payments", "payment_id")).items():
        _the_journal_balances(row, transfers.get(name, []))
        _the_history_is_whole(row, history[name])
        _reversals_are_owed_once(row, advices.get(name, []))
        _mails_follow_the_confirmation(row, mails.get(name, []), merchant)
        assert any(each["direction"] == "sent" for each in sent[name])


def _the_journal_balances(row: asyncpg.Record, transfers: list[asyncpg.Record]) -> None:
    assert {each["currency"] for each in transfers} <= {row["currency"]}
    assert _balances(transfers) == {
        "issuer": -row["authorized_minor"],
        "held": row["authorized_minor"] - row["captured_minor"] - row["released_minor"],
        "open": row["captured_minor"] - row["refunded_minor"],
        "released": row["released_minor"],
        "refunded": row["refunded_minor"],
    }


def _balances(transfers: Iterable[asyncpg.Record]) -> dict[str, int]:
    sums: Counter[str] = Counter(dict.fromkeys(ACCOUNTS, 0))
    for each in transfers:
        sums[each["debit_account"]] += each["amount_minor"]
        sums[each["credit_account"]] -= each["amount_minor"]
    return dict(sums)


def _the_history_is_whole(row: asyncpg.Record, events: list[asyncpg.Record]) -> None:
    assert [each["version"] for each in events] == list(range(1, row["version"] + 1))
    assert [None, *(each["to_state"] for each in events)] == [
        *(each["from_state"] for each in events),
        row["state"],
    ]
    assert events[-1]["event_id"] == row["changed_by"]


def _reversals_are_owed_once(row: asyncpg.Record, advices: list[asyncpg.Record]) -> None:
    undone = [each for each in advices if each["kind"] in ("reversal", "void")]
    assert len(undone) == (row["state"] in ("reversed", "voided"))
    assert {each["state"] for each in advices} <= {"accepted"}


def _mails_follow_the_confirmation(
    row: asyncpg.Record, mails: list[asyncpg.Record], merchant: Merchant
) -> None:
    confirmed = row["confirmation_number"] is not None
    assert confirmed == (row["state"] in CONFIRMED) == (row["acknowledged_at"] is not None)
    expected = {merchant.email, row["customer_email"]} - {None} if confirmed else set()
    assert {each["recipient"] for each in mails} == expected
    assert len(mails) == len(expected)


def _the_api_tells_the_row(told: Json, row: asyncpg.Record) -> None:
    for name in (
        *("state", "amount_minor", "currency", "captured_minor", "refunded_minor"),
        *("rrn", "terminal_id", "confirmation_number", "response_code", "approval_code"),
    ):
        assert told[name] == row[name], name
    assert [each["state"] for each in told["states"]][-1] == row["state"]


def _the_rail_agrees(payments: Iterable[Json], charges: list[Json]) -> None:
    """
    Compare each payment with its charge, to the cent, and let no charge be without a payment.
    """
    by_rrn = {each["rrn"]: each for each in charges}
    assert len(by_rrn) == len(charges), "an RRN was charged twice"
    for payment in payments:
        charge = by_rrn.pop(payment["rrn"], None)
        _one_agrees(payment, charge)
    assert not by_rrn, f"the rail has charges that the gateway does not know: {by_rrn}"


def _one_agrees(payment: Json, charge: Json | None) -> None:
    expected = AT_THE_RAIL[payment["state"]]
    if payment["kind"] == "verification":
        expected = {None}  # It books nothing, whatever the issuer said.
    if payment["refunded_minor"] and payment["refunded_minor"] == payment["captured_minor"]:
        expected = {"refunded"}
    if payment["kind"] == "credit" and payment["refunded_minor"]:
        expected = {"credited"}
    assert (charge["state"] if charge else None) in expected, (payment, charge)
    if charge is None:
        return
    held = payment["held_minor"] if payment["charged"] else 0
    assert charge["amount_minor"] == payment["amount_minor"]
    assert charge["currency"] == payment["currency"]
    assert charge["held_minor"] == held
    if payment["kind"] == "credit":
        assert charge["credited_minor"] == payment["refunded_minor"]
    if payment["charged"]:
        assert charge["captured_minor"] == payment["captured_minor"]
        assert charge["refunded_minor"] == payment["refunded_minor"]
        assert charge["approval_code"] == payment["approval_code"]
