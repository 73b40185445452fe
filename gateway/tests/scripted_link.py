"""
A link to an acquirer whose answers are a script: the network boundary, and nothing of ours.
"""

from collections import deque
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from inspect import isawaitable
from typing import NamedTuple

from counterfoil.network.message import Fields
from counterfoil.network.outcome import Answered, BadAnswer, NotSent, Outcome, OutcomeUnknown

Step = Callable[[str, Fields], Outcome | Awaitable[Outcome]]

APPROVAL_CODE = "A1B2C3"
ECHOED = (2, 3, 4, 7, 11, 12, 13, 32, 33, 37, 41, 42, 49)


class Asked(NamedTuple):
    """
    One request as it arrived.
    """

    mti: str
    fields: Fields


class ScriptedLink:
    """
    Answers with the next step of its script, and approves when there is none left.
    """

    def __init__(self, *script: Step) -> None:
        self.ready = True
        self.script: deque[Step] = deque(script)
        self.asked: list[Asked] = []

    async def request(
        self, mti: str, fields: Fields, *, send_before: float, answer_within: float
    ) -> Outcome:
        self.asked.append(Asked(mti, dict(fields)))
        outcome = (self.script.popleft() if self.script else approve)(mti, fields)
        return await outcome if isawaitable(outcome) else outcome


def answered(mti: str, fields: Fields, code: str, **more: str) -> Answered:
    """Return an answer with response *code* that echoes what a host echoes; `f44=...` adds."""
    answer = {number: fields[number] for number in ECHOED if number in fields} | {39: code}
    answer |= {int(name[1:]): text for name, text in more.items()}
    return Answered(f"{mti[:2]}{int(mti[2]) + 1}0", answer, datetime.now(UTC))


def approve(mti: str, fields: Fields) -> Outcome:
    return answered(mti, fields, "00", f38=APPROVAL_CODE, f15="1123", f44="YM")


def says(code: str, **more: str) -> Step:
    """Return a step that answers with *code*."""
    return lambda mti, fields: answered(mti, fields, code, **more)


def not_sent(mti: str, fields: Fields) -> Outcome:
    return NotSent("the send deadline passed")


def unknown(mti: str, fields: Fields) -> Outcome:
    return OutcomeUnknown("no answer in time")


def contradicts(mti: str, fields: Fields) -> Outcome:
    return BadAnswer("field 4 is not what was asked", dict(fields))
