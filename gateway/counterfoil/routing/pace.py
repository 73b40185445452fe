"""
How fast an acquirer is asked: a token bucket for each link and each kind of traffic.

After an outage everybody comes at once: shops that were refused, and all that is owed. The
host takes what was agreed and no more; new payments beyond it are refused before anything
is written, and what is owed waits its turn. Both have a share of their own, so that neither
starves the other. Pure: told the time by its caller (monotonic seconds).
"""


class Pace:
    """
    At most *per_second*, and at once at most what one second brings.
    """

    def __init__(self, per_second: float) -> None:
        self._per_second = per_second
        self._tokens = per_second
        self._at: float | None = None

    def room(self, now: float) -> int:
        """
        Return how many may be sent now.
        """
        if self._at is not None:
            grown = self._tokens + (now - self._at) * self._per_second
            self._tokens = min(self._per_second, grown)
        self._at = now
        return max(0, int(self._tokens))

    def take(self, number: int = 1) -> None:
        """
        Note that so many are sent.
        """
        self._tokens -= number
