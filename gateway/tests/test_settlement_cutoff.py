"""
The merchant's cutoff, over daylight-saving changes and outages.
"""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from counterfoil.settlement.cutoff import CUTOFFS_MAX, cutoffs_between, next_cutoff
from hypothesis import given, settings
from hypothesis import strategies as st

ZONES = [
    "America/New_York",
    "Europe/Berlin",
    "Australia/Lord_Howe",  # Half an hour of daylight saving.
    "America/St_Johns",
    "America/Havana",  # Changes at midnight.
    "Africa/Cairo",  # Likewise, and falls back across it.
    "Asia/Kathmandu",
    "Pacific/Kiritimati",
    "UTC",
]


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("after", "cutoff", "zone", "due"),
    [
        ("2026-11-23 12:00", "17:30", "America/New_York", "2026-11-23 22:30"),
        ("2026-11-23 22:30", "17:30", "America/New_York", "2026-11-24 22:30"),
        ("2026-07-01 12:00", "17:30", "America/New_York", "2026-07-01 21:30"),
        # 8 March 2026: 02:00 becomes 03:00. 02:30 does not exist; 03:00 EDT is 07:00 UTC.
        ("2026-03-08 00:00", "02:30", "America/New_York", "2026-03-08 07:00"),
        ("2026-03-08 07:00", "02:30", "America/New_York", "2026-03-09 06:30"),
        ("2026-03-08 00:00", "02:00", "America/New_York", "2026-03-08 07:00"),
        ("2026-03-08 00:00", "03:00", "America/New_York", "2026-03-08 07:00"),
        # 1 November 2026: 01:30 comes twice, first as EDT; the second is no cutoff.
        ("2026-11-01 00:00", "01:30", "America/New_York", "2026-11-01 05:30"),
        ("2026-11-01 05:30", "01:30", "America/New_York", "2026-11-02 06:30"),
        # Half an hour is skipped at 02:00 on 4 October 2026: 02:30 LHDT is 15:30 UTC.
        ("2026-10-03 00:00", "02:15", "Australia/Lord_Howe", "2026-10-03 15:30"),
        # Midnight is skipped: the day begins at 01:00.
        ("2026-04-23 12:00", "00:00", "Africa/Cairo", "2026-04-23 22:00"),
        # Samoa had no 30 December 2011: it went from the 29th to the 31st.
        ("2011-12-29 12:00", "17:00", "Pacific/Apia", "2011-12-30 03:00"),
    ],
)
def test_the_next_cutoff(after: str, cutoff: str, zone: str, due: str):
    """By the clock on the wall: skipped times after the gap, doubled ones the first time."""
    assert next_cutoff(utc(after), time.fromisoformat(cutoff), zone) == utc(due)


def test_a_date_that_was_skipped_ends_at_the_gap():
    """The first moment after 30 December 2011 in Samoa is midnight of the 31st."""
    due = cutoffs_between(
        utc("2011-12-29 12:00"), utc("2012-01-01 12:00"), time(17), "Pacific/Apia"
    )

    assert due == (
        utc("2011-12-30 03:00"),
        utc("2011-12-30 10:00"),
        utc("2011-12-31 03:00"),
        utc("2012-01-01 03:00"),
    )


def reached(day: date, cutoff: time, zone: ZoneInfo) -> datetime:
    """Look at the clock every minute until it shows *cutoff* of *day* or later."""
    moment = datetime.combine(day, time(0), UTC) - timedelta(hours=16)
    wanted = datetime.combine(day, cutoff)
    while moment.astimezone(zone).replace(tzinfo=None) < wanted:
        moment += timedelta(minutes=1)
    return moment


@settings(max_examples=25, deadline=None)
@given(st.sampled_from(ZONES), st.times(time(0), time(23, 59)), st.data())
def test_every_date_has_one_cutoff_when_the_clock_reaches_it(
    zone: str, cutoff: time, data: st.DataObject
):
    """As somebody sees it who watches the clock: over a change of the clocks and the days by it."""
    cutoff = cutoff.replace(second=0, microsecond=0)
    zone_info = ZoneInfo(zone)
    year = [date(2026, 1, 1) + timedelta(n) for n in range(365)]
    noons = [datetime.combine(day, time(12), zone_info) for day in year]
    changes = [
        day
        for day, noon, following in zip(year, noons, noons[1:], strict=False)
        if noon.utcoffset() != following.utcoffset()
    ]
    middle = data.draw(st.sampled_from(changes or year))
    days = [middle + timedelta(n) for n in range(-1, 4)]
    expected = tuple(reached(day, cutoff, zone_info) for day in days)

    found = cutoffs_between(expected[0] - timedelta(minutes=1), expected[-1], cutoff, zone)

    assert found == expected


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(ZONES),
    st.times(),
    st.integers(0, 15 * 365 * 24 * 60).map(
        lambda n: utc("2020-01-01 00:00") + timedelta(minutes=n)
    ),
)
def test_the_next_cutoff_is_later_and_within_26_hours(zone: str, cutoff: time, after: datetime):
    """Strictly later, and no date is left out."""
    due = next_cutoff(after, cutoff, zone)

    assert timedelta(0) < due - after <= timedelta(hours=26)
    assert due.utcoffset() == timedelta(0)


def test_after_an_outage_every_missed_cutoff_is_named_once():
    """From the last one kept, which is left out, to now, which is included."""
    missed = cutoffs_between(
        utc("2026-10-30 21:30"), utc("2026-11-02 22:30"), time(17, 30), "America/New_York"
    )

    assert missed == (utc("2026-10-31 21:30"), utc("2026-11-01 22:30"), utc("2026-11-02 22:30"))
    assert cutoffs_between(missed[-1], missed[-1], time(17, 30), "America/New_York") == ()


def test_catching_up_is_bounded():
    """After years away the oldest come first; the rest comes when asked again."""
    missed = cutoffs_between(utc("2020-01-01 00:00"), utc("2026-01-01 00:00"), time(0), "UTC")

    assert len(missed) == CUTOFFS_MAX
    assert missed[0] == utc("2020-01-02 00:00")


@pytest.mark.parametrize("zone", ["", "Mars/Olympus", "../../etc/passwd", "/etc/passwd", "x\0y"])
def test_a_zone_that_is_none_is_refused(zone: str):
    """Without saying more than that."""
    with pytest.raises(ValueError, match="not a time zone"):
        next_cutoff(utc("2026-01-01 00:00"), time(0), zone)


@pytest.mark.parametrize(
    "after",
    [utc("2026-01-01").replace(tzinfo=None), datetime(2026, 1, 1, tzinfo=ZoneInfo("Asia/Tokyo"))],
)
def test_a_moment_that_is_not_utc_is_refused(after: datetime):
    """A naive time or another zone is a mistake in the program."""
    with pytest.raises(ValueError, match="UTC"):
        next_cutoff(after, time(0), "UTC")


def test_a_cutoff_with_a_zone_of_its_own_is_refused():
    """The zone is the merchant's."""
    with pytest.raises(ValueError, match="without a zone"):
        next_cutoff(utc("2026-01-01 00:00"), time(0, tzinfo=UTC), "UTC")
