"""
What `/readyz` says: what must be well for payments to be taken, and what a person should know.

*Checks* decide; *notes* never refuse a payment: an old reversal is owed whether or not new
payments come in.
"""

from collections.abc import Mapping
from typing import Any

from counterfoil.clock import Clock
from counterfoil.config import Configuration
from counterfoil.outside.alarms import facts, owed_to_acquirers
from counterfoil.outside.held_clock import SKEW_SECONDS_MAX
from counterfoil.outside.watch import Seen
from counterfoil.routing.routes import Link
from counterfoil.store.advices import AdviceStore
from counterfoil.store.processes import ProcessStore

LOOK_SECONDS = 1.0  # What was seen counts so long: a storm of probes asks the database once.
NOTES_SECONDS = 5.0  # Counted this seldom, however often a balancer asks.


def machine_checks(seen: Seen, configuration: Configuration) -> dict[str, str]:
    """
    Return what one look has seen, each as `ok` or what is wrong with it.
    """
    found = {"database": "ok" if seen.database else "does not answer"}
    if seen.skew_seconds is not None:
        off = abs(seen.skew_seconds) > SKEW_SECONDS_MAX
        found["clock"] = f"{abs(seen.skew_seconds):.1f} s off the database's" if off else "ok"
    if seen.disk is not None:
        full = seen.disk.is_full(configuration.database.full_percent)
        found["disk"] = seen.disk.words() if full else "ok"
    if seen.quarantine is not None:
        found["quarantine"] = f"since {seen.quarantine.since.isoformat()}: {seen.quarantine.reason}"
    return found


def checks(seen: Seen, configuration: Configuration, links: Mapping[str, Link]) -> dict[str, str]:
    """
    Return each thing that must be well as `ok`, or what is wrong with it.
    """
    found = machine_checks(seen, configuration)
    # One link of several that is down stops nobody: the notes tell it, the others take payments.
    any_ready = any(link.ready for link in links.values())
    for name, link in links.items():
        if link.ready or not any_ready:
            found[f"link {name}"] = "ok" if link.ready else "not signed on"
    if not links:
        found["links"] = "no acquirer is configured"
    return found


class Standing:
    """
    What waits in the installation, counted at most every NOTES_SECONDS.
    """

    def __init__(self, processes: ProcessStore, advices: AdviceStore, clock: Clock) -> None:
        self._processes = processes
        self._advices = advices
        self._clock = clock
        self._counted_at: float | None = None
        self._notes: dict[str, Any] = {}

    async def notes(self) -> dict[str, Any]:
        """
        Return the counts.

        Raises:
            DatabaseAway: It does not answer.
        """
        now = self._clock.monotonic()
        if self._counted_at is None or now - self._counted_at >= NOTES_SECONDS:
            owed = await owed_to_acquirers(self._advices, self._clock)
            waiting = await self._processes.standing(self._clock.now())
            self._notes = {"owed_to_acquirers": facts(owed, self._clock), "waiting": waiting}
            self._counted_at = now
        return self._notes
