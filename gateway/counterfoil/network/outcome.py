"""
What became of a request to an acquirer.

Four values and no exception: an answer, proof that nothing was sent, an unknown outcome,
or an answer that contradicts the request. What follows from each is decided elsewhere.
"""

from datetime import datetime
from typing import Literal, NamedTuple

import msgspec

from counterfoil.network.message import Fields, shape_of


class Answered(msgspec.Struct, frozen=True):
    """
    The acquirer's answer, with everything echoed as it must be.
    """

    mti: str
    fields: Fields
    at: datetime

    @property
    def response_code(self) -> str:
        """Field 39."""
        code = self.fields.get(39, "")
        return code if isinstance(code, str) else ""

    def __repr__(self) -> str:
        return f"Answered({self.mti!r}, {shape_of(self.fields)}, {self.at.isoformat()})"


class NotSent(msgspec.Struct, frozen=True):
    """
    Proof that not one byte of the request was handed to the network.
    """

    reason: str


class OutcomeUnknown(msgspec.Struct, frozen=True):
    """
    The request was written, at least in part, and there is no answer.
    """

    reason: str


class BadAnswer(msgspec.Struct, frozen=True):
    """
    An answer came for this request, but contradicts it or lacks what it must have.
    """

    reason: str
    fields: Fields | None

    def __repr__(self) -> str:
        return f"BadAnswer({self.reason!r}, {shape_of(self.fields or {})})"


Outcome = Answered | NotSent | OutcomeUnknown | BadAnswer


class MatchKey(NamedTuple):
    """
    What finds the request to an answer.

    Attributes:
        mti: Of the answer, with the repeat digit cleared.
        values: Of the fields that the dialect matches on: for payments 41, 11 and 7.
    """

    mti: str
    values: tuple[str | bytes, ...]


LateState = Literal["timed_out", "connection_lost", "abandoned"]


class Late(msgspec.Struct, frozen=True):
    """
    The outcome of a request that nobody waits for any more.

    Attributes:
        state: Why: the answer time had passed, the connection was lost, or the caller of
            `request` was cancelled.
        outcome: `Answered` if an answer came. A request whose caller was cancelled gets
            any of the four.
    """

    state: LateState
    request_mti: str
    key: MatchKey
    outcome: Outcome
