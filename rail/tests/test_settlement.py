"""
What a business day's end makes of the batches closed on it: fees, deposits, reports.
"""

import asyncio
import contextlib
import io
import json
import tempfile
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from counterfoil_rail.log import Log
from counterfoil_rail.server import Settings, running
from counterfoil_rail.settlement.fees import fee_minor
from hypothesis import given, settings
from hypothesis import strategies as st

from .conftest import Gateway, Sandbox, Start, close, follow_up, network, payment, refund
from .reading import Report, read_bai2, read_camt, read_report, read_statements


def monday() -> datetime:
    """The clock of these tests: the Monday before Thanksgiving 2026."""
    return datetime(2026, 11, 23, 18, 0, tzinfo=UTC)


@pytest.fixture
async def rail(start: Start) -> Any:
    """A rail whose first business day is that Monday."""
    async with start(clock=monday) as sandbox:
        yield sandbox


async def _sell(gateway: Gateway, *amounts: int, number: str = "000001") -> list[dict[str, str]]:
    """Make sales and close their batch."""
    sales = [payment(amount=amount, f60=number) for amount in amounts]
    for sale in sales:
        await gateway.ask(sale)
    assert (await gateway.ask(close(debits=amounts, f60=number)))["39"] == "00"
    return sales


async def _settled(rail: Sandbox, gateway: Gateway, *amounts: int) -> Report:
    await _sell(gateway, *(amounts or (4200, 900)))
    rail.days.advance()
    return read_report(rail.report())


async def test_a_report_tells_every_item_of_the_day(rail: Sandbox, gateway: Gateway) -> None:
    """Sale, capture and refund with their fees, one deposit, and sums that hold."""
    sale, hold = payment(amount=4200), payment("0100", amount=900, card="5555555555554444")
    await gateway.ask(hold)
    answer = await gateway.ask(sale)
    await gateway.ask(follow_up(hold, "0220", amount=800))
    back = refund(sale, amount=700)
    await gateway.ask(back)
    await gateway.ask(close(debits=[4200, 800], credits=[700]))

    rail.days.advance()

    assert list(rail.files("*.csv")) == ["MERCHANT0000001-20261123-1.csv"]
    lines = rail.report().splitlines()
    assert lines[0] == (
        "H,COUNTERFOIL-SETTLEMENT,1,123456,MERCHANT0000001,2026-11-23,MERCHANT0000001-20261123-1"
    )
    assert lines[1] == (
        f"P,1,TERM0001,000001,SALE,{sale['37']},{answer['38']},************1111,visa,USD,"
        "4200,86,8,16,CF261123000001,2026-11-23"
    )
    assert lines[2].split(",")[4:6] == ["CAPTURE", hold["37"]]
    assert lines[2].split(",")[7:14] == [
        *("************4444", "mastercard", "USD"),
        *("800", "25", "3", "10"),
    ]
    assert lines[3].split(",")[4:14] == (
        f"REFUND,{back['37']},,************1111,visa,USD,-700,0,0,0".split(",")
    )
    assert lines[4] == "D,CF261123000001,USD,5000,700,148,0,4152,2026-11-24,3"
    read_report(rail.report())


async def test_voids_and_open_batches_are_not_settled(rail: Sandbox, gateway: Gateway) -> None:
    """Only what stands in a batch closed in balance, and each item once."""
    sale, voided, other = payment(), payment(), payment(f60="000002")
    for message in (sale, voided, follow_up(voided, "0420"), other):
        await gateway.ask(message)
    await gateway.ask(close(debits=[4200]))
    await gateway.ask(close(f60="000002"))
    for _ in range(3):
        rail.days.advance()

    report = read_report(rail.report())
    assert [row[5] for row in report.items] == [sale["37"]]
    assert rail.batch("000002")["state"] == "uploading"


async def test_deposits_are_listed_with_their_items(rail: Sandbox, gateway: Gateway) -> None:
    """Pending until the value date, then paid; movements follow."""
    for _ in range(4):
        rail.days.advance()
    (sale,) = await _sell(gateway, 4200)
    rail.days.advance()

    (deposit,) = rail.deposits()
    assert deposit | {"items": None} == {
        "reference": "CF261127000001",
        "merchant": "MERCHANT0000001",
        "currency": "USD",
        "business_date": "2026-11-27",
        "gross": 4200,
        "refunds": 0,
        "fees": 110,
        "adjustments": 0,
        "net": 4090,
        "value_date": "2026-11-30",
        "state": "pending",
        "adjustment_items": [],
        "items": None,
    }
    assert deposit["items"][0]["rrn"] == sale["37"]
    assert deposit["items"][0]["fees_minor"] == 110
    assert rail.movements(sale) == [("sale", "settled")]
    rail.days.advance()
    rail.days.advance()
    assert rail.deposits()[0]["state"] == "paid"
    assert rail.movements(sale) == [("sale", "paid")]


async def test_merchants_have_reports_and_currencies_deposits_of_their_own(
    rail: Sandbox, gateway: Gateway
) -> None:
    """Two files; the trailer sums over the currencies of one."""
    elsewhere = {"f41": "TERM0002", "f42": "SHOP2          "}
    for changes in ({}, {"f49": "978"}, elsewhere):
        await gateway.ask(payment(amount=900, **changes))
    for changes in ({}, {"f50": "978"}, elsewhere):
        assert (await gateway.ask(close(debits=[900], **changes)))["39"] == "00"
    rail.days.advance()

    reports = {name: read_report(text) for name, text in rail.files("*.csv").items()}
    assert list(reports) == ["MERCHANT0000001-20261123-1.csv", "SHOP2-20261123-1.csv"]
    first = reports["MERCHANT0000001-20261123-1.csv"]
    assert [row[2] for row in first.deposits] == ["EUR", "USD"]
    assert reports["SHOP2-20261123-1.csv"].head[4] == "SHOP2"
    assert {deposit["reference"] for deposit in rail.deposits()} == {
        f"CF26112300000{n}" for n in (1, 2, 3)
    }


async def test_a_transaction_date_is_in_the_year_nearest_to_the_day(
    rail: Sandbox, gateway: Gateway
) -> None:
    """DE 7 has no year: 1 January seen in November is the coming one."""
    for sent_at in ("0101000100", "1122235959", "0601120000"):
        await gateway.ask(payment(amount=900, f7=sent_at))
    await gateway.ask(close(debits=[900] * 3))
    rail.days.advance()

    dates = [row[15] for row in read_report(rail.report()).items]
    assert dates == ["2027-01-01", "2026-11-22", "2026-06-01"]


@given(st.integers(0, 10**12), st.sampled_from(["visa", "mastercard", "amex", "discover", "x"]))
def test_fees_round_half_up(amount_minor: int, brand: str) -> None:
    """Exactly the table's share in basis points, to the nearest minor unit, plus the rest."""
    table = json.loads(
        (Path(__file__).parents[1] / "counterfoil_rail/settlement/fees.json").read_text()
    )
    for part, rate in table.get(brand, table["other"])["SALE"].items():
        exact = Fraction(amount_minor * rate["basis_points"], 10_000)
        rounded = int(exact + Fraction(1, 2))
        assert fee_minor(part, brand, "SALE", amount_minor) == rounded + rate["fixed_minor"]
        assert fee_minor(part, brand, "REFUND", amount_minor) == 0


def test_half_a_minor_unit_is_rounded_up() -> None:
    """1.80 % of 25 is 0.45, of 75 is 1.35, of 250 is 4.5."""
    fees = [fee_minor("interchange", "visa", "SALE", amount) - 10 for amount in (25, 75, 250)]

    assert fees == [0, 1, 5]


# Mistakes.


async def test_a_line_is_missing(rail: Sandbox, gateway: Gateway) -> None:
    """`report_missing_line`: one item neither told nor paid; the file is whole in itself."""
    rail.faults.set("report_missing_line", "1")
    report = await _settled(rail, gateway)

    assert [row[10] for row in report.items] == ["900"]
    assert rail.deposits()[0]["gross"] == 900
    assert rail.batch()["debits_number"] == 2


async def test_a_line_is_invented(rail: Sandbox, gateway: Gateway) -> None:
    """`report_extra_line`: told and paid, of no message."""
    rail.faults.set("report_extra_line", "1")
    report = await _settled(rail, gateway)

    known = {charge["rrn"] for charge in rail.charges()}
    assert [row[5] in known for row in report.items] == [True, True, False]


async def test_an_amount_differs(rail: Sandbox, gateway: Gateway) -> None:
    """`report_amount_differs`: one amount is too high by 100, and so is what is paid."""
    rail.faults.set("report_amount_differs", "1")
    report = await _settled(rail, gateway)

    assert [row[10] for row in report.items] == ["4300", "900"]
    assert rail.deposits()[0]["gross"] == 5200


async def test_a_line_comes_twice(rail: Sandbox, gateway: Gateway) -> None:
    """`report_duplicate_line`: the same RRN again, paid again."""
    rail.faults.set("report_duplicate_line", "1")
    report = await _settled(rail, gateway)

    assert report.items[0][2:] == report.items[2][2:]
    assert rail.deposits()[0]["gross"] == 9300


async def test_a_date_is_shifted(rail: Sandbox, gateway: Gateway) -> None:
    """`report_date_shifted`: one transaction a day late."""
    rail.faults.set("report_date_shifted", "1")
    report = await _settled(rail, gateway)

    assert [row[15] for row in report.items] == ["2026-11-24", "2026-11-23"]


async def test_a_batch_is_unknown(rail: Sandbox, gateway: Gateway) -> None:
    """`report_unknown_batch`: one line names batch 999999."""
    rail.faults.set("report_unknown_batch", "1")
    report = await _settled(rail, gateway)

    assert [row[3] for row in report.items] == ["999999", "000001"]


async def test_a_trailer_is_wrong(rail: Sandbox, gateway: Gateway) -> None:
    """`report_bad_trailer`: the sum of amounts is off by one; nothing else is."""
    rail.faults.set("report_bad_trailer", "1")
    with pytest.raises(AssertionError):
        await _settled(rail, gateway)

    *lines, trailer = rail.report().splitlines()
    fields = trailer.split(",")
    assert fields[4] == "5101"
    fields[4] = "5100"
    read_report("\n".join([*lines, ",".join(fields)]) + "\n")


async def test_a_report_is_cut_off(rail: Sandbox, gateway: Gateway) -> None:
    """`report_truncated`: it ends inside a line."""
    rail.faults.set("report_truncated", "1")
    with pytest.raises(AssertionError):
        await _settled(rail, gateway)

    assert rail.report().startswith("H,")
    assert not rail.report().endswith("\n")
    assert "\nT," not in rail.report()


async def test_a_report_names_another_merchant(rail: Sandbox, gateway: Gateway) -> None:
    """`report_other_merchant`: in its head and file id; it is whole otherwise."""
    rail.faults.set("report_other_merchant", "1")
    report = await _settled(rail, gateway)

    assert report.head[4:] == ["OTHERMERCHANT01", "2026-11-23", "OTHERMERCHANT01-20261123-1"]


async def test_a_report_comes_twice(rail: Sandbox, gateway: Gateway) -> None:
    """`report_twice`: the same bytes under number 2."""
    rail.faults.set("report_twice", "1")
    await _sell(gateway, 4200)
    rail.days.advance()

    first, second = rail.files("*.csv").items()
    assert (first[0][-6:], second[0][-6:]) == ("-1.csv", "-2.csv")
    assert first[1] == second[1]


async def test_a_report_comes_late(rail: Sandbox, gateway: Gateway) -> None:
    """`report_late`: the money first, the report a day later, under its own day."""
    rail.faults.set("report_late", "1")
    await _sell(gateway, 4200)
    rail.days.advance()
    assert rail.files("*.csv") == {}
    assert rail.deposits()[0]["state"] == "paid"

    rail.days.advance()
    assert read_report(rail.report()).head[5] == "2026-11-23"


async def test_money_comes_without_a_report(rail: Sandbox, gateway: Gateway) -> None:
    """`deposit_without_report`: only the bank tells of it, for ever."""
    rail.faults.set("deposit_without_report", "1")
    await _sell(gateway, 4200)
    for _ in range(3):
        rail.days.advance()

    assert rail.files("*.csv") == {}
    assert [e.amount_minor for s in read_statements(rail.files()) for e in s.entries] == [4090]


async def test_a_chargeback_is_taken_from_the_next_deposit(rail: Sandbox, gateway: Gateway) -> None:
    """An A line, signed, and a net that is lower by it; once."""
    rail.faults.set("chargeback", "300")
    rail.faults.set("adjustment", "RESERVE_RELEASE:50")
    report = await _settled(rail, gateway)

    assert [row[2:5] for row in report.adjustments] == [
        ["CHARGEBACK", "USD", "-300"],
        ["RESERVE_RELEASE", "USD", "50"],
    ]
    assert rail.deposits()[0]["adjustments"] == -250
    assert rail.faults.armed()["chargeback"] == "0"


async def test_a_chargeback_alone_is_a_debit(rail: Sandbox, gateway: Gateway) -> None:
    """A day without items: a deposit of the A line only, taken from the account."""
    await _settled(rail, gateway)
    rail.faults.set("chargeback", "300")
    rail.days.advance()

    last = rail.deposits()[-1]
    assert (last["items"], last["net"], last["state"]) == ([], -300, "debited")
    report = read_report(rail.files("*.csv")["MERCHANT0000001-20261124-1.csv"])
    assert (report.items, report.deposits[0][7]) == ([], "-300")


# Invariants over whatever was sold.

_DAY = st.lists(
    st.tuples(
        st.sampled_from(["840", "392", "048"]),
        st.integers(1, 99_999),
        st.sampled_from(["sale", "void", "refund", "capture"]),
    ),
    max_size=5,
)


@settings(max_examples=8, deadline=None)
@given(st.lists(_DAY, min_size=1, max_size=3))
def test_files_hold_whatever_was_sold(days: list[list[tuple[str, int, str]]]) -> None:
    """Trailer = sums, net = bank entry, opening + entries = closing, both forms say the same."""
    with tempfile.TemporaryDirectory() as folder:
        sold = asyncio.run(_live(Path(folder), days))
        paths = (Path(folder) / "rail" / "files").rglob("*.*")
        files = {path.name: path.read_text() for path in paths}

    reports = [read_report(text) for name, text in files.items() if name.endswith(".csv")]
    camt = [read_camt(text) for name, text in files.items() if name.endswith(".xml")]
    bai2 = [read_bai2(text) for name, text in files.items() if name.endswith(".bai2")]
    by_day = sorted(camt, key=lambda statement: (statement.account, statement.day))
    balances: dict[str, int] = {}
    for statement in by_day:
        entries = sum(entry.amount_minor for entry in statement.entries)
        assert statement.opening_minor == balances.get(statement.account, 0)
        assert statement.closing_minor == statement.opening_minor + entries
        balances[statement.account] = statement.closing_minor
    told = sorted((row[1], int(row[7])) for report in reports for row in report.deposits)
    booked = sorted((e.reference, e.amount_minor) for s in camt for e in s.entries)
    assert sum(int(row[10]) for report in reports for row in report.items) == sold
    assert [pair for pair in told if pair[1]] == booked
    assert sorted(by_day) == sorted(bai2)


async def _live(folder: Path, days: list[list[tuple[str, int, str]]]) -> int:
    """Sell, close and advance, day by day; return what should be settled."""
    sold = 0
    log = Log(monday, stream=io.StringIO())
    async with running(Settings(folder, clock=monday, statements="both"), log) as rail:
        reader, writer = await asyncio.open_connection("127.0.0.1", rail.port)
        gateway = Gateway(reader, writer)
        await gateway.ask(network("001"))
        with contextlib.closing(writer):
            for number, sales in enumerate(days, 1):
                sold += await _one_day(gateway, sales, f"{number:06d}")
                rail.days.advance()
            for _ in range(4):
                rail.days.advance()
    return sold


async def _one_day(gateway: Gateway, sales: list[tuple[str, int, str]], number: str) -> int:
    counted: dict[str, dict[str, list[int]]] = {}
    for currency, amount, kind in sales:
        mti = "0100" if kind == "capture" else "0200"
        sale = payment(mti, amount=amount, f49=currency, f60=number)
        await gateway.ask(sale)
        totals = counted.setdefault(currency, {"debits": [], "voids": [], "credits": []})
        totals["debits"].append(amount)
        if kind == "void":
            await gateway.ask(follow_up(sale, "0420"))
            totals["voids"].append(amount)
        elif kind == "refund":
            await gateway.ask(refund(sale, amount=(amount + 1) // 2))
            totals["credits"].append((amount + 1) // 2)
        elif kind == "capture":
            await gateway.ask(follow_up(sale, "0220"))
    for currency, totals in counted.items():
        asked = close(f50=currency, f60=number, **totals)  # type: ignore[arg-type]
        assert (await gateway.ask(asked))["39"] == "00"
    return sum(
        sum(totals["debits"]) - sum(totals["voids"]) - sum(totals["credits"])
        for totals in counted.values()
    )
