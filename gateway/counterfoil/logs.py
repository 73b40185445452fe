"""
The log: one JSON object a line on standard error, and a last wall before it.

No module logs card data. Should one ever do it by mistake, the filter here stars
every run of digits that could be a card number (13 to 19 digits, in groups or not, with
a check digit that fits) and counts it as a defect in `pan_filtered`. Our own ids
are let through: one in 250 has such a run in its hex, and nobody could look it up any more.
"""

import logging
import re
import sys
from typing import Any

import structlog
from structlog.typing import EventDict, WrappedLogger

from counterfoil.cards import PAN_DIGITS_MAX, luhn_holds, masked

PAN_DIGITS_SHORTEST = 13
# Thirteen digits or more, with at most one blank or hyphen between two of them.
_GROUPS = re.compile(r"[0-9](?:[ -]?[0-9]){12,}")
# One of *ids*: a UUIDv7 of the years 2018 to 2039, alone or behind its prefix.
_OUR_ID = re.compile(
    r"(?<![0-9A-Za-z])(?:[a-z]{3}_)?01[6-9a-f][0-9a-f]{9}7[0-9a-f]{3}[89ab][0-9a-f]{15}(?![0-9A-Za-z])"
)
_LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}


def set_up(process: str, level: str) -> None:
    """
    Send every log line of this process to standard error.
    """
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
            _named(process),
            filter_card_numbers,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(handlers=[_Forwarded()], level=logging.WARNING, force=True)


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


def _named(process: str) -> Any:
    def add(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
        event["process"] = process
        return event

    return add


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
