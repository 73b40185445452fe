"""
Read the acquirer's settlement report: what it paid for, what it kept, what it will deposit.

The file is ASCII, one record a line, comma separated: H, then for each deposit its P lines
(payments), its A lines (adjustments) and its D (the deposit), then T. It is taken whole or
held whole: the trailer must agree with the records, each D with its own P and A lines.
Whether the lines agree with our books is for the matching, not for the reading.
"""

from collections.abc import Iterator

import msgspec

from counterfoil.settlement.held import FileHeld, shown
from counterfoil.settlement.report_layout import fields_of
from counterfoil.settlement.report_records import (
    Adjustment,
    Deposit,
    Report,
    ReportLine,
    adjustment_of,
    date_of,
    deposit_of,
    line_of,
)

__all__ = ["Adjustment", "Deposit", "Report", "ReportLine", "read"]

REPORT_BYTES_MAX = 64 * 1024 * 1024
REPORT_RECORDS_MAX = 500_000
HASH_TOTAL_MODULUS = 10**12  # An RRN has twelve digits.


def read(content: bytes) -> Report:
    """
    Return the report in *content*.

    Raises:
        FileHeld: It is not such a file, or does not agree with itself; nothing of it counts.
    """
    records = _records(content)
    header = fields_of("H", records[0], 1)
    _check_file_id(header)
    if not records[-1].startswith("T,"):
        raise FileHeld("the last record is no trailer", record=len(records))
    lines: list[ReportLine] = []
    adjustments: list[Adjustment] = []
    deposits: list[Deposit] = []
    for group in _groups(records):
        _check_deposit(group)
        lines += group.lines
        adjustments += group.adjustments
        deposits.append(group.deposit)
    _check_trailer(records, lines, deposits)
    return Report(
        acquirer_institution_id=header["acquirer institution id"],
        card_acceptor_id=header["card acceptor id"],
        business_date=date_of(header["business date"], 1),
        file_id=header["file id"],
        lines=tuple(lines),
        adjustments=tuple(adjustments),
        deposits=tuple(deposits),
    )


class _Group(msgspec.Struct, frozen=True):
    """
    A deposit with the lines before it; its first line stands in record *begin*.
    """

    begin: int
    lines: list[ReportLine]
    adjustments: list[Adjustment]
    deposit: Deposit

    @property
    def record(self) -> int:
        """
        The deposit's own record.
        """
        return self.begin + len(self.lines) + len(self.adjustments)


def _records(content: bytes) -> list[str]:
    """
    Return the file's records without their line ends.
    """
    if len(content) > REPORT_BYTES_MAX:
        raise FileHeld("the file is too large", expected=f"up to {REPORT_BYTES_MAX} bytes")
    if not content.isascii():
        raise FileHeld("the file is not ASCII")
    if b"\r" in content:
        raise FileHeld("lines do not end with a line feed alone")
    if not content.endswith(b"\n"):
        raise FileHeld("the file does not end with a line feed: it may have been cut off")
    if content.count(b"\n") > REPORT_RECORDS_MAX:
        raise FileHeld("the file has too many records", expected=f"up to {REPORT_RECORDS_MAX}")
    return content.decode("ascii").split("\n")[:-1]


def _groups(records: list[str]) -> Iterator[_Group]:
    """
    Yield each deposit with its lines, which come before it: P, then A, then D.
    """
    lines: list[ReportLine] = []
    adjustments: list[Adjustment] = []
    references: set[str] = set()
    begin, number = 2, 1
    for record, text in enumerate(records[1:-1], start=2):
        mark = text[:2]
        if mark == "P,":
            if adjustments:
                raise FileHeld("a P line follows an A line of the same deposit", record=record)
            lines.append(line_of(text, number, record))
            number += 1
        elif mark == "A,":
            adjustments.append(adjustment_of(text, record))
        elif mark == "D,":
            deposit = deposit_of(text, record)
            if deposit.reference in references:
                raise FileHeld("a deposit stands in the file twice", record=record)
            references.add(deposit.reference)
            yield _Group(begin, lines, adjustments, deposit)
            lines, adjustments, begin = [], [], record + 1
        else:
            raise FileHeld("a record is of no kind that may stand here (P, A, D)", record=record)
    if lines or adjustments:
        raise FileHeld("lines have no deposit after them", record=begin)


def _check_deposit(group: _Group) -> None:
    """
    Hold the file unless a deposit agrees with its own lines and adjustments.
    """
    deposit, record = group.deposit, group.record
    members: list[ReportLine | Adjustment] = [*group.lines, *group.adjustments]
    if not members:
        raise FileHeld("a deposit has neither payments nor adjustments", record=record)
    for place, member in enumerate(members, start=group.begin):
        if member.deposit_reference != deposit.reference:
            raise FileHeld(
                "a line is not of the deposit that follows it",
                expected=deposit.reference,
                found=member.deposit_reference,
                record=place,
            )
        _agree("the currency of a deposit's line", deposit.currency, member.currency, place)
    amounts = [line.amount_minor for line in group.lines]
    of = f" of deposit {shown(deposit.reference)}"
    gross = sum(amount for amount in amounts if amount > 0)
    refunds = -sum(amount for amount in amounts if amount < 0)
    fees = sum(line.fees_minor for line in group.lines)
    adjustments = sum(each.amount_minor for each in group.adjustments)
    _agree("the number of P lines" + of, len(amounts), deposit.line_count, record)
    _agree("the gross" + of, gross, deposit.gross_minor, record)
    _agree("the refunds" + of, refunds, deposit.refunds_minor, record)
    _agree("the fees" + of, fees, deposit.fees_minor, record)
    _agree("the adjustments" + of, adjustments, deposit.adjustments_minor, record)
    _agree("the net" + of, gross - refunds - fees + adjustments, deposit.net_minor, record)


def _check_trailer(records: list[str], lines: list[ReportLine], deposits: list[Deposit]) -> None:
    """
    Hold the file unless its trailer agrees with its records.
    """
    record = len(records)
    trailer = fields_of("T", records[-1], record)
    hash_total = sum(int(line.rrn) for line in lines) % HASH_TOTAL_MODULUS
    for name, counted in (
        ("number of records", len(records)),
        ("number of P lines", len(lines)),
        ("hash total of the RRNs", hash_total),
        ("sum of amounts", sum(line.amount_minor for line in lines)),
        ("sum of interchange fees", sum(line.interchange_minor for line in lines)),
        ("sum of scheme fees", sum(line.scheme_fee_minor for line in lines)),
        ("sum of markups", sum(line.markup_minor for line in lines)),
        ("sum of nets", sum(deposit.net_minor for deposit in deposits)),
    ):
        _agree(f"the trailer's {name}", counted, int(trailer[name]), record)


def _check_file_id(header: dict[str, str]) -> None:
    """
    Hold the file unless its id begins with its merchant and its day.
    """
    begin = f"{header['card acceptor id']}-{header['business date'].replace('-', '')}-"
    counter = header["file id"].removeprefix(begin)
    if not header["file id"].startswith(begin) or not counter.isdigit():
        raise FileHeld(
            "the file id is not the card acceptor id, the business date and a number",
            expected=begin + "n",
            found=header["file id"],
            record=1,
        )


def _agree(what: str, expected: object, found: object, record: int) -> None:
    """
    Hold the file unless *found* is what was *expected*.
    """
    if found != expected:
        raise FileHeld(f"{what} does not agree", expected=expected, found=found, record=record)
