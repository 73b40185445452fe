"""
A sale of the terminal: what a clerk asked for, and how it stands.

    asked    ─► approved (the issuer said yes, and the terminal has noted it)
             ─► done · declined · reversed · not_sent · unanswered
    approved ─► done · reversed

Its row is durable before anything is asked of the network, and its id is the payment's idempotency
key. The table below is the only place that says what may follow what; the trigger
`terminal_sales_legal_moves` holds the same pairs, and a test compares the two.
"""

import re
from datetime import datetime
from enum import StrEnum
from uuid import UUID

import msgspec

from counterfoil.ids import uuid_of
from counterfoil.payments.payment import Payment

SAID_CHARACTERS_MAX = 300
SESSIONS = "terminal:"  # So begins the session of each payment that a clerk asks for.

_KEY = "terminal-"
_PAYMENT_KEY = re.compile(rf"{_KEY}([0-9a-f]{{32}})")
_MILLISECOND = 1 << 80  # Of an id.
_ID_MAX = (1 << 128) - 1


class Parts(msgspec.Struct, frozen=True, kw_only=True):
    """
    What of an amount a clerk named: parts of it, in minor units; 0 is not named.
    """

    tax_minor: int = 0
    tip_minor: int = 0


class State(StrEnum):
    """
    How a sale stands. `done`: it counts, whatever becomes of its payment later.
    """

    ASKED = "asked"
    APPROVED = "approved"
    DONE = "done"
    DECLINED = "declined"
    REVERSED = "reversed"
    NOT_SENT = "not_sent"
    UNANSWERED = "unanswered"


class SaleKind(StrEnum):
    """
    What a clerk may ask for: the kinds of payments, and the refund of one.
    """

    SALE = "sale"
    AUTHORIZATION = "authorization"
    FORCED = "forced"
    VERIFICATION = "verification"
    CREDIT = "credit"
    REFUND = "refund"


class Entry(StrEnum):
    """
    How the card came: typed, by a reader, out of the saved cards, or with the payment (a refund).
    """

    KEYED = "keyed"
    SWIPED = "swiped"
    SAVED = "saved"
    PAYMENT = "payment"


MOVES: frozenset[tuple[State, State]] = frozenset(
    {
        (State.ASKED, State.APPROVED),
        (State.ASKED, State.DONE),
        (State.ASKED, State.DECLINED),
        (State.ASKED, State.REVERSED),
        (State.ASKED, State.NOT_SENT),
        (State.ASKED, State.UNANSWERED),
        (State.APPROVED, State.DONE),
        (State.APPROVED, State.REVERSED),
    }
)
UNFINISHED = frozenset({State.ASKED, State.APPROVED})


class Answer(StrEnum):
    """
    What a clerk said to "charge again?": the cause of a row of history, one for each question.
    """

    NO = "not_charged_again"
    YES = "charged_again"


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """
    What was asked for, checked, and never the card. Tax and tip are parts of the amount.

    `charge_again`: the clerk was asked whether this is a duplicate, and it is none.
    """

    kind: SaleKind
    entry: Entry
    amount_minor: int
    currency: str
    tax_minor: int = 0
    tip_minor: int = 0
    order_number: str | None = None
    description: str | None = None
    customer_email: str | None = None
    customer_name: str | None = None
    postal_code: str | None = None
    street: str | None = None
    voice_approval_code: str | None = None
    keep_card: bool = False
    charge_again: bool = False
    refunded_payment_id: UUID | None = None


class Sale(Wanted, frozen=True, kw_only=True):
    """
    A sale as the store keeps it. `said`: why nothing was done, in words.
    """

    merchant_id: UUID
    sale_id: UUID
    user_id: UUID
    digest: bytes
    state: State
    payment_id: UUID | None
    said: str | None
    created_at: datetime
    updated_at: datetime

    @property
    def payment_key(self) -> str:
        """
        The idempotency key of the payment, or of the refund.
        """
        return f"{_KEY}{self.sale_id.hex}"

    @property
    def actor(self) -> str:
        """
        Who asked, as histories name it.
        """
        return f"user:{self.user_id.hex}"

    @property
    def is_over(self) -> bool:
        """
        Whether nothing becomes of it any more.
        """
        return self.state not in UNFINISHED

    @property
    def again_id(self) -> UUID:
        """
        The id of the sale that charges again what this one asked about: there is one at most.
        """
        return uuid_of((self.sale_id.int + _MILLISECOND) & _ID_MAX)


def sale_id_in(payment_key: str) -> UUID | None:
    """
    Return the id of the sale that the key of a payment names; None if a clerk did not ask for it.
    """
    found = _PAYMENT_KEY.fullmatch(payment_key)
    return UUID(found[1]) if found else None


def is_question(payment: Payment) -> bool:
    """
    Whether *payment* is none, but what a clerk was asked about: the same amount on the same card.

    The gateway keeps it as declined before the network; no issuer has said no. `totals.sql` and
    `search.sql` say the same.
    """
    return payment.duplicate_of is not None and payment.session_id.startswith(SESSIONS)
