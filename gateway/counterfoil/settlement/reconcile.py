"""
Book the acquirer's report: each line matched with our item, each deposit announced, to the cent.

Stands between *settlement* and *funding*. The whole report is booked in one transaction, or it
is held whole. Afterwards the journal's account `in_transit` holds, for each of its deposits,
exactly the net that the bank has still to pay.
"""

import asyncio
from datetime import date, timedelta
from typing import Any

from counterfoil.ids import Ids
from counterfoil.settlement import words
from counterfoil.settlement.deposit import bring_up_to_date
from counterfoil.settlement.journal import fees_of, transfers_of
from counterfoil.settlement.matching import SETTLING, Item, Match, NotClosed, kind_of, match
from counterfoil.settlement.report_file import Deposit, Report, ReportLine
from counterfoil.store.booking import Booking, Finding

NAMED_MAX = 5  # Batches and deposits named in one sentence.
HALF_A_YEAR = timedelta(days=183)

BatchName = tuple[str, str, int]  # Terminal, currency, number.


class NotBooked(Exception):
    """
    A file that is held although it can be read; its sentence says why.

    Attributes:
        looks_again: What holds it may change by itself, so it is tried again.
    """

    def __init__(self, reason: str, *, looks_again: bool = False) -> None:
        super().__init__(reason)
        self.looks_again = looks_again


async def book_report(
    report: Report, *, acquirer: str, digest: bytes, booking: Booking, ids: Ids
) -> None:
    """
    Book *report*, which is this merchant's at *acquirer*.

    Raises:
        NotBooked: It names what we do not have, or not yet; the transaction must be given up.
    """
    batches = sorted(
        {(line.terminal_id, line.currency, line.batch_number) for line in report.lines}
    )
    await _check_batches(report, acquirer, batches, booking)
    known = await _check_deposits(report, acquirer, booking)
    matches = await _matched(report, acquirer, booking)
    lines = [_row(each) for each in matches]
    await booking.add_lines(acquirer, digest, lines)
    settles = [each.item.movement_id for each in matches if each.item and each.outcome in SETTLING]
    if (settled := await booking.settle(settles)) != len(settles):
        raise NotBooked(
            f"Its lines settle {len(settles)} items, and here only {settled} are unsettled."
        )
    await _announce(report, matches, acquirer, digest, set(known), booking, ids)
    transfers = transfers_of(report, matches, known)
    await booking.book([(ids.new(), each) for each in transfers])
    await _tell_lines(report, matches, acquirer, digest, batches, booking, ids)
    await _tell_batches(report, acquirer, batches, booking, ids)
    await bring_up_to_date(
        booking,
        [(acquirer, deposit.reference) for deposit in report.deposits],
        cause="report",
        actor="acquirer",
        ids=ids,
    )


async def _check_batches(
    report: Report, acquirer: str, batches: list[BatchName], booking: Booking
) -> None:
    """
    Hold a report of batches that are not ours, or that are not closed here.
    """
    rows = await booking.batches(acquirer, batches)
    unknown = [
        words.batch_name(row["terminal_id"], row["currency"], row["batch_number"])
        for row in rows
        if row["state"] is None or row["card_acceptor_id"] != report.card_acceptor_id
    ]
    if unknown:
        raise NotBooked(f"It names a batch that is not this merchant's: {_some(unknown)}.")
    too_early = [
        words.batch_name(row["terminal_id"], row["currency"], row["batch_number"])
        for row in rows
        if row["state"] != "closed"
    ]
    if too_early:
        raise NotBooked(
            f"It names a batch that is not closed here: {_some(too_early)}. It is read again once "
            "the batch is closed.",
            looks_again=True,
        )


async def _check_deposits(report: Report, acquirer: str, booking: Booking) -> dict[str, int]:
    """
    Return what was paid before the report came, by reference.

    Raises:
        NotBooked: A deposit was announced by another report, or was paid in another currency.
    """
    announced = {deposit.reference: deposit for deposit in report.deposits}
    rows = [row for row in await booking.deposits(announced) if row["acquirer"] == acquirer]
    doubled = [row["reference"] for row in rows if row["file_digest"] is not None]
    if doubled:
        raise NotBooked(f"Another report announced this deposit before: {_some(doubled)}.")
    for row in rows:
        expected, found = announced[row["reference"]].currency, row["currency"]
        if expected != found:
            raise NotBooked(
                f"Deposit {row['reference']} is in {expected}; the bank was paid in {found}."
            )
    return {row["reference"]: row["paid_minor"] for row in rows}


async def _matched(report: Report, acquirer: str, booking: Booking) -> list[Match]:
    """
    Match the lines, and find out more about those that we have nothing for.
    """
    keys = list({(line.terminal_id, line.rrn) for line in report.lines})
    items = [Item(**row) for row in await booking.items(acquirer, keys)]
    try:
        matches = await asyncio.to_thread(match, report.lines, items)
    except NotClosed as error:
        item = error.item
        name = words.batch_name(item.terminal_id, item.currency, item.batch_number)
        raise NotBooked(
            f"It settles RRN {item.rrn}, which is here in {name}, and that batch is not closed. "
            "It is read again once the batch is closed.",
            looks_again=True,
        ) from None
    return await _explained(matches, acquirer, booking)


async def _explained(matches: list[Match], acquirer: str, booking: Booking) -> list[Match]:
    """
    Say of a capture that we do not have what became of its payment: voided, reversed, declined.
    """
    unknown = {
        (each.line.terminal_id, each.line.rrn)
        for each in matches
        if each.why == "unknown" and kind_of(each.line) == "capture"
    }
    payments = {
        (row["terminal_id"], row["rrn"]): row["state"]
        for row in await booking.payments(acquirer, sorted(unknown))
    }
    return [
        Match(line=each.line, outcome="missing_here", why=payments[key])
        if each.why == "unknown" and (key := (each.line.terminal_id, each.line.rrn)) in payments
        else each
        for each in matches
    ]


def _row(found: Match) -> tuple[Any, ...]:
    line: ReportLine = found.line
    return (
        line.number,
        line.deposit_reference,
        line.terminal_id,
        line.batch_number,
        kind_of(line),
        line.rrn,
        line.approval_code,
        line.card_last_four,
        line.card_brand,
        line.currency,
        line.amount_minor,
        line.interchange_minor,
        line.scheme_fee_minor,
        line.markup_minor,
        line.transaction_date,
        found.item.movement_id if found.item else None,
        found.outcome,
    )


async def _announce(
    report: Report,
    matches: list[Match],
    acquirer: str,
    digest: bytes,
    paid: set[str],
    booking: Booking,
    ids: Ids,
) -> None:
    """
    Add the deposits with their fees and adjustments, and the beginning of their history.
    """
    fees = fees_of(matches)
    await booking.announce(
        acquirer,
        digest,
        report.business_date,
        [_deposit_row(each, fees) for each in report.deposits],
        [
            (each.deposit_reference, number, each.kind, each.amount_minor, each.text)
            for number, each in enumerate(report.adjustments, start=1)
        ],
    )
    await booking.begin_deposits(
        [
            (ids.new(), acquirer, each.reference, "announced", "report")
            for each in report.deposits
            if each.reference not in paid
        ],
        "acquirer",
    )


def _deposit_row(deposit: Deposit, fees: dict[str, list[int]]) -> tuple[Any, ...]:
    return (
        deposit.reference,
        deposit.currency,
        deposit.value_date,
        deposit.gross_minor,
        deposit.refunds_minor,
        *fees.get(deposit.reference, (0, 0, 0)),
        deposit.adjustments_minor,
        deposit.net_minor,
    )


async def _tell_lines(
    report: Report,
    matches: list[Match],
    acquirer: str,
    digest: bytes,
    batches: list[BatchName],
    booking: Booking,
    ids: Ids,
) -> None:
    """
    Put on the list which lines we cannot place, and which items have no line.
    """
    findings = [
        finding for each in matches if (finding := words.line_finding(each, report.file_id))
    ]
    for row in await booking.items_without_line(acquirer, batches):
        batch = words.batch_name(row["terminal_id"], row["currency"], row["batch_number"])
        findings.append(
            words.missing_there(
                row["movement_id"],
                row["kind"],
                batch,
                row["rrn"],
                row["amount_minor"],
                row["currency"],
            )
        )
    await booking.resolve_missing_there(digest, f"Its line came with report {report.file_id}.")
    await booking.find([(ids.new(), each) for each in findings])


async def _tell_batches(
    report: Report, acquirer: str, batches: list[BatchName], booking: Booking, ids: Ids
) -> None:
    """
    Put on the list which whole batches of that day or before the report leaves out.
    """
    named = [("batch_missing", words.batch_name(*each)) for each in batches]
    await booking.resolve(named, f"Report {report.file_id} names it.")
    findings: list[Finding] = []
    for row in await booking.batches_not_reported(acquirer, report.card_acceptor_id):
        if _is_due(row["settlement_date"], report.business_date):
            name = words.batch_name(row["terminal_id"], row["currency"], row["batch_number"])
            findings.append(words.batch_missing(name, row["amount_minor"], row["currency"]))
    await booking.find([(ids.new(), each) for each in findings])


def _is_due(settlement_date: str, business_date: date) -> bool:
    """
    Return whether a settlement date (DE 15, MMDD) is that day or before, the year being near it.
    """
    for year in (business_date.year + 1, business_date.year, business_date.year - 1):
        try:
            day = date(year, int(settlement_date[:2]), int(settlement_date[2:]))
        except ValueError:  # The 29th of February of another year, or no date at all.
            continue
        if abs(day - business_date) <= HALF_A_YEAR:
            return day <= business_date
    return False


def _some(names: list[str]) -> str:
    more = len(names) - NAMED_MAX
    return ", ".join(names[:NAMED_MAX]) + (f" and {more} more" if more > 0 else "")
