"""
Several captures of one authorization share their RRN: each line settles one item, each item once.
"""

from collections import Counter
from datetime import date
from random import Random
from uuid import UUID

import hypothesis.strategies as some
import msgspec
import pytest
from counterfoil.settlement.matching import Item, Match, NotClosed, match
from counterfoil.settlement.report_file import ReportLine
from hypothesis import given

RRN = "632706000001"
DAY = date(2026, 11, 23)
ITEMS = some.lists(
    some.tuples(some.integers(1, 3), some.sampled_from([100, 100, 200, 350])), min_size=1,
    max_size=8,
)  # fmt: skip


def item(number: int, batch: int, amount: int, **changes: object) -> Item:
    made = Item(
        movement_id=UUID(int=number),
        kind="capture",
        state="batched",
        terminal_id="TERM0001",
        batch_number=batch,
        rrn=RRN,
        currency="USD",
        amount_minor=amount,
        approval_code="A1B2C3",
        card_last_four="1111",
        said_days=("1123",),
        has_line=False,
        was_missing=False,
    )
    return msgspec.structs.replace(made, **changes)


def line(number: int, batch: int, amount: int) -> ReportLine:
    return ReportLine(
        number=number,
        terminal_id="TERM0001",
        batch_number=batch,
        kind="sale",
        rrn=RRN,
        approval_code="A1B2C3",
        card_masked="************1111",
        card_brand="visa",
        currency="USD",
        amount_minor=amount,
        interchange_minor=0,
        scheme_fee_minor=0,
        markup_minor=0,
        deposit_reference="CF261123000001",
        transaction_date=DAY,
    )


def outcomes(found: list[Match]) -> list[str]:
    return [each.outcome for each in found]


@given(ITEMS, some.integers(0, 2**32))
def test_lines_in_any_order_match_items_of_one_rrn_one_by_one(
    kept: list[tuple[int, int]], seed: int
) -> None:
    """Also when amounts are equal, in one batch or in several."""
    items = [item(number, *each) for number, each in enumerate(kept)]
    lines = [line(number, *each) for number, each in enumerate(kept, start=1)]
    Random(seed).shuffle(lines)

    found = match(lines, items)

    assert outcomes(found) == ["matched"] * len(lines)
    assert [each.line for each in found] == lines
    assert Counter(each.item.movement_id for each in found if each.item) == Counter(
        each.movement_id for each in items
    )
    for each in found:
        assert each.item is not None
        assert (each.line.batch_number, each.line.amount_minor) == (
            each.item.batch_number, each.item.amount_minor,
        )  # fmt: skip


@given(ITEMS, some.data())
def test_a_line_more_than_there_are_items_is_a_duplicate(
    kept: list[tuple[int, int]], data: some.DataObject
) -> None:
    """Exactly one, and nothing else changes."""
    items = [item(number, *each) for number, each in enumerate(kept)]
    again = data.draw(some.sampled_from(kept))
    lines = [line(number, *each) for number, each in enumerate([*kept, again], start=1)]

    found = Counter(outcomes(match(lines, items)))

    assert found == {"matched": len(kept), "duplicate": 1}


@given(ITEMS, some.data())
def test_a_missing_line_leaves_its_item_alone(
    kept: list[tuple[int, int]], data: some.DataObject
) -> None:
    """The others are matched; no line takes the wrong item."""
    items = [item(number, *each) for number, each in enumerate(kept)]
    gone = data.draw(some.integers(0, len(kept) - 1))
    lines = [line(number, *each) for number, each in enumerate(kept, start=1) if number - 1 != gone]

    found = match(lines, items)

    assert outcomes(found) == ["matched"] * len(lines)
    settled = {each.item.movement_id for each in found if each.item}
    [missing] = [each for each in items if each.movement_id not in settled]
    assert (missing.batch_number, missing.amount_minor) == kept[gone]


def test_a_wrong_amount_is_charged_to_the_item_that_is_left() -> None:
    """100 and 200 are ours, 100 and 250 the report's: the 250 differs, the 100 does not."""
    found = match([line(1, 1, 250), line(2, 1, 100)], [item(1, 1, 100), item(2, 1, 200)])

    assert outcomes(found) == ["amount_differs", "matched"]
    assert [each.item.amount_minor for each in found if each.item] == [200, 100]


def test_a_wrong_amount_stays_in_its_batch() -> None:
    """A line of batch 1 that repeats with another amount takes no item of batch 2."""
    items = [item(1, 1, 100, has_line=True), item(2, 2, 100)]

    found = match([line(1, 1, 90), line(2, 2, 100)], items)

    assert outcomes(found) == ["duplicate", "matched"]


def test_a_capture_that_was_undone_is_passed_over() -> None:
    """Its sibling is what the line is about."""
    items = [item(1, 1, 100, state="undone"), item(2, 1, 100)]

    assert outcomes(match([line(1, 1, 100)], items)) == ["matched"]
    assert outcomes(match([line(1, 1, 100), line(2, 1, 100)], items)) == ["matched", "duplicate"]


def test_a_line_for_an_item_that_is_not_closed_yet_holds_the_file() -> None:
    """The closed one has its line; this one can only be the open one's."""
    items = [item(1, 1, 100), item(2, 2, 70, state="pending")]

    assert outcomes(match([line(1, 1, 100)], items)) == ["matched"]
    with pytest.raises(NotClosed):
        match([line(1, 1, 100), line(2, 2, 70)], items)
