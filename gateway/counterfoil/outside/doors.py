"""
Whether payments are let in: closed while the gateway cannot take new ones safely.

Stands in front of *authorize*. *Watch* closes and opens; use cases only ask. What is owed
goes on behind closed doors: reversals, acknowledgments, reads. In quarantine everything
that would change a payment waits.
"""

from datetime import datetime
from enum import StrEnum

import msgspec

from counterfoil.payments.refusals import NothingWritten

RETRY_SECONDS = 30


class Reason(StrEnum):
    """
    Why the doors are closed; the codes of the problems that callers get.
    """

    DISK = "disk_nearly_full"
    CLOCK = "clock_off"
    QUARANTINE = "quarantined"


class DoorsClosed(NothingWritten):
    """
    No new payment is let in now, and nothing was written; the message says why.
    """

    def __init__(self, reason: Reason, sentence: str) -> None:
        super().__init__(sentence, retry_after_seconds=RETRY_SECONDS)
        self.reason = reason


class Quarantine(msgspec.Struct, frozen=True):
    """
    Since when nothing moves, and why.
    """

    since: datetime
    reason: str


class Doors:
    """
    The doors of one process. Open until somebody closes them.
    """

    def __init__(self) -> None:
        self._closed: dict[Reason, str] = {}
        self._blind = False

    def close(self, reason: Reason, sentence: str) -> None:
        """
        Let no new payment in, for *reason*.
        """
        self._closed[reason] = sentence

    def open(self, reason: Reason) -> None:
        """
        Take *reason* away; the doors open when it was the last one.
        """
        self._closed.pop(reason, None)

    def let_in(self) -> None:
        """
        Return when a new payment may begin.

        Raises:
            DoorsClosed: It may not.
        """
        if self._closed:
            raise DoorsClosed(*next(iter(self._closed.items())))

    def let_anything_in(self) -> None:
        """
        Return when something of an existing payment may be changed.

        Raises:
            DoorsClosed: The installation is in quarantine.
        """
        if Reason.QUARANTINE in self._closed:
            raise DoorsClosed(Reason.QUARANTINE, self._closed[Reason.QUARANTINE])

    def watched(self, *, database: bool) -> None:
        """
        Learn whether the database could be asked about a quarantine.
        """
        self._blind = not database

    @property
    def at_rest(self) -> bool:
        """
        Whether nothing may move: a backup was restored and not yet compared with the host.

        Also while the database does not answer: what comes back may be a restored one.
        """
        return self._blind or Reason.QUARANTINE in self._closed
