"""
Take card payments through a Counterfoil gateway, from the merchant's side.

`Client` and `AsyncClient` are the whole of it: every call that moves money is written
to a journal on the merchant's own disk, sent under an idempotency key, acknowledged on
the same connection, and returns only then. `recover()` finishes what a crash left open.
"""

from counterfoil_client.async_client import AsyncClient
from counterfoil_client.cards import Billing, Card
from counterfoil_client.client import Client
from counterfoil_client.errors import (
    ConfigurationError,
    CounterfoilError,
    GatewayUnavailable,
    InvalidAmount,
    InvalidCard,
    InvalidRequest,
    JournalFailed,
    KeyFenced,
    KeyReused,
    NotSent,
    OutcomeUnknown,
    RequestRefused,
    ReturnRefused,
    WebhookRefused,
)
from counterfoil_client.limits import Limits
from counterfoil_client.results import (
    CardShown,
    Checkout,
    Decline,
    Event,
    Movement,
    Page,
    Payment,
    Recovered,
    Resolution,
    Screening,
    StateChange,
    Unclaimed,
    UnclaimedPage,
)
from counterfoil_client.returns import Return, verify_return
from counterfoil_client.version import __version__
from counterfoil_client.webhooks import verify_webhook

__all__ = [
    "AsyncClient",
    "Billing",
    "Card",
    "CardShown",
    "Checkout",
    "Client",
    "ConfigurationError",
    "CounterfoilError",
    "Decline",
    "Event",
    "GatewayUnavailable",
    "InvalidAmount",
    "InvalidCard",
    "InvalidRequest",
    "JournalFailed",
    "KeyFenced",
    "KeyReused",
    "Limits",
    "Movement",
    "NotSent",
    "OutcomeUnknown",
    "Page",
    "Payment",
    "Recovered",
    "RequestRefused",
    "Resolution",
    "Return",
    "ReturnRefused",
    "Screening",
    "StateChange",
    "Unclaimed",
    "UnclaimedPage",
    "WebhookRefused",
    "__version__",
    "verify_return",
    "verify_webhook",
]
