"""
Time as a parameter: the host asks a clock, and a test may pass its own.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

Clock = Callable[[], datetime]


@dataclass(frozen=True, slots=True)
class Moment:
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
            business_day=f"{day:%m%d}",
            month=f"{now:%y%m}",
            transmission=f"{now:%m%d%H%M%S}",
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
    return f"{now:%Y-%m-%dT%H:%M:%S}.{now.microsecond // 1000:03d}Z"
