"""
Match the lines of a report with our items, one by one; pure, so that it can be tried endlessly.

A line is about an item of ours when RRN, terminal and kind are the same and the card's last four
digits and the approval code do not contradict it. Then amount and currency say what it is:

    matched         it agrees
    amount_differs  it is ours, with another amount or currency
    date_shifted    it agrees, but has another day, batch or report than it belonged to
    duplicate       our item has its line already
    missing_here    we have nothing that it could settle; `why` says what we know

An item has at most one line that is not a duplicate: the one that agrees goes first.
"""

from collections.abc import Iterable, Sequence
from typing import Literal
from uuid import UUID

import msgspec

from counterfoil.settlement.report_file import ReportLine

Outcome = Literal["matched", "amount_differs", "date_shifted", "duplicate", "missing_here"]

SETTLING: frozenset[Outcome] = frozenset({"matched", "date_shifted"})
IN_A_CLOSED_BATCH = frozenset({"batched", "settled", "funded"})
NOT_CLOSED_YET = "pending"


class Item(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """
    A capture or refund of ours as the report would name it; refunds are negative.

    `transacted_on` is the day of the sale on the merchant's wall (DE 13, MMDD). `has_line`: an
    earlier report has settled it. `was_missing`: an earlier report should have.
    """

    movement_id: UUID
    kind: str
    state: str
    terminal_id: str
    batch_number: int
    rrn: str
    currency: str
    amount_minor: int
    approval_code: str | None
    card_last_four: str
    transacted_on: str
    has_line: bool
    was_missing: bool


class Match(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """
    A line, what it turned out to be, and the item it is about; `why` is for missing_here.
    """

    line: ReportLine
    outcome: Outcome
    item: Item | None = None
    why: str | None = None


class NotClosed(Exception):
    """
    A line settles an item whose batch is not closed here: the whole file is too early.

    Attributes:
        item: The item that it would settle.
    """

    def __init__(self, item: Item) -> None:
        super().__init__("an item is settled before its batch is closed")
        self.item = item


Key = tuple[str, str, str]


def match(lines: Iterable[ReportLine], items: Iterable[Item]) -> list[Match]:
    """
    Return for each of *lines* what it turned out to be, in their order.

    Raises:
        NotClosed: A line settles an item whose batch is not closed here.
    """
    known: dict[Key, list[Item]] = {}
    for item in items:
        known.setdefault((item.terminal_id, item.rrn, item.kind), []).append(item)
    judged = [_judged(line, known.get(_key(line), ())) for line in lines]
    first: dict[UUID, int] = {}
    for place, each in enumerate(judged):
        if each.item is not None and not each.item.has_line:
            before = first.get(each.item.movement_id)
            if before is None or (_agrees(each) and not _agrees(judged[before])):
                first[each.item.movement_id] = place
    return [
        each
        if each.item is None or first.get(each.item.movement_id) == place
        else msgspec.structs.replace(each, outcome="duplicate")
        for place, each in enumerate(judged)
    ]


def kind_of(line: ReportLine) -> str:
    """
    Return what we call the line's kind: a sale is captured by the host at once.
    """
    return "refund" if line.kind == "refund" else "capture"


def _judged(line: ReportLine, candidates: Sequence[Item]) -> Match:
    """
    Return what a line would be if it were the only one about its item.
    """
    why = "unknown"
    for item in sorted(candidates, key=lambda each: (each.has_line, each.movement_id)):
        contradiction = _contradiction(line, item)
        if contradiction is None:
            return Match(line=line, outcome=_outcome(line, item), item=item)
        why = contradiction
    return Match(line=line, outcome="missing_here", why=why)


def _contradiction(line: ReportLine, item: Item) -> str | None:
    """
    Return why *item* cannot be what the line is about, or None.
    """
    if item.card_last_four != line.card_last_four:
        return "other_card"
    codes = {line.approval_code, item.approval_code} - {None}
    if item.kind == "capture" and len(codes) > 1:
        return "other_approval_code"
    if item.state == NOT_CLOSED_YET:
        raise NotClosed(item)
    return None if item.state in IN_A_CLOSED_BATCH else item.state


def _outcome(line: ReportLine, item: Item) -> Outcome:
    if (line.amount_minor, line.currency) != (item.amount_minor, item.currency):
        return "amount_differs"
    other_day = item.kind == "capture" and f"{line.transaction_date:%m%d}" != item.transacted_on
    if other_day or item.was_missing or line.batch_number != item.batch_number:
        return "date_shifted"
    return "matched"


def _agrees(found: Match) -> bool:
    return found.outcome in SETTLING


def _key(line: ReportLine) -> Key:
    return line.terminal_id, line.rrn, kind_of(line)
