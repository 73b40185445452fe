"""
What each call of `Client` and `AsyncClient` does, written once, as steps for a driver.
"""

import hashlib
import time
from datetime import UTC, datetime
from random import Random, SystemRandom
from uuid import uuid4

from counterfoil_client import core, recovery, wire
from counterfoil_client.amounts import checked_currency, minor_units
from counterfoil_client.cards import Billing, Card
from counterfoil_client.commands import Intent, Send, Steps
from counterfoil_client.errors import (
    CounterfoilError,
    InvalidAmount,
    InvalidRequest,
    NotSent,
    OutcomeUnknown,
)
from counterfoil_client.limits import Limits
from counterfoil_client.pace import Clock, Pace
from counterfoil_client.results import (
    Checkout,
    EventPage,
    Page,
    Payment,
    Recovered,
    Resolution,
    UnclaimedPage,
)

PAGE_SIZE_MAX = 100
EVENTS_PAGE = 100
NO_LEASE = "all connections are in use"


class Calls:
    """
    The calls, bound to limits, a clock and a source of jitter.
    """

    def __init__(
        self, limits: Limits, clock: Clock = time.monotonic, chance: Random | None = None
    ) -> None:
        self._limits = limits
        self._clock = clock
        self._chance = chance or SystemRandom()

    @property
    def limits(self) -> Limits:
        """
        How long and how often to try.
        """
        return self._limits

    def payment(
        self,
        kind: str,
        amount: int | str,
        currency: str,
        card: Card,
        *,
        order: str | None,
        description: str | None,
        customer_email: str | None,
        billing: Billing | None = None,
        idempotency_key: str | None,
        voice_approval_code: str | None = None,
        customer_ip: str | None = None,
        duplicate_check: bool = True,
    ) -> tuple[Intent, Steps[Payment]]:
        """
        Return the steps of a sale, an authorization, a forced sale or a credit.
        """
        _check_card(card)
        terms = wire.Terms(
            kind=kind,
            amount_minor=minor_units(amount, currency),
            currency=currency,
            order=order,
            description=description,
            customer_email=customer_email,
            billing=billing,
            voice_approval_code=voice_approval_code,
            customer_ip=customer_ip,
            duplicate_check=duplicate_check,
        )
        return self._journalled(*wire.payment(_key(idempotency_key), terms, card))

    def verify(
        self,
        currency: str,
        card: Card,
        *,
        order: str | None,
        description: str | None,
        billing: Billing | None,
        idempotency_key: str | None,
        customer_ip: str | None = None,
    ) -> Steps[Payment]:
        """
        Return the steps of a verification, which moves nothing and is in no journal.
        """
        _check_card(card)
        terms = wire.Terms(
            kind="verification",
            amount_minor=0,
            currency=checked_currency(currency),
            order=order,
            description=description,
            billing=billing,
            customer_ip=customer_ip,
        )
        request = wire.verification(_key(idempotency_key), terms, card)
        return core.ask_only(request, self._pace())

    def movement(
        self,
        kind: str,
        payment: Payment | str,
        amount: int | str | None,
        currency: str | None,
        idempotency_key: str | None,
        *,
        final: bool = False,
    ) -> tuple[Intent, Steps[Payment]]:
        """
        Return the steps of a capture, void, refund or undo.
        """
        if isinstance(payment, Payment):
            currency = currency or payment.currency
        minor = None if amount is None else _minor(amount, currency)
        key = _key(idempotency_key)
        return self._journalled(
            *wire.movement(key, kind, _id(payment), minor, currency, final=final)
        )

    def get(self, payment: Payment | str) -> Steps[Payment]:
        """
        Return the steps that read one payment.
        """
        return core.fetch(wire.get(_id(payment)), Payment, self._pace())

    def refuse(self, payment: Payment | str) -> Steps[Payment]:
        """
        Return the steps that refuse an approval.
        """
        return core.fetch(wire.refuse(_id(payment)), Payment, self._pace())

    def unclaimed(self, limit: int, cursor: str | None) -> Steps[UnclaimedPage]:
        """
        Return the steps that read one page of unclaimed approvals.
        """
        _check_limit(limit)
        request = wire.unclaimed({"limit": limit, "cursor": cursor})
        return core.fetch(request, UnclaimedPage, self._pace())

    def events(self, after: int, limit: int, wait_seconds: int) -> Steps[EventPage]:
        """
        Return the steps that read one page of the feed.
        """
        return core.fetch(wire.events(after, limit, wait_seconds), EventPage, self._pace())

    def listing(self, limit: int, **filters: str | datetime | None) -> Steps[Page]:
        """
        Return the steps that read one page of payments.
        """
        _check_limit(limit)
        told = {name: _text(value) for name, value in filters.items()}
        return core.fetch(wire.listing({"limit": limit, **told}), Page, self._pace())

    def create_checkout(
        self,
        amount: int | str,
        currency: str,
        *,
        idempotency_key: str | None,
        **more: str | int | None,
    ) -> Steps[Checkout]:
        """
        Return the steps that open a payment page; no money moves, so it is in no journal.
        """
        minor = minor_units(amount, currency)
        body: dict[str, object] = {"amount_minor": minor, "currency": currency, **more}
        request = wire.checkout(_key(idempotency_key), body)
        return core.fetch(request, Checkout, self._pace())

    def get_checkout(self, checkout: Checkout | str) -> Steps[Checkout]:
        """
        Return the steps that read one checkout.
        """
        return core.fetch(wire.get_checkout(_checkout_id(checkout)), Checkout, self._pace())

    def expire_checkout(self, checkout: Checkout | str) -> Steps[Checkout]:
        """
        Return the steps that end a checkout.
        """
        return core.fetch(wire.expire_checkout(_checkout_id(checkout)), Checkout, self._pace())

    def resolve(self, key: str) -> Steps[Resolution]:
        """
        Return the steps that find out what became of *key*.
        """
        return recovery.resolve(wire.checked_key(key), self._pace())

    def recover(self) -> Steps[list[Recovered]]:
        """
        Return the steps that finish what a crash left open.
        """
        return recovery.recover(self._pace)

    def _journalled(self, intent: Intent, request: Send) -> tuple[Intent, Steps[Payment]]:
        return intent, core.move_money(intent, request, self._pace())

    def _pace(self) -> Pace:
        return Pace(self._limits, self._clock, self._chance)


def account(api_key: str) -> str:
    """
    Return whose intents are whose in a shared journal, without the key itself.

    A secret key has 256 random bits, so its hash gives nothing away.
    """
    return hashlib.sha256(api_key.encode()).hexdigest()[:32]


def no_lease(key: str, *, own_key: bool) -> CounterfoilError:
    """
    Return what it proves that no connection was free: a new key cannot have charged, one
    that the shop passed may have, in an earlier call.
    """
    if own_key:
        return OutcomeUnknown(NO_LEASE, idempotency_key=key, answered=False)
    return NotSent(NO_LEASE, idempotency_key=key)


def _check_card(card: Card) -> None:
    if not isinstance(card, Card):
        raise TypeError("card is a Card(number=..., expiry_month=..., expiry_year=...)")


def _check_limit(limit: int) -> None:
    if isinstance(limit, bool) or not 1 <= limit <= PAGE_SIZE_MAX:
        raise InvalidRequest(f"limit is a number from 1 to {PAGE_SIZE_MAX}")


def _key(idempotency_key: str | None) -> str:
    return f"cf_{uuid4().hex}" if idempotency_key is None else wire.checked_key(idempotency_key)


def _id(payment: Payment | str) -> str:
    return wire.checked_id(payment.id if isinstance(payment, Payment) else payment)


def _checkout_id(checkout: Checkout | str) -> str:
    return checkout.id if isinstance(checkout, Checkout) else checkout


def _minor(amount: int | str, currency: str | None) -> int:
    if currency is None and isinstance(amount, str):
        raise InvalidAmount("a decimal amount needs its currency: pass the Payment, or currency=")
    # Any currency will do for an int: it is in minor units already.
    return minor_units(amount, currency or "USD")


def _text(value: str | datetime | None) -> str | None:
    if not isinstance(value, datetime):
        return value
    if value.tzinfo is None:
        raise InvalidRequest("a time needs its time zone: datetime.now(UTC)")
    return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
