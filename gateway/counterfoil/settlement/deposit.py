"""
The life of a deposit: announced by a report, paid by the bank, in whatever parts and order.

    announced ──► partly_paid ──► funded ──► returned, when the bank sends it back
        │              └────────► overpaid
    without_report, when the bank was faster than the report

The state follows from two numbers and never from the order in which files came: what the report
says (net), and the sum of what the bank booked. A negative net is a debit: the same rules with
the other sign.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from counterfoil.ids import Ids
from counterfoil.settlement import words
from counterfoil.store.booking import Booking, DepositMove, Finding

DAYS_OFF_MAX = 2
PAID = frozenset({"funded", "overpaid"})
# What may stand on the list about a whole deposit.
FINDINGS = ("amount_differs", "returned", "without_report", "not_paid")

DepositKey = tuple[str, str]  # Acquirer, reference.


class Part(msgspec.Struct, frozen=True):
    """
    One booking of the bank for a deposit, and how many days off its value date it is.
    """

    amount_minor: int
    days_off: int


def state_of(*, net_minor: int, paid_minor: int, was_paid: bool) -> str:
    """
    Return the state of a reported deposit; *was_paid*: something has come, and may have gone.
    """
    sign = -1 if net_minor < 0 else 1
    net, paid = sign * net_minor, sign * paid_minor
    if paid == net:
        return "funded"
    if paid > net:
        return "overpaid"
    if paid > 0:
        return "partly_paid"
    return "returned" if was_paid else "announced"


def outcomes(parts: Sequence[Part], *, net_minor: int, state: str) -> list[str]:
    """
    Return what each booking turned out to be, oldest first.
    """
    if state == "without_report":
        return ["without_report"] * len(parts)
    found = []
    paid = 0
    for part in parts:
        paid += part.amount_minor
        found.append(_outcome(part, paid, net_minor, state))
    return found


def _outcome(part: Part, paid_minor: int, net_minor: int, state: str) -> str:
    sign = -1 if net_minor < 0 else 1
    if part.amount_minor * sign < 0:
        return "returned"
    if paid_minor * sign > net_minor * sign:
        return "amount_differs"
    if part.amount_minor == net_minor:
        return "date_shifted" if abs(part.days_off) > DAYS_OFF_MAX else "matched"
    return "amount_differs" if state == "partly_paid" else "split"


async def bring_up_to_date(
    booking: Booking, keys: Iterable[DepositKey], *, cause: str, actor: str, ids: Ids
) -> None:
    """
    Give each of these deposits the state that report and bank together say, and all that follows.
    """
    wanted = set(keys)
    rows = [
        row
        for row in await booking.deposits(reference for _, reference in wanted)
        if (row["acquirer"], row["reference"]) in wanted
    ]
    entries: dict[DepositKey, list[Any]] = {key: [] for key in wanted}
    for entry in await booking.entries(sorted(wanted)):
        entries[entry["acquirer"], entry["reference"]].append(entry)
    moves = []
    judged: list[tuple[str, str, int, str]] = []
    for row in rows:
        own = entries[row["acquirer"], row["reference"]]
        moves.append(_move(row, own, cause))
        judged += _judged(row, own, moves[-1].state)
    await booking.set_outcomes(judged)
    await booking.move([(ids.new(), each) for each in moves], actor)
    await _move_movements(booking, moves, cause)
    await _tell(booking, rows, moves, ids)


def _move(row: Any, entries: list[Any], cause: str) -> DepositMove:
    paid = sum(entry["amount_minor"] for entry in entries)
    state = "without_report"
    if row["file_digest"] is not None:
        state = state_of(net_minor=row["net_minor"], paid_minor=paid, was_paid=bool(entries))
    return DepositMove(
        acquirer=row["acquirer"],
        reference=row["reference"],
        before=row["state"],
        state=state,
        paid_minor=paid,
        parts=len(entries),
        cause="nothing_to_pay" if row["net_minor"] == 0 and not entries else cause,
    )


def _judged(row: Any, entries: list[Any], state: str) -> list[tuple[str, str, int, str]]:
    """
    Return the bookings of a deposit that turned out to be something else than was thought.
    """
    parts = [
        Part(entry["amount_minor"], (entry["value_on"] - row["value_date"]).days)
        for entry in entries
    ]
    found = outcomes(parts, net_minor=row["net_minor"], state=state)
    return [
        (entry["account"], entry["statement_id"], entry["number"], outcome)
        for entry, outcome in zip(entries, found, strict=True)
        if entry["outcome"] != outcome
    ]


async def _move_movements(booking: Booking, moves: list[DepositMove], cause: str) -> None:
    """
    Let what a deposit pays for be funded with it, and settled again when the money went back.
    """
    paid = [(each.acquirer, each.reference) for each in moves if each.state in PAID]
    not_paid = [(each.acquirer, each.reference) for each in moves if each.state not in PAID]
    await booking.move_movements(paid, "settled", "funded", cause)
    await booking.move_movements(not_paid, "funded", "settled", cause)


async def _tell(booking: Booking, rows: list[Any], moves: list[DepositMove], ids: Ids) -> None:
    """
    Open what is to be said about deposits, and resolve what no longer is.
    """
    findings: list[Finding] = []
    resolved: dict[str, list[tuple[str, str]]] = {}
    for row, move in zip(rows, moves, strict=True):
        finding = words.deposit_finding(
            move.state,
            move.reference,
            row["currency"],
            net_minor=row["net_minor"],
            paid_minor=move.paid_minor,
        )
        findings += [finding] if finding else []
        open_still = {finding.kind} if finding else set()
        if move.state not in PAID:
            open_still.add("not_paid")
        subject = words.deposit_subject(move.reference)
        over = [(kind, subject) for kind in FINDINGS if kind not in open_still]
        resolved.setdefault(move.state, []).extend(over)
    for state, subjects in resolved.items():
        await booking.resolve(subjects, f"The deposit is {state.replace('_', ' ')} now.")
    await booking.find([(ids.new(), each) for each in findings])
