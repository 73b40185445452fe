"""
Sell by hand: take the payment of a row that is durable, claim it, write how it ended.

    row asked (durable) -> payment taken -> approval noted in the row (durable)
        -> acknowledged (durable) -> row done (durable)

The terminal is a client like any other. What it has noted it claims, whoever goes on; an approval
that a process took with it into its death before it was noted is claimed by nobody but a clerk who
looks at it, or else it is reversed (decision 0032).
"""

from datetime import timedelta
from uuid import UUID

import msgspec
import structlog

from counterfoil.cards import Card
from counterfoil.money import currency
from counterfoil.network.response_codes import PARTIAL_APPROVAL
from counterfoil.payments import lifecycle
from counterfoil.payments.acknowledge import acknowledge
from counterfoil.payments.authorize import take_payment
from counterfoil.payments.commands import REFUSED
from counterfoil.payments.lifecycle import Kind
from counterfoil.payments.movements import Command, refund
from counterfoil.payments.order import Order
from counterfoil.payments.payment import Merchant, Payment
from counterfoil.payments.refusals import AmountTooLarge, NotNow, OutcomeNotStored, Refused
from counterfoil.payments.resolve import resolve
from counterfoil.payments.road import Road
from counterfoil.payments.screened import stopped
from counterfoil.routing.routes import NoRoute
from counterfoil.store.database import DatabaseAway
from counterfoil.store.terminal import TerminalStore
from counterfoil.store.writer import QueueFull
from counterfoil.terminal.sale import Sale, SaleKind, State, Wanted

# After so long without a payment a sale is closed: whoever began it is gone, or sends nothing more.
PATIENCE = timedelta(seconds=60)
DUPLICATE_SECONDS = 600  # So long the same amount on the same card is asked about, at least.
UNDECIDED = (OutcomeNotStored, DatabaseAway, QueueFull)

log = structlog.get_logger("terminal")


async def sell(
    sale: Sale, merchant: Merchant, card: Card, *, session_id: str, road: Road, store: TerminalStore
) -> Sale:
    """
    Take the payment of *sale*; what is not decided yet is found out by whoever looks next.
    """
    try:
        taken = await take_payment(_order(sale, merchant, card, session_id), road)
        return await conclude(sale, merchant, taken.payment, road=road, store=store)
    except UNDECIDED as error:
        log.warning("sale_undecided", sale=sale.sale_id.hex, reason=type(error).__name__)
        return sale
    except (Refused, NoRoute) as error:
        return await not_sent(sale, str(error), road=road, store=store)


async def give_back(sale: Sale, merchant: Merchant, *, road: Road, store: TerminalStore) -> Sale:
    """
    Refund the payment that *sale* names.
    """
    assert sale.refunded_payment_id is not None, "a refund names its payment"
    command = Command(
        merchant=merchant,
        payment_id=sale.refunded_payment_id,
        idempotency_key=sale.payment_key,
        amount_minor=sale.amount_minor,
        actor=sale.actor,
    )
    try:
        done = await refund(command, road)
    except UNDECIDED as error:
        log.warning("sale_undecided", sale=sale.sale_id.hex, reason=type(error).__name__)
        return sale
    except AmountTooLarge:  # It says so in minor units.
        words = "That is more than is left to give back by now"
        return await not_sent(sale, words, road=road, store=store)
    except Refused as error:
        return await not_sent(sale, str(error), road=road, store=store)
    return await _settled(sale, State.DONE, done.payment, "refunded", road, store)


async def conclude(
    sale: Sale,
    merchant: Merchant,
    payment: Payment,
    *,
    road: Road,
    store: TerminalStore,
    by: str | None = None,
) -> Sale:
    """
    Note an approval and claim it, or write how *sale* ended otherwise; *by* whom, if somebody else
    than who began it.
    """
    if payment.state is lifecycle.State.APPROVED:
        noted = await store.note_approval(sale, payment.payment_id, road.clock.now(), by=by)
        return await claim(noted or sale, merchant, payment, road=road, store=store, by=by)
    state = outcome(payment)
    if state is None:
        return sale
    if state is State.DONE and sale.keep_card:
        await keep_card(sale, payment, road=road, store=store)
    return await _settled(sale, state, payment, payment.state.value, road, store, by=by)


async def claim(
    sale: Sale,
    merchant: Merchant,
    payment: Payment,
    *,
    road: Road,
    store: TerminalStore,
    by: str | None = None,
) -> Sale:
    """
    Acknowledge the approval of *sale*; too late, it was reversed.
    """
    try:
        payment = await acknowledge(
            merchant,
            payment.payment_id,
            session_id=payment.session_id,
            actor=by or sale.actor,
            road=road,
        )
    except NotNow as late:
        payment = late.payment
    if payment.state is lifecycle.State.APPROVED:
        return sale
    return await conclude(sale, merchant, payment, road=road, store=store, by=by)


async def find_out(sale: Sale, merchant: Merchant, *, road: Road, store: TerminalStore) -> Sale:
    """
    Go on with a sale that nobody waits for any more, from whatever is durable.

    It claims what was noted, and nothing else. A key under which nothing was ever asked is closed
    before the sale is called "not sent": a process that slept cannot charge behind it.
    """
    if sale.is_over:
        return sale
    is_old = road.clock.now() - sale.created_at >= PATIENCE
    use = await road.store.key(sale.merchant_id, sale.payment_key)
    if use is None and not is_old:
        return sale
    payment = await _payment(sale, merchant, use.payment_id if use else None, road)
    if payment is None:
        words = "It never left: our side stopped before anything was sent"
        return await not_sent(sale, words, road=road, store=store)
    if sale.kind is SaleKind.REFUND:
        if use is not None and use.operation == REFUSED:
            words = f"The payment is {payment.state}: it was refused"
            return await not_sent(sale, words, road=road, store=store)
        return await _settled(sale, State.DONE, payment, "refunded", road, store)
    if payment.state is lifecycle.State.NOT_SENT and not is_old:
        return sale  # Its process may be about to ask another acquirer.
    if payment.state is lifecycle.State.APPROVED:
        if sale.state is not State.APPROVED:
            return sale  # Nobody saw it: a clerk may claim it still, else it is reversed.
        return await claim(sale, merchant, payment, road=road, store=store)
    return await conclude(sale, merchant, payment, road=road, store=store)


async def payment_of(sale: Sale, road: Road) -> Payment | None:
    """
    Return the payment of *sale*, also while its row does not name it.
    """
    payment_id = sale.payment_id or sale.refunded_payment_id
    if payment_id is None:
        use = await road.store.key(sale.merchant_id, sale.payment_key)
        payment_id = use.payment_id if use else None
    if payment_id is None:
        return None
    return await road.store.payment(sale.merchant_id, payment_id)


def outcome(payment: Payment) -> State | None:
    """
    Return how a sale with this *payment* has ended; None while that is open.
    """
    if payment.confirmation_number or payment.state in lifecycle.CHARGED:
        return State.DONE
    match payment.state:
        case lifecycle.State.PROCESSING | lifecycle.State.APPROVED:
            return None
        case lifecycle.State.VERIFIED:
            return State.DONE
        case lifecycle.State.DECLINED:
            return State.DECLINED
        case lifecycle.State.NOT_SENT:
            return State.NOT_SENT
        case lifecycle.State.UNANSWERED:
            return State.UNANSWERED
        case _:
            return State.DECLINED if is_given_back(payment) else State.REVERSED


def is_given_back(payment: Payment) -> bool:
    """
    Whether the merchant's own rules gave an approval back at once: to a clerk that is a "no".
    """
    is_unwanted_part = (
        payment.response_code == PARTIAL_APPROVAL
        and payment.authorized_minor > 0
        and payment.acknowledge_by is None
    )
    return is_unwanted_part or bool(stopped(payment))


async def not_sent(sale: Sale, words: str, *, road: Road, store: TerminalStore) -> Sale:
    """
    Write that nothing was done, and why.
    """
    log.info("sale_not_sent", sale=sale.sale_id.hex)
    return await _settled(sale, State.NOT_SENT, None, "not_sent", road, store, said=words)


async def keep_card(sale: Sale, payment: Payment, *, road: Road, store: TerminalStore) -> None:
    """
    Keep the card of *payment* for the customer's next time, once.
    """
    kept = await store.sealed(road.vault, payment)
    await store.keep_card(sale, payment, kept, road.clock.now())


async def _payment(
    sale: Sale, merchant: Merchant, payment_id: UUID | None, road: Road
) -> Payment | None:
    if payment_id is None:
        return await resolve(merchant, sale.payment_key, road)
    return await road.store.payment(merchant.merchant_id, payment_id)


async def _settled(
    sale: Sale,
    state: State,
    payment: Payment | None,
    cause: str,
    road: Road,
    store: TerminalStore,
    *,
    said: str | None = None,
    by: str | None = None,
) -> Sale:
    payment_id = payment.payment_id if payment else None
    settled = await store.settle(
        sale, state, payment_id, cause=cause, said=said, now=road.clock.now(), by=by
    )
    if settled is None:  # Somebody else has written it meanwhile.
        settled = await store.one(sale.merchant_id, sale.sale_id)
    assert settled is not None, "a sale is never deleted"
    return settled


def _order(sale: Sale, merchant: Merchant, card: Card, session_id: str) -> Order:
    return Order(
        merchant=merchant,
        idempotency_key=sale.payment_key,
        kind=Kind(sale.kind.value),
        amount_minor=sale.amount_minor,
        currency=currency(sale.currency),
        card=card,
        order_number=sale.order_number,
        description=sale.description,
        customer_email=sale.customer_email,
        postal_code=sale.postal_code,
        street=sale.street,
        session_id=session_id,
        actor=sale.actor,
        voice_approval_code=sale.voice_approval_code,
        duplicate_check=not sale.charge_again,
        duplicate_seconds=DUPLICATE_SECONDS,
    )


def digest_of(wanted: Wanted, merchant_id: UUID, road: Road, card: Card | None) -> bytes:
    """
    Return what makes two submits of one form the same: what was asked, and the card's fingerprint.
    """
    print_of_card = road.vault.fingerprint(card.number, merchant_id).hex() if card else ""
    expiry = (card.expiry_month, card.expiry_year) if card else ()
    said = (*msgspec.structs.astuple(wanted), print_of_card, *expiry)
    return road.vault.keyed_digest(b"terminal sale", merchant_id, msgspec.json.encode(said))
