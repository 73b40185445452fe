"""
Time as a parameter: the host asks a clock, and a test may pass its own.
"""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple

Clock = Callable[[], datetime]


class Moment(NamedTuple):
    """
    One instant in the forms that books and messages want, all in UTC, and the business day.
    """

    now: datetime
    at: str
    day: str
    business_day: str
    month: str
    transmission: str

    @classmethod
    def of(cls, now: datetime, business_day: date | None = None) -> "Moment":
        """
        Write *now* as RFC 3339, YYMM (like DE 14) and MMDDhhmmss (DE 7); the business day
        (if none is given: the date of *now*) as YYYY-MM-DD and MMDD (DE 15).
        """
        day = business_day or now.date()
        return cls(
            now=now,
            at=_written(now),
            day=day.isoformat(),
            business_day=f"{day.month:02d}{day.day:02d}",
            month=f"{now.year % 100:02d}{now.month:02d}",
            transmission=f"{now.month:02d}{now.day:02d}{now.hour:02d}{now.minute:02d}{now.second:02d}",
        )

    def later(self, seconds: float) -> str:
        """
        Write the instant that many seconds after this one, like `at`.
        """
        return _written(self.now + timedelta(seconds=seconds))


def system_clock() -> datetime:
    """
    Return the machine's time in UTC.
    """
    return datetime.now(UTC)


def _written(now: datetime) -> str:
    return f"{now.replace(tzinfo=None).isoformat(timespec='milliseconds')}Z"
