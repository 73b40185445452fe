"""
Whether an acquirer's own answers say that it is better avoided for a while.

A circuit breaker: a pure state machine, told what became of each request and given the
time by its caller (monotonic seconds). *Closed* takes everything; too many faults within
the window *open* it, and payments go elsewhere; after a while it is *half open*: one real
payment goes through, and its fate closes it again or opens it for twice as long. Whoever
has only one acquirer loses nothing: a breaker chooses between acquirers, it refuses none.
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
PROBE_SECONDS = 60.0  # A probe of which nobody hears any more is forgotten then.


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


class Breaker:
    """
    The breaker of one acquirer in one process.
    """

    def __init__(self) -> None:
        self._outcomes: deque[tuple[float, bool]] = deque()
        self._faults = 0
        self._open_until: float | None = None
        self._avoid_seconds = AVOID_SECONDS_MIN
        self._probed_at: float | None = None

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
                return self._probed_at is None or now - self._probed_at >= PROBE_SECONDS

    def chosen(self, now: float) -> None:
        """
        Note that a payment goes there: when half open, it is the probe.
        """
        if self.standing(now) is Standing.HALF_OPEN:
            self._probed_at = now

    def told(self, outcome: Outcome, now: float) -> None:
        """
        Note what became of a request.
        """
        fault = is_fault(outcome)
        if self.standing(now) is Standing.HALF_OPEN:
            if self._probed_at is not None:
                self._probe_ended(fault, now)
        elif fault is not None and self._open_until is None:
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

    def _note(self, fault: bool, now: float) -> None:
        self._outcomes.append((now, fault))
        self._faults += fault
        while self._outcomes[0][0] <= now - WINDOW_SECONDS or len(self._outcomes) > OUTCOMES_MAX:
            self._faults -= self._outcomes.popleft()[1]
        if self._faults >= FAULTS_MIN and self._faults >= FAULTS_SHARE * len(self._outcomes):
            self._open(now)

    def _probe_ended(self, fault: bool | None, now: float) -> None:
        self._probed_at = None
        if fault:
            self._avoid_seconds = min(self._avoid_seconds * 2, AVOID_SECONDS_MAX)
            self._open(now)
        elif fault is False:
            self._avoid_seconds = AVOID_SECONDS_MIN
            self._open_until = None

    def _open(self, now: float) -> None:
        self._open_until = now + self._avoid_seconds
        self._outcomes.clear()
        self._faults = 0
