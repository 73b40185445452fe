"""
Switches that make the host misbehave, for tests of what a gateway does then.

They are set at run time (`counterfoil-rail fault set NAME VALUE`), live in memory
only, and count down by themselves. `FAULTS` says what each does and takes.
"""

import re
from collections import Counter

from counterfoil_rail.issuer import DelayRange

COUNT_MAX = 1_000_000
LATE_SECONDS_MAX = 600.0

FAULTS = {
    "issuer_delay_ms": "MS or LOW-HIGH: how long issuers take to answer a 0100 or 0200",
    "silent": "N, N:booked or N:unbooked: the next N payments, captures and refunds stay"
    " unanswered; booked unless said otherwise",
    "late_answer_seconds": "SECONDS or SECONDS:N: payments, captures and refunds (the next N, or"
    " all until set to 0) are booked at once and answered that much later",
    "drop_link_after_booking": "N: the next N payments, captures and refunds are booked and their"
    " link is cut instead of an answer",
    "duplicate_answer": "N: the next N payments, captures and refunds are answered twice",
    "wrong_stan_answer": "N: the next N payments, captures and refunds are booked and answered"
    " under another STAN",
    "decline_reversals": "N or N:CODE: the next N reversals do nothing and are answered CODE (96)",
    "silent_to_reversals": "N: the next N reversals are booked and stay unanswered",
    "no_echo": "N: the next N echo tests (0800/301) stay unanswered",
    "close_batch": "all, or TERMINAL/CURRENCY/NUMBER: the host closes open batches at once",
}

_COUNTED = {
    "silent": r"(?P<count>\d+)(:(?P<detail>booked|unbooked))?",
    "drop_link_after_booking": r"(?P<count>\d+)",
    "duplicate_answer": r"(?P<count>\d+)",
    "wrong_stan_answer": r"(?P<count>\d+)",
    "decline_reversals": r"(?P<count>\d+)(:(?P<detail>[0-9A-Z]{2}))?",
    "silent_to_reversals": r"(?P<count>\d+)",
    "no_echo": r"(?P<count>\d+)",
}
_LATE = re.compile(r"(?P<seconds>\d+(\.\d+)?)(:(?P<count>\d+))?")


class FaultError(ValueError):
    """
    No such fault, or not a value it takes; the message says what it takes.
    """


class Faults:
    """
    Which faults are armed, and how often each still strikes.
    """

    def __init__(self, issuer_delay: DelayRange | None = None) -> None:
        self.issuer_delay = issuer_delay or DelayRange()
        self.silent_books = True
        self.reversal_code = "96"
        self._left: Counter[str] = Counter()
        self._late_seconds = 0.0
        self._late_left: int | None = None  # None: all.

    def set(self, name: str, value: str) -> None:
        """
        Arm a fault, or disarm it with 0.

        Raises:
            FaultError: The name or the value is not one that `FAULTS` lists.
        """
        try:
            if name == "issuer_delay_ms":
                self.issuer_delay = DelayRange.parse(value)
            elif name == "late_answer_seconds":
                self._set_late(value)
            elif name in _COUNTED:
                self._set_count(name, value)
            else:
                raise FaultError(f"there is no fault {name!r}; there are {', '.join(FAULTS)}")
        except FaultError:
            raise
        except ValueError as error:
            raise FaultError(f"{name} takes {FAULTS[name]}") from error

    def armed(self) -> dict[str, str]:
        """
        Return every switch with its value: 0 when it is off.
        """
        late = f"{self._late_seconds:g}"
        counts = {name: str(self._left[name]) for name in _COUNTED}
        if self._left["silent"] and not self.silent_books:
            counts["silent"] += ":unbooked"
        if self._left["decline_reversals"]:
            counts["decline_reversals"] += f":{self.reversal_code}"
        return {
            "issuer_delay_ms": str(self.issuer_delay),
            "late_answer_seconds": late if self._late_left is None else f"{late}:{self._late_left}",
            **counts,
        }

    def strikes(self, name: str) -> bool:
        """
        Tell whether the fault strikes this time, and count it down.
        """
        if not self._left[name]:
            return False
        self._left[name] -= 1
        return True

    def strikes_before_booking(self) -> bool:
        """
        Tell whether this payment is lost before anything is booked.
        """
        return not self.silent_books and self.strikes("silent")

    def strikes_after_booking(self) -> bool:
        """
        Tell whether the answer to this booked payment is swallowed.
        """
        return self.silent_books and self.strikes("silent")

    def late_seconds(self) -> float:
        """
        Return how late this answer leaves, and count it down.
        """
        if self._late_left is None:
            return self._late_seconds
        if not self._late_left:
            return 0.0
        self._late_left -= 1
        return self._late_seconds

    def _set_count(self, name: str, value: str) -> None:
        found = re.fullmatch(_COUNTED[name], value, re.ASCII)
        if found is None or int(found["count"]) > COUNT_MAX:
            raise ValueError(value)
        self._left[name] = int(found["count"])
        if name == "silent":
            self.silent_books = found["detail"] != "unbooked"
        elif name == "decline_reversals":
            self.reversal_code = found["detail"] or "96"

    def _set_late(self, value: str) -> None:
        found = _LATE.fullmatch(value)
        if found is None or float(found["seconds"]) > LATE_SECONDS_MAX:
            raise ValueError(value)
        self._late_seconds = float(found["seconds"])
        self._late_left = int(found["count"]) if found["count"] else None
