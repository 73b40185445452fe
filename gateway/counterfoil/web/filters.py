"""
The filters of the payments page: read from an address, kept in the links of its pages.
"""

import re
from collections.abc import Collection
from datetime import UTC, date, datetime, time, timedelta
from urllib.parse import urlencode
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec

from counterfoil import ids
from counterfoil.money import CURRENCIES
from counterfoil.receipts.receipt import BRANDS
from counterfoil.store.search import YEARS, Between, Narrowing, ids_within
from counterfoil.web.visit import Visit
from counterfoil.web.words import ASKED_ONLY, KINDS

# What a person calls it, and the states that it is in the database. What a clerk was only asked
# about is `asked`, and not `declined`, as which the gateway keeps it.
STANDING: dict[str, tuple[str, tuple[str, ...]]] = {
    "paid": ("Paid", ("captured",)),
    "refunded": ("Refunded, wholly or partly", ("captured",)),
    "authorized": ("Authorized", ("authorized",)),
    "declined": ("Declined", ("declined",)),
    "asked": (ASKED_ONLY, ("declined",)),
    "waiting": ("On its way, or waits to be claimed", ("processing", "approved")),
    "voided": ("Voided", ("voiding", "voided")),
    "reversed": ("Reversed", ("reversing", "reversed")),
    "lapsed": ("Lapsed", ("expired",)),
    "other": ("Not sent, or a card check", ("not_sent", "verified", "unanswered")),
}
KIND_NAMES = {kind.value: words for kind, words in KINDS.items()}
NAMES = ("q", "standing", "kind", "card", "currency", "acquirer", "from", "to")
TEXT_CHARACTERS_MAX = 300
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
NOT_OFFERED = {
    "standing": "Choose how it stands.",
    "kind": "Choose a kind.",
    "card": "Choose a card.",
    "currency": "Choose a currency.",
    "acquirer": "Choose an acquirer.",
}


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """
    What was asked for, as it was written; faults by the name of the field. `is_beyond`: not the
    first page of it.
    """

    values: dict[str, str]
    is_beyond: bool
    narrowing: Narrowing
    between: Between
    faults: dict[str, str]

    @property
    def is_narrowed(self) -> bool:
        """
        Whether a filter is set, beside the words.
        """
        return any(value for name, value in self.values.items() if name != "q")

    def address(self, path: str = "/payments", **changes: str) -> str:
        """
        Return *path* with what was asked for, and *changes*.
        """
        return address(path, {**self.values, **changes})


def address(path: str, values: dict[str, str]) -> str:
    """
    Return *path* with those of *values* that are not empty.
    """
    query = urlencode({name: value for name, value in values.items() if value})
    return f"{path}?{query}" if query else path


def asked(visit: Visit, acquirers: Collection[str]) -> Asked:
    """
    Return what the address of a page asks for, of a merchant with these *acquirers*. What cannot
    be is told at its field.
    """
    values = {name: visit.asked(name)[:TEXT_CHARACTERS_MAX] for name in NAMES}
    zone = ZoneInfo(visit.who.merchant.timezone)
    first, last = _day(values["from"]), _day(values["to"])
    faults = _not_offered(values, acquirers) | _faults(values, first, last)
    since = _begin(first, zone) if first else None
    until = _begin(last + timedelta(days=1), zone) if last else None
    states = STANDING.get(values["standing"])
    return Asked(
        values=values,
        is_beyond=bool(visit.asked("before") or visit.asked("after")),
        narrowing=Narrowing(
            states=states[1] if states else None,
            is_refunded=True if values["standing"] == "refunded" else None,
            kind=values["kind"] or None,
            brand=values["card"] or None,
            currency=values["currency"] or None,
            acquirer=values["acquirer"] or None,
            since=since,
            until=until,
            is_question={"asked": True, "declined": False}.get(values["standing"]),
        ),
        between=_between(visit, since, until),
        faults=faults,
    )


def _not_offered(values: dict[str, str], acquirers: Collection[str]) -> dict[str, str]:
    offered: dict[str, Collection[str]] = {
        "standing": STANDING,
        "kind": KIND_NAMES,
        "card": BRANDS,
        "currency": CURRENCIES,
        "acquirer": acquirers,
    }
    return {
        name: NOT_OFFERED[name]
        for name, some in offered.items()
        if values[name] and values[name] not in some
    }


def _faults(values: dict[str, str], first: date | None, last: date | None) -> dict[str, str]:
    faults = {}
    for name, day, words in (("from", first, "first"), ("to", last, "last")):
        if values[name] and day is None:
            faults[name] = _fault_of_day(values[name], words)
    if first and last and first > last:
        faults["to"] = "The last day lies before the first."
    return faults


def _fault_of_day(text: str, words: str) -> str:
    if not _DAY.fullmatch(text):
        return f"Write the {words} day as 2026-11-28."
    year = int(text[:4])
    if not YEARS[0] <= year < YEARS[1]:
        return f"Write a year from {YEARS[0]} to {YEARS[1] - 1}."
    return f"There is no {text} in the calendar: write another day."


def _between(visit: Visit, since: datetime | None, until: datetime | None) -> Between:
    """
    Return where a page begins: at a payment of the page before, within the days.
    """
    low, high = ids_within(since, until)
    before, after = _payment(visit.asked("before")), _payment(visit.asked("after"))
    if before:
        return Between(low=low, high=min(before, high))
    if after:
        return Between(low=max(after, low), high=high, from_oldest=True)
    return Between(low=low, high=high)


def _payment(text: str) -> UUID | None:
    try:
        return ids.read(ids.PAYMENT, text)
    except ids.UnreadableId:
        return None


def _day(text: str) -> date | None:
    try:
        day = date.fromisoformat(text)
    except ValueError:
        return None
    return day if YEARS[0] <= day.year < YEARS[1] else None


def _begin(day: date, zone: ZoneInfo) -> datetime:
    return datetime.combine(day, time(), zone).astimezone(UTC)
