"""
Every crash point, in one process on virtual time: a death at each of them in turn.

Enumerated: a universe in which nobody dies lists the passes of a scenario; then every one of them
has its own death, in a round of its own with a merchant of its own. The rounds of one universe
follow each other when nothing is owed any more, and all books are compared at its end. The same
with SIGKILL on real processes is `make proofs`.
"""

import asyncio
import json
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator

import pytest
from counterfoil_client.cards import Card
from counterfoil_client.commands import Answer, Send
from counterfoil_proof.world.life import Life
from counterfoil_proof.world.server import Server, serving, statements
from counterfoil_proof.world.shop import Movement, Order, Shop
from counterfoil_proof.world.world import Plan, World, live

CARD = Card(number="4111111111111111", expiry_month=12, expiry_year=2030, cvv="123")
DECLINED = Card(number="4000000000000002", expiry_month=12, expiry_year=2030, cvv="123")
AMOUNT, PART = 4200, 1500
ROUNDS_MAX = 20  # Of one universe.
AGAIN_SECONDS = 1.0
STEPS_MAX = 200  # Of waiting, a second each.
# What the clock does and no payment; it is passed in every scenario, and dies in one.
BY_THE_CLOCK = ("renew_process", "register_process", "forget_", "0800", "keep_blocks")

Script = Callable[["Day"], Awaitable[None]]
Where = tuple[str, str, int]  # Which kind of process, at which point, and which time.


class Day:
    """One round: a shop that does the script's steps, whoever dies meanwhile."""

    def __init__(self, world: World, shop: Shop, deaths: "Deaths") -> None:
        self.world = world
        self.shop = shop
        self._deaths = deaths

    def from_here(self) -> None:
        """What came before is another script's: count passes from here."""
        self._deaths.begin(self._deaths.armed)

    async def pay(self, kind: str = "sale", card: Card = CARD) -> Order:
        """Pay, and return the order when the shop knows its end."""
        number = f"{kind}-{self.shop.name}-{len(self.shop.orders)}"
        order = Order(
            number=number,
            kind=kind,
            amount_minor=AMOUNT,
            currency="USD",
            card=card,
            key=f"key-{number}",
        )
        await asyncio.wait([self.shop.buy(order)])
        await self.known(lambda: order.status not in ("open", "unknown"))
        return order

    async def move(self, kind: str, order: Order, amount: int | None = None) -> None:
        """Capture, void, refund or undo what was paid, until the shop knows."""
        if order.status != "paid":
            return
        assert order.payment_id is not None
        key = f"{kind}-{order.number}-{len(self.shop.movements)}"
        move = Movement(
            kind=kind,
            payment_id=order.payment_id,
            amount_minor=amount,
            currency="USD",
            key=key,
        )

        def is_known() -> bool:
            return move.status not in ("open", "unknown")

        for _ in range(STEPS_MAX):
            if self.shop.is_up:
                await asyncio.wait([self.shop.move(move)])
            if is_known():
                self._given_back(order, move)
                return
            await asyncio.sleep(AGAIN_SECONDS)
        raise AssertionError(f"{key} is never known")

    def _given_back(self, order: Order, move: Movement) -> None:
        """Let the shop's book say what it still has of the order's money."""
        if move.kind == "capture" or move.status != "done":
            return
        if move.amount_minor is None:
            order.status = "refunded"
        else:
            order.amount_minor -= move.amount_minor

    async def bare(self, path: str, body: dict[str, object], key: str | None = None) -> Answer:
        """Call the API without the client library, until it answers."""
        send = Send(method="POST", path=path, body=json.dumps(body).encode(), key=key, seconds=20.0)
        for _ in range(STEPS_MAX):
            if self.shop.is_up:
                answer = await self.shop.session().send(send)
                if isinstance(answer, Answer) and answer.status not in (202, 503):
                    return answer
            await asyncio.sleep(AGAIN_SECONDS)
        raise AssertionError(f"{path} is never answered")

    async def pay_bare(self, key: str) -> Answer:
        """Take a payment and leave it at its first answer."""
        body: dict[str, object] = {
            "amount_minor": AMOUNT,
            "currency": "USD",
            "card": {
                "number": CARD.number,
                "expiry_month": 12,
                "expiry_year": 2030,
                "cvv": CARD.cvv,
            },
        }
        return await self.bare("/v1/payments", body, f"{key}-{self.shop.name}")

    async def close(self) -> None:
        """Close the day."""
        await self.bare("/v1/batches/close", {})

    def fault(self, name: str, value: str = "1") -> None:
        """Arm a fault of the rail."""
        assert self.world.acquirer.rail is not None
        self.world.acquirer.rail.faults.set(name, value)

    async def known(self, holds: Callable[[], bool]) -> None:
        """Wait until something holds, with everybody alive."""
        for _ in range(STEPS_MAX):
            if holds():
                return
            if self.shop.life is not None and self.shop.is_up:
                await asyncio.wait([self.shop.life.spawn(self.shop.recover())])
            await asyncio.sleep(AGAIN_SECONDS)
        raise AssertionError("the shop never knows")


async def sale(day: Day) -> None:
    await day.pay()


async def decline(day: Day) -> None:
    assert (await day.pay(card=DECLINED)).status == "not_paid"


async def authorize_and_capture(day: Day) -> None:
    await day.move("capture", await day.pay("authorization"))


async def partial_captures(day: Day) -> None:
    order = await day.pay("authorization")
    day.from_here()
    await day.move("capture", order, PART)
    await day.move("capture", order, PART)


async def void(day: Day) -> None:
    order = await day.pay()
    day.from_here()
    await day.move("void", order)


async def refund(day: Day) -> None:
    order = await day.pay()
    day.from_here()
    await day.move("refund", order)


async def partial_refunds(day: Day) -> None:
    order = await day.pay()
    day.from_here()
    await day.move("refund", order, PART)
    await day.move("refund", order, PART)


async def undo(day: Day) -> None:
    order = await day.pay()
    day.from_here()
    await day.move("undo", order)


async def refuse(day: Day) -> None:
    told = json.loads((await day.pay_bare("refused")).body)
    if told.get("state") == "approved":
        await day.bare(f"/v1/payments/{told['id']}/refuse", {})


async def timeout(day: Day) -> None:
    day.fault("silent", "1:unbooked")
    await day.pay()


async def late_answer(day: Day) -> None:
    day.fault("late_answer_seconds", "12:1")
    await day.pay()


async def unacknowledged(day: Day) -> None:
    await day.pay_bare("unclaimed")


async def duplicate_request(day: Day) -> None:
    both = [asyncio.create_task(day.pay_bare("twice")) for _ in range(2)]
    first, second = [json.loads(each.body) for each in await asyncio.gather(*both)]
    assert first["id"] == second["id"]


async def resolve_before_arrival(day: Day) -> None:
    key = f"fenced-{day.shop.name}"
    await day.bare("/v1/resolve", {"idempotency_key": key})
    answer = await day.pay_bare("fenced")
    assert json.loads(answer.body)["code"] == "key_fenced"


async def batch_close(day: Day) -> None:
    await day.move("refund", await day.pay())
    day.from_here()
    await day.close()


async def close_with_95(day: Day) -> None:
    await day.move("capture", await day.pay("authorization"))
    day.from_here()
    day.fault("close_out_of_balance")
    await day.close()


async def close_refused(day: Day) -> None:
    """95 to the totals and after the upload; an operator retries, and all is uploaded anew."""
    await day.move("capture", await day.pay("authorization"))
    day.from_here()
    day.fault("close_out_of_balance", "3")
    await day.close()


SCRIPTS: tuple[Script, ...] = (
    sale,
    decline,
    authorize_and_capture,
    partial_captures,
    void,
    refund,
    partial_refunds,
    undo,
    refuse,
    timeout,
    late_answer,
    unacknowledged,
    duplicate_request,
    resolve_before_arrival,
    batch_close,
    close_with_95,
    close_refused,
)


class Deaths:
    """Who dies where, round after round; and what was passed."""

    def __init__(self) -> None:
        self.armed: Where | None = None
        self.passed: list[Where] = []
        self.died: list[Where] = []
        self._counts: Counter[tuple[str, str]] = Counter()
        self._counting = False

    def begin(self, armed: Where | None) -> None:
        """Begin a round."""
        self.armed, self._counting = armed, True
        self.passed.clear()
        self._counts.clear()

    def at(self, world: World, life: Life, name: str) -> None:
        """Pass a point."""
        kind = life.name.rstrip("0123456789")
        if not self._counting or kind == "rail" or any(each in name for each in BY_THE_CLOCK):
            return
        self._counts[kind, name] += 1
        here = (kind, name, self._counts[kind, name])
        self.passed.append(here)
        if here == self.armed:
            self.armed = None
            self.died.append(here)
            world.story.tell(life, f"dies at {name}")
            life.kill()


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serving(on_template=statements("changes.sql")) as running:
        yield running


async def keep_alive(world: World) -> None:
    """Start whoever has died again, as a supervisor does."""
    while True:
        await asyncio.sleep(AGAIN_SECONDS)
        world.keep_alive()


def rounds(
    server: Server, script: Script, wheres: list[Where | None]
) -> tuple[World, Deaths, list[Where]]:
    """Live one universe with a round for each of *wheres*; return it, and the first's passes."""
    deaths, first = Deaths(), list[Where]()

    async def scenario(world: World) -> None:
        for shop, where in zip(world.shops, wheres, strict=True):
            deaths.begin(where)
            keeper = asyncio.create_task(keep_alive(world))
            try:
                await script(Day(world, shop, deaths))
                assert await world.settle()
            except AssertionError as fault:
                fault.add_note(f"after a death at {where}")
                raise
            finally:
                keeper.cancel()
            first.extend(() if first else deaths.passed)
        await world.check()

    plan = Plan(seed=1, gateways=1, workers=1, merchants=len(wheres))
    world, _ = live(server, plan, scenario, on_point=deaths.at)
    return world, deaths, first


@pytest.mark.timeout(600)
@pytest.mark.parametrize("script", SCRIPTS, ids=lambda each: each.__name__)
def test_a_death_at_every_point_loses_and_doubles_nothing(server: Server, script: Script) -> None:
    """Whoever dies wherever: everything is decided by itself, and all books agree."""
    calm, _, passed = rounds(server, script, [None])
    assert calm.story.violations == []
    assert len({where[0] for where in passed}) >= 2, "of several processes"

    came: set[Where] = set()
    for at in range(0, len(passed), ROUNDS_MAX):
        chosen: list[Where | None] = [*passed[at : at + ROUNDS_MAX]]
        world, deaths, _ = rounds(server, script, chosen)
        assert world.story.violations == [], chosen
        came |= set(deaths.died)
    for where in [each for each in passed if each not in came]:
        # Many merchants' traffic moved it; alone, the universe is the calm one up to that point.
        world, deaths, _ = rounds(server, script, [where])
        assert world.story.violations == [], where
        came |= set(deaths.died)

    assert came == set(passed), sorted(set(passed) - came)
