"""
Three books side by side: the gateway's, the acquirer's and the shop's.

Comes to `counterfoil audit --sandbox DIR` through the entry point group `counterfoil.audits`.
Each party is asked by its own command, as an operator would, so that nothing but what it
says of itself counts.
"""

import importlib.util
import json
import subprocess
import sys
from collections.abc import Iterable
from datetime import date
from pathlib import Path
from typing import Any

from counterfoil.ledger.audit import Difference
from counterfoil.ledger.listing import ListedDeposit, ListedPayment, OurBooks

COMMAND_SECONDS_MAX = 120.0
ASK_ACQUIRER = (
    "Lay both histories side by side: GET /v1/payments/ID here, `counterfoil-rail books` there."
)
READ_FILES = "Read the files below rail/files with `counterfoil settlement read`, then audit again."
ASK_SHOP = (
    "Restart the shop: its client finishes what was interrupted. Then compare the order with "
    "`counterfoil-shop orders`."
)

Row = dict[str, Any]


class BooksAway(OSError):
    """
    A party's books cannot be read; the message says which command failed and why.
    """


def compare(folder: Path, ours: OurBooks) -> list[Difference]:
    """
    Return what differs between our books and those of the rail and the shop below *folder*.

    What is still under way on our side is left out.

    Raises:
        BooksAway: A party does not tell.
    """
    found: list[Difference] = []
    if _is_installed("counterfoil_rail"):
        today = date.fromisoformat(_ask(folder, "counterfoil_rail", "day", "show")["business_day"])
        found += against_charges(ours, _ask(folder, "counterfoil_rail", "books"))
        found += against_deposits(ours, _ask(folder, "counterfoil_rail", "deposits"), today)
    if _is_installed("counterfoil_shop"):
        found += against_orders(ours, _ask(folder, "counterfoil_shop.cli", "orders"))
    return found


def against_charges(ours: OurBooks, charges: list[Row]) -> Iterable[Difference]:
    """
    Yield what the acquirer holds, has taken or gave back otherwise than we say, by RRN.
    """
    theirs = {
        (row["terminal_id"], row["rrn"]): row
        for row in charges
        if row["terminal_id"] in ours.terminals
    }
    for payment in ours.payments:
        row = theirs.pop((payment.terminal_id, payment.rrn), None)
        if payment.is_under_way:
            continue
        yield from _against_charge(payment, row)
    for (terminal_id, rrn), row in theirs.items():
        if taken := row["held_minor"] + row["captured_minor"] - _given(row):
            yield Difference(
                merchant=None,
                currency=row["currency"],
                what="the acquirer charged what we do not know",
                subject=f"RRN {rrn} of {terminal_id}",
                expected=0,
                found=taken,
                difference_minor=taken,
                next_step=ASK_ACQUIRER,
            )


def against_deposits(ours: OurBooks, deposits: list[Row], today: date) -> Iterable[Difference]:
    """
    Yield what the acquirer settled or the bank paid otherwise than we read; *today* is theirs.
    """
    known = {deposit.reference: deposit for deposit in ours.deposits}
    for row in deposits:
        reference = row["reference"]
        deposit = known.pop(reference, None)
        if deposit is None:
            if _is_ours(row, ours):
                yield _deposit_difference(None, row, "net", 0, row["net"], READ_FILES)
            continue
        for name in ("gross", "refunds", "fees", "adjustments", "net"):
            mine, other = getattr(deposit, f"{name}_minor"), row[name]
            if mine != other:
                yield _deposit_difference(deposit, row, name, mine, other, ASK_ACQUIRER)
        yield from _against_payment(deposit, row, today)
    for deposit in known.values():
        yield Difference(
            merchant=deposit.merchant,
            currency=deposit.currency,
            what="the acquirer does not know a deposit",
            subject=f"deposit {deposit.reference}",
            expected=deposit.net_minor,
            found=0,
            difference_minor=-deposit.net_minor,
            next_step=ASK_ACQUIRER,
        )


def against_orders(ours: OurBooks, orders: list[Row]) -> Iterable[Difference]:
    """
    Yield what the shop was told otherwise than we say: paid, not paid, confirmed, how much.
    """
    payments = {payment.payment: payment for payment in ours.payments}
    numbers = {row["order"] for row in orders}
    for row in orders:
        if row["payment_id"] is None:
            continue
        payment = payments.pop(row["payment_id"], None)
        if payment is None:
            if row["status"] == "paid" and ours.is_everything:
                yield _order_difference(None, row, "paid", "no such payment", -row["amount_minor"])
        elif not payment.is_under_way:
            yield from _against_order(payment, row)
    for payment in payments.values():
        if payment.order in numbers and not payment.is_under_way and _stands(payment):
            yield Difference(
                merchant=payment.merchant,
                currency=payment.currency,
                what="the shop does not know that it was paid",
                subject=f"order {payment.order}, payment {payment.payment}",
                expected="paid",
                found="in no order, or undecided",
                difference_minor=_stands(payment),
                next_step=f"{ASK_SHOP} Another program may have paid with the shop's key.",
            )


def _against_charge(payment: ListedPayment, row: Row | None) -> Iterable[Difference]:
    if row is not None and row["currency"] != payment.currency:
        yield _charge_difference(payment, "currency", payment.currency, row["currency"], None)
        return
    for name in ("held", "captured", "refunded"):
        mine: int = getattr(payment, f"{name}_minor")
        other: int = _there(row, name) if row else 0
        if mine != other:
            yield _charge_difference(payment, name, mine, other, other - mine)


def _there(row: Row, name: str) -> int:
    """
    Return an amount of the acquirer's, in our words: what a credit gave is refunded.
    """
    minor: int = _given(row) if name == "refunded" else row[f"{name}_minor"]
    return minor


def _given(row: Row) -> int:
    given: int = row["refunded_minor"] + row.get("credited_minor", 0)
    return given


def _charge_difference(
    payment: ListedPayment, name: str, mine: int | str, other: int | str, minor: int | None
) -> Difference:
    return Difference(
        merchant=payment.merchant,
        currency=payment.currency,
        what="the acquirer's books differ from ours",
        subject=f"payment {payment.payment} (RRN {payment.rrn}), {name}",
        expected=mine,
        found=other,
        difference_minor=minor,
        next_step=ASK_ACQUIRER,
    )


def _against_payment(deposit: ListedDeposit, row: Row, today: date) -> Iterable[Difference]:
    """
    Yield what the bank paid; its statement of a day is there when the day is over.
    """
    is_paid = row["state"] in ("paid", "debited")
    due = deposit.net_minor if is_paid else 0
    is_told = not is_paid or date.fromisoformat(row["value_date"]) < today
    if deposit.paid_minor != due and (is_told or deposit.paid_minor):
        yield _deposit_difference(deposit, row, "paid", deposit.paid_minor, due, READ_FILES)


def _deposit_difference(
    deposit: ListedDeposit | None, row: Row, name: str, mine: int, other: int, next_step: str
) -> Difference:
    return Difference(
        merchant=deposit.merchant if deposit else None,
        currency=row["currency"],
        what="the acquirer's deposits differ from ours",
        subject=f"deposit {row['reference']}, {name}",
        expected=mine,
        found=other,
        difference_minor=other - mine,
        next_step=next_step,
    )


def _against_order(payment: ListedPayment, row: Row) -> Iterable[Difference]:
    """
    Yield how an order differs from its payment.
    """
    stands = _stands(payment)
    due = row["amount_minor"] if row["status"] == "paid" else 0
    if row["status"] != "unknown" and (stands != due or payment.currency != row["currency"]):
        yield _order_difference(payment, row, row["status"], payment.state, stands - due)
    for name in ("rrn", "confirmation_number"):
        said, mine = row[name], getattr(payment, name)
        if said is not None and said != mine:
            yield _order_difference(payment, row, f"{name} {said}", f"{name} {mine}", stands)


def _order_difference(
    payment: ListedPayment | None, row: Row, told: str, found: str, minor: int
) -> Difference:
    return Difference(
        merchant=payment.merchant if payment else None,
        currency=row["currency"],
        what="the shop was told otherwise than our books say",
        subject=f"order {row['order']}, payment {row['payment_id']}",
        expected=told,
        found=found,
        difference_minor=minor,
        next_step=ASK_SHOP,
    )


def _stands(payment: ListedPayment) -> int:
    """
    Return what the cardholder has paid, or is held to pay.
    """
    return payment.held_minor + payment.captured_minor - payment.refunded_minor


def _is_ours(row: Row, ours: OurBooks) -> bool:
    return any(item["terminal_id"] in ours.terminals for item in row["items"])


def _is_installed(package: str) -> bool:
    return importlib.util.find_spec(package) is not None


def _ask(folder: Path, module: str, *words: str) -> Any:
    """
    Return the JSON that a party's command prints.
    """
    command = [sys.executable, "-m", module, *words, "--json", "--state", str(folder)]
    spoken = " ".join(["python -m", *command[2:]])
    try:
        done = subprocess.run(  # noqa: S603  our own programs, with a path of the operator's
            command, capture_output=True, timeout=COMMAND_SECONDS_MAX, check=True
        )
        return json.loads(done.stdout)
    except subprocess.CalledProcessError as error:
        complaint = error.stderr.decode(errors="replace").strip()[-500:]
        raise BooksAway(f"`{spoken}` failed: {complaint}") from error
    except subprocess.TimeoutExpired as error:
        raise BooksAway(f"`{spoken}` took longer than {COMMAND_SECONDS_MAX:g} s") from error
    except ValueError as error:
        raise BooksAway(f"`{spoken}` printed no JSON") from error
