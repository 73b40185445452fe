"""
What clients send and what they get: the types from which the OpenAPI page is made.
"""

from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from counterfoil.business import EMAIL as EMAIL
from counterfoil.lines import TURNING
from counterfoil.money import AMOUNT_MINOR_MAX, CURRENCIES
from counterfoil.payments.screened import Result

# Patterns end in \Z: Python's $ would let a line feed through. The OpenAPI page says $.
DIGITS = r"^[0-9]+\Z"
PRINTABLE = r"^[ -~]+\Z"  # What the acquirer's message can carry.
ONE_LINE = rf"^[^\u0000-\u001f\u007f-\u009f\u2028\u2029{TURNING}]+\Z"
KEY = r"^[!-~]+\Z"
VOICE_CODE = r"^[A-Za-z0-9]+\Z"
NETWORK_ADDRESS = r"^[0-9A-Fa-f:.]+\Z"

ONE_LINE_ONLY = (
    "One line of text, without control characters or marks that turn the direction of text."
)

# What is said of a text that does not match: the problem's code and its detail.
PATTERNS = {
    DIGITS: ("field_out_of_range", "Digits only."),
    PRINTABLE: ("field_out_of_range", "Printable ASCII characters only."),
    ONE_LINE: ("field_out_of_range", ONE_LINE_ONLY),
    VOICE_CODE: ("field_out_of_range", "Letters and digits only."),
    NETWORK_ADDRESS: ("field_out_of_range", "An IPv4 or IPv6 address, such as 203.0.113.7."),
    KEY: ("field_out_of_range", "Printable ASCII characters only, and no spaces."),
    EMAIL: ("email_invalid", "Send the bare address, such as name@example.com."),
}

Amount = Annotated[
    int,
    Meta(
        ge=1,
        le=AMOUNT_MINOR_MAX,
        description="Minor units of the currency: 4200 USD is 42.00. Digits only, never 4200.0.",
        examples=[4200],
    ),
]
CurrencyCode = Annotated[
    str,
    Meta(
        description="ISO 4217, three capital letters.",
        examples=["USD"],
        extra_json_schema={"enum": sorted(CURRENCIES)},
    ),
]
OrderNumber = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=64,
        pattern=PRINTABLE,
        description="The merchant's own number.",
    ),
]
Description = Annotated[str, Meta(min_length=1, max_length=255, pattern=ONE_LINE)]
CustomerEmail = Annotated[
    str,
    Meta(max_length=254, pattern=EMAIL, description="Gets the receipt."),
]
IdempotencyKey = Annotated[str, Meta(min_length=1, max_length=255, pattern=KEY)]


class CardBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """
    A card as the shopper typed it. The gateway never stores the security code.
    """

    number: Annotated[
        str,
        Meta(
            min_length=12,
            max_length=19,
            pattern=DIGITS,
            description="Digits, the last of them the check digit (ISO/IEC 7812-1, Luhn).",
            examples=["4111111111111111"],
            extra_json_schema={"format": "payment-card-number"},
        ),
    ]
    expiry_month: Annotated[int, Meta(ge=1, le=12, examples=[12])]
    expiry_year: Annotated[
        int,
        Meta(ge=2000, le=2099, description="Four digits, not in the past.", examples=[2039]),
    ]
    cvv: (
        Annotated[
            str,
            Meta(min_length=3, max_length=4, pattern=DIGITS, description="Never stored."),
        ]
        | None
    ) = None

    def __repr__(self) -> str:
        """
        Return the last four digits, nothing else.
        """
        return f"CardBody(...{self.number[-4:]})"

    __str__ = __repr__


class Billing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """
    What the address verification (AVS) compares.
    """

    postal_code: Annotated[str, Meta(min_length=1, max_length=10, pattern=PRINTABLE)] | None = None
    street: Annotated[str, Meta(min_length=1, max_length=40, pattern=PRINTABLE)] | None = None


CustomerIp = Annotated[
    str,
    Meta(
        min_length=2,
        max_length=45,
        pattern=NETWORK_ADDRESS,
        description="Where the shopper's request came from; only a digest is kept, for screening.",
        examples=["203.0.113.7"],
    ),
]


class PaymentRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """
    A sale (`capture: automatic`), an authorization (`capture: manual`) or, with the code that
    the issuer gave by voice, a forced capture.
    """

    amount_minor: Amount
    currency: CurrencyCode
    card: CardBody
    capture: Literal["automatic", "manual"] = "automatic"
    order: OrderNumber | None = None
    description: Description | None = None
    customer_email: CustomerEmail | None = None
    billing: Billing | None = None
    voice_approval_code: (
        Annotated[
            str,
            Meta(
                min_length=1,
                max_length=6,
                pattern=VOICE_CODE,
                description="Said by the issuer on the telephone (DE 38): taken without asking.",
                examples=["H7K2P9"],
            ),
        ]
        | None
    ) = None
    customer_ip: CustomerIp | None = None
    duplicate_check: Annotated[
        bool, Meta(description="false: this is meant, also if it looks like the one before.")
    ] = True


class VerificationRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """
    Is this card good, and do address and security code fit? Nothing is held or taken.
    """

    currency: CurrencyCode
    card: CardBody
    order: OrderNumber | None = None
    description: Description | None = None
    billing: Billing | None = None
    customer_ip: CustomerIp | None = None


class CreditRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """
    Money for a card without a payment of ours to refund. The operator has to allow it.
    """

    amount_minor: Amount
    currency: CurrencyCode
    card: CardBody
    order: OrderNumber | None = None
    description: Description | None = None
    customer_email: CustomerEmail | None = None


class Nothing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """
    An empty object.
    """


class AmountRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """
    How much: everything when left out.
    """

    amount_minor: Amount | None = None


class CaptureRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """
    How much of the hold: everything when left out. `final` lets go of what is held after it.
    """

    amount_minor: Amount | None = None
    final: bool = False


class ResolveRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """
    The key whose fate is asked for.
    """

    idempotency_key: IdempotencyKey


Rrn = Annotated[str, Meta(pattern="^[0-9]{12}$", description="DE 37.")]
Stan = Annotated[str, Meta(pattern="^[0-9]{6}$", description="DE 11.")]
BatchNumber = Annotated[str, Meta(pattern="^[0-9]{6}$", description="DE 60.")]
PaymentId = Annotated[str, Meta(pattern="^pay_[0-9a-f]{32}$")]
MovementId = Annotated[str, Meta(pattern="^mov_[0-9a-f]{32}$")]
ConfirmationNumber = Annotated[
    str, Meta(pattern="^[0-9]{12}$", description="What the shopper keeps.")
]


class CardAnswer(msgspec.Struct, frozen=True):
    """
    All that is ever shown of a card.
    """

    brand: str
    last4: Annotated[str, Meta(pattern="^[0-9]{4}$")]


class Decline(msgspec.Struct, frozen=True):
    """
    Why not, for the shopper and for the merchant, and whether another try makes sense.
    """

    response_code: str | None
    shopper_message: str
    merchant_message: str
    retryable: bool
    retry: Literal["never", "soon", "later", "after_correction", "other_card"]
    advice_code: str | None = None


class MovementAnswer(msgspec.Struct, frozen=True):
    """
    A capture, void or refund. Of a capture, `voided_minor` was voided before its batch closed, and
    `amount_minor` is what stands of it.
    """

    id: MovementId
    kind: Literal["capture", "void", "refund"]
    state: Literal["pending", "batched", "settled", "funded", "done", "undone", "failed"]
    amount_minor: int
    voided_minor: int
    currency: str
    rrn: Rrn
    batch_number: BatchNumber
    created_at: datetime
    idempotency_key: str | None
    object: Literal["movement"] = "movement"


class StateAnswer(msgspec.Struct, frozen=True):
    """
    One change in the life of a payment or of one of its movements.
    """

    state: str
    at: datetime
    cause: str
    actor: str
    movement: MovementId | None
    movement_state: str | None


class MessageAnswer(msgspec.Struct, frozen=True):
    """
    A message to or from the acquirer, masked: fields by number.
    """

    direction: Literal["sent", "received"]
    mti: str
    at: datetime
    fields: dict[str, str]


StateName = Literal[
    "processing",
    "not_sent",
    "declined",
    "approved",
    "authorized",
    "captured",
    "voiding",
    "voided",
    "reversing",
    "reversed",
    "expired",
    "verified",
    "unanswered",
]


class Undone(msgspec.Struct, frozen=True):
    """
    How an undo took the money back, and how much. A reversal has no movement.
    """

    by: Literal["reversal", "void", "refund"]
    amount_minor: int
    movement: MovementId | None


class PaymentAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """
    A payment. `charged` is null while it is not decided whether the cardholder pays; a credit
    never charges. `amount_minor` was asked for, `authorized_minor` approved; `held_minor` can still
    be captured. `possible` names the calls that it allows now.

    `movements`, `states` and `messages` are left out of lists and of answers on the way to an
    approval; `undone` is only in the answer to an undo. `hold_until` is when a hold lapses.
    """

    id: PaymentId
    object: Literal["payment"] = "payment"
    mode: Literal["test", "live"]
    kind: Literal["sale", "authorization", "verification", "forced", "credit"]
    state: StateName
    version: int
    charged: bool | None
    amount_minor: int
    currency: str
    authorized_minor: int
    captured_minor: int
    released_minor: int
    held_minor: int
    refunded_minor: int
    possible: list[str]
    order: str | None
    description: str | None
    customer_email: str | None
    card: CardAnswer
    rrn: Rrn
    stan: Stan
    terminal_id: str
    batch_number: BatchNumber
    approval_code: str | None
    response_code: str | None
    avs_result: str | None
    cvv_result: str | None
    decline: Decline | None
    screening: list[Result]
    acknowledge_by: datetime | None
    hold_until: datetime | None
    acknowledged_at: datetime | None
    acknowledged_on_session: bool | None
    confirmation_number: ConfirmationNumber | None
    idempotency_key: str
    created_at: datetime
    updated_at: datetime
    movements: list[MovementAnswer] | UnsetType = UNSET
    states: list[StateAnswer] | UnsetType = UNSET
    messages: list[MessageAnswer] | UnsetType = UNSET
    undone: list[Undone] | UnsetType = UNSET


class PageAnswer(msgspec.Struct, frozen=True):
    """
    Payments, newest first. `next_cursor` is null on the last page; a page before it may hold fewer
    payments than the limit, or none, when what is asked for is rare.
    """

    data: list[PaymentAnswer]
    next_cursor: PaymentId | None
    object: Literal["list"] = "list"


class ResolutionAnswer(msgspec.Struct, frozen=True):
    """
    What became of a key. `never_seen` closes it: a copy that comes later is refused.
    """

    status: Literal["never_seen", "seen"]
    payment: PaymentAnswer | None
    object: Literal["resolution"] = "resolution"


class Health(msgspec.Struct, frozen=True):
    """
    Said by a process that runs, whatever else is down.
    """

    status: Literal["alive"] = "alive"


class Readiness(msgspec.Struct, frozen=True):
    """
    Whether this process can take payments, and what is missing if not; notes refuse nothing.
    """

    ready: bool
    checks: dict[str, Any]
    notes: dict[str, Any] = {}
