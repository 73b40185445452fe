"""
The days on which American banks settle: not weekends, not Federal Reserve holidays.

Deposits are paid on the next banking day. The holidays follow by rule, for any year: one
that falls on a Sunday is observed on the Monday; one on a Saturday is not moved, and the
Friday before it is a banking day (Federal Reserve Bank Services, Holiday Schedules).
"""

from datetime import date, timedelta
from functools import lru_cache

JUNETEENTH_SINCE = 2021
BANKING_DAYS_AHEAD_MAX = 366

_ONE_DAY = timedelta(days=1)
_MONDAY, _THURSDAY, _SATURDAY, _SUNDAY = 0, 3, 5, 6


def is_banking_day(day: date) -> bool:
    """
    Say whether the Federal Reserve Banks are open on *day*.
    """
    return day.weekday() < _SATURDAY and day not in holidays(day.year)


def next_banking_day(day: date, n: int = 1) -> date:
    """
    Return the *n*-th banking day after *day*; with 0, *day* itself or the next if it is none.

    Raises:
        ValueError: *n* is negative or more than a year ahead.
    """
    if not 0 <= n <= BANKING_DAYS_AHEAD_MAX:
        raise ValueError(f"from 0 to {BANKING_DAYS_AHEAD_MAX} banking days ahead")
    if n == 0 and is_banking_day(day):
        return day
    for _ in range(max(n, 1)):
        day += _ONE_DAY
        while not is_banking_day(day):
            day += _ONE_DAY
    return day


@lru_cache(maxsize=256)
def holidays(year: int) -> frozenset[date]:
    """
    Return the weekdays and Saturdays of *year* on which the Federal Reserve is closed by holiday.
    """
    fixed = [
        date(year, 1, 1),  # New Year's Day
        date(year, 7, 4),  # Independence Day
        date(year, 11, 11),  # Veterans Day
        date(year, 12, 25),  # Christmas Day
    ]
    if year >= JUNETEENTH_SINCE:
        fixed.append(date(year, 6, 19))
    floating = [
        _nth(year, 1, _MONDAY, 3),  # Martin Luther King Jr. Day
        _nth(year, 2, _MONDAY, 3),  # Washington's Birthday
        _nth(year, 6, _MONDAY, 1) - 7 * _ONE_DAY,  # Memorial Day, the last Monday of May
        _nth(year, 9, _MONDAY, 1),  # Labor Day
        _nth(year, 10, _MONDAY, 2),  # Columbus Day
        _nth(year, 11, _THURSDAY, 4),  # Thanksgiving Day
    ]
    return frozenset([*map(_observed, fixed), *floating])


def _observed(holiday: date) -> date:
    """
    Return when a holiday is kept: a Sunday's on the Monday.
    """
    return holiday + _ONE_DAY if holiday.weekday() == _SUNDAY else holiday


def _nth(year: int, month: int, weekday: int, n: int) -> date:
    """
    Return the *n*-th *weekday* (Monday is 0) of a month.
    """
    first = date(year, month, 1)
    return first + timedelta(days=(weekday - first.weekday()) % 7 + 7 * (n - 1))
