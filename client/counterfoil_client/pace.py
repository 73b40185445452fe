"""
When to try again, and when to stop: one budget of time and tries for one call.
"""

from collections.abc import Callable
from random import Random

import msgspec

from counterfoil_client.commands import Send
from counterfoil_client.limits import DOUBT_SECONDS_MAX, Limits

Clock = Callable[[], float]

_TRY_SECONDS_MIN = 0.05


class Pace:
    """
    The time left, the tries left and the next wait. Waits are jittered, and never shorter
    than the gateway's Retry-After.
    """

    def __init__(
        self, limits: Limits, clock: Clock, chance: Random, until: float | None = None
    ) -> None:
        self._limits = limits
        self._clock = clock
        self._chance = chance
        self._until = clock() + limits.call_seconds if until is None else until
        self._tries = 0
        self._polls = 0

    def stage(self, *, keep_seconds: float = 0.0, at_least_seconds: float = 0.0) -> "Pace":
        """
        Return a new count of tries within the same call's time.
        """
        until = max(self._until - keep_seconds, self._clock() + at_least_seconds)
        return Pace(self._limits, self._clock, self._chance, until)

    def asking(self) -> "Pace":
        """
        Return the stage for the request itself: some time is kept to resolve a doubt.
        """
        return self.stage(keep_seconds=min(DOUBT_SECONDS_MAX, self._limits.call_seconds / 4))

    def acknowledging(self) -> "Pace":
        """
        Return the stage for the acknowledgment, which always gets one whole try.
        """
        return self.stage(at_least_seconds=self._limits.try_seconds)

    def timed(self, send: Send) -> Send:
        """
        Return *send* with the seconds that this try may take.
        """
        seconds = max(_TRY_SECONDS_MIN, min(self._limits.try_seconds, self.left_seconds()))
        return msgspec.structs.replace(send, seconds=seconds)

    def left_seconds(self) -> float:
        """
        Return the seconds until this stage ends.
        """
        return self._until - self._clock()

    def rest_seconds(self, retry_after_seconds: float | None) -> float | None:
        """
        Return how long to wait before the next try, or None when the budget is spent.
        """
        self._tries += 1
        if self._tries >= self._limits.tries_max:
            return None
        doubled = self._limits.backoff_seconds_first * 2 ** (self._tries - 1)
        longest = min(doubled, self._limits.backoff_seconds_max)
        return self._affordable(self._jittered(longest) + (retry_after_seconds or 0.0))

    def poll_seconds(self, retry_after_seconds: float | None) -> float | None:
        """
        Return how long to wait before looking again at what is in progress, or None.
        """
        self._polls += 1
        if self._polls >= self._limits.polls_max:
            return None
        return self._affordable(
            max(self._jittered(self._limits.poll_seconds), retry_after_seconds or 0.0)
        )

    def _jittered(self, seconds: float) -> float:
        return self._chance.uniform(seconds / 2, seconds)

    def _affordable(self, seconds: float) -> float | None:
        return seconds if seconds < self.left_seconds() else None
