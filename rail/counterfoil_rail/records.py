"""
What the books hold, one type for each: charges, batches, their lines, and requests.
"""

from dataclasses import dataclass
from typing import Literal, NamedTuple

from counterfoil_rail.cards import Card
from counterfoil_rail.message import Answer, Key, Request

EntryKind = Literal["debit", "debit_reversal", "credit", "credit_reversal"]


@dataclass(slots=True)
class Charge:
    """
    One decided 0100, 0200 or forced 0220, as its row in the books.

    What was authorized is held, captured, released or expired; a reversed capture counts
    as no longer captured.
    """

    id: int
    kind: str
    state: str
    mti: str
    terminal_id: str
    merchant_id: str
    stan: str
    sent_at: str
    rrn: str
    card_ref: bytes
    bin: str
    brand: str
    last4: str
    currency: str
    amount_minor: int
    authorized_minor: int
    held_minor: int
    captured_minor: int
    refunded_minor: int
    released_minor: int
    expired_minor: int
    credited_minor: int
    batch: str | None
    response_code: str
    approval_code: str | None
    network_transaction_id: str | None
    expires_at: str | None
    at: str

    @property
    def key(self) -> Key:
        """
        What tells its request from all others.
        """
        return Key(self.terminal_id, self.sent_at, self.stan, self.mti)

    @property
    def refundable_minor(self) -> int:
        """
        What was captured and not refunded yet.
        """
        return self.captured_minor - self.refunded_minor

    @property
    def remaining_minor(self) -> int:
        """
        What of the authorization is still alive: captured or held.
        """
        return self.held_minor + self.captured_minor

    def settle_state(self) -> None:
        """
        Set the state that the amounts of an approved charge say.
        """
        if self.captured_minor:
            self.state = "captured" if self.refundable_minor else "refunded"
        elif self.held_minor:
            self.state, self.batch = "held", None
        elif self.credited_minor:
            self.state = "credited"
        else:
            self.state = "expired" if self.expired_minor else "reversed"

    def release(self, amount_minor: int) -> None:
        """
        Let go of a part of what is held.
        """
        self.held_minor -= amount_minor
        self.released_minor += amount_minor

    def uncapture(self, amount_minor: int) -> None:
        """
        Take a capture back: of an authorization it is held again, else it is released.
        """
        self.captured_minor -= amount_minor
        if self.kind == "authorization":
            self.held_minor += amount_minor
        else:
            self.released_minor += amount_minor

    def reverse(self) -> None:
        """
        Take everything back: nothing is held, captured or credited.
        """
        self.state = "reversed"
        self.released_minor += self.remaining_minor
        self.held_minor = self.captured_minor = self.credited_minor = 0


@dataclass(slots=True)
class Batch:
    """
    A batch with its running totals: what a close will compare (DE 74-77, 81, 86-89).
    """

    id: int
    terminal_id: str
    currency: str
    number: str
    opened_at: str
    closed_at: str | None = None
    credits_number: int = 0
    credits_reversal_number: int = 0
    debits_number: int = 0
    debits_reversal_number: int = 0
    authorizations_number: int = 0
    credits_minor: int = 0
    credits_reversal_minor: int = 0
    debits_minor: int = 0
    debits_reversal_minor: int = 0

    def count(self, kind: EntryKind, amount_minor: int) -> None:
        """
        Add one entry to the totals.
        """
        total = {
            "debit": "debits",
            "debit_reversal": "debits_reversal",
            "credit": "credits",
            "credit_reversal": "credits_reversal",
        }[kind]
        setattr(self, f"{total}_number", getattr(self, f"{total}_number") + 1)
        setattr(self, f"{total}_minor", getattr(self, f"{total}_minor") + amount_minor)


@dataclass(frozen=True, slots=True)
class Entry:
    """
    A line of a batch, what of it was not reversed, and whether its batch is closed.
    """

    id: int
    batch_id: int
    kind: EntryKind
    amount_minor: int
    key: Key
    rrn: str
    standing_minor: int
    is_closed: bool

    @property
    def is_reversed(self) -> bool:
        """
        Tell whether nothing of it stands any more.
        """
        return not self.standing_minor


@dataclass(frozen=True, slots=True)
class Exchange:
    """
    A request that was acted on: what it asked, what it led to, and what it was told.
    """

    card_ref: bytes
    processing_code: str
    amount_minor: int
    charge_id: int | None
    answer: Answer

    def asked_the_same(self, card: Card, request: Request) -> bool:
        """
        Tell whether *request* has the same DE 2, 3 and 4: then it is a repeat.
        """
        asked = (card.ref, request.fields["3"], request.amount_minor)
        return asked == (self.card_ref, self.processing_code, self.amount_minor)


class Booking(NamedTuple):
    """
    What a request led to: its answer (None: silence) and the charge it made or moved.
    """

    answer: Answer | None
    charge_id: int | None = None


def refuse(response_code: str, note: str = "") -> Booking:
    """
    Answer with *response_code* and book nothing.
    """
    return Booking(Answer(response_code, note=note))
