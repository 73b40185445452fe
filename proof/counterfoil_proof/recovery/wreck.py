"""
A crash with many payments in flight, made by a gateway process of our own.

Stands before *measure*: every payment is taken by the product's own road and reaches the
acquirer. Some answers the process hears and never keeps, as if it had been killed before it
could (they stay `processing`); the others become approvals that nobody acknowledges.
"""

import asyncio
from datetime import time
from uuid import UUID, uuid4

import msgspec
from counterfoil import app
from counterfoil.cards import Card
from counterfoil.config import Configuration
from counterfoil.money import currency
from counterfoil.network.message import Fields
from counterfoil.network.outcome import Outcome
from counterfoil.payments.authorize import take_payment
from counterfoil.payments.lifecycle import Kind
from counterfoil.payments.order import Order
from counterfoil.payments.payment import Merchant
from counterfoil.payments.refusals import NothingWritten
from counterfoil.payments.road import Road
from counterfoil.routing.routes import Link, Routes
from counterfoil.store.merchants import MerchantStore, NewMerchant, Terminal

from counterfoil_proof.demo.sandbox import ACQUIRER

AT_ONCE = 100
MERCHANTS = 4  # A batch holds 6,000 items at most, and each of them has one terminal.
ACKNOWLEDGE_SECONDS = 5
CARD = Card("4539578763621486", 12, 2030, "739")
READY_SECONDS_MAX = 30.0
TRIES_MAX = 20


class Died(Exception):
    """
    The process ended here: what it heard is lost.
    """


class DeafLink:
    """
    A link that sends and whose answer nobody hears any more.
    """

    def __init__(self, link: Link) -> None:
        self._link = link

    @property
    def ready(self) -> bool:
        """Whether the real link is signed on."""
        return self._link.ready

    async def request(
        self, mti: str, fields: Fields, *, send_before: float, answer_within: float
    ) -> Outcome:
        """Send, wait until the host has answered, and die."""
        await self._link.request(mti, fields, send_before=send_before, answer_within=answer_within)
        raise Died


class Wreck(msgspec.Struct, frozen=True):
    """
    What was left: how many payments of each kind, and whose they are.
    """

    unanswered: int
    unclaimed: int
    merchants: tuple[UUID, ...]
    terminals: frozenset[str]


async def wreck(configuration: Configuration, payments: int, unclaimed: int) -> Wreck:
    """
    Leave *payments* in flight, *unclaimed* of them approved, and end the process.

    Raises:
        RuntimeError: The acquirer cannot be reached.
    """
    async with app.process(configuration, "gateway") as running:
        link = running.links[ACQUIRER]
        if not await link.wait_ready(READY_SECONDS_MAX):
            raise RuntimeError("the rail does not answer: there is nothing to measure")
        merchants = [await _merchant(running.merchants) for _ in range(MERCHANTS)]
        settings = {each.name: each for each in configuration.acquirer}
        deaf = Routes(running.merchants, settings, {ACQUIRER: DeafLink(link)}, running.clock)
        roads = [running.road] * unclaimed
        roads += [msgspec.structs.replace(running.road, routes=deaf)] * (payments - unclaimed)
        room = asyncio.Semaphore(AT_ONCE)
        await asyncio.gather(
            *(_one(merchants[n % MERCHANTS][0], road, room) for n, road in enumerate(roads))
        )
    return Wreck(
        unanswered=payments - unclaimed,
        unclaimed=unclaimed,
        merchants=tuple(merchant.merchant_id for merchant, _ in merchants),
        terminals=frozenset(terminal for _, terminal in merchants),
    )


async def _one(merchant: Merchant, road: Road, room: asyncio.Semaphore) -> None:
    order = Order(
        merchant=merchant,
        idempotency_key=f"wreck-{uuid4().hex}",
        kind=Kind.SALE,
        amount_minor=4200,
        currency=currency("USD"),
        card=CARD,
        order_number=None,
        description=None,
        customer_email=None,
        postal_code=None,
        street=None,
        session_id="192.0.2.1:40000",
        actor="wreck",
    )
    async with room:
        for _ in range(TRIES_MAX):
            try:
                await take_payment(order, road)
            except Died:
                return
            except NothingWritten as error:  # The rail has a limit; this is no load test.
                await asyncio.sleep(min(error.retry_after_seconds, 1))
            else:
                return
        raise RuntimeError("the rail takes no payments: there is nothing to measure")


async def _merchant(store: MerchantStore) -> tuple[Merchant, str]:
    number = await store.next_terminal_number(ACQUIRER)
    terminal = Terminal(ACQUIRER, f"TERM{number:04d}", f"MERCHANT{number:07d}")
    merchant_id = uuid4()
    new = NewMerchant(
        merchant_id=merchant_id,
        name="Left in Flight",
        city="Portland",
        region="OR",
        country="US",
        category_code="5943",
        timezone="America/Los_Angeles",
        cutoff=time(23),
        email="owner@leftinflight.example",
        acknowledge_seconds=ACKNOWLEDGE_SECONDS,
    )
    await store.add(new, [terminal])
    merchant = await store.merchant(merchant_id)
    assert merchant is not None
    return merchant, terminal.terminal_id
