"""
Match the lines of a report with our items, one by one; pure, so that it can be tried endlessly.

A line is about an item of ours when RRN, terminal and kind are the same and the card's last four
digits and the approval code do not contradict it. Then amount and currency say what it is:

    matched         it agrees
    amount_differs  it is ours, with another amount or currency
    date_shifted    it agrees, but has another day, batch or report than it belonged to
    duplicate       our item has its line already
    missing_here    we have nothing that it could settle; `why` says what we know

An item has at most one line that is not a duplicate. Several captures of one authorization share
their RRN, so lines and items are paired: those that agree in everything first, then those that
agree but for the day, and only what is then left over differs in its amount, or repeats.
"""

from collections.abc import Iterable, Sequence
from typing import Literal
from uuid import UUID

import msgspec

from counterfoil.settlement.report_file import ReportLine

Outcome = Literal["matched", "amount_differs", "date_shifted", "duplicate", "missing_here"]

PAIRED_AS: tuple[Outcome, ...] = ("matched", "date_shifted", "amount_differs")
SETTLING: frozenset[Outcome] = frozenset({"matched", "date_shifted"})
IN_A_CLOSED_BATCH = frozenset({"batched", "settled", "funded"})
NOT_CLOSED_YET = "pending"


class Item(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """
    A capture or refund of ours as the report would name it; refunds are negative.

    `said_days` are the days (MMDD) on which an acquirer may say that it was made: on the merchant's
    wall (DE 13) or in UTC (DE 7); None where there is none. `has_line`: an earlier report has
    settled it. `was_missing`: an earlier report should have.
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
    said_days: Sequence[str | None]
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
    alike: dict[Key, list[tuple[int, ReportLine]]] = {}
    for place, line in enumerate(lines):
        alike.setdefault(_key(line), []).append((place, line))
    found: dict[int, Match] = {}
    for key, some in alike.items():
        found |= _paired(some, known.get(key, []))
    return [found[place] for place in sorted(found)]


def kind_of(line: ReportLine) -> str:
    """
    Return what we call the line's kind: a sale is captured by the host at once.
    """
    return "refund" if line.kind == "refund" else "capture"


def _paired(lines: list[tuple[int, ReportLine]], items: list[Item]) -> dict[int, Match]:
    """
    Return what each of the lines of one RRN and kind is, by its place in the report.
    """
    found: dict[int, Match] = {}
    free = [each for each in sorted(items, key=_oldest) if not each.has_line]
    for wanted in PAIRED_AS:
        for place, line in lines:
            if place not in found and (item := _fitting(line, wanted, free, items)):
                found[place] = Match(line=line, outcome=wanted, item=item)
                free.remove(item)
    return found | {place: _left_over(line, items) for place, line in lines if place not in found}


def _fitting(line: ReportLine, wanted: Outcome, free: list[Item], items: list[Item]) -> Item | None:
    """
    Return the oldest free item that the line would settle so; a wrong amount keeps to its batch.
    """
    has_batch = any(each.batch_number == line.batch_number for each in items)
    for item in free:
        if wanted == "amount_differs" and has_batch and item.batch_number != line.batch_number:
            continue
        if _contradiction(line, item) is None and _outcome(line, item) == wanted:
            return item
    return None


def _left_over(line: ReportLine, items: list[Item]) -> Match:
    """
    Return what a line is that no free item takes: too early, a duplicate, or not ours.
    """
    whys = {item.movement_id: _contradiction(line, item) for item in items}
    possible = [item for item in sorted(items, key=_oldest) if whys[item.movement_id] is None]
    early = [each for each in items if whys[each.movement_id] == NOT_CLOSED_YET]
    if early and (not possible or any(_same_money(line, each) for each in early)):
        raise NotClosed(early[0])
    if possible:
        same = [each for each in possible if _same_money(line, each)]
        return Match(line=line, outcome="duplicate", item=(same or possible)[0])
    return Match(line=line, outcome="missing_here", why=[*whys.values(), "unknown"][0])


def _contradiction(line: ReportLine, item: Item) -> str | None:
    """
    Return why *item* cannot be what the line is about, or None.
    """
    if item.card_last_four != line.card_last_four:
        return "other_card"
    codes = {line.approval_code, item.approval_code} - {None}
    if item.kind == "capture" and len(codes) > 1:
        return "other_approval_code"
    return None if item.state in IN_A_CLOSED_BATCH else item.state


def _outcome(line: ReportLine, item: Item) -> Outcome:
    if not _same_money(line, item):
        return "amount_differs"
    other_day = item.kind == "capture" and f"{line.transaction_date:%m%d}" not in item.said_days
    if other_day or item.was_missing or line.batch_number != item.batch_number:
        return "date_shifted"
    return "matched"


def _same_money(line: ReportLine, item: Item) -> bool:
    return (line.amount_minor, line.currency) == (item.amount_minor, item.currency)


def _oldest(item: Item) -> UUID:
    return item.movement_id


def _key(line: ReportLine) -> Key:
    return line.terminal_id, line.rrn, kind_of(line)
