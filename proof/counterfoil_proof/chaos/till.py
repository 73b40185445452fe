"""
One till of the shop in a chaos: a process that sells, and dies, and knows what it has sold.

Books and journal are the shop's own (`counterfoil-shop orders` reads them), shared by all tills;
each looks after the orders of its own name. Asked to stop (SIGTERM), it sells no more and ends
when every one of its orders is decided.
"""

import argparse
import asyncio
import contextlib
import json
import os
import random
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

from counterfoil_client import (
    AsyncClient,
    Card,
    CounterfoilError,
    KeyReused,
    Limits,
    OutcomeUnknown,
    Payment,
    Recovered,
)
from counterfoil_shop.app import books_path, folder_of
from counterfoil_shop.books import Books, Order, Outcome, Purchase
from counterfoil_shop.till import outcome_of

AT_ONCE = 3
PAUSE_SECONDS = 0.1
LOOK_AGAIN_SECONDS = 0.5
UNKNOWN_MAX = 10_000
AUTHORIZED, GIVEN_BACK, DECLINED_SHARE = 0.2, 0.1, 0.05
GOOD, BAD = "4539578763621486", "4000000000000002"
CURRENCY = "USD"
AMOUNTS = range(100, 20_000)
CUSTOMER = "ada@shopper.example"
LIMITS = Limits(
    connect_seconds=2.0,
    try_seconds=6.0,
    call_seconds=25.0,
    lease_seconds=10.0,
    tries_max=12,
    backoff_seconds_max=1.0,
    poll_seconds=0.3,
)

Move = Callable[..., Awaitable[Payment]]


class Till:
    """
    An open till.
    """

    def __init__(self, name: str, books: Books, client: AsyncClient, chance: random.Random) -> None:
        self._name = name
        self._books = books
        self._client = client
        self._chance = chance
        self._stopping = asyncio.Event()
        self._under_way: set[str] = set()

    def stop(self) -> None:
        """
        Sell no more.
        """
        self._stopping.set()

    async def work(self) -> None:
        """
        Finish what an earlier life left open, sell until told to stop, decide all orders.
        """
        await self._recover()
        await asyncio.gather(self._keep_looking(), *(self._sell() for _ in range(AT_ONCE)))
        while not await self._recover() or self._open():
            await asyncio.gather(*(self._find_out(each) for each in self._open()[:AT_ONCE]))
            await asyncio.sleep(LOOK_AGAIN_SECONDS)

    async def _sell(self) -> None:
        while not self._stopping.is_set():
            await self._sell_one()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), PAUSE_SECONDS)

    async def _sell_one(self) -> None:
        number = BAD if self._chance.random() < DECLINED_SHARE else GOOD
        order, _ = await asyncio.to_thread(self._books.place, self._purchase(number))
        self._under_way.add(order.idempotency_key)
        try:
            await self._pay(order, Card(number=number, expiry_month=12, expiry_year=2039))
        finally:
            self._under_way.discard(order.idempotency_key)

    async def _pay(self, order: Order, card: Card) -> None:
        holds = self._chance.random() < AUTHORIZED
        call: Move = self._client.authorize if holds else self._client.sale
        try:
            payment = await call(
                order.amount_minor,
                order.currency,
                card,
                order=str(order.number),
                customer_email=order.customer_email,
                idempotency_key=order.idempotency_key,
            )
        except (OutcomeUnknown, KeyReused) as doubt:
            _tell("unknown", order.number, str(doubt))
            return
        except CounterfoilError as proof:  # Every other one proves that nothing was charged.
            await self._decide(order, Outcome("not_paid", shopper_message=str(proof)))
            return
        await self._record(order, payment)
        if payment.paid:
            await self._afterwards(order, payment, holds=holds)

    async def _afterwards(self, order: Order, payment: Payment, *, holds: bool) -> None:
        """
        Capture what is held; give some of it back. What fails here is the journal's to finish.
        """
        with contextlib.suppress(CounterfoilError):
            if holds:
                await self._client.capture(payment, idempotency_key=f"capture-{order.number}")
            if self._chance.random() < GIVEN_BACK:
                back = self._client.void if self._chance.random() < 0.5 else self._client.refund
                await back(payment, idempotency_key=f"back-{order.number}")
                await asyncio.to_thread(self._books.refund, payment.id)

    async def _keep_looking(self) -> None:
        while not self._stopping.is_set():
            for order in self._open()[:AT_ONCE]:
                await self._find_out(order)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), LOOK_AGAIN_SECONDS)

    def _open(self) -> list[Order]:
        """
        Return our undecided orders that no call of ours is working on.
        """
        return [
            order
            for order in self._books.in_status("unknown", UNKNOWN_MAX)
            if order.form_token.startswith(f"{self._name}-")
            and order.idempotency_key not in self._under_way
        ]

    async def _find_out(self, order: Order) -> None:
        try:
            resolution = await self._client.resolve(order.idempotency_key)
        except CounterfoilError as doubt:
            _tell("still unknown", order.number, str(doubt))
            return
        if resolution.payment is None:
            await self._decide(order, Outcome("not_paid"))
        else:
            await self._record(order, resolution.payment)

    async def _recover(self) -> bool:
        """
        Let the client finish what is open; return whether nothing is unknown any more.
        """
        try:
            outcomes = await self._client.recover()
        except CounterfoilError as fault:
            _tell("not recovered", 0, str(fault))
            return False
        for each in outcomes:
            await self._take_up(each)
        return all(each.outcome != "unknown" for each in outcomes)

    async def _take_up(self, told: Recovered) -> None:
        if told.kind in ("void", "refund") and told.outcome == "done" and told.payment_id:
            await asyncio.to_thread(self._books.refund, told.payment_id)

    async def _record(self, order: Order, payment: Payment) -> None:
        outcome = outcome_of(payment)
        if outcome is not None:
            await self._decide(order, outcome)

    async def _decide(self, order: Order, outcome: Outcome) -> None:
        await asyncio.to_thread(self._books.decide, order.number, outcome)

    def _purchase(self, number: str) -> Purchase:
        amount_minor = self._chance.choice(AMOUNTS)
        return Purchase(
            form_token=f"{self._name}-{uuid4().hex}",
            product="Letter Set No. 42",
            quantity=1,
            amount_minor=amount_minor,
            currency=CURRENCY,
            customer_name="Ada Shopper",
            customer_email=CUSTOMER,
            postal_code="",
            card_brand="visa",
            card_last4=number[-4:],
        )


async def run(options: argparse.Namespace) -> None:
    """
    Be a till until told to stop and all orders are decided.
    """
    folder = folder_of(options.state)
    books = Books(books_path(folder))
    key = options.key_file.read_text("utf-8").strip()
    chance = random.Random(f"{options.seed}-{options.name}-{time.time_ns()}")  # noqa: S311
    journal = folder / f"journal-{options.name}" / "journal.db"
    async with AsyncClient(
        options.gateway, key, ca=options.authority, journal=journal, limits=LIMITS
    ) as client:
        till = Till(options.name, books, client, chance)
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, till.stop)
        _announce(folder / f"{options.name}.json")
        await till.work()
    books.close()


def _announce(path: Path) -> None:
    """
    Say that a stop signal will be heard from now on.
    """
    part = path.with_suffix(".part")
    part.write_text(json.dumps({"pid": os.getpid()}), "utf-8")
    part.rename(path)


def _tell(what: str, order: int, why: Any) -> None:
    sys.stderr.write(f"{what}: order {order}: {why}\n")


def main(words: list[str]) -> None:
    """
    Read the command line, and be a till.
    """
    options = argparse.ArgumentParser()
    options.add_argument("--state", type=Path, required=True)
    options.add_argument("--name", required=True)
    options.add_argument("--gateway", required=True)
    options.add_argument("--key-file", type=Path, required=True)
    options.add_argument("--authority", type=Path, required=True)
    options.add_argument("--seed", type=int, required=True)
    asyncio.run(run(options.parse_args(words)))


if __name__ == "__main__":
    main(sys.argv[1:])
