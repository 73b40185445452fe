"""
Time as a parameter.

Every rule and every statement that depends on time takes its `now` from a clock
that was passed in, so that a test or a simulation can run a month in a minute.
"""

import time
from datetime import UTC, datetime
from functools import partial
from typing import Protocol


class Clock(Protocol):
    """
    Where the time comes from.
    """

    def now(self) -> datetime:
        """
        Return the wall time, aware, in UTC: for rows, deadlines and messages.
        """
        ...

    def monotonic(self) -> float:
        """
        Return seconds that never step back and go on while the machine is asleep: for waits.
        """
        ...


# Where there is one, CLOCK_BOOTTIME: it counts a suspended machine's sleep too.
_MONOTONIC = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


class SystemClock:
    """
    The machine's own clock.
    """

    def now(self) -> datetime:
        """
        Return the machine's wall time in UTC.
        """
        return datetime.now(UTC)

    # The system's own call, without one of ours around it: a payment asks some thirty times.
    monotonic = staticmethod(partial(time.clock_gettime, _MONOTONIC))
