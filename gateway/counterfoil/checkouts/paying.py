"""
Pay a checkout: begin a try, take the payment, acknowledge it, write how it ended.

    try begun (durable) -> payment taken -> acknowledged (durable) -> checkout paid (durable)

The page is its own client: it acknowledges what the network approved because the checkout's row,
which says under which key to ask, is durable before anything is asked. A process may die between
any two steps: the worker, or the page that is opened again, goes on from what is durable. Only one
try is ever under way, and the next begins only when it is certain that the last one charges nobody.
"""

import ipaddress
from datetime import timedelta
from uuid import UUID

import msgspec
import structlog

from counterfoil.cards import Card
from counterfoil.checkouts.checkout import Checkout, State
from counterfoil.money import currency
from counterfoil.payments import lifecycle
from counterfoil.payments.acknowledge import acknowledge
from counterfoil.payments.authorize import take_payment
from counterfoil.payments.lifecycle import Kind, charged
from counterfoil.payments.order import Order
from counterfoil.payments.payment import Merchant, PartialApprovals, Payment
from counterfoil.payments.refusals import NotNow, OutcomeNotStored, Refused
from counterfoil.payments.resolve import resolve
from counterfoil.payments.road import Road
from counterfoil.payments.screened import stopped
from counterfoil.payments.screening import address_text
from counterfoil.routing.routes import NoRoute
from counterfoil.store.checkouts import CheckoutStore, Payer
from counterfoil.store.database import DatabaseAway
from counterfoil.store.writer import QueueFull

ADDRESS_DECLINES_MAX = 10  # Of one address at one merchant's pages, in ADDRESS_WINDOW.
ADDRESS_WINDOW = timedelta(hours=1)
# After so long without a payment a try is closed: whoever began it is gone, or sends nothing more.
PATIENCE = timedelta(seconds=60)
UNDECIDED = (OutcomeNotStored, DatabaseAway, QueueFull)

log = structlog.get_logger("checkouts")


class Typed(msgspec.Struct, frozen=True, kw_only=True):
    """
    What the shopper gave for one try. The address is where the browser is.
    """

    card: Card
    address: str
    session_id: str
    postal_code: str | None = None
    email: str | None = None


async def pay(
    checkout: Checkout, merchant: Merchant, typed: Typed, *, road: Road, store: CheckoutStore
) -> tuple[Checkout, bool]:
    """
    Try to pay *checkout* once; say whether a try was begun.

    None was when it is paid, being paid, too old, or had too many declines. The checkout that is
    returned may be `paying` still: then the outcome is found out by whoever looks next.
    """
    payer = payer_of(merchant.merchant_id, typed.address, road, email=typed.email)
    begun = await store.begin_try(checkout, payer, road.clock.now())
    if begun is None:
        return await _read(checkout, store), False
    try:
        return await _tried(begun, merchant, typed, road, store), True
    except UNDECIDED as error:
        log.warning("try_undecided", checkout=begun.checkout_id.hex, reason=type(error).__name__)
        return begun, True


async def _tried(
    begun: Checkout, merchant: Merchant, typed: Typed, road: Road, store: CheckoutStore
) -> Checkout:
    try:
        taken = await take_payment(_order(begun, merchant, typed), road)
    except OutcomeNotStored:
        raise
    except (Refused, NoRoute) as error:
        log.info("try_not_sent", checkout=begun.checkout_id.hex, reason=type(error).__name__)
        return await _settled(begun, State.OPEN, None, "not_sent", road, store)
    return await conclude(begun, merchant, taken.payment, road=road, store=store)


async def conclude(
    checkout: Checkout, merchant: Merchant, payment: Payment, *, road: Road, store: CheckoutStore
) -> Checkout:
    """
    Acknowledge an approval and write how the try ended; one that is not decided stays as it is.
    """
    if payment.state is lifecycle.State.APPROVED:
        payment = await _acknowledged(checkout, merchant, payment, road)
    match charged(payment.state, payment.kind):
        case True:
            return await _settled(checkout, State.PAID, payment, "paid", road, store)
        case False:
            cause = "declined" if _counts(payment) else "not_charged"
            return await _settled(checkout, State.OPEN, payment, cause, road, store)
        case None:
            return checkout


async def find_out(
    checkout: Checkout, merchant: Merchant, *, road: Road, store: CheckoutStore
) -> Checkout:
    """
    Go on with a try that nobody waits for any more, from whatever is durable.

    A key under which nothing was ever sent is closed before the checkout is opened again, so that
    a process that slept cannot charge behind the next try.
    """
    assert checkout.trying_since is not None, "only a try that is under way has an open end"
    is_old = road.clock.now() - checkout.trying_since >= PATIENCE
    use = await road.store.key(merchant.merchant_id, checkout.payment_key)
    if use is None and not is_old:
        return checkout
    payment = await _payment(checkout, merchant, use.payment_id if use else None, road)
    if payment is None:
        return await _settled(checkout, State.OPEN, None, "never_sent", road, store)
    if payment.state is lifecycle.State.NOT_SENT and not is_old:
        return checkout  # Its process may be about to ask another acquirer.
    return await conclude(checkout, merchant, payment, road=road, store=store)


def payer_of(merchant_id: UUID, address: str, road: Road, *, email: str | None = None) -> Payer:
    """
    Return what is kept of who pays: the address only as a keyed digest, of IPv6 the first 64 bits,
    which is what one subscriber has.
    """
    compared = (address_text(address) or "").encode()
    return Payer(
        address_digest=road.vault.keyed_digest(b"checkout address", merchant_id, compared),
        declines_max=ADDRESS_DECLINES_MAX,
        declines_since=road.clock.now() - ADDRESS_WINDOW,
        email=email,
    )


async def _payment(
    checkout: Checkout, merchant: Merchant, payment_id: UUID | None, road: Road
) -> Payment | None:
    if payment_id is None:
        return await resolve(merchant, checkout.payment_key, road)
    return await road.store.payment(merchant.merchant_id, payment_id)


async def _acknowledged(
    checkout: Checkout, merchant: Merchant, payment: Payment, road: Road
) -> Payment:
    try:
        return await acknowledge(
            merchant,
            payment.payment_id,
            session_id=payment.session_id,
            actor=checkout.actor,
            road=road,
        )
    except NotNow as late:
        return late.payment


async def _settled(
    checkout: Checkout,
    state: State,
    payment: Payment | None,
    cause: str,
    road: Road,
    store: CheckoutStore,
) -> Checkout:
    settled = await store.settle_try(
        checkout,
        state,
        payment.payment_id if payment else None,
        declined=cause == "declined",
        cause=cause,
        now=road.clock.now(),
    )
    return settled or await _read(checkout, store)


async def _read(checkout: Checkout, store: CheckoutStore) -> Checkout:
    found = await store.one(checkout.merchant_id, checkout.checkout_id)
    assert found is not None, "a checkout is never deleted"
    return found


def _counts(payment: Payment) -> bool:
    """
    Whether it counts as a card that was tried out: the issuer's no, or our own rules'.
    """
    return payment.state is lifecycle.State.DECLINED or bool(stopped(payment))


def _order(checkout: Checkout, merchant: Merchant, typed: Typed) -> Order:
    """
    Return the order of a try. A page takes the whole amount or nothing, whatever the merchant's
    setting for partial approvals: nobody is there to ask for the rest.
    """
    whole = msgspec.structs.replace(merchant, partial_approvals=PartialApprovals.REVERSE)
    return Order(
        merchant=whole,
        idempotency_key=checkout.payment_key,
        kind=Kind.SALE if checkout.capture == "automatic" else Kind.AUTHORIZATION,
        amount_minor=checkout.amount_minor,
        currency=currency(checkout.currency),
        card=typed.card,
        order_number=checkout.order_number,
        description=checkout.description,
        customer_email=checkout.customer_email,
        postal_code=typed.postal_code,
        street=None,
        session_id=typed.session_id,
        actor=checkout.actor,
        customer_ip=_network_address(typed.address),
    )


def _network_address(text: str) -> str | None:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return None
