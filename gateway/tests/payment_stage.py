"""
A merchant on the road of a payment: the real store, a scripted acquirer, a clock moved by hand.

Each stage has a merchant and an acquirer of its own, so that tests which share a database
do not meet each other's payments.
"""

import asyncio
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from datetime import time as time_of_day
from itertools import count
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import msgspec
from counterfoil.cards import Card
from counterfoil.config import Acquirer, Timers
from counterfoil.ids import Ids
from counterfoil.money import currency
from counterfoil.payments.acknowledge import acknowledge
from counterfoil.payments.advices import Forwarder
from counterfoil.payments.authorize import take_payment
from counterfoil.payments.lifecycle import Kind
from counterfoil.payments.movements import Command
from counterfoil.payments.order import Order
from counterfoil.payments.payment import Merchant, Payment
from counterfoil.payments.road import Road
from counterfoil.routing.routes import Routes
from counterfoil.store.advices import AdviceStore
from counterfoil.store.database import Database
from counterfoil.store.merchants import MerchantStore, NewMerchant, Terminal
from counterfoil.store.numbers import ConfirmationLeases, OpenBatches, StanLeases
from counterfoil.store.payments import PaymentStore
from counterfoil.store.processes import ProcessStore
from counterfoil.vault import PURPOSES, Vault, new_data_key
from scripted_link import ScriptedLink

START = datetime(2026, 11, 23, 6, 30, tzinfo=UTC)
CARD = Card("4111111111111111", 12, 2030, "927")
KEY_ENCRYPTION_KEY = bytes(range(32))
VAULT = Vault(
    [new_data_key(purpose, KEY_ENCRYPTION_KEY) for purpose in PURPOSES], KEY_ENCRYPTION_KEY
)
SESSION = "192.0.2.1:40000"
ACTOR = "key_of_the_test"
KEYS: Iterator[str] = (f"key-{number}" for number in count(1))


async def until(condition: Callable[[], object]) -> None:
    """Wait until *condition* holds."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - what is waited for knows nothing of tests.
            await asyncio.sleep(0.002)


class HandClock:
    """
    A clock that goes on by itself for waits, and by hand for everything else.
    """

    def __init__(self, now: datetime = START) -> None:
        self._now = now
        self._ahead = 0.0

    def now(self) -> datetime:
        return self._now

    def monotonic(self) -> float:
        return time.monotonic() + self._ahead

    def move(self, seconds: float) -> None:
        """Let *seconds* pass."""
        self._now += timedelta(seconds=seconds)
        self._ahead += seconds


class Stage:
    """
    One process's road, with what a test needs to walk it.
    """

    def __init__(
        self, database: Database, merchant: Merchant, acquirer: str, clock: HandClock, **more: Any
    ) -> None:
        self.database = database
        self.merchant = merchant
        self.acquirer = acquirer
        self.clock = clock
        self.link: ScriptedLink = more.get("link") or ScriptedLink()
        self.merchants = MerchantStore(database, clock)
        self.lease = ProcessStore(database, uuid4())
        self.timers: Timers = more.get("timers") or Timers()
        self.road = self._road(more.get("range_size", 20))

    @classmethod
    async def set_up(
        cls, database: Database, *, acknowledge_seconds: int = 180, **more: Any
    ) -> "Stage":
        """Add a merchant with a terminal, and register a process whose lease holds."""
        clock = more.pop("clock", None) or HandClock()
        acquirer = f"acquirer-{uuid4().hex[:12]}"
        new = new_merchant(acknowledge_seconds=acknowledge_seconds)
        store = MerchantStore(database, clock)
        await store.add(new, [Terminal(acquirer, "TERM0001", "MERCHANT0000001")])
        merchant = await store.merchant(new.merchant_id)
        assert merchant is not None
        stage = cls(database, merchant, acquirer, clock, **more)
        await stage.register()
        return stage

    async def register(self) -> None:
        """Let the process's lease hold for an hour."""
        now = self.clock.now()
        await self.lease.register("gateway", now, now + timedelta(hours=1))

    def _road(self, range_size: int) -> Road:
        settings = Acquirer(
            name=self.acquirer,
            mode="test",
            host="127.0.0.1",
            port=1,
            institution_id="123456",
            forwarding_id="987654",
        )
        return Road(
            store=PaymentStore(self.database, self.clock),
            vault=VAULT,
            routes=Routes(
                self.merchants, {self.acquirer: settings}, {self.acquirer: self.link}, self.clock
            ),
            stans=StanLeases(self.database, range_size),
            batches=OpenBatches(self.database, self.clock, Ids(self.clock)),
            confirmations=ConfirmationLeases(self.database, VAULT.confirmation_key, range_size),
            ids=Ids(self.clock),
            clock=self.clock,
            timers=self.timers,
            process_id=self.lease.process_id,
        )

    def another_process(self, *, link: ScriptedLink | None = None) -> "Stage":
        """Return the same merchant's road in a process of its own."""
        return Stage(
            self.database, self.merchant, self.acquirer, self.clock, link=link or self.link
        )

    async def settings(self, **settings: Any) -> None:
        """Change the merchant's settings, as the operator's command does."""
        await self.merchants.set(self.merchant.merchant_id, **settings)
        merchant = await self.merchants.merchant(self.merchant.merchant_id)
        assert merchant is not None
        self.merchant = merchant

    def order(self, **changes: Any) -> Order:
        """Return an order of 42.00 USD under a new key."""
        order = Order(
            merchant=self.merchant,
            idempotency_key=next(KEYS),
            kind=Kind.SALE,
            amount_minor=4200,
            currency=currency("USD"),
            card=CARD,
            order_number="1001",
            description="Two books",
            customer_email="shopper@example.com",
            postal_code="62704",
            street="10 Main",
            session_id=SESSION,
            actor=ACTOR,
        )
        return msgspec.structs.replace(order, **changes)

    async def take(self, **changes: Any) -> Payment:
        """Take a payment and return it."""
        return (await take_payment(self.order(**changes), self.road)).payment

    async def acknowledge(self, payment: Payment) -> Payment:
        return await acknowledge(
            self.merchant, payment.payment_id, session_id=SESSION, actor=ACTOR, road=self.road
        )

    async def paid(self, **changes: Any) -> Payment:
        """Return a payment that was acknowledged: captured, or authorized."""
        return await self.acknowledge(await self.take(**changes))

    def command(
        self,
        payment: Payment,
        *,
        key: str | None = None,
        amount_minor: int | None = None,
        is_final: bool = False,
    ) -> Command:
        """Return a capture, void, refund or undo of *payment* under a new key."""
        return Command(
            merchant=self.merchant,
            payment_id=payment.payment_id,
            idempotency_key=key or next(KEYS),
            amount_minor=amount_minor,
            actor=ACTOR,
            is_final=is_final,
        )

    def forwarder(self) -> Forwarder:
        """Return a worker's forwarder, with a lease owner of its own."""
        return Forwarder(
            self.road,
            AdviceStore(self.database, uuid4(), self.clock),
            self.merchants,
            [self.acquirer],
        )

    async def read(self, payment: Payment) -> Payment:
        """Return *payment* as it stands now."""
        found = await self.road.store.payment(payment.merchant_id, payment.payment_id)
        assert found is not None
        return found

    async def causes(self, payment: Payment) -> list[str]:
        """Return why *payment* moved, oldest first."""
        return [change.cause for change in await self.road.store.history(payment)]

    async def sql(self, statement: str, *arguments: Any) -> list[asyncpg.Record]:
        """Run a statement of the test's own."""
        async with self.database.acquire() as connection:
            rows: list[asyncpg.Record] = await connection.fetch(statement, *arguments)
            return rows

    async def count(self, table: str) -> int:
        """Return how many rows of this merchant *table* holds."""
        rows = await self.sql(
            f"SELECT count(*) AS n FROM {table} WHERE merchant_id = $1", self.merchant.merchant_id
        )
        number: int = rows[0]["n"]
        return number

    async def transfers(self) -> list[tuple[str, str, int]]:
        """Return the merchant's transfers: debited, credited, amount."""
        rows = await self.sql(
            "SELECT debit_account, credit_account, amount_minor FROM transfers "
            "WHERE merchant_id = $1 ORDER BY transfer_id",
            self.merchant.merchant_id,
        )
        return [tuple(row.values()) for row in rows]

    async def advices(self) -> list[asyncpg.Record]:
        """Return everything owed to the acquirer, in order."""
        return await self.sql(
            "SELECT * FROM advices WHERE merchant_id = $1 ORDER BY payment_id, position",
            self.merchant.merchant_id,
        )


def new_merchant(**changes: Any) -> NewMerchant:
    """Return a bookshop that nobody has added yet."""
    values: dict[str, Any] = {
        "merchant_id": uuid4(),
        "name": "The Book Shop",
        "city": "Springfield",
        "region": "IL",
        "country": "US",
        "category_code": "5942",
        "timezone": "America/Chicago",
        "cutoff": time_of_day(23, 0),
        "email": "owner@bookshop.example",
        "acknowledge_seconds": 180,
    }
    return NewMerchant(**{**values, **changes})


def batch_key(stage: Stage, currency_code: str = "USD") -> tuple[UUID, str, str, str]:
    """Return what names the batches of the stage's terminal."""
    return stage.merchant.merchant_id, stage.acquirer, "TERM0001", currency_code
