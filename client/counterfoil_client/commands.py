"""
The words between the core and its drivers.

A call is a generator (`Steps`): it yields a command, and is fed with what came of it.
The core does no I/O of its own; the drivers decide nothing.
"""

from collections.abc import Generator
from enum import StrEnum
from typing import Any, TypeAlias, TypeVar

import msgspec

from counterfoil_client.results import Payment

T = TypeVar("T")


class State(StrEnum):
    """
    Where an intent in the journal stands.
    """

    INTENDED = "intended"  # Written before the first byte; the gateway may have it.
    NOT_SENT = "not_sent"  # Proof that nothing was charged yet; may be tried again.
    APPROVED = "approved"  # The approval is stored; the acknowledgment is owed.
    FINISHED = "finished"  # The outcome is stored and final.
    REFUSED = "refused"  # Nothing was charged; the key may be used again.
    NEVER_SENT = "never_sent"  # Fenced: nothing will ever be charged under this key.


ACKNOWLEDGED_KINDS = ("sale", "authorization", "forced", "credit")
OPEN_STATES = (State.INTENDED, State.NOT_SENT, State.APPROVED)


class Intent(msgspec.Struct, frozen=True, kw_only=True):
    """
    What the journal keeps of a request: enough to find out, never the card.

    `fingerprint` is the SHA-256 of the body without card number, CVV and expiry.
    """

    key: str
    kind: str
    fingerprint: str
    payment_id: str | None = None
    order: str | None = None
    amount_minor: int | None = None
    currency: str | None = None
    last4: str | None = None

    @property
    def awaits_acknowledgment(self) -> bool:
        """
        Whether an approval under this intent has to be acknowledged.
        """
        return self.kind in ACKNOWLEDGED_KINDS


class Recorded(msgspec.Struct, frozen=True, kw_only=True):
    """
    An intent as the journal has it.
    """

    intent: Intent
    state: State
    payment: Payment | None = None


class Found(StrEnum):
    """
    What beginning an intent found under its key.
    """

    NEW = "new"  # Nothing, or what proved that nothing was charged.
    OPEN = "open"  # A crash left it: the gateway may have it.
    APPROVED = "approved"  # A crash left it between the approval and the acknowledgment.
    FINISHED = "finished"
    FENCED = "fenced"
    BUSY = "busy"  # Another call, here or in another process, is using it.
    OTHER_BODY = "other_body"


class Claim(msgspec.Struct, frozen=True):
    """
    The answer to `Begin`. Unless it is busy, fenced, finished or another's, the key is ours.
    """

    found: Found
    payment: Payment | None = None


class Reclaimed(msgspec.Struct, frozen=True):
    """
    The answer to `Reclaim`: what the journal has under a key, ours now if it is still open.
    """

    recorded: Recorded | None = None
    busy: bool = False


class Leftovers(msgspec.Struct, frozen=True):
    """
    What a recovery has to look at: open keys, and outcomes that a process may have died with.
    """

    open_keys: tuple[str, ...]
    finished: tuple[Recorded, ...]


class Begin(msgspec.Struct, frozen=True):
    """
    Write *intent* durably and claim its key. Answered with a `Claim`.
    """

    intent: Intent


class Reclaim(msgspec.Struct, frozen=True):
    """
    Claim a key of the journal, if it is there. Answered with `Reclaimed`.
    """

    key: str


class TakeLeftovers(msgspec.Struct, frozen=True):
    """
    Look for what dead processes left. Answered with `Leftovers`.
    """


class Record(msgspec.Struct, frozen=True):
    """
    Store durably where *key* stands now. Answered with whether it could be stored.
    """

    key: str
    state: State
    payment: Payment | None = None


class Send(msgspec.Struct, frozen=True, kw_only=True):
    """
    Send one request on the lease. Answered with an `Answer` or a `Failure`.
    """

    method: str
    path: str
    body: bytes | None = None
    key: str | None = None
    seconds: float = 0.0

    def __repr__(self) -> str:
        return f"Send({self.method} {self.path})"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        return [("method", self.method), ("path", self.path)]


class Wait(msgspec.Struct, frozen=True):
    """
    Wait this long.
    """

    seconds: float


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """
    A whole response.
    """

    status: int
    body: bytes = b""
    retry_after_seconds: float | None = None

    def __repr__(self) -> str:
        return f"Answer({self.status})"


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """
    No response. `received` is false with proof that no byte of the request left.

    `hopeless` means that trying again will not help (a certificate that cannot be trusted).
    """

    detail: str
    received: bool
    hopeless: bool = False


Command: TypeAlias = Begin | Reclaim | TakeLeftovers | Record | Send | Wait
Event: TypeAlias = Answer | Failure
Steps: TypeAlias = Generator[Command, Any, T]
