"""
Which days are banking days: Monday to Friday, but for the Federal Reserve's holidays.

By rule, for any year. A holiday on a Sunday is kept on Monday; one on a Saturday is not
kept on another day (Federal Reserve, holiday schedules).
"""

from datetime import date, timedelta

SATURDAY, SUNDAY = 5, 6
MONDAY, THURSDAY = 0, 3

_FIXED = {
    (1, 1): "New Year's Day",
    (6, 19): "Juneteenth National Independence Day",
    (7, 4): "Independence Day",
    (11, 11): "Veterans Day",
    (12, 25): "Christmas Day",
}
# Month and weekday to which of them: the first is 1, the last is 0.
_FLOATING = {
    (1, MONDAY, 3): "Birthday of Martin Luther King, Jr.",
    (2, MONDAY, 3): "Washington's Birthday",
    (5, MONDAY, 0): "Memorial Day",
    (9, MONDAY, 1): "Labor Day",
    (10, MONDAY, 2): "Columbus Day",
    (11, THURSDAY, 4): "Thanksgiving Day",
}


def is_banking_day(day: date) -> bool:
    """
    Tell whether banks work on *day*.
    """
    return day.weekday() < SATURDAY and holiday(day) is None


def next_banking_day(day: date) -> date:
    """
    Return the first banking day after *day*.
    """
    following = day + timedelta(days=1)
    while not is_banking_day(following):
        following += timedelta(days=1)
    return following


def holiday(day: date) -> str | None:
    """
    Return the name of the holiday that is kept on *day*, or None.
    """
    fixed = _FIXED.get((day.month, day.day))
    if fixed and day.weekday() not in {SATURDAY, SUNDAY}:
        return fixed
    yesterday = day - timedelta(days=1)
    if day.weekday() == MONDAY and (yesterday.month, yesterday.day) in _FIXED:
        return _FIXED[yesterday.month, yesterday.day]
    is_last = (day + timedelta(days=7)).month != day.month
    for which in ((day.day + 6) // 7, *((0,) if is_last else ())):
        name = _FLOATING.get((day.month, day.weekday(), which))
        if name:
            return name
    return None
