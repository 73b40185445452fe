"""
The client for asyncio: every call of it, over the driver for an event loop.
"""

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime
from functools import partial
from typing import Literal

from counterfoil_client.async_driver import AsyncDriver
from counterfoil_client.calls import EVENTS_PAGE, NO_LEASE, account
from counterfoil_client.cards import Billing, Card
from counterfoil_client.errors import OutcomeUnknown
from counterfoil_client.results import (
    Checkout,
    Event,
    Page,
    Payment,
    Recovered,
    Resolution,
    UnclaimedPage,
)

Outcomes = list[Recovered]


class AsyncClient(AsyncDriver):
    """
    A merchant's connection to a gateway. Make one per process; use it from any task.

    A call that is cancelled stops where it is: an approval that was not acknowledged is
    reversed by the gateway, or finished by `recover()`. Run a sale in a task of its own
    if a browser that hangs up must not stop it.

    Args:
        base_url: Where the gateway is; https only.
        key: The merchant's secret key, sk_test_... or sk_live_....
        journal: The file of the journal, on a local disk, in a folder of its own. Several
            processes may share it.
        ca: The authority to trust instead of the system's, as a PEM file.
        limits: How long and how often to try.
    """

    async def sale(
        self,
        amount: int | str,
        currency: str,
        card: Card,
        *,
        order: str | None = None,
        description: str | None = None,
        customer_email: str | None = None,
        billing: Billing | None = None,
        customer_ip: str | None = None,
        duplicate_check: bool = True,
        idempotency_key: str | None = None,
    ) -> Payment:
        """
        Take money: returns when it is acknowledged, with the confirmation number, or when
        it is certain that the card is not charged.

        A decline, a reversal or an approval that came too late is a result: ask
        `payment.paid`. *amount* is minor units (4200) or a decimal string ("42.00").
        *customer_ip* is where the shopper's request came from, for the merchant's rules;
        without *duplicate_check* it is meant, also if it looks like the one before.

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
            customer_ip=customer_ip,
            duplicate_check=duplicate_check,
            idempotency_key=idempotency_key,
        )
        return await self._move(intent, steps, own_key=idempotency_key is not None)

    async def authorize(
        self,
        amount: int | str,
        currency: str,
        card: Card,
        *,
        order: str | None = None,
        description: str | None = None,
        customer_email: str | None = None,
        billing: Billing | None = None,
        customer_ip: str | None = None,
        duplicate_check: bool = True,
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
            customer_ip=customer_ip,
            duplicate_check=duplicate_check,
            idempotency_key=idempotency_key,
        )
        return await self._move(intent, steps, own_key=idempotency_key is not None)

    async def forced_sale(
        self,
        amount: int | str,
        currency: str,
        card: Card,
        voice_approval_code: str,
        *,
        order: str | None = None,
        description: str | None = None,
        customer_email: str | None = None,
        customer_ip: str | None = None,
        duplicate_check: bool = True,
        idempotency_key: str | None = None,
    ) -> Payment:
        """
        Take money that the issuer approved on the telephone, by the code that it gave.

        Like `sale` in every other way; the card's security code is not sent on.
        """
        intent, steps = self._calls.payment(
            "forced",
            amount,
            currency,
            card,
            order=order,
            description=description,
            customer_email=customer_email,
            customer_ip=customer_ip,
            duplicate_check=duplicate_check,
            idempotency_key=idempotency_key,
            voice_approval_code=voice_approval_code,
        )
        return await self._move(intent, steps, own_key=idempotency_key is not None)

    async def credit(
        self,
        amount: int | str,
        currency: str,
        card: Card,
        *,
        order: str | None = None,
        description: str | None = None,
        customer_email: str | None = None,
        idempotency_key: str | None = None,
    ) -> Payment:
        """
        Give money to a card without a payment to refund; the operator has to allow it.

        Acknowledged like a sale: ask `payment.credited`. What was paid here is given back
        with `refund` instead. Raises what `sale` raises.
        """
        intent, steps = self._calls.payment(
            "credit",
            amount,
            currency,
            card,
            order=order,
            description=description,
            customer_email=customer_email,
            idempotency_key=idempotency_key,
        )
        return await self._move(intent, steps, own_key=idempotency_key is not None)

    async def verify(
        self,
        currency: str,
        card: Card,
        *,
        order: str | None = None,
        description: str | None = None,
        billing: Billing | None = None,
        customer_ip: str | None = None,
        idempotency_key: str | None = None,
    ) -> Payment:
        """
        Ask whether a card is good, without holding anything: ask `payment.verified`, and
        `avs_result` and `cvv_result`.

        Moves no money, so it is not in the journal.

        Raises:
            RequestRefused: A definite no to the request.
            GatewayUnavailable: No answer in time; verify again.
            InvalidRequest: An argument cannot stand; nothing was sent.
        """
        return await self._run(
            self._calls.verify(
                currency,
                card,
                order=order,
                description=description,
                billing=billing,
                customer_ip=customer_ip,
                idempotency_key=idempotency_key,
            )
        )

    async def capture(
        self,
        payment: Payment | str,
        amount: int | str | None = None,
        *,
        final: bool = False,
        currency: str | None = None,
        idempotency_key: str | None = None,
    ) -> Payment:
        """
        Take the held money of an authorization: all that is left, or *amount*; several times,
        until nothing is held. A *final* one lets go of what is still held after it.

        A decimal *amount* needs the Payment or its *currency*. Raises what `sale` raises.
        """
        intent, steps = self._calls.movement(
            "capture", payment, amount, currency, idempotency_key, final=final
        )
        return await self._move(intent, steps, own_key=idempotency_key is not None)

    async def void(
        self,
        payment: Payment | str,
        amount: int | str | None = None,
        *,
        currency: str | None = None,
        idempotency_key: str | None = None,
    ) -> Payment:
        """
        Undo a payment before its batch closes: all of it, or *amount*, and the rest stands.

        A decimal *amount* needs the Payment or its *currency*. Raises what `sale` raises.
        """
        intent, steps = self._calls.movement("void", payment, amount, currency, idempotency_key)
        return await self._move(intent, steps, own_key=idempotency_key is not None)

    async def refund(
        self,
        payment: Payment | str,
        amount: int | str | None = None,
        *,
        currency: str | None = None,
        idempotency_key: str | None = None,
    ) -> Payment:
        """
        Give money back: all that is left, or *amount*; several times, up to what was taken.

        A decimal *amount* needs the Payment or its *currency*. Raises what `sale` raises.
        """
        intent, steps = self._calls.movement("refund", payment, amount, currency, idempotency_key)
        return await self._move(intent, steps, own_key=idempotency_key is not None)

    async def undo(
        self,
        payment: Payment | str,
        amount: int | str | None = None,
        *,
        currency: str | None = None,
        idempotency_key: str | None = None,
    ) -> Payment:
        """
        Take a payment back, all of it or *amount*, in whatever way is possible now: the gateway
        chooses between reversal, void and refund. `payment.movements` says which it was.

        A decimal *amount* needs the Payment or its *currency*. Raises what `sale` raises.
        """
        intent, steps = self._calls.movement("undo", payment, amount, currency, idempotency_key)
        return await self._move(intent, steps, own_key=idempotency_key is not None)

    async def get(self, payment: Payment | str) -> Payment:
        """
        Return the payment as it stands now.

        Raises:
            RequestRefused: No such payment (`code` is not_found).
            GatewayUnavailable: No answer in time; repeat the call.
        """
        return await self._run(self._calls.get(payment))

    async def list(
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
        return await self._run(steps)

    async def unclaimed(self, *, limit: int = 50, cursor: str | None = None) -> UnclaimedPage:
        """
        Return approvals that wait to be acknowledged, and those that were reversed because
        nobody claimed them in time; newest first.

        Raises:
            GatewayUnavailable: No answer in time; repeat the call.
        """
        return await self._run(self._calls.unclaimed(limit, cursor))

    async def create_checkout(
        self,
        amount: int | str,
        currency: str,
        *,
        order: str | None = None,
        description: str | None = None,
        customer_email: str | None = None,
        return_url: str | None = None,
        cancel_url: str | None = None,
        capture: Literal["automatic", "manual"] | None = None,
        expires_in_seconds: int | None = None,
        idempotency_key: str | None = None,
    ) -> Checkout:
        """
        Open a payment page that the gateway hosts; send the shopper to its `url`.

        Keep its `id` and `return_secret` with the order: `verify_return` needs the secret. Under
        the same *idempotency_key* it is the same page.

        Raises:
            RequestRefused: A definite no; `code` `return_url_refused`: not an allowed address.
            GatewayUnavailable: No answer in time; repeat the call under the same key.
            InvalidRequest: An argument cannot stand (InvalidAmount); nothing was sent.
        """
        return await self._run(
            self._calls.create_checkout(
                amount,
                currency,
                order=order,
                description=description,
                customer_email=customer_email,
                return_url=return_url,
                cancel_url=cancel_url,
                capture=capture,
                expires_in_seconds=expires_in_seconds,
                idempotency_key=idempotency_key,
            )
        )

    async def get_checkout(self, checkout: Checkout | str) -> Checkout:
        """
        Return the checkout as it stands now: ask `paid`, or `ended`.

        Raises:
            RequestRefused: No such checkout (`code` is not_found).
            GatewayUnavailable: No answer in time; repeat the call.
        """
        return await self._run(self._calls.get_checkout(checkout))

    async def expire_checkout(self, checkout: Checkout | str) -> Checkout:
        """
        End a checkout before its time: nobody can pay it from then on.

        Raises:
            RequestRefused: It is paid, or being paid just now (`code` is checkout_not_open).
            GatewayUnavailable: No answer in time; repeat the call.
        """
        return await self._run(self._calls.expire_checkout(checkout))

    async def events(
        self, *, after: int = 0, limit: int = EVENTS_PAGE, wait_seconds: int = 0
    ) -> AsyncIterator[Event]:
        """
        Return the events after the number *after*, oldest first, one by one.

        Ends with the feed; with *wait_seconds* (up to 20) it never ends, and waits for more.
        Keep the number of each event with what you did about it, and go on from there.

        Raises:
            RequestRefused: An argument cannot stand, or the feed ends before *after*.
            GatewayUnavailable: No answer in time; go on from the last number.
        """
        while True:
            page = await self._run(self._calls.events(after, limit, wait_seconds))
            for event in page.data:
                yield event
            if not page.data and not wait_seconds:
                return
            after = page.next_after
            if not page.data:
                await asyncio.sleep(self._calls.limits.poll_seconds)

    async def refuse(self, payment: Payment | str) -> Payment:
        """
        Refuse an approval that is not acknowledged yet: it is reversed at once.

        Raises:
            RequestRefused: It is acknowledged already; void or refund it.
            GatewayUnavailable: No answer in time; repeat the call.
        """
        return await self._run(self._calls.refuse(payment))

    async def resolve(self, idempotency_key: str) -> Resolution:
        """
        Find out what became of the key, and finish it: an approval is acknowledged.

        A key that the gateway never saw is fenced: no request under it will ever charge.

        Raises:
            OutcomeUnknown: No answer in time; ask again.
        """
        steps = self._calls.resolve(idempotency_key)
        busy = OutcomeUnknown(NO_LEASE, idempotency_key=idempotency_key, answered=False)
        return await self._run(steps, busy)

    async def recover(self, *, former_key: str | None = None) -> Outcomes:
        """
        Finish whatever a crash left open; call it at every start, and again after an
        `OutcomeUnknown`. Intents that a live process is working on are left alone.

        Pass *former_key* once after the merchant's API key was replaced: intents written
        under it are taken over. Returns one outcome for each intent; none raises.
        """
        if former_key is not None:
            await self._on_disk(partial(self._journal.adopt, account(former_key)))
        return await self._run(self._calls.recover())
