"""
Readers of the rail's files for the tests: strict, and no code of the rail's own.
"""

from collections.abc import Mapping
from itertools import groupby
from typing import NamedTuple
from xml.etree import ElementTree

CAMT = "{urn:iso:std:iso:20022:tech:xsd:camt.053.001.08}"

Record = list[str]


class Report(NamedTuple):
    """
    A settlement report, cut into its records.
    """

    head: Record
    items: list[Record]
    adjustments: list[Record]
    deposits: list[Record]
    trailer: Record


class Entry(NamedTuple):
    """
    An entry of a bank statement; a debit is negative.
    """

    amount_minor: int
    reference: str
    is_return: bool


class Statement(NamedTuple):
    """
    A bank statement, whichever form it came in.
    """

    account: str
    day: str
    opening_minor: int
    closing_minor: int
    entries: list[Entry]


def read_report(text: str) -> Report:
    """
    Read a report, and hold it to everything its format promises.
    """
    assert text.isascii()
    assert text.endswith("\n")
    records = [line.split(",") for line in text.removesuffix("\n").split("\n")]
    head, *middle, trailer = records
    of = {kind: [row for row in middle if row[0] == kind] for kind in "PAD"}
    assert (head[0], trailer[0], len(head), len(trailer)) == ("H", "T", 7, 9)
    assert sum(map(len, of.values())) == len(middle)
    assert [row[1] for row in of["P"]] == [str(n + 1) for n in range(len(of["P"]))]
    assert all(len(row) == 16 and int(row[11]) >= 0 for row in of["P"])
    report = Report(head, of["P"], of["A"], of["D"], trailer)
    _check_order(middle)
    for deposit in report.deposits:
        _check_deposit(deposit, report)
    _check_trailer(report, len(records))
    return report


def _check_order(middle: list[Record]) -> None:
    """Each deposit: its P lines, its A lines, its D."""
    place = {"P": 14, "A": 1, "D": 1}
    order = [(row[0], row[place[row[0]]]) for row in middle]
    runs = [key for key, _ in groupby(order)]
    assert len(runs) == len(set(runs))
    for _, group in groupby(runs, key=lambda run: run[1]):
        kinds = "".join(kind for kind, _ in group)
        assert kinds in {"PD", "AD", "PAD"}


def _check_deposit(deposit: Record, report: Report) -> None:
    _, reference, currency, *sums, value_date, count = deposit
    items = [row for row in report.items if row[14] == reference]
    amounts = [int(row[10]) for row in items]
    fees = sum(int(row[11]) + int(row[12]) + int(row[13]) for row in items)
    adjusted = sum(int(row[4]) for row in report.adjustments if row[1] == reference)
    gross, refunds = sum(n for n in amounts if n > 0), -sum(n for n in amounts if n < 0)
    net = gross - refunds - fees + adjusted
    assert [int(value) for value in sums] == [gross, refunds, fees, adjusted, net]
    assert {row[9] for row in items} <= {currency}
    assert int(count) == len(items)
    assert value_date > report.head[5]


def _check_trailer(report: Report, records: int) -> None:
    def total(column: int) -> int:
        return sum(int(row[column]) for row in report.items)

    assert [int(value) for value in report.trailer[1:]] == [
        records,
        len(report.items),
        total(5) % 10**12,
        total(10),
        total(11),
        total(12),
        total(13),
        sum(int(row[7]) for row in report.deposits),
    ]


def read_camt(text: str) -> Statement:
    """
    Read a camt.053.001.08, with its elements in the order of the schema.
    """
    root = ElementTree.fromstring(text)
    assert root.tag == f"{CAMT}Document"
    statement = _one(root, "BkToCstmrStmt/Stmt")
    tags = [child.tag.removeprefix(CAMT) for child in statement]
    assert tags[:6] == ["Id", "ElctrncSeqNb", "CreDtTm", "Acct", "Bal", "Bal"]
    assert set(tags[6:]) <= {"Ntry"}
    balances = {_text(one, "Tp/CdOrPrtry/Cd"): one for one in _all(statement, "Bal")}
    assert list(balances) == ["OPBD", "CLBD"]
    days = {_text(one, "Dt/Dt") for one in balances.values()}
    (day,) = days
    entries = [_camt_entry(entry, day) for entry in _all(statement, "Ntry")]
    opening, closing = (_camt_amount(one) for one in balances.values())
    return Statement(_text(statement, "Acct/Id/Othr/Id"), day, opening, closing, entries)


def _camt_entry(entry: ElementTree.Element, day: str) -> Entry:
    tags = [child.tag.removeprefix(CAMT) for child in entry]
    first = ["Amt", "CdtDbtInd", "Sts", "BookgDt", "ValDt", "AcctSvcrRef", "BkTxCd", "NtryDtls"]
    assert tags == first
    assert _text(entry, "Sts/Cd") == "BOOK"
    assert _text(entry, "BookgDt/Dt") == _text(entry, "ValDt/Dt") == day
    assert _text(entry, "AcctSvcrRef")
    assert _text(entry, "BkTxCd/Domn/Cd") == "PMNT"
    details = _one(entry, "NtryDtls/TxDtls")
    reference = _text(details, "Refs/EndToEndId")
    assert reference in _text(details, "RmtInf/Ustrd")
    is_return = details.find(f"{CAMT}RtrInf") is not None
    assert _camt_amount(details) == _camt_amount(entry)
    return Entry(_camt_amount(entry), reference, is_return)


def _camt_amount(parent: ElementTree.Element) -> int:
    amount = _one(parent, "Amt")
    digits = {"USD": 2, "JPY": 0, "BHD": 3, "EUR": 2}[amount.attrib["Ccy"]]
    whole, _, rest = (amount.text or "").partition(".")
    assert len(rest) == digits
    return int(whole + rest) * (1 if _text(parent, "CdtDbtInd") == "CRDT" else -1)


def _all(parent: ElementTree.Element, path: str) -> list[ElementTree.Element]:
    return parent.findall("/".join(f"{CAMT}{tag}" for tag in path.split("/")))


def _one(parent: ElementTree.Element, path: str) -> ElementTree.Element:
    (found,) = _all(parent, path)
    return found


def _text(parent: ElementTree.Element, path: str) -> str:
    text = _one(parent, path).text
    assert text
    return text


def read_bai2(text: str) -> Statement:
    """
    Read a BAI2 file, and hold it to its control totals and record counts.
    """
    lines = text.removesuffix("\n").split("\n")
    assert all(len(line) <= 80 for line in lines)
    assert [line[:2] for line in (*lines[:3], *lines[-3:])] == ["01", "02", "03", "49", "98", "99"]
    account = lines[2].rstrip("/").split(",")
    assert (account[3], account[7]) == ("010", "015")
    opening, closing = int(account[4]), int(account[8])
    entries = []
    total = opening + closing
    for line in _whole(lines[3:-3]):
        _, code, amount, _, _, reference, words = line.split(",")
        assert reference in words
        sign = {"142": 1, "455": -1, "557": -1}[code]
        total += int(amount)
        entries.append(Entry(sign * int(amount), reference, code == "557"))
    controls = [line.rstrip("/").split(",")[1:] for line in lines[-3:]]
    count = len(lines)
    assert controls == [
        [str(total), str(count - 4)],
        [str(total), "1", str(count - 2)],
        [str(total), "1", str(count)],
    ]
    as_of = lines[1].split(",")[4]
    day = f"20{as_of[:2]}-{as_of[2:4]}-{as_of[4:]}"
    return Statement(account[1], day, opening, closing, entries)


def _whole(lines: list[str]) -> list[str]:
    """Join 88 records to the 16 before."""
    joined: list[str] = []
    for line in lines:
        if line.startswith("88,"):
            joined[-1] = joined[-1].removesuffix("/") + line.removeprefix("88,")
        else:
            assert line.startswith("16,")
            joined.append(line)
    return joined


def read_statements(files: Mapping[str, str]) -> list[Statement]:
    """
    Read all statements among *files*, oldest first.
    """
    read = [
        read_bai2(text) if name.endswith(".bai2") else read_camt(text)
        for name, text in files.items()
        if not name.endswith(".csv")
    ]
    return sorted(read, key=lambda statement: (statement.account, statement.day))
