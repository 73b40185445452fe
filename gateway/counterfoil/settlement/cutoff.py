"""
When a merchant's day ends: the cutoff, by the clock on the merchant's wall, in UTC.

A merchant says "17:30 in New York". Once a year that time does not exist, and once it
exists twice: a time that the clocks skip means the first moment after the gap, a time that
comes twice means its first occurrence. So every date has exactly one cutoff.
"""

from datetime import UTC, date, datetime, time, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

CUTOFFS_MAX = 400  # One call's worth of catching up: more than a year of days.

_DAYS_AHEAD = 3  # Today's, tomorrow's, and one to spare where a whole date was skipped.
_MOMENT = timedelta(microseconds=1)


def next_cutoff(after: datetime, cutoff: time, timezone: str) -> datetime:
    """
    Return the first cutoff strictly later than *after* (UTC), in UTC.

    Raises:
        ValueError: *after* is not UTC, *cutoff* carries a zone of its own, or *timezone* is
            no zone of the IANA database.
    """
    if after.utcoffset() != timedelta(0):
        raise ValueError("a moment is given in UTC")
    if cutoff.tzinfo is not None:
        raise ValueError("a cutoff is a time on the wall, without a zone of its own")
    zone = _zone(timezone)
    today = after.astimezone(zone).date()
    candidates = (_moment(today + timedelta(days=n), cutoff, zone) for n in range(_DAYS_AHEAD))
    return next(candidate for candidate in candidates if candidate > after)


def cutoffs_between(
    after: datetime, until: datetime, cutoff: time, timezone: str
) -> tuple[datetime, ...]:
    """
    Return the cutoffs later than *after* and not later than *until* (UTC), oldest first.

    At most `CUTOFFS_MAX`: whoever was away longer asks again from the last one.

    Raises:
        ValueError: As `next_cutoff`.
    """
    passed: list[datetime] = []
    due = next_cutoff(after, cutoff, timezone)
    while due <= until and len(passed) < CUTOFFS_MAX:
        passed.append(due)
        due = next_cutoff(due, cutoff, timezone)
    return tuple(passed)


class CutoffChange(NamedTuple):
    """
    When the day that is open now ends, by the old cutoff and by the new one, and the one after it.
    """

    before: datetime
    after: datetime
    following: datetime
    at_once: bool


def effect_of_change(
    last: datetime, now: datetime, *, before: tuple[time, str], after: tuple[time, str]
) -> CutoffChange:
    """
    Return what becomes of the next close when cutoff and zone *before* become those *after*.

    *last*: the cutoff that was kept last. One that the new time puts into the past is kept at once.

    Raises:
        ValueError: As `next_cutoff`.
    """
    due = next_cutoff(last, *after)
    return CutoffChange(
        before=next_cutoff(last, *before),
        after=due,
        following=next_cutoff(max(due, now), *after),
        at_once=due <= now,
    )


def _moment(day: date, cutoff: time, zone: ZoneInfo) -> datetime:
    """
    Return the moment of *cutoff* on *day* in UTC.
    """
    local = datetime.combine(day, cutoff.replace(fold=0), zone)
    before, behind = local.utcoffset(), local.replace(fold=1).utcoffset()
    assert before is not None
    assert behind is not None
    if behind <= before:  # An ordinary time, or the first of two.
        return local.astimezone(UTC)
    return _end_of_gap(local.replace(tzinfo=UTC), before, behind, zone)


def _end_of_gap(wall: datetime, before: timedelta, behind: timedelta, zone: ZoneInfo) -> datetime:
    """
    Return when the clocks sprang from offset *before* to *behind* over the time *wall*.

    The jump lies between the two readings of that time; halving finds it.
    """
    early, late = wall - behind, wall - before
    while late - early > _MOMENT:
        middle = early + (late - early) // 2
        if middle.astimezone(zone).utcoffset() == before:
            early = middle
        else:
            late = middle
    return late


def _zone(name: str) -> ZoneInfo:
    """
    Return the zone of this name.
    """
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise ValueError("not a time zone of the IANA database") from None
