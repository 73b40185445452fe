"""
One JSON line per event on standard error; of a card only its last four digits.

Lines of messages are gathered and written once a turn, others at once.
"""

import json
import sys
from typing import TextIO

from counterfoil_rail.clock import Clock, Moment
from counterfoil_rail.message import Request

LAST_DIGITS = 4
_TOLD = {
    "11": "stan",
    "37": "rrn",
    "41": "terminal",
    "4": "amount_minor",
    "49": "currency",
    "70": "network_code",
}
_as_json = json.JSONEncoder().encode


class Log:
    """
    Where the host tells what it does. A *quiet* log leaves the messages out.
    """

    def __init__(self, clock: Clock, *, stream: TextIO | None = None, quiet: bool = False) -> None:
        self._clock = clock
        self._stream = stream or sys.stderr
        self._quiet = quiet
        self._lines: list[str] = []

    def event(self, name: str, /, **facts: object) -> None:
        """
        Write one event now.
        """
        self._add(name, facts)
        self.flush()

    def message(
        self, request: Request, *, response_code: str | None, outcome: str, at: str = ""
    ) -> None:
        """
        Note a message and what became of it; `flush` writes it.
        """
        if self._quiet:
            return
        fields = request.fields
        told: dict[str, object] = {"mti": request.mti}
        told |= {name: fields[number] for number, name in _TOLD.items() if number in fields}
        if "2" in fields:
            told["card"] = mask(fields["2"])
        if response_code is not None:
            told["response_code"] = response_code
        told["outcome"] = outcome
        self._add("message", told, at=at)

    def flush(self) -> None:
        """
        Write what was gathered.
        """
        if self._lines:
            self._stream.write("".join(self._lines))
            self._stream.flush()
            self._lines.clear()

    def _add(self, name: str, facts: dict[str, object], *, at: str = "") -> None:
        moment = at or Moment.of(self._clock()).at
        self._lines.append(f"{_as_json({'at': moment, 'event': name, **facts})}\n")


def mask(number: str) -> str:
    """
    Return *number* with all but its last four digits as asterisks.
    """
    last = number[-LAST_DIGITS:]
    return f"{'*' * (len(number) - len(last))}{last}"
