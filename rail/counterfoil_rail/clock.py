"""
Time as a parameter: the host asks a clock, and a test may pass its own.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

Clock = Callable[[], datetime]


@dataclass(frozen=True, slots=True)
class Moment:
    """
    One instant in the forms that books and messages want; all in UTC.

    The rail's business day is the UTC date.
    """

    at: str
    business_day: str
    month: str
    transmission: str

    @classmethod
    def of(cls, now: datetime) -> "Moment":
        """
        Write *now* as RFC 3339, MMDD (DE 15), YYMM (like DE 14) and MMDDhhmmss (DE 7).
        """
        return cls(
            at=f"{now:%Y-%m-%dT%H:%M:%S}.{now.microsecond // 1000:03d}Z",
            business_day=f"{now:%m%d}",
            month=f"{now:%y%m}",
            transmission=f"{now:%m%d%H%M%S}",
        )


def system_clock() -> datetime:
    """
    Return the machine's time in UTC.
    """
    return datetime.now(UTC)
