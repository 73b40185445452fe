"""
The days on which American banks settle.
"""

from datetime import date, timedelta

import pytest
from counterfoil.settlement.banking_days import (
    BANKING_DAYS_AHEAD_MAX,
    holidays,
    is_banking_day,
    next_banking_day,
)
from hypothesis import given
from hypothesis import strategies as st

# As the Federal Reserve publishes them; a holiday on a Saturday closes no weekday.
PUBLISHED = {
    2023: "01-02 01-16 02-20 05-29 06-19 07-04 09-04 10-09 11-11 11-23 12-25",
    2024: "01-01 01-15 02-19 05-27 06-19 07-04 09-02 10-14 11-11 11-28 12-25",
    2026: "01-01 01-19 02-16 05-25 06-19 07-04 09-07 10-12 11-11 11-26 12-25",
    2027: "01-01 01-18 02-15 05-31 06-19 07-05 09-06 10-11 11-11 11-25 12-25",
    2028: "01-01 01-17 02-21 05-29 06-19 07-04 09-04 10-09 11-11 11-23 12-25",
}
DAYS = st.dates(date(2000, 1, 1), date(2100, 12, 31))


@pytest.mark.parametrize("year", PUBLISHED)
def test_the_holidays_are_those_that_are_published(year: int):
    """By rule, for several years."""
    assert sorted(holidays(year)) == [
        date.fromisoformat(f"{year}-{day}") for day in PUBLISHED[year].split()
    ]


def test_a_holiday_on_a_sunday_moves_and_one_on_a_saturday_does_not():
    """4 July 2027 is a Sunday; 4 July 2026 is a Saturday, and the Friday is a banking day."""
    assert not is_banking_day(date(2027, 7, 5))
    assert is_banking_day(date(2026, 7, 3))
    assert is_banking_day(date(2026, 7, 6))


@pytest.mark.parametrize(
    ("day", "n", "due"),
    [
        ("2026-11-20", 1, "2026-11-23"),  # A Friday.
        ("2026-11-25", 1, "2026-11-27"),  # Before Thanksgiving.
        ("2026-11-21", 0, "2026-11-23"),
        ("2026-11-23", 0, "2026-11-23"),
        ("2026-12-24", 2, "2026-12-29"),
        ("2022-12-30", 1, "2023-01-03"),  # New Year's Day is a Sunday, kept on the Monday.
        ("2027-12-31", 1, "2028-01-03"),  # A Saturday.
    ],
)
def test_the_next_banking_day(day: str, n: int, due: str):
    """Over weekends, holidays and years."""
    assert next_banking_day(date.fromisoformat(day), n) == date.fromisoformat(due)


@given(DAYS, st.integers(1, 15))
def test_there_are_n_banking_days_up_to_the_nth(day: date, n: int):
    """Counted one by one."""
    due = next_banking_day(day, n)
    days = [day + timedelta(k) for k in range(1, (due - day).days + 1)]

    assert sum(map(is_banking_day, days)) == n
    assert is_banking_day(due)


@given(DAYS)
def test_banks_never_close_for_more_than_four_days(day: date):
    """So that no rule can be wildly wrong."""
    assert (next_banking_day(day) - day).days <= 5


@pytest.mark.parametrize("n", [-1, BANKING_DAYS_AHEAD_MAX + 1])
def test_days_ahead_are_bounded(n: int):
    """Neither back nor more than a year ahead."""
    with pytest.raises(ValueError, match="banking days ahead"):
        next_banking_day(date(2026, 1, 2), n)
