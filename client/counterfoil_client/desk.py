"""
The durable side of one call: carries out the core's journal commands, whoever drives it.

It remembers the keys that the call claimed and lets go of them when the call ends, also
when it ends by an exception, a cancellation or Ctrl-C.
"""

import contextlib
import logging

from counterfoil_client.commands import (
    OPEN_STATES,
    Begin,
    Claim,
    Found,
    Leftovers,
    Reclaim,
    Reclaimed,
    Record,
    TakeLeftovers,
)
from counterfoil_client.errors import JournalFailed
from counterfoil_client.journal import Journal

Durable = Begin | Reclaim | TakeLeftovers | Record

_OURS = (Found.NEW, Found.OPEN, Found.APPROVED)
_logger = logging.getLogger("counterfoil_client")


class Desk:
    """
    One call's place at the journal.
    """

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._held: list[str] = []

    def do(self, command: Durable) -> Claim | Reclaimed | Leftovers | bool:
        """
        Carry out *command*; the answer is what the core is fed with.
        """
        match command:
            case Begin(intent):
                claim = self._journal.begin(intent)
                if claim.found in _OURS:
                    self._held.append(intent.key)
                return claim
            case Reclaim(key):
                reclaimed = self._journal.reclaim(key)
                if reclaimed.recorded and reclaimed.recorded.state in OPEN_STATES:
                    self._held.append(key)
                return reclaimed
            case TakeLeftovers():
                return self._leftovers()
            case Record():
                return self._record(command)

    def let_go(self) -> None:
        """
        Let go of every key that this call claimed. What stays open is recover()'s.
        """
        for key in self._held:
            with contextlib.suppress(JournalFailed):
                self._journal.release(key)
        self._held.clear()

    def _leftovers(self) -> Leftovers:
        others = self._journal.others_open()
        if others:
            _logger.warning(
                "the journal holds %d open intents of another API key; if it was this "
                "merchant's, pass recover(former_key=...)",
                others,
            )
        return self._journal.leftovers()

    def _record(self, command: Record) -> bool:
        try:
            self._journal.record(command.key, command.state, command.payment)
        except JournalFailed as failure:
            _logger.error("key %s: could not store %s: %s", command.key, command.state, failure)
            return False
        return True
