"""
A shop with the real client: its core, its journal on a disk, its recovery; and a book of orders.

The shop notes an order and its key before it charges, and what it was told afterwards. Its
process may die anywhere in between; what is left then is the book and the journal.
"""

import asyncio
from pathlib import Path
from random import Random
from typing import Any, TypeVar

import msgspec
from counterfoil_client.calls import Calls, account
from counterfoil_client.cards import Billing, Card
from counterfoil_client.commands import Begin, Intent, Record, Send, Steps, Wait
from counterfoil_client.desk import Desk
from counterfoil_client.errors import (
    CounterfoilError,
    NotSent,
    OutcomeUnknown,
    RequestRefused,
)
from counterfoil_client.journal import Journal
from counterfoil_client.limits import Limits
from counterfoil_client.results import Payment, Recovered

from counterfoil_proof.world.clock import WorldClock
from counterfoil_proof.world.life import Life
from counterfoil_proof.world.processes import Site
from counterfoil_proof.world.story import Story
from counterfoil_proof.world.web import Session

T = TypeVar("T")

LIMITS = Limits()
DISK_SECONDS = 0.001  # What a write with its fsync takes.
RECOVER_AGAIN_SECONDS = 5.0
RECOVERIES_MAX = 60


class Order(msgspec.Struct, kw_only=True):
    """
    A line of the shop's book. `status`: open, paid, not_paid or unknown.
    """

    number: str
    kind: str
    amount_minor: int
    currency: str
    card: Card
    key: str
    email: str | None = None
    voice_approval_code: str | None = None
    billing: Billing = Billing(postal_code="62704", street="10 Main")
    status: str = "open"
    payment_id: str | None = None
    paid_minor: int = 0
    confirmation_number: str | None = None


class Movement(msgspec.Struct, kw_only=True):
    """
    A capture, void or refund that the shop asked for. `status`: open, done, refused or unknown.
    """

    kind: str
    payment_id: str
    amount_minor: int | None
    currency: str
    key: str
    status: str = "open"


class Shop:
    """
    One shop: a book, a journal, and a process that dies and comes back.
    """

    def __init__(
        self, name: str, api_key: str, folder: Path, site: Site, story: Story, clock: WorldClock
    ) -> None:
        self.name = name
        self.api_key = api_key
        self.orders: dict[str, Order] = {}
        self.movements: dict[str, Movement] = {}
        self.life: Life | None = None
        self.lives = 0
        self.has_left = False
        self._site = site
        self._story = story
        self._clock = clock
        self._path = folder / name / "journal.db"
        self._journal: Journal
        self._calls: Calls
        self._chance: Random

    @property
    def is_up(self) -> bool:
        """Whether its process lives."""
        return self.life is not None and not self.life.is_dead

    def start(self) -> None:
        """
        Open the journal and finish what an earlier life left open.
        """
        assert not self.is_up
        self.lives += 1
        for movement in self.movements.values():
            if movement.status == "open":  # Nobody is at it any more.
                movement.status = "unknown"
        self.life = Life(self.name, self.lives, on_point=self._site.on_point)
        self._chance = self._site.chance.stream(self.name, self.lives)
        journal = Journal(self._path, account(self.api_key), self._clock.timestamp)
        self.life.at_death(lambda: journal.close(handed_over=False))
        self._journal = journal
        loop = asyncio.get_running_loop()
        self._calls = Calls(LIMITS, loop.time, self._chance)
        self._is_recovering = False
        if self.lives > 1:
            self.life.spawn(self.recover())

    def kill(self) -> None:
        """
        End its process at once.
        """
        if self.life is not None:
            self.life.kill()

    def buy(self, order: Order) -> "asyncio.Task[None]":
        """
        Charge an order, in the shop's own process.
        """
        assert self.life is not None
        self.orders[order.number] = order
        return self.life.spawn(self._buy(order))

    def move(self, movement: Movement) -> "asyncio.Task[None]":
        """
        Capture, void or refund, in the shop's own process.
        """
        assert self.life is not None
        self.movements[movement.key] = movement
        return self.life.spawn(self._move(movement))

    def session(self) -> Session:
        """
        Return a connection of its own.
        """
        return self._site.web.session(self.api_key, self._chance)

    async def recover(self) -> None:
        """
        Finish everything open, as often as it takes: at each start, and after an unknown outcome.
        """
        if self._is_recovering:
            return
        self._is_recovering = True
        for _ in range(RECOVERIES_MAX):
            await self._recover_once()
            if not self.is_waiting():
                break
            await asyncio.sleep(RECOVER_AGAIN_SECONDS)
        self._is_recovering = False

    async def _recover_once(self) -> None:
        for told in await self.drive(self._calls.recover()):
            self._note_recovered(told)
        # What the journal does not know was never begun; the gateway closes its key for ever.
        for order in [each for each in self.orders.values() if each.status in ("open", "unknown")]:
            if order.status == "unknown" or self.lives > 1:
                await self._resolve(order)
        for movement in [each for each in self.movements.values() if each.status == "unknown"]:
            await self._resolve_movement(movement)

    async def _resolve_movement(self, movement: Movement) -> None:
        try:
            resolution = await self.drive(self._calls.resolve(movement.key))
        except CounterfoilError:
            return
        movement.status = "refused" if resolution.payment is None else "done"

    async def _resolve(self, order: Order) -> None:
        try:
            resolution = await self.drive(self._calls.resolve(order.key))
        except CounterfoilError:
            return
        if resolution.payment is None:
            order.status = "not_paid"
        else:
            self._note(order, resolution.payment)

    def _note_recovered(self, told: Recovered) -> None:
        order = next(
            (each for each in self.orders.values() if each.key == told.idempotency_key), None
        )
        movement = self.movements.get(told.idempotency_key)
        if order is not None and told.payment is not None:
            self._note(order, told.payment)
        elif order is not None and told.outcome in ("never_sent", "not_charged"):
            order.status = "not_paid"
        elif movement is not None:
            done = {"done": "done", "never_sent": "refused", "not_charged": "refused"}
            movement.status = done.get(told.outcome, movement.status)

    def is_waiting(self) -> bool:
        """
        Whether the shop does not know the end of something.
        """
        statuses = [each.status for each in self.orders.values()]
        statuses += [each.status for each in self.movements.values()]
        return any(status in ("open", "unknown") for status in statuses)

    async def _buy(self, order: Order) -> None:
        intent, steps = self._calls.payment(
            order.kind,
            order.amount_minor,
            order.currency,
            order.card,
            order=order.number,
            description=None,
            customer_email=order.email,
            billing=order.billing,
            idempotency_key=order.key,
            voice_approval_code=order.voice_approval_code,
        )
        try:
            payment = await self.drive(steps, intent)
        except NotSent:
            order.status = "not_paid"
            self._story.count("not sent")
        except OutcomeUnknown:
            order.status = "unknown"
            self._story.count("outcome unknown to the shop")
            self._recover_soon()
        except RequestRefused as refused:
            order.status = "not_paid"
            self._story.count(f"refused {refused.code}")
        else:
            self._note(order, payment)

    async def _move(self, movement: Movement) -> None:
        intent, steps = self._calls.movement(
            movement.kind,
            movement.payment_id,
            movement.amount_minor,
            movement.currency,
            movement.key,
        )
        try:
            await self.drive(steps, intent)
        except OutcomeUnknown:
            movement.status = "unknown"
            self._recover_soon()
        except (NotSent, RequestRefused) as refused:
            movement.status = "refused"
            self._story.count(f"{movement.kind} refused {getattr(refused, 'code', 'not_sent')}")
        else:
            movement.status = "done"
            self._story.count(f"{movement.kind} done")

    def _recover_soon(self) -> None:
        assert self.life is not None
        self.life.spawn(self.recover())

    def _note(self, order: Order, payment: Payment) -> None:
        """
        Write down what an order came to.
        """
        assert self.life is not None
        self.life.point("shop note before")
        order.payment_id = payment.id
        order.status = "paid" if payment.paid or payment.credited else "not_paid"
        order.paid_minor = payment.authorized_minor or payment.amount_minor
        if payment.charged is None and payment.state != "not_sent":
            order.status = "unknown"
        order.confirmation_number = payment.confirmation_number
        self._story.tell(self.life, f"notes {order.status}", payment.id, order.key)
        self.life.point("shop note after")

    async def drive(self, steps: Steps[T], intent: Intent | None = None) -> T:
        """
        Carry out the client's steps on one session, as its own drivers do.
        """
        life = self.life
        assert life is not None
        desk, session = Desk(self._journal), self.session()
        event: Any = None
        try:
            while True:
                try:
                    command = steps.send(event)
                except StopIteration as done:
                    result: T = done.value
                    return result
                match command:
                    case Send():
                        event = await session.send(command)
                    case Wait(seconds):
                        event = None
                        await asyncio.sleep(seconds)
                    case _:
                        event = await self._on_disk(life, desk, command)
        finally:
            if not life.is_dead:
                desk.let_go()

    async def _on_disk(self, life: Life, desk: Desk, command: Any) -> Any:
        await asyncio.sleep(DISK_SECONDS)
        state = _state_of(command)
        if state:
            life.point(f"journal {state} before")
        life.check()
        answer = desk.do(command)
        if state:
            life.point(f"journal {state} after")
        return answer


def _state_of(command: Any) -> str | None:
    """
    Return the state that a command writes into the journal.
    """
    match command:
        case Begin():
            return "intended"
        case Record():
            return str(command.state)
        case _:
            return None
