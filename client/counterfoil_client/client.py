"""
The client for threads: a thin driver of the core, over leased connections.
"""

import threading
from datetime import datetime
from pathlib import Path
from time import sleep
from types import TracebackType
from typing import Self, TypeVar

import httpx2

from counterfoil_client import connections
from counterfoil_client.calls import NO_LEASE, Calls, account, no_lease
from counterfoil_client.cards import Billing, Card
from counterfoil_client.commands import Event, Intent, Send, Steps, Wait
from counterfoil_client.desk import Desk
from counterfoil_client.errors import (
    ConfigurationError,
    CounterfoilError,
    GatewayUnavailable,
    OutcomeUnknown,
)
from counterfoil_client.journal import Journal
from counterfoil_client.leases import Leases, NoLeaseError
from counterfoil_client.limits import Limits
from counterfoil_client.results import Page, Payment, Recovered, Resolution

T = TypeVar("T")
Outcomes = list[Recovered]

_DEFAULTS = Limits()


class Client:
    """
    A merchant's connection to a gateway. Make one per process; use it from any thread.

    Args:
        base_url: Where the gateway is; https only.
        key: The merchant's secret key, sk_test_... or sk_live_....
        journal: The file of the journal, on a local disk, in a folder of its own. Several
            processes may share it.
        ca: The authority to trust instead of the system's, as a PEM file.
        limits: How long and how often to try.
    """

    def __init__(
        self,
        base_url: str,
        key: str,
        *,
        journal: Path,
        ca: Path | None = None,
        limits: Limits = _DEFAULTS,
    ) -> None:
        access = connections.access(base_url, key, ca, limits)
        self._access = access
        self._calls = Calls(limits)
        self._journal = Journal(Path(journal), account(key))
        self._leases = Leases(lambda: connections.connection(access), limits)
        self._closing = threading.Lock()
        self._closed = False

    def sale(
        self,
        amount: int | str,
        currency: str,
        card: Card,
        *,
        order: str | None = None,
        description: str | None = None,
        customer_email: str | None = None,
        billing: Billing | None = None,
        idempotency_key: str | None = None,
    ) -> Payment:
        """
        Take money: returns when it is acknowledged, with the confirmation number, or when
        it is certain that the card is not charged.

        A decline, a reversal or an approval that came too late is a result: ask
        `payment.paid`. *amount* is minor units (4200) or a decimal string ("42.00").

        Raises:
            RequestRefused: A definite no (KeyReused, KeyFenced); nothing was charged.
            NotSent: Proof that nothing was charged; try again under the same key.
            OutcomeUnknown: We could not find out; call `recover()` or `resolve(key)`.
            InvalidRequest: An argument cannot stand (InvalidAmount); nothing was sent.
            JournalFailed: The intent could not be written; nothing was sent.
        """
        intent, steps = self._calls.payment(
            "sale",
            amount,
            currency,
            card,
            order=order,
            description=description,
            customer_email=customer_email,
            billing=billing,
            idempotency_key=idempotency_key,
        )
        return self._move(intent, steps, own_key=idempotency_key is not None)

    def authorize(
        self,
        amount: int | str,
        currency: str,
        card: Card,
        *,
        order: str | None = None,
        description: str | None = None,
        customer_email: str | None = None,
        billing: Billing | None = None,
        idempotency_key: str | None = None,
    ) -> Payment:
        """
        Hold money, to be captured later. Like `sale` in every other way.
        """
        intent, steps = self._calls.payment(
            "authorization",
            amount,
            currency,
            card,
            order=order,
            description=description,
            customer_email=customer_email,
            billing=billing,
            idempotency_key=idempotency_key,
        )
        return self._move(intent, steps, own_key=idempotency_key is not None)

    def capture(
        self,
        payment: Payment | str,
        amount: int | str | None = None,
        *,
        currency: str | None = None,
        idempotency_key: str | None = None,
    ) -> Payment:
        """
        Take the held money of an authorization: all of it, or *amount*.

        A decimal *amount* needs the Payment or its *currency*. Raises what `sale` raises.
        """
        intent, steps = self._calls.movement("capture", payment, amount, currency, idempotency_key)
        return self._move(intent, steps, own_key=idempotency_key is not None)

    def void(
        self,
        payment: Payment | str,
        *,
        idempotency_key: str | None = None,
    ) -> Payment:
        """
        Undo a payment before its batch closes. Raises what `sale` raises.
        """
        intent, steps = self._calls.movement("void", payment, None, None, idempotency_key)
        return self._move(intent, steps, own_key=idempotency_key is not None)

    def refund(
        self,
        payment: Payment | str,
        amount: int | str | None = None,
        *,
        currency: str | None = None,
        idempotency_key: str | None = None,
    ) -> Payment:
        """
        Give money back: all of it, or *amount*.

        A decimal *amount* needs the Payment or its *currency*. Raises what `sale` raises.
        """
        intent, steps = self._calls.movement("refund", payment, amount, currency, idempotency_key)
        return self._move(intent, steps, own_key=idempotency_key is not None)

    def get(self, payment: Payment | str) -> Payment:
        """
        Return the payment as it stands now.

        Raises:
            RequestRefused: No such payment (`code` is not_found).
            GatewayUnavailable: No answer in time; repeat the call.
        """
        return self._run(self._calls.get(payment))

    def list(
        self,
        *,
        limit: int = 50,
        cursor: str | None = None,
        state: str | None = None,
        order: str | None = None,
        currency: str | None = None,
        created_from: datetime | str | None = None,
        created_to: datetime | str | None = None,
        confirmation_number: str | None = None,
        rrn: str | None = None,
    ) -> Page:
        """
        Return a page of payments, newest first; pass `page.next_cursor` for the next one.

        Raises:
            RequestRefused: A filter cannot stand.
            GatewayUnavailable: No answer in time; repeat the call.
        """
        steps = self._calls.listing(
            limit,
            cursor=cursor,
            state=state,
            order=order,
            currency=currency,
            created_from=created_from,
            created_to=created_to,
            confirmation_number=confirmation_number,
            rrn=rrn,
        )
        return self._run(steps)

    def refuse(self, payment: Payment | str) -> Payment:
        """
        Refuse an approval that is not acknowledged yet: it is reversed at once.

        Raises:
            RequestRefused: It is acknowledged already; void or refund it.
            GatewayUnavailable: No answer in time; repeat the call.
        """
        return self._run(self._calls.refuse(payment))

    def resolve(self, idempotency_key: str) -> Resolution:
        """
        Find out what became of the key, and finish it: an approval is acknowledged.

        A key that the gateway never saw is fenced: no request under it will ever charge.

        Raises:
            OutcomeUnknown: No answer in time; ask again.
        """
        steps = self._calls.resolve(idempotency_key)
        busy = OutcomeUnknown(NO_LEASE, idempotency_key=idempotency_key, answered=False)
        return self._run(steps, busy)

    def recover(self, *, former_key: str | None = None) -> Outcomes:
        """
        Finish whatever a crash left open; call it at every start, and again after an
        `OutcomeUnknown`. Intents that a live process is working on are left alone.

        Pass *former_key* once after the merchant's API key was replaced: intents written
        under it are taken over. Returns one outcome for each intent; none raises.
        """
        if former_key is not None:
            self._journal.adopt(account(former_key))
        return self._run(self._calls.recover())

    def close(self) -> None:
        """
        Wait for the calls in progress and close. Says that the shop has every outcome.
        """
        self._close(handed_over=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # After an exception the shop may not have stored what it got: recover() tells it again.
        self._close(handed_over=error is None)

    def __repr__(self) -> str:
        return f"Client({str(self._access.base_url)!r})"

    def _move(self, intent: Intent, steps: Steps[Payment], *, own_key: bool) -> Payment:
        return self._run(steps, no_lease(intent.key, own_key=own_key))

    def _run(self, steps: Steps[T], busy: CounterfoilError | None = None) -> T:
        """
        Drive *steps* on one lease; raise *busy* if there is none to be had.
        """
        if self._closed:
            raise ConfigurationError("this client is closed")
        self._journal.check_process()
        desk = Desk(self._journal)
        try:
            with self._leases.lease() as connection:
                return self._drive(steps, desk, connection)
        except NoLeaseError:
            raise (busy or GatewayUnavailable(NO_LEASE)) from None
        finally:
            desk.let_go()

    def _drive(self, steps: Steps[T], desk: Desk, connection: httpx2.Client) -> T:
        event: object = None
        while True:
            try:
                command = steps.send(event)
            except StopIteration as done:
                result: T = done.value
                return result
            match command:
                case Send():
                    event = self._send(connection, command)
                case Wait(seconds):
                    event = None
                    sleep(seconds)
                case _:
                    event = desk.do(command)

    def _send(self, connection: httpx2.Client, send: Send) -> Event:
        body = connections.Body(send)
        try:
            request = connections.request(connection, send, self._access.limits)
            response = connection.send(request, stream=True)
            try:
                for chunk in response.iter_raw():
                    if stopped := body.add(chunk):
                        return stopped
                return body.answer(response)
            finally:
                response.close()
        except (httpx2.HTTPError, OSError) as error:
            return connections.failure(error)

    def _close(self, *, handed_over: bool) -> None:
        with self._closing:
            if self._closed:
                return
            self._closed = True
        self._leases.close()
        self._journal.close(handed_over=handed_over)
