"""
Any books, any report with any mistakes, any payments: every line and item has one class, every
cent one place; and twenty thousand lines do not take long.
"""

import asyncio
import time
from collections import Counter
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

from counterfoil.settlement.matching import SETTLING, Item, kind_of, match
from counterfoil.settlement.report_file import ReportLine
from counterfoil.store.database import Database
from hypothesis import given, settings
from hypothesis import strategies as st
from settlement_books import DAY, VALUE, Books, Line, Paid, line_of, net_of
from settlement_books import Item as BookedItem

LINES = 20_000
SECONDS_MAX = 30.0  # On two cores that others use too; alone it takes about two.
REFERENCE = "CF261123000001"

MISTAKES = ("none", "missing", "amount", "twice", "other card", "other day", "extra", "other code")
AMOUNTS = st.integers(1, 10**9)
BOOKED = st.lists(
    st.tuples(st.sampled_from(["capture", "refund"]), AMOUNTS, st.sampled_from(MISTAKES)),
    min_size=1,
    max_size=8,
)


def told(item: BookedItem, mistake: str) -> list[Line]:
    """Return what an acquirer with this *mistake* says of *item*."""
    line = line_of(item)
    sign = -1 if item.kind == "refund" else 1
    match mistake:
        case "missing":
            return []
        case "amount":
            return [line._replace(amount_minor=line.amount_minor + sign)]
        case "twice":
            return [line, line]
        case "other card":
            return [line._replace(last_four="2222")]
        case "other day":
            return [line._replace(on=DAY + timedelta(days=1))]
        case "extra":
            return [line, line._replace(rrn=f"9{item.rrn[1:]}")]
        case "other code":
            return [line._replace(approval="ZZZZZZ")]
    return [line]


# What becomes of the item, by the mistake; refunds have neither approval code nor day of sale.
EXPECTED = {
    "none": "matched",
    "missing": "missing_there",
    "amount": "amount_differs",
    "twice": "matched",
    "other card": "missing_there",
    "other day": "date_shifted",
    "extra": "matched",
    "other code": "missing_there",
}


@given(booked=BOOKED, parts=st.lists(st.integers(1, 10**9), max_size=3), data=st.data())
@settings(max_examples=30, deadline=None)
def test_every_line_and_item_has_one_class_and_every_cent_one_place(
    parameters: dict[str, str],
    booked: list[tuple[str, int, str]],
    parts: list[int],
    data: st.DataObject,
) -> None:
    """Whatever the acquirer gets wrong, and however the bank pays."""
    asyncio.run(_one_day(parameters, booked, parts, data))


async def _one_day(
    parameters: dict[str, str],
    booked: list[tuple[str, int, str]],
    parts: list[int],
    data: st.DataObject,
) -> None:
    database = await Database.open(**parameters)
    try:
        books = await Books.set_up(database)
        items = await books.batch(*((kind, amount) for kind, amount, _ in booked))
        mistakes = [mistake for _, _, mistake in booked]
        lines = [
            line for item, each in zip(items, mistakes, strict=True) for line in told(item, each)
        ]
        lines = data.draw(st.permutations(lines))
        if not lines:
            return
        assert (await books.take(books.report((REFERENCE, lines)))).state == "read"
        await _check_lines(books, items, mistakes, lines)
        await _pay(books, net_of(lines), parts)
        await _check_money(books, items, lines)
    finally:
        await database.close()


async def _check_lines(
    books: Books, items: list[BookedItem], mistakes: list[str], lines: list[Line]
) -> None:
    rows = await books.of("settlement_lines", "line")
    assert [row["rrn"] for row in rows] == [line.rrn for line in lines]
    class_of: dict[UUID, list[str]] = {item.movement_id: [] for item in items}
    for row in rows:
        if row["movement_id"] and row["outcome"] != "duplicate":
            class_of[row["movement_id"]].append(row["outcome"])
    for finding in await books.of("findings"):
        if finding["kind"] == "missing_there":
            class_of[finding["movement_id"]].append("missing_there")
    for item, mistake in zip(items, mistakes, strict=True):
        expected = EXPECTED[mistake]
        if item.kind == "refund" and mistake in ("other day", "other code"):
            expected = "matched"
        assert class_of[item.movement_id] == [expected], mistake
    found = Counter(row["outcome"] for row in rows)
    assert found["duplicate"] == mistakes.count("twice")


async def _pay(books: Books, net: int, parts: list[int]) -> None:
    """Let the bank pay in parts, whatever their sum; the last statement makes it whole."""
    paid = 0
    sign = -1 if net < 0 else 1
    for part in parts:
        paid += sign * part
        await books.take(books.statement(Paid(sign * part, REFERENCE)))
    if net != paid:
        back = (net - paid) * sign < 0
        await books.take(books.statement(Paid(net - paid, REFERENCE, is_return=back)))


async def _check_money(books: Books, items: list[BookedItem], lines: list[Line]) -> None:
    net = net_of(lines)
    rows = await books.of("settlement_lines", "line")
    open_lines = sum(row["amount_minor"] for row in rows if row["outcome"] not in SETTLING)
    settled = {row["movement_id"] for row in rows if row["outcome"] in SETTLING}
    waiting = sum(
        each.amount_minor * (-1 if each.kind == "refund" else 1)
        for each in items
        if each.movement_id not in settled
    )
    deposit = await books.deposit(REFERENCE)
    assert (deposit["state"], deposit["paid_minor"]) == ("funded", net)
    balances = await books.balances()
    assert sum(balances.values()) == 0
    assert balances.get("batched", 0) == waiting
    assert balances.get("unexplained", 0) == -open_lines
    assert balances.get("in_transit", 0) == 0
    assert balances.get("deposited", 0) == net
    states = await books.movement_states(items)
    assert states == ["funded" if each.movement_id in settled else "batched" for each in items]
    kinds = {kind for kind, _ in await books.findings()}
    assert kinds <= {"missing_there", "missing_here", "amount_differs", "duplicate"}


KNOWN = st.lists(
    st.builds(
        lambda **values: Item(movement_id=uuid4(), **values),
        kind=st.sampled_from(["capture", "refund"]),
        state=st.sampled_from(["batched", "settled", "funded", "undone", "failed"]),
        terminal_id=st.sampled_from(["TERM0001", "TERM0002"]),
        batch_number=st.integers(1, 2),
        rrn=st.sampled_from(["632700000001", "632700000002"]),
        currency=st.sampled_from(["USD", "EUR"]),
        amount_minor=st.integers(1, 2),
        approval_code=st.sampled_from([None, "A", "B"]),
        card_last_four=st.sampled_from(["1111", "2222"]),
        said_days=st.sampled_from([("1123",), ("1124", None)]),
        has_line=st.booleans(),
        was_missing=st.booleans(),
    ),
    max_size=6,
)


@st.composite
def report_lines(draw: st.DrawFn) -> list[ReportLine]:
    def line(number: int) -> ReportLine:
        one_of: Any = st.sampled_from
        return ReportLine(
            number=number,
            terminal_id=draw(one_of(["TERM0001", "TERM0002"])),
            batch_number=draw(st.integers(1, 2)),
            kind=draw(one_of(["sale", "capture", "refund"])),
            rrn=draw(one_of(["632700000001", "632700000002"])),
            approval_code=draw(one_of([None, "A", "B"])),
            card_masked=draw(one_of(["************1111", "************2222"])),
            card_brand="visa",
            currency=draw(one_of(["USD", "EUR"])),
            amount_minor=draw(st.integers(1, 2)),
            interchange_minor=0,
            scheme_fee_minor=0,
            markup_minor=0,
            deposit_reference=REFERENCE,
            transaction_date=DAY,
        )

    return [line(number) for number in range(1, draw(st.integers(1, 6)) + 1)]


@given(lines=report_lines(), items=KNOWN)
@settings(max_examples=300, deadline=None)
def test_an_item_has_at_most_one_line_that_is_no_duplicate(
    lines: list[ReportLine], items: list[Item]
) -> None:
    """And a line is missing here exactly when nothing of ours could be what it is about."""
    found = match(lines, items)

    assert [each.line for each in found] == lines
    taken = Counter(
        each.item.movement_id for each in found if each.item and each.outcome != "duplicate"
    )
    assert all(number == 1 for number in taken.values())
    assert not {each.movement_id for each in items if each.has_line} & set(taken)
    for each in found:
        assert (each.item is None) == (each.outcome == "missing_here")
        if each.item is None:
            continue
        assert (each.item.terminal_id, each.item.rrn) == (each.line.terminal_id, each.line.rrn)
        assert each.item.kind == kind_of(each.line)
        assert each.item.state in {"batched", "settled", "funded"}
        if each.outcome in SETTLING:
            assert each.item.amount_minor == each.line.amount_minor
            assert each.item.currency == each.line.currency


async def test_many_lines_are_matched_and_booked_quickly(database: Database) -> None:
    """The whole road of a large merchant's day: read, matched, booked, funded."""
    books = await Books.set_up(database)
    items = []
    for number in (1, 2, 3):
        amounts = [("capture", 100 + place) for place in range(LINES // 3)]
        items += await books.batch(*amounts, number=number)
    lines = [line_of(each) for each in items]
    report = books.report((REFERENCE, lines))

    begun = time.monotonic()
    read = await books.take(report)
    paid = await books.take(books.statement(Paid(net_of(lines), REFERENCE, on=VALUE)))
    seconds = time.monotonic() - begun

    assert (read.state, paid.state) == ("read", "read")
    assert set(await books.movement_states(items)) == {"funded"}
    assert seconds < SECONDS_MAX
