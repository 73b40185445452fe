"""
Clocks on virtual time: one for the world, one of its own for each machine.
"""

from datetime import UTC, datetime, timedelta

from counterfoil_proof.world.loop import BEGINNING, VirtualLoop

EPOCH = datetime(2026, 11, 23, 14, 0, tzinfo=UTC)  # A Monday.


class WorldClock:
    """
    A machine's clock: the true time and how far its wall clock is off.

    `off_seconds` survives the machine's processes; its monotonic clock never steps.
    """

    def __init__(self, loop: VirtualLoop, epoch: datetime = EPOCH) -> None:
        self._loop = loop
        self._epoch = epoch
        self.off_seconds = 0.0
        self.stepped_at = 0.0  # On the loop's time.

    def step_to(self, off_seconds: float) -> None:
        """
        Let the wall clock be *off_seconds* off from now on.
        """
        if off_seconds != self.off_seconds:
            self.off_seconds, self.stepped_at = off_seconds, self._loop.time()

    def seconds_since_step(self) -> float:
        """
        Return for how long the wall clock has gone on evenly.
        """
        return self._loop.time() - self.stepped_at

    def now(self) -> datetime:
        """
        Return what the wall clock shows.
        """
        passed = self._loop.time() - BEGINNING + self.off_seconds
        return self._epoch + timedelta(seconds=passed)

    def monotonic(self) -> float:
        """
        Return seconds that never step back.
        """
        return self._loop.time()

    def timestamp(self) -> float:
        """
        Return the wall time in seconds since 1970.
        """
        return self.now().timestamp()
