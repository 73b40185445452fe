"""
Take the payment for an order, and find out about orders whose payment is open.

Stands between the pages and the client. The order is written first, then the gateway is
asked, then the outcome is written. All of it runs in a task of its own: a browser that
hangs up, or a page that stops waiting, does not stop a payment.
"""

import asyncio
import itertools
import logging
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Literal, Self

from counterfoil_client import (
    AsyncClient,
    Billing,
    Card,
    Checkout,
    CounterfoilError,
    KeyReused,
    OutcomeUnknown,
    Payment,
    RequestRefused,
)

from counterfoil_shop import catalog, log
from counterfoil_shop.books import Books, Order, Outcome, Purchase

PAYMENTS_AT_ONCE_MAX = 64
QUESTIONS_AT_ONCE_MAX = 4  # Few, so that payments get the client's connections.
PAGE_WAITS_SECONDS_MAX = 10.0  # Then the order's page says that we are finding out.
STOP_WAITS_SECONDS_MAX = 5.0  # For payments under way; what stays open is found out next time.
LOOK_AGAIN_SECONDS = 2.0
LOOKS_PER_REFUND_LOOK = 10
LOOKS_PER_PAGE_LOOK = 5  # Orders on a payment page wait for a person, not for a bank.
PAGE_SECONDS = 3600
STOPS_WAITING_SECONDS_MAX = 3.0
PAYMENTS_LISTED_MAX = 100  # The newest ones, looked through for refunds.

NOT_CHARGED = "The payment did not go through. Check the card's details, or use another card."
PAGE_ENDED = "It was not paid on the payment page. Nothing was charged."
NOT_TAKEN = (
    "We could not take a payment just now. Nothing was charged; please try again in a moment."
)

_logger = logging.getLogger(__name__)


class TillBusyError(Exception):
    """
    As many payments as the shop takes at once are under way; nothing was charged.
    """


class Till:
    """
    The open till. Closing it leaves payments under way a moment to end.
    """

    def __init__(self, books: Books, client: AsyncClient) -> None:
        self._books = books
        self._client = client
        self._payments: dict[str, asyncio.Task[None]] = {}  # By form token.
        self._questions: dict[str, asyncio.Task[None]] = {}  # By idempotency key.
        self._watch: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._watch = asyncio.create_task(self._keep_looking())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._watch is not None
        if self._payments:
            await asyncio.wait(self._payments.values(), timeout=STOP_WAITS_SECONDS_MAX)
        rest = [self._watch, *self._questions.values(), *self._payments.values()]
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)

    async def buy(self, purchase: Purchase, card: Card) -> Order:
        """
        Place the order and take its payment; the same form sent again joins the first time.

        Returns after at most PAGE_WAITS_SECONDS_MAX, with an order that may be undecided.

        Raises:
            TillBusyError: Nothing was written and nothing charged; try again.
        """
        task = self._payments.get(purchase.form_token)
        if task is None:
            if len(self._payments) >= PAYMENTS_AT_ONCE_MAX:
                raise TillBusyError
            sell = self._sell(purchase, card)
            task = _begin(self._payments, purchase.form_token, sell)
        await asyncio.wait({task}, timeout=PAGE_WAITS_SECONDS_MAX)
        order = await asyncio.to_thread(self._books.of_form, purchase.form_token)
        if order is None:
            raise TillBusyError  # The books could not be written, so the gateway was not asked.
        return order

    async def open_page(self, purchase: Purchase, lead_back: Callable[[Order], str]) -> Order:
        """
        Place the order and open its payment page at the gateway; *lead_back* makes the address of
        ours to which that page leads.

        The order that is returned may have no page yet: we go on asking for it.
        """
        order, fresh = await asyncio.to_thread(self._books.place, purchase, lead_back)
        if fresh:
            _tell("order_placed", order, way=order.way)
        await self.look_at(order.number)
        return await asyncio.to_thread(self._books.order, order.number) or order

    async def look_at(self, number: int) -> None:
        """
        Look now how an order on a payment page stands; not for long, the next look comes.
        """
        order = await asyncio.to_thread(self._books.order, number)
        if order is None or order.way != "page" or order.status != "unknown":
            return
        question = self._questions.get(order.idempotency_key)
        if question is None:
            asking = self._ask_page(order)
            question = _begin(self._questions, order.idempotency_key, asking)
        await asyncio.wait({question}, timeout=STOPS_WAITING_SECONDS_MAX)

    async def order(self, number: int) -> Order | None:
        """
        The order of that number, as the books have it.
        """
        return await asyncio.to_thread(self._books.order, number)

    async def _sell(self, purchase: Purchase, card: Card) -> None:
        order, fresh = await asyncio.to_thread(self._books.place, purchase)
        if not fresh:
            return
        _tell("order_placed", order, way=order.way)
        try:
            payment = await self._client.sale(
                order.amount_minor,
                order.currency,
                card,
                order=str(order.number),
                customer_email=order.customer_email,
                billing=Billing(postal_code=order.postal_code) if order.postal_code else None,
                idempotency_key=order.idempotency_key,
            )
        except (OutcomeUnknown, KeyReused) as doubt:
            _tell("payment_unknown", order, reason=str(doubt))
        except CounterfoilError as proof:  # Every other one proves that nothing was charged.
            _tell("payment_refused", order, reason=str(proof))
            await self._decide(order, Outcome("not_paid", shopper_message=_words_for(proof)))
        else:
            await self._record(order, payment)

    async def _find_out(self, order: Order) -> None:
        """
        Ask what became of an open order's payment; a key never seen can never charge.
        """
        try:
            resolution = await self._client.resolve(order.idempotency_key)
        except CounterfoilError as doubt:
            _tell("still_unknown", order, reason=str(doubt))
        else:
            if resolution.payment is None:
                await self._decide(order, Outcome("not_paid", shopper_message=NOT_TAKEN))
            else:
                await self._record(order, resolution.payment)

    async def _keep_looking(self) -> None:
        """
        Finish what a crash left open, then look after open orders and refunds for ever.
        """
        recovered = False
        for look in itertools.count():
            recovered = recovered or await self._looked(self._client.recover())
            await self._looked(self._look_after_open_orders())
            if look % LOOKS_PER_PAGE_LOOK == 0:
                await self._looked(self._look_after_pages())
            if look % LOOKS_PER_REFUND_LOOK == 0:
                await self._looked(self._look_for_refunds())
            await asyncio.sleep(LOOK_AGAIN_SECONDS)

    async def _looked(self, look: Coroutine[None, None, object]) -> bool:
        """
        Take one look; a failure is logged, and the next look may fare better.
        """
        try:
            await look
        except CounterfoilError as silence:
            log.event(_logger, "look_failed", reason=str(silence))
        except Exception:  # Whatever it was: the other orders must still be looked after.
            _logger.exception("look_broke")
        else:
            return True
        return False

    async def _look_after_open_orders(self) -> None:
        limit = PAYMENTS_AT_ONCE_MAX + QUESTIONS_AT_ONCE_MAX
        for order in await asyncio.to_thread(self._books.in_status, "unknown", limit):
            if order.way == "page":
                continue
            asked = order.form_token in self._payments or order.idempotency_key in self._questions
            if not asked and len(self._questions) < QUESTIONS_AT_ONCE_MAX:
                _begin(self._questions, order.idempotency_key, self._find_out(order))

    async def _look_after_pages(self) -> None:
        """
        Ask about the newest orders that wait on a payment page, a few at a time.
        """
        waiting = await asyncio.to_thread(self._books.in_status, "unknown", PAYMENTS_LISTED_MAX)
        for order in waiting:
            free = len(self._questions) < QUESTIONS_AT_ONCE_MAX
            if order.way == "page" and free and order.idempotency_key not in self._questions:
                _begin(self._questions, order.idempotency_key, self._ask_page(order))

    async def _ask_page(self, order: Order) -> None:
        """
        Open an order's payment page if there is none yet, and write down how it ended.
        """
        try:
            page = await self._page_of(order)
            if page.paid and page.payment:
                await self._record(order, await self._client.get(page.payment))
            elif page.ended:
                await self._decide(order, Outcome("not_paid", shopper_message=PAGE_ENDED))
        except RequestRefused as refusal:
            _tell("page_refused", order, reason=str(refusal))
            if order.checkout_id is None:
                await self._decide(order, Outcome("not_paid", shopper_message=NOT_TAKEN))
        except CounterfoilError as silence:
            _tell("page_unknown", order, reason=str(silence))

    async def _page_of(self, order: Order) -> Checkout:
        if order.checkout_id is not None:
            return await self._client.get_checkout(order.checkout_id)
        page = await self._client.create_checkout(
            order.amount_minor,
            order.currency,
            order=str(order.number),
            description=_what_is_bought(order),
            customer_email=order.customer_email,
            return_url=order.return_url,
            cancel_url=order.return_url,
            expires_in_seconds=PAGE_SECONDS,
            idempotency_key=order.idempotency_key,
        )
        await asyncio.to_thread(
            self._books.opened, order.number, page.id, page.url, page.return_secret
        )
        return page

    async def _look_for_refunds(self) -> None:
        if not await asyncio.to_thread(self._books.in_status, "paid", 1):
            return
        page = await self._client.list(limit=PAYMENTS_LISTED_MAX)
        for payment in page.data:
            outcome = outcome_of(payment)
            if outcome is not None and outcome.status == "refunded":
                await asyncio.to_thread(self._books.refund, payment.id)

    async def _record(self, order: Order, payment: Payment) -> None:
        outcome = outcome_of(payment)
        if outcome is None:
            _tell("payment_unknown", order, reason=payment.state)
        else:
            await self._decide(order, outcome)

    async def _decide(self, order: Order, outcome: Outcome) -> None:
        if await asyncio.to_thread(self._books.decide, order.number, outcome):
            _tell("order_decided", order, status=outcome.status, payment=outcome.payment_id)


def outcome_of(payment: Payment) -> Outcome | None:
    """
    What *payment* means for its order, None as long as it is not decided.

    A payment that was confirmed and of which nothing is left was given back to the shopper.
    """
    if payment.confirmation_number is not None and _given_back(payment):
        return _outcome("refunded", payment)
    if payment.paid:
        return _outcome("paid", payment)
    if payment.charged is False:
        return _outcome("not_paid", payment)
    return None


def _given_back(payment: Payment) -> bool:
    return payment.charged is False or payment.refunded_minor >= payment.amount_minor


def _what_is_bought(order: Order) -> str:
    """
    Return what stands on the payment page and on the receipt, as in the shop window.
    """
    product = catalog.find(order.product)
    return f"{order.quantity} \N{MULTIPLICATION SIGN} {product.name if product else order.product}"


def _outcome(status: Literal["paid", "not_paid", "refunded"], payment: Payment) -> Outcome:
    unpaid = status == "not_paid"
    words = payment.decline.shopper_message if payment.decline else NOT_CHARGED
    return Outcome(
        status=status,
        payment_id=payment.id,
        rrn=payment.rrn,
        confirmation_number=None if unpaid else payment.confirmation_number,
        approval_code=None if unpaid else payment.approval_code,
        shopper_message=(words or NOT_CHARGED) if unpaid else None,
        card_brand=payment.card.brand if payment.card else None,
        card_last4=payment.card.last4 if payment.card else None,
    )


def _words_for(proof: CounterfoilError) -> str:
    about_the_card = isinstance(proof, RequestRefused) and (proof.param or "").startswith("card")
    return NOT_CHARGED if about_the_card else NOT_TAKEN


def _begin(
    running: dict[str, asyncio.Task[None]], name: str, work: Coroutine[None, None, None]
) -> asyncio.Task[None]:
    """
    Run *work* as a task that stands in *running* under *name* until it ends.
    """

    def ended(task: asyncio.Task[None]) -> None:
        del running[name]
        if not task.cancelled() and (error := task.exception()):
            _logger.error("payment_task_broke", exc_info=error)

    running[name] = task = asyncio.create_task(work)
    task.add_done_callback(ended)
    return task


def _tell(name: str, order: Order, **facts: object) -> None:
    log.event(_logger, name, order=order.number, key=order.idempotency_key, **facts)
