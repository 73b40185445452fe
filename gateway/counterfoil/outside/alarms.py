"""
Alarms: what a person should know, said once every few minutes and not once for each payment.
"""

from datetime import timedelta
from typing import Any

import msgspec
import structlog

from counterfoil.clock import Clock
from counterfoil.store.advices import AdviceStore, Owed

AGAIN_SECONDS = 300.0
ALARM_TRIES = 10
ALARM_AGE = timedelta(hours=1)

log = structlog.get_logger("alarms")


class Bell:
    """
    Rings for a trouble when it begins, and again while it lasts; says when it is over.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._rung: dict[str, float] = {}

    def ring(self, name: str, **facts: Any) -> None:
        """
        Log an error named *name*, unless it was logged within AGAIN_SECONDS.
        """
        now = self._clock.monotonic()
        last = self._rung.get(name)
        if last is None or now - last >= AGAIN_SECONDS:
            self._rung[name] = now
            log.error(name, **facts)

    def quiet(self, name: str) -> None:
        """
        Log that the trouble *name* is over, if it had been rung for.
        """
        if self._rung.pop(name, None) is not None:
            log.info(f"{name}_over")


class OwedAlarm:
    """
    Looks at what is owed to acquirers, and rings when something was owed for too long.
    """

    def __init__(self, advices: AdviceStore, clock: Clock) -> None:
        self._advices = advices
        self._clock = clock
        self._bell = Bell(clock)

    async def look(self) -> int:
        """
        Look once; return 0: there is nothing to go on with at once.
        """
        owed = await owed_to_acquirers(self._advices, self._clock)
        if owed.overdue:
            self._bell.ring("advice_overdue", **facts(owed, self._clock))
        else:
            self._bell.quiet("advice_overdue")
        return 0


async def owed_to_acquirers(advices: AdviceStore, clock: Clock) -> Owed:
    """
    Return what is owed, and how much is overdue: tried ALARM_TRIES times, or ALARM_AGE old.
    """
    return await advices.owed(ALARM_TRIES, clock.now() - ALARM_AGE)


def facts(owed: Owed, clock: Clock) -> dict[str, Any]:
    """
    Return *owed* as it is logged and shown.
    """
    shown: dict[str, Any] = msgspec.structs.asdict(owed)
    for name in ("oldest", "oldest_reversal"):
        since = shown.pop(name)
        shown[f"{name}_seconds"] = round((clock.now() - since).total_seconds()) if since else 0
    return shown
