"""
The acquirer's settlement report: read whole, or held whole.
"""

import contextlib
import time
from datetime import date, timedelta
from typing import NamedTuple

import pytest
from counterfoil.settlement import report_file, report_layout
from counterfoil.settlement.held import FileHeld
from counterfoil.settlement.report_file import Adjustment, Deposit, ReportLine
from hypothesis import given, settings
from hypothesis import strategies as st

CARD = "4111111111111111"
DAY = date(2026, 11, 20)
VALUE = date(2026, 11, 23)


class Payment(NamedTuple):
    """What the writer below needs to know of a P line."""

    kind: str
    amount: int
    rrn: int
    fees: tuple[int, int, int] = (63, 5, 10)
    approval: str = "A1B2C3"
    batch: int = 1


class Group(NamedTuple):
    """What the writer below needs to know of a deposit."""

    reference: str
    currency: str
    payments: list[Payment]
    adjustments: list[tuple[str, int, str]]


GROUPS = [
    Group(
        "CF261120000001",
        "USD",
        [
            Payment("SALE", 4200, 632406000123),
            Payment("CAPTURE", 100_000, 632406000124, (1500, 20, 25), "000777", 2),
            Payment("REFUND", -999, 999999999999, (0, 0, 0), ""),
        ],
        [("CHARGEBACK", -1500, "case 77 of 2026"), ("CORRECTION", 12, "")],
    ),
    Group("CF261120000002", "JPY", [Payment("REFUND", -70, 5, (0, 0, 3))], []),
    Group("CF261120000003", "EUR", [], [("RESERVE_RELEASE", 50_000, "held in May")]),
]


def write(groups: list[Group], day: date = DAY, value: date = VALUE) -> list[str]:
    """Write a report from the format's description, knowing nothing of the reader."""
    merchant = "MERCHANT0000001"
    begin = f"H,COUNTERFOIL-SETTLEMENT,1,123456,{merchant},{day.isoformat()}"
    records = [f"{begin},{merchant}-{day:%Y%m%d}-1"]
    number = hash_total = amounts = nets = 0
    sums = [0, 0, 0]
    for group in groups:
        gross = refunds = fees = 0
        for payment in group.payments:
            number += 1
            records.append(
                f"P,{number},TERM0001,{payment.batch:06d},{payment.kind},{payment.rrn:012d},"
                f"{payment.approval},************1111,visa,{group.currency},{payment.amount},"
                f"{','.join(map(str, payment.fees))},{group.reference},{day.isoformat()}"
            )
            hash_total += payment.rrn
            amounts += payment.amount
            gross += max(payment.amount, 0)
            refunds += max(-payment.amount, 0)
            fees += sum(payment.fees)
            sums = [total + fee for total, fee in zip(sums, payment.fees, strict=True)]
        for kind, amount, text in group.adjustments:
            records.append(f"A,{group.reference},{kind},{group.currency},{amount},{text}")
        moved = sum(amount for _, amount, _ in group.adjustments)
        net = gross - refunds - fees + moved
        nets += net
        records.append(
            f"D,{group.reference},{group.currency},{gross},{refunds},{fees},{moved},{net},"
            f"{value.isoformat()},{len(group.payments)}"
        )
    records.append(
        f"T,{len(records) + 1},{number},{hash_total % 10**12:012d},{amounts},"
        f"{','.join(map(str, sums))},{nets}"
    )
    return records


def content(records: list[str]) -> bytes:
    return "".join(record + "\n" for record in records).encode("ascii")


def held(data: bytes) -> FileHeld:
    """Return why *data* is held; fail if it is not."""
    with pytest.raises(FileHeld) as caught:
        report_file.read(data)
    assert CARD not in str(caught.value)
    return caught.value


def test_a_report_is_read_to_the_cent():
    """Header, lines, adjustments and deposits, in the file's order."""
    report = report_file.read(content(write(GROUPS)))

    assert report.acquirer_institution_id == "123456"
    assert report.card_acceptor_id == "MERCHANT0000001"
    assert report.business_date == DAY
    assert report.file_id == "MERCHANT0000001-20261120-1"
    assert report.lines[1] == ReportLine(
        number=2,
        terminal_id="TERM0001",
        batch_number=2,
        kind="capture",
        rrn="632406000124",
        approval_code="000777",
        card_masked="************1111",
        card_brand="visa",
        currency="USD",
        amount_minor=100_000,
        interchange_minor=1500,
        scheme_fee_minor=20,
        markup_minor=25,
        deposit_reference="CF261120000001",
        transaction_date=DAY,
    )
    assert (report.lines[1].fees_minor, report.lines[1].card_last_four) == (1545, "1111")
    assert [line.number for line in report.lines] == [1, 2, 3, 4]
    assert (report.lines[2].approval_code, report.lines[3].rrn) == (None, "000000000005")
    assert report.adjustments[0] == Adjustment(
        deposit_reference="CF261120000001",
        kind="chargeback",
        currency="USD",
        amount_minor=-1500,
        text="case 77 of 2026",
    )
    assert report.deposits[0] == Deposit(
        reference="CF261120000001",
        currency="USD",
        gross_minor=104_200,
        refunds_minor=999,
        fees_minor=1623,
        adjustments_minor=-1488,
        net_minor=100_090,
        value_date=VALUE,
        line_count=3,
    )
    assert [deposit.net_minor for deposit in report.deposits[1:]] == [-73, 50_000]


def payments() -> st.SearchStrategy[Payment]:
    amounts = st.integers(1, 10**12 - 1)
    fees = st.tuples(*[st.integers(0, 10**6)] * 3)
    rest = (st.integers(0, 10**12 - 1), fees, st.sampled_from(["", "123456", "Z9"]))
    batch = st.integers(0, 999_999)
    taken = st.builds(Payment, st.sampled_from(["SALE", "CAPTURE"]), amounts, *rest, batch)
    given_back = st.builds(Payment, st.just("REFUND"), amounts.map(lambda n: -n), *rest, batch)
    return taken | given_back


def groups() -> st.SearchStrategy[list[Group]]:
    adjustment = st.tuples(
        st.sampled_from(["CHARGEBACK", "RESERVE", "RESERVE_RELEASE", "CORRECTION", "MONTHLY_FEE"]),
        st.integers(-(10**12) + 1, 10**12 - 1),
        st.text([chr(code) for code in range(0x20, 0x7F) if chr(code) not in ",0123456789"]),
    )
    group = st.builds(
        Group,
        st.from_regex(r"CF[0-9]{12}", fullmatch=True),
        st.sampled_from(["USD", "EUR", "JPY", "KWD"]),
        st.lists(payments(), max_size=4),
        st.lists(adjustment, max_size=2),
    ).filter(lambda each: bool(each.payments or each.adjustments))
    return st.lists(group, max_size=4, unique_by=lambda each: each.reference)


@settings(max_examples=60, deadline=None)
@given(groups(), st.dates(date(2020, 1, 1), date(2090, 1, 1)))
def test_whatever_is_written_comes_back(written: list[Group], day: date):
    """Every amount, reference and count, for any mixture of currencies and signs."""
    report = report_file.read(content(write(written, day, day + timedelta(1))))

    assert report.business_date == day
    assert [deposit.reference for deposit in report.deposits] == [g.reference for g in written]
    assert [(line.rrn, line.amount_minor, line.fees_minor) for line in report.lines] == [
        (f"{p.rrn:012d}", p.amount, sum(p.fees)) for g in written for p in g.payments
    ]
    assert sum(deposit.net_minor for deposit in report.deposits) == (
        sum(p.amount - sum(p.fees) for g in written for p in g.payments)
        + sum(amount for g in written for _, amount, _ in g.adjustments)
    )


def test_f18_a_report_cut_off_anywhere_is_held():
    """At every byte, the last line feed included."""
    whole = content(write(GROUPS))

    for end in range(len(whole)):
        held(whole[:end])


SEEN_WHEN_CHANGED = {
    ("H", "acquirer institution id"),
    ("H", "file id"),  # Its counter; the rest of it repeats the header.
    ("P", "terminal id"),
    ("P", "batch number"),
    ("P", "approval code"),
    ("P", "masked card"),
    ("P", "transaction date"),
    ("A", "text"),
    ("D", "value date"),
}


def test_f18_a_changed_digit_is_held_or_seen():
    """
    Any digit changed to any other holds the file, except in the fields that agree with nothing
    else in it: these are read as they stand, for the matching to see. None goes unnoticed.
    """
    whole = content(write(GROUPS))
    original = report_file.read(whole)
    seen = set()
    for at, mark, name in digit_places(whole):
        for digit in b"0123456789".replace(whole[at : at + 1], b""):
            changed = whole[:at] + bytes([digit]) + whole[at + 1 :]
            try:
                report = report_file.read(changed)
            except FileHeld:
                continue
            assert report != original, (mark, name)
            seen.add((mark, name))

    assert seen == SEEN_WHEN_CHANGED


def digit_places(whole: bytes) -> list[tuple[int, str, str]]:
    """Return where a digit stands, in which record and field."""
    places, at = [], 0
    for record in whole.decode().splitlines():
        mark = record[0]
        for (name, _), value in zip(report_layout.LAYOUTS[mark], record.split(","), strict=True):
            places += [(at + i, mark, name) for i, c in enumerate(value) if c.isdigit()]
            at += len(value) + 1
    return places


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_f18_records_lost_doubled_or_moved_are_held(data: st.DataObject):
    """Whatever happens to whole lines, the file no longer agrees with itself."""
    records = write(GROUPS)
    at = data.draw(st.integers(0, len(records) - 1))
    to = data.draw(st.integers(0, len(records) - 1))
    match data.draw(st.sampled_from(["lose", "double", "move"])):
        case "lose":
            changed = records[:at] + records[at + 1 :]
        case "double":
            changed = [*records[:to], records[at], *records[to:]]
        case _:
            rest = records[:at] + records[at + 1 :]
            changed = [*rest[:to], records[at], *rest[to:]]

    if changed == records or sorted_adjustments(changed) == sorted_adjustments(records):
        report_file.read(content(changed))
    else:
        held(content(changed))


def sorted_adjustments(records: list[str]) -> list[str]:
    """Return *records* with neighbouring A lines in one order: among themselves they have none."""
    result = list(records)
    for i in range(len(result) - 1):
        if result[i][0] == result[i + 1][0] == "A" and result[i] > result[i + 1]:
            result[i : i + 2] = [result[i + 1], result[i]]
    return result


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_any_damaged_bytes_are_held_or_read_never_anything_else(data: st.DataObject):
    """No other exception comes out."""
    whole = bytearray(content(write(GROUPS)))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(whole) - 1))
        whole[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=4))
    with contextlib.suppress(FileHeld):
        report_file.read(bytes(whole))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\n",
        content(write(GROUPS)).replace(b"\n", b"\r\n"),
        content(write(GROUPS)).replace(b"\n", b"\r"),
        b"\xef\xbb\xbf" + content(write(GROUPS)),
        content(write(GROUPS)).decode().encode("utf-16"),
        content(write(GROUPS)).decode().encode("utf-16-le"),
        content(write(GROUPS)).replace(b"held in May", b"gr\xfc\xdfe"),
        content(write(GROUPS)).replace(b"held in May", "grüße".encode()),
        content(write(GROUPS)).replace(b"held in May", b"held\0in May"),
        content(write(GROUPS)).replace(b"held in May", b"held\tin May"),
        content(write(GROUPS)) + b"\n",
        content(write(GROUPS)) + content(write(GROUPS)),
        b"\n" + content(write(GROUPS)),
    ],
)
def test_other_encodings_and_line_ends_are_held(data: bytes):
    """ASCII with line feeds, nothing before the header, nothing behind the trailer."""
    held(data)


@pytest.mark.parametrize(
    "card", [CARD, "4111", "411111******1111", "*" * 16, "4242 4242 4242 4242"]
)
def test_a_card_that_is_not_masked_is_held_and_not_quoted(card: str):
    """The file is refused for it, and the sentence says so without the number."""
    fault = held(content(write(GROUPS)).replace(b"************1111", card.encode(), 1))

    assert str(fault) == "Record 2: the card is not masked down to its last four digits."


@pytest.mark.parametrize("card", [CARD, "4242 4242 4242 4242", "5555-5555-5555-4444"])
@pytest.mark.parametrize("place", ["held in May", "CF261120000003"])
def test_a_card_number_in_a_text_or_a_reference_is_held(card: str, place: str):
    """A text is free, but not for that."""
    fault = held(content(write(GROUPS)).replace(place.encode(), card.encode()))

    assert card[:12] not in str(fault)
    assert fault.record == 10 or "reference" in str(fault)


def replaced(old: str, new: str) -> bytes:
    """Return the report with one piece of text replaced, where it stands first."""
    text = content(write(GROUPS)).decode()
    assert old in text
    return text.replace(old, new, 1).encode()


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("SETTLEMENT,1,", "SETTLEMENT,2,", "Record 1: the version of the H record"),
        ("-20261120-1", "-20261121-1", "expected MERCHANT*******-****1120-n"),
        ("2026-11-20,MERCHANT", "2026-11-31,MERCHANT", "Record 1: the file id"),
        (",visa,USD,4200", ",visa,USD,4201", "Record 7: the gross of deposit CF261120000001"),
        (",visa,USD,4200", ",visa,USD,04200", "Record 2: the amount of the P record"),
        (",visa,USD,4200", ",visa,USD,+4200", "Record 2: the amount of the P record"),
        (",visa,USD,4200", ",visa,USD,42.00", "Record 2: the amount of the P record"),
        (",visa,USD,4200", ",visa,USD,-4200", "Record 2: the amount of a sale has the wrong sign"),
        (",visa,USD,4200", ",visa,USD,0", "Record 2: the amount of a sale has the wrong sign"),
        (",visa,USD,-999", ",visa,USD,999", "Record 4: the amount of a refund has the wrong sign"),
        (",visa,USD,4200", ",visa,EUR,4200", "Record 2: the currency of a deposit's line"),
        (",visa,USD,4200", ",visa,XTS,4200", "Record 2: the currency is not on the list"),
        (",63,5,10,", ",-63,5,10,", "Record 2: the interchange fee of the P record"),
        (",63,5,10,", ",63,5,,", "Record 2: the markup of the P record"),
        (",63,5,10,", ",63,5,", "Record 2: the P record has 15 fields where 16 are due"),
        ("632406000123", "63240600012", "Record 2: the RRN of the P record"),
        ("SALE", "SALES", "Record 2: the kind of the P record"),
        ("P,2,", "P,3,", "Record 3: the line numbers do not ascend by one: expected 2, found 3"),
        ("CF261120000001", "CF261120000002", "Record 2: a line is not of the deposit that follows"),
        ("D,CF261120000002", "D,CF261120000001", "Record 9: a deposit stands in the file twice"),
        ("-1500,case", "-1501,case", "Record 7: the adjustments of deposit CF261120000001"),
        ("2026-11-23", "2026-02-30", "Record 7: a date does not exist: found 2026-02-30"),
        ("T,12,", "X,12,", "Record 12: the last record is no trailer"),
        ("A,CF", "B,CF", "Record 5: a record is of no kind that may stand here"),
    ],
)
def test_the_sentence_says_what_and_where(old: str, new: str, sentence: str):
    """A person finds the record and the field by it."""
    fault = str(held(replaced(old, new)))

    assert sentence in fault


@pytest.mark.parametrize("number", range(8))
def test_every_figure_of_the_trailer_counts(number: int):
    """Records, lines, hash total, amounts, the three fees, the nets."""
    records = write(GROUPS)
    trailer = records[-1].split(",")
    trailer[number + 1] = str(int(trailer[number + 1]) + 1).zfill(len(trailer[number + 1]))
    records[-1] = ",".join(trailer)

    assert held(content(records)).record == len(records)


def test_a_deposit_without_lines_and_lines_without_a_deposit_are_held():
    """No D without a P or an A, and none of these without a D."""
    empty = [Group("CF1", "USD", [], [])]
    assert "neither payments nor adjustments" in str(held(content(write(empty))))
    records = write(GROUPS[:1])
    del records[-2]
    assert "no deposit after them" in str(held(content(records)))


def test_a_line_twice_in_a_report_that_adds_up_is_read():
    """A duplicate is the acquirer's mistake, not the file's: the matching names it."""
    twice = [Group("CF1", "USD", [Payment("SALE", 4200, 7), Payment("SALE", 4200, 7)], [])]

    assert len(report_file.read(content(write(twice))).lines) == 2


def test_a_report_is_bounded(monkeypatch: pytest.MonkeyPatch):
    """In bytes and in records, before anything is read."""
    monkeypatch.setattr(report_file, "REPORT_RECORDS_MAX", 11)
    assert "too many records" in str(held(content(write(GROUPS))))
    monkeypatch.setattr(report_file, "REPORT_BYTES_MAX", 100)
    assert "too large" in str(held(content(write(GROUPS))))


def test_a_hundred_thousand_lines_are_read_in_seconds():
    """About half a second on an idle core; the limit here leaves room for a busy one."""
    many = [Payment("SALE", 4200, 632406000000 + n) for n in range(100_000)]
    data = content(write([Group("CF261120000001", "USD", many, [])]))

    begun = time.process_time()
    report = report_file.read(data)

    assert time.process_time() - begun < 4
    assert report.deposits[0].net_minor == 100_000 * (4200 - 78)
