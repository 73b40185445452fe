"""
Whether an acquirer's own answers say that it is better avoided for a while.

A circuit breaker: a pure state machine, told what became of each request and given the
time by its caller (monotonic seconds). Whoever has only one acquirer loses nothing: a
breaker chooses between acquirers, it refuses none.

- *closed*: everything goes there. Too many faults within the window *open* it.
- *open*: nothing goes there that has another way. After a while it is *half open*.
- *half open*: one real payment goes there, the probe, and nothing else that has another way. Its
  answer closes the breaker; if that is a fault, it is open again, for twice as long.

Each choice hands out an `Ask`, and its end is told once: what became of it, or that it was
abandoned. An ask knows the era in which it was made; every opening and closing begins another.

- Only the end of the probe itself moves a breaker that is not closed. A probe that was not
  sent, was abandoned, or was not heard of for `PROBE_SECONDS_MAX` says nothing: it leaves its
  place to the next payment, and what is told of it later counts for nothing.
- The end of any other ask is counted only while its own era lasts. So what was sent before the
  opening, and ends in silence when the host is well again, neither keeps it open nor reopens it.
- A decline is an answer: the way to the issuer works.
"""

from collections import deque
from enum import StrEnum

from counterfoil.network.outcome import Answered, BadAnswer, NotSent, Outcome, OutcomeUnknown
from counterfoil.network.response_codes import HOST_FAULTS

WINDOW_SECONDS = 30.0  # What is older says nothing about now.
OUTCOMES_MAX = 200  # Of one window; beyond it the oldest are forgotten.
FAULTS_MIN = 5  # Fewer may be chance.
FAULTS_SHARE = 0.5  # Of what was asked in the window: one silent issuer is not the acquirer.
AVOID_SECONDS_MIN = 15.0
AVOID_SECONDS_MAX = 240.0
PROBE_SECONDS_MAX = 90.0  # Longer than the longest time to send and to answer: it is lost.


class Standing(StrEnum):
    """
    Whether an acquirer is asked: as always, not now, or by one payment that finds out.
    """

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


def is_fault(outcome: Outcome) -> bool | None:
    """
    Return whether *outcome* speaks against the host; None when it says nothing about it.
    """
    match outcome:
        case Answered():
            return outcome.response_code in HOST_FAULTS
        case OutcomeUnknown() | BadAnswer():
            return True
        case NotSent():
            return None  # The link itself knows whether it is signed on.


class Ask:
    """
    One request on its way to an acquirer, from its choice until its end is told.
    """

    __slots__ = ("era", "is_told", "since")

    def __init__(self, era: int, since: float) -> None:
        self.era = era
        self.since = since
        self.is_told = False


class Breaker:
    """
    The breaker of one acquirer in one process.
    """

    def __init__(self) -> None:
        self._era = 0
        self._outcomes: deque[tuple[float, bool]] = deque()
        self._faults = 0
        self._open_until: float | None = None
        self._avoid_seconds = AVOID_SECONDS_MIN
        self._probe: Ask | None = None

    def standing(self, now: float) -> Standing:
        """
        Return where the breaker stands at *now*.
        """
        if self._open_until is None:
            return Standing.CLOSED
        return Standing.OPEN if now < self._open_until else Standing.HALF_OPEN

    def takes(self, now: float) -> bool:
        """
        Whether a payment may go there now: always while closed, one at a time when half open.
        """
        match self.standing(now):
            case Standing.CLOSED:
                return True
            case Standing.OPEN:
                return False
            case Standing.HALF_OPEN:
                return not self._is_probed(now)

    def chosen(self, now: float) -> Ask:
        """
        Note that a payment goes there: when half open, it is the probe if there is none.
        """
        ask = self.again(now)
        if self.standing(now) is Standing.HALF_OPEN and not self._is_probed(now):
            self._probe = ask
        return ask

    def again(self, now: float) -> Ask:
        """
        Note that a payment that was answered is asked for once more; that is never the probe.
        """
        return Ask(self._era, now)

    def told(self, ask: Ask, outcome: Outcome | None, now: float) -> None:
        """
        Note what became of *ask*, None when it was abandoned; only what is told first counts.
        """
        if ask.is_told:
            return
        ask.is_told = True
        fault = None if outcome is None else is_fault(outcome)
        if ask is self._probe:
            was_lost = not self._is_probed(now)
            self._probe = None
            if fault is not None and not was_lost:
                self._probe_ended(fault, now)
        elif fault is not None and self._open_until is None and ask.era == self._era:
            self._note(fault, now)

    def words(self, now: float) -> str:
        """
        Return `ok`, or how long the acquirer is avoided.
        """
        if self._open_until is None:
            return "ok"
        if now < self._open_until:
            return f"avoided for {self._open_until - now:.0f} s more: its answers were faults"
        return "avoided until one payment has gone well there"

    def _is_probed(self, now: float) -> bool:
        return self._probe is not None and now - self._probe.since < PROBE_SECONDS_MAX

    def _note(self, fault: bool, now: float) -> None:
        self._outcomes.append((now, fault))
        self._faults += fault
        while self._outcomes[0][0] <= now - WINDOW_SECONDS or len(self._outcomes) > OUTCOMES_MAX:
            self._faults -= self._outcomes.popleft()[1]
        if self._faults >= FAULTS_MIN and self._faults >= FAULTS_SHARE * len(self._outcomes):
            self._open(now)

    def _probe_ended(self, fault: bool, now: float) -> None:
        if fault:
            self._avoid_seconds = min(self._avoid_seconds * 2, AVOID_SECONDS_MAX)
            self._open(now)
        else:
            self._avoid_seconds = AVOID_SECONDS_MIN
            self._open_until = None
            self._era += 1

    def _open(self, now: float) -> None:
        self._era += 1
        self._open_until = now + self._avoid_seconds
        self._outcomes.clear()
        self._faults = 0
