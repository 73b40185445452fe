"""
Fifty refunds of one payment at once, on real connections: what virtual time cannot show.

In a world a statement is over before the next one begins, so nobody ever waits for a lock there.
This proof lets two processes and the database race in earnest.
"""

import asyncio
from contextlib import AbstractAsyncContextManager, AsyncExitStack

from counterfoil import app
from counterfoil.ids import PAYMENT, read
from counterfoil.payments import movements
from counterfoil.payments.refusals import NotNow
from counterfoil.store.database import Database
from counterfoil.surroundings import Surroundings
from counterfoil_client.cards import Card

from counterfoil_proof.world.server import Server
from counterfoil_proof.world.shop import Order
from counterfoil_proof.world.story import Violation
from counterfoil_proof.world.world import MERCHANT_ID, Plan, World, live

REFUNDS = 50
PROCESSES = 2
CAPTURED_MINOR = 1000
REFUND_MINOR = 100
SUMS = "SELECT captured_minor, refunded_minor FROM payments"


def refunds_at_once(server: Server) -> list[Violation]:
    """
    Take one payment, give it back fifty times at once, and return what did not hold.
    """

    async def scenario(world: World) -> None:
        card = Card(number="4111111111111111", expiry_month=12, expiry_year=2030, cvv="123")
        order = Order(
            number="order-1",
            kind="sale",
            amount_minor=CAPTURED_MINOR,
            currency="USD",
            card=card,
            key="key-1",
        )
        await asyncio.wait([world.shops[0].buy(order)])
        assert order.payment_id is not None
        results = server.run(_race(world, order.payment_id))
        row = world.store.ask(SUMS)[0]
        done = sum(isinstance(each, movements.Done) for each in results)
        others = [each for each in results if not isinstance(each, movements.Done | NotNow)]
        if row["refunded_minor"] > row["captured_minor"]:
            world.story.violated("never more than was captured", str(dict(row)))
        if row["refunded_minor"] != done * REFUND_MINOR:
            world.story.violated("every refund is counted", f"{done} done, {dict(row)}")
        if others:
            world.story.violated("a refund too many is refused in words", repr(others[0]))

    world, _ = live(server, Plan(seed=1, gateways=1), scenario)
    return world.story.violations


async def _race(world: World, payment: str) -> list[movements.Done | BaseException]:
    """
    Ask for all refunds at once, from two processes with pools of their own.
    """
    async with AsyncExitStack() as stack:
        processes = []
        for _ in range(PROCESSES):
            database = await world.server.open(world.database, connections=REFUNDS // PROCESSES)
            stack.push_async_callback(database.close)
            processes.append(await stack.enter_async_context(_process(world, database)))
        merchant = await processes[0].merchants.merchant(MERCHANT_ID)
        assert merchant is not None
        calls = [
            movements.refund(
                movements.Command(
                    merchant=merchant,
                    payment_id=read(PAYMENT, payment),
                    idempotency_key=f"refund-{number}",
                    amount_minor=REFUND_MINOR,
                    actor="race",
                ),
                processes[number % PROCESSES].road,
            )
            for number in range(REFUNDS)
        ]
        return await asyncio.gather(*calls, return_exceptions=True)


def _process(world: World, database: Database) -> AbstractAsyncContextManager[app.Process]:
    around = Surroundings(clock=world.clock)
    return app.process(world.site.configuration, "gateway", database=database, around=around)
