"""
One JSON object a line on standard error, for people with `jq` and for supervisors.

Nobody may log a card number. As the last wall, every line passes a filter that stars out
whatever looks like one: 13 to 19 digits with a right check digit.
"""

import json
import logging
import re
import sys
import traceback
from datetime import UTC, datetime

_LIKE_A_CARD = re.compile(r"(?<!\d)\d(?:[ -]?\d){12,18}(?!\d)")
_FACTS = "facts"


def setup() -> None:
    """
    Send every log line of this process to standard error as JSON.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    for chatty in ("uvicorn", "uvicorn.error", "uvicorn.access", "mail.log", "httpx2", "httpcore2"):
        logging.getLogger(chatty).setLevel(logging.WARNING)


def event(logger: logging.Logger, name: str, /, **facts: object) -> None:
    """
    Log that *name* happened, with its facts as members of the line.
    """
    logger.info(name, extra={_FACTS: facts})


class JsonLines(logging.Formatter):
    """
    Writes a record as one line of JSON: `at`, `level`, `event`, then its facts.
    """

    def format(self, record: logging.LogRecord) -> str:
        """
        The line for *record*; of an exception its type and its frames, never its locals.
        """
        line: dict[str, object] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            **getattr(record, _FACTS, {}),
        }
        if record.exc_info and record.exc_info[0]:
            line["exception"] = record.exc_info[0].__name__
            line["frames"] = _frames(record)
        return mask_cards(json.dumps(line, default=str, ensure_ascii=False))


def mask_cards(text: str) -> str:
    """
    Star out all but the last four digits of everything in *text* that may be a card number.
    """
    return _LIKE_A_CARD.sub(_starred, text)


def luhn_holds(digits: str) -> bool:
    """
    Whether the check digit of *digits* is right (ISO/IEC 7812-1, annex B).
    """
    doubled = (int(digit) * 2 for digit in digits[-2::-2])
    return (
        sum(int(digit) for digit in digits[::-2]) + sum(d - 9 * (d > 9) for d in doubled)
    ) % 10 == 0


def _starred(match: re.Match[str]) -> str:
    digits = re.sub(r"\D", "", match.group())
    return "*" * (len(digits) - 4) + digits[-4:] if luhn_holds(digits) else match.group()


def _frames(record: logging.LogRecord) -> list[str]:
    assert record.exc_info is not None
    frames = traceback.extract_tb(record.exc_info[2])
    return [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames]
