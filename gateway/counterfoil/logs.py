"""
The log: one JSON object a line on standard error, and a last wall before it.

No module logs card data. Should one ever do it by mistake, the filter here stars
every run of digits that could be a card number (13 to 19 digits, in groups or not, with
a check digit that fits) and counts it as a defect in `pan_filtered`. Our own ids
are let through: one in 250 has such a run in its hex, and nobody could look it up any more.

A line of level `debug` or `info` may wait FLUSH_SECONDS for others, so that a busy process writes
many at once; from `warning` on all are written at once. A process that is killed takes what waits
along: what must outlive it stands in the database.
"""

import asyncio
import atexit
import contextlib
import json
import logging
import re
import sys
from collections import deque
from contextvars import ContextVar, Token
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, TextIO

import structlog
from structlog.typing import EventDict, WrappedLogger

from counterfoil.cards import PAN_DIGITS_MAX, luhn_holds, masked

PAN_DIGITS_SHORTEST = 13
# Thirteen digits or more, with at most one blank or hyphen between two of them.
_GROUPS = re.compile(r"[0-9](?:[ -]?[0-9]){12,}")
# Bytes as they look from afar: a digit or none. Without blanks and hyphens, a run of digits in
# groups is a run of so many; two that stand farther apart may seem one.
_FROM_AFAR = bytes(ord("0") if 0x30 <= byte <= 0x39 else 0 for byte in range(256))
_BETWEEN_GROUPS = b" -"
_RUN = b"0" * PAN_DIGITS_SHORTEST
# One of *ids*: a UUIDv7 of the years 2018 to 2039, alone or behind its prefix.
_OUR_ID = re.compile(
    r"(?<![0-9A-Za-z])(?:[a-z]{3}_)?01[6-9a-f][0-9a-f]{9}7[0-9a-f]{3}[89ab][0-9a-f]{15}(?![0-9A-Za-z])"
)
_LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}
_ENCODER = json.JSONEncoder(default=repr)

FLUSH_SECONDS = 0.02
WAITING_MAX = 1000  # Lines.

_bound: ContextVar[dict[str, Any]] = ContextVar("bound", default={})  # noqa: B039 - never changed.


def set_up(process: str, level: str) -> None:
    """
    Send every log line of this process to standard error.
    """
    lines = _Lines(sys.stderr)
    atexit.register(lines.flush)
    structlog.configure(
        processors=[_written_by(process)],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
        logger_factory=lambda *_: lines,
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(handlers=[_Forwarded()], level=logging.WARNING, force=True)


def bound(**names: Any) -> "_Bound":
    """
    Put *names* on every line that is logged in a block, and by tasks that are begun in it.
    """
    return _Bound(names)


class _Bound:
    """
    A block whose lines bear *names*.
    """

    __slots__ = ("_names", "_token")

    def __init__(self, names: dict[str, Any]) -> None:
        self._names = names

    def __enter__(self) -> None:
        self._token: Token[dict[str, Any]] = _bound.set(_bound.get() | self._names)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        _bound.reset(self._token)


def bound_now() -> dict[str, Any]:
    """
    Return what every line bears that is logged here.
    """
    return dict(_bound.get())


def _written_by(process: str) -> Any:
    """
    Return what makes an event of *process* a line.
    """

    def line_of(logger: WrappedLogger, method: str, event: EventDict) -> str:
        for name, value in _bound.get().items():
            event.setdefault(name, value)
        structlog.processors.add_log_level(logger, method, event)
        event["at"] = datetime.now(UTC).isoformat().replace("+00:00", "Z")
        event["process"] = process
        line = _ENCODER.encode(event)
        # JSON changes no digit, blank or hyphen: a line without such a run has none in any value.
        if _RUN not in line.encode("ascii").translate(_FROM_AFAR, _BETWEEN_GROUPS):
            return line
        return _ENCODER.encode(filter_card_numbers(logger, method, event))

    return line_of


class _Lines:
    """
    Writes lines to *file*: those of one moment together, urgent ones at once. What logs outside
    of an event loop, in a thread for instance, writes at once too.
    """

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._waiting: deque[str] = deque()  # Appended to and taken from in any thread.
        self._loop: asyncio.AbstractEventLoop | None = None  # The one that will flush.

    def info(self, line: str) -> None:
        """
        Write *line* soon.
        """
        self._waiting.append(line)
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self.flush()
            return
        if loop is not self._loop:
            self._loop = loop
            loop.call_later(FLUSH_SECONDS, self.flush)
        elif len(self._waiting) >= WAITING_MAX:
            self.flush()

    def error(self, line: str) -> None:
        """
        Write *line* now, after all that wait.
        """
        self._waiting.append(line)
        self.flush()

    debug = info
    warning = critical = error

    def flush(self) -> None:
        """
        Write what waits.
        """
        self._loop = None
        lines = []
        with contextlib.suppress(IndexError):
            while True:
                lines.append(self._waiting.popleft())
        if lines:
            self._file.write("\n".join((*lines, "")))
            self._file.flush()


def filter_card_numbers(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """
    Star whatever could be a card number, in every text of *event*.
    """
    found = 0
    for name, value in event.items():
        clean, hits = _filtered(value)
        if hits:
            event[name] = clean
            found += hits
    if found:
        event["pan_filtered"] = found
    return event


def _filtered(value: Any) -> tuple[Any, int]:
    if isinstance(value, str):
        return _filtered_text(value)
    if isinstance(value, dict):
        pairs = [(_filtered(key), _filtered(each)) for key, each in value.items()]
        clean = {key: each for (key, _), (each, _) in pairs}
        return clean, sum(one + other for (_, one), (_, other) in pairs)
    if isinstance(value, (list, tuple, set, frozenset)):
        parts = [_filtered(each) for each in value]
        return [clean for clean, _ in parts], sum(hits for _, hits in parts)
    if value is None or isinstance(value, (bool, float)):
        return value, 0
    text, hits = _filtered_text(repr(value))  # What the renderer would write.
    return (text if hits else value), hits


def _filtered_text(text: str) -> tuple[str, int]:
    hits = 0

    def star(match: re.Match[str]) -> str:
        nonlocal hits
        clean, found = _starred(match.group())
        hits += found
        return clean

    if _OUR_ID.search(text) is None:
        return _GROUPS.sub(star, text), hits
    between, ids = _OUR_ID.split(text), _OUR_ID.findall(text)
    clean = [_GROUPS.sub(star, part) for part in between]
    return "".join(part + each for part, each in zip(clean, [*ids, ""], strict=True)), hits


def _starred(run: str) -> tuple[str, int]:
    """
    Return *run*, groups of digits with one blank or hyphen between them, without card numbers.

    Whatever stands beside a card number hides it from no one: every row of groups is tried.
    """
    parts = re.split(r"([ -])", run)  # Digits, separator, digits ...
    clean, hits, at = "", 0, 0
    while at < len(parts):
        number, after = _card_number_at(parts, at)
        if number:
            hits += 1
        clean += masked(number) if number else parts[at]
        clean += "".join(parts[after : after + 1])
        at = after + 1
    return clean, hits


def _card_number_at(parts: list[str], at: int) -> tuple[str | None, int]:
    """
    Return the longest card number that begins with the group at *at*, and what follows it.
    """
    for after in range(len(parts), at, -2):
        digits = "".join(parts[at:after:2])
        number = digits.lstrip("0")  # No issuer's begins with 0; what is filled with zeros does.
        if PAN_DIGITS_SHORTEST <= len(number) <= PAN_DIGITS_MAX and luhn_holds(number):
            return digits, after
    return None, at + 1


class _Forwarded(logging.Handler):
    """
    Takes what libraries log: their message without arguments that could hold data.
    """

    def emit(self, record: logging.LogRecord) -> None:
        """
        Pass the record on, without its traceback's locals.
        """
        reason = ""
        if record.exc_info and record.exc_info[0]:
            reason = record.exc_info[0].__name__
        structlog.get_logger(record.name).log(
            record.levelno, "library", message=record.getMessage()[:500], reason=reason
        )
