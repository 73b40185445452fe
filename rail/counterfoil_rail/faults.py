"""
Switches that make the host misbehave, for tests of what a gateway does then.

They are set at run time (`counterfoil-rail fault set NAME VALUE`), live in memory
only, and count down by themselves. `FAULTS` says what each does and takes.
"""

import re
from collections import Counter

from counterfoil_rail.holds import HOLD_SECONDS_MAX
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
    "close_out_of_balance": "N: the next N 0500 or 0520 whose totals agree are answered 95",
    "forget_item": "N: at the next N closes the host leaves one item out of its totals, until it"
    " is uploaded",
    "upload_refuses": "N: the next N items (0320) that the host knows are answered 25",
    "silent_to_close": "N: the next N 0500 or 0520 are acted on and stay unanswered",
    "report_missing_line": "N: the next N reports, and what is paid, lack one item",
    "report_extra_line": "N: the next N reports have, and pay, a line that no message made",
    "report_amount_differs": "N: the next N reports have, and pay, one amount too high by 100",
    "report_duplicate_line": "N: the next N reports have, and pay, one line twice",
    "report_date_shifted": "N: the next N reports date one transaction a day late",
    "report_unknown_batch": "N: the next N reports name batch 999999 in one line",
    "report_bad_trailer": "N: the sum of amounts in the trailer of the next N reports is off by 1",
    "report_truncated": "N: the next N reports end at two thirds, inside a line",
    "report_other_merchant": "N: the head of the next N reports names OTHERMERCHANT01",
    "report_twice": "N: the next N reports are written a second time, under number 2",
    "report_late": "N: the next N reports are written one day later",
    "deposit_without_report": "N: the next N reports are never written; the money comes",
    "deposit_split": "N: the bank books the next N credits in two parts",
    "deposit_short": "N: the bank books the next N credits 1 too low",
    "deposit_returned": "N: the bank returns the next N credits on the following banking day",
    "statement_bad_balance": "N: the closing balance in the next N statements is off by 1",
    "statement_twice": "N: the next N statements are written a second time, as NAME-2",
    "chargeback": "AMOUNT: taken from the next deposit",
    "adjustment": "KIND:AMOUNT, signed, with KIND one of CHARGEBACK, RESERVE, RESERVE_RELEASE,"
    " CORRECTION, MONTHLY_FEE: added to the next deposit",
    "hold_seconds": "SECONDS: how long a new authorization is held; 0: as the rail was started",
    "expire_holds": "all, or RRN: every hold, or the one of that authorization, lapses at once",
    "close_batch": "all, or TERMINAL/CURRENCY/NUMBER: the host closes open batches at once",
}

_OTHERWISE = {
    "issuer_delay_ms",
    "late_answer_seconds",
    "chargeback",
    "adjustment",
    "close_batch",
} | {
    "hold_seconds",
    "expire_holds",
}
_COUNTED = {name: r"(?P<count>\d+)" for name in FAULTS if name not in _OTHERWISE} | {
    "silent": r"(?P<count>\d+)(:(?P<detail>booked|unbooked))?",
    "decline_reversals": r"(?P<count>\d+)(:(?P<detail>[0-9A-Z]{2}))?",
}
_ADJUSTMENT = re.compile(
    r"(?P<kind>CHARGEBACK|RESERVE|RESERVE_RELEASE|CORRECTION|MONTHLY_FEE):(?P<amount>-?\d{1,12})"
)
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
        self.hold_seconds: float | None = None  # None: as the rail was started.
        self.silent_books = True
        self.reversal_code = "96"
        self._left: Counter[str] = Counter()
        self._late_seconds = 0.0
        self._late_left: int | None = None  # None: all.
        self._adjustments: dict[str, int] = {}

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
            elif name == "hold_seconds":
                self._set_hold(value)
            elif name == "chargeback":
                self._set_adjustment(f"CHARGEBACK:-{value}")
            elif name == "adjustment":
                self._set_adjustment(value)
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
            "hold_seconds": f"{self.hold_seconds or 0:g}",
            "chargeback": str(-self._adjustments.get("CHARGEBACK", 0)),
            "adjustment": " ".join(f"{kind}:{n}" for kind, n in self._adjustments.items()) or "0",
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

    def take_adjustments(self) -> dict[str, int]:
        """
        Return what the next deposit is adjusted by, and forget it.
        """
        taken, self._adjustments = self._adjustments, {}
        return taken

    def _set_adjustment(self, value: str) -> None:
        if value == "0":
            self._adjustments.clear()
            return
        found = _ADJUSTMENT.fullmatch(value)
        if found is None:
            raise ValueError(value)
        amount_minor = int(found["amount"])
        self._adjustments.pop(found["kind"], None)
        if amount_minor:
            self._adjustments[found["kind"]] = amount_minor

    def _set_hold(self, value: str) -> None:
        if not re.fullmatch(r"\d{1,9}(\.\d{1,3})?", value, re.ASCII):
            raise ValueError(value)
        if float(value) > HOLD_SECONDS_MAX:
            raise ValueError(value)
        self.hold_seconds = float(value) or None

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
