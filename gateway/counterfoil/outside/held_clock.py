"""
A process's clock, held to the database's: one source for all deadlines.

It goes on by the monotonic clock, so that a wall clock that jumps (NTP, a resumed machine)
makes no approval overdue, no lease end and no late acknowledgment early. Small differences
to the database's clock are taken up bit by bit. A large one means that one of the two is
wrong: then this clock goes on as before, new payments are refused, and only when the
difference has stayed for longer than any acknowledgment usually waits is it believed.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from counterfoil.clock import Clock

SKEW_SECONDS_MAX = 1.0
SLEW_SECONDS_MAX = 0.005  # At each look, one a second: more than any healthy clock drifts.
BELIEVED_AFTER_SECONDS = 600.0


class HeldClock:
    """
    Counts on from the last moment that the database confirmed.
    """

    def __init__(self, machine: Clock) -> None:
        self._machine = machine
        # The machine's monotonic seconds: asked for some twenty times in a payment.
        self.monotonic: Callable[[], float] = machine.monotonic
        self._anchored(machine.now(), machine.monotonic())
        self._held = False
        self._off_since: float | None = None
        self.off_seconds = 0.0

    def now(self) -> datetime:
        """
        Return the time in UTC, as the database would say.
        """
        return datetime.fromtimestamp(self._zero + self.monotonic(), UTC)

    def hold(self, database_time: datetime, at: float) -> float:
        """
        Learn what the database's clock said at monotonic moment *at*; return the skew in seconds.

        The skew is the larger of two: of this clock, and of the machine's wall clock.
        """
        database_time = database_time.astimezone(UTC)
        ours = self._at + timedelta(seconds=at - self._anchor)
        off = (database_time - ours).total_seconds()
        if not self._held:
            self._held, off = True, 0.0
            self._anchored(database_time, at)
        elif abs(off) <= SKEW_SECONDS_MAX:
            self._off_since = None
            step = timedelta(seconds=max(-SLEW_SECONDS_MAX, min(SLEW_SECONDS_MAX, off)))
            self._anchored(self._at + step, self._anchor)
        else:
            self._off_since = at if self._off_since is None else self._off_since
            if at - self._off_since >= BELIEVED_AFTER_SECONDS:
                self._anchored(database_time, at)
                self._off_since, off = None, 0.0
        self.off_seconds = off
        since = self._machine.monotonic() - at
        wall = (database_time + timedelta(seconds=since) - self._machine.now()).total_seconds()
        return max(off, wall, key=abs)

    def _anchored(self, at: datetime, monotonic: float) -> None:
        """
        Count on from *at*, which it was at *monotonic*.
        """
        self._at, self._anchor = at, monotonic
        self._zero = at.timestamp() - monotonic  # The POSIX time of monotonic zero.
