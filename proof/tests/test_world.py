"""A universe: it tells the same story for the same seed, and its faults are survived."""

import asyncio
from collections.abc import Iterator

import pytest
from counterfoil_client.cards import Card
from counterfoil_proof.world.chance import Chance
from counterfoil_proof.world.life import Life
from counterfoil_proof.world.server import Server, serving, statements
from counterfoil_proof.world.shop import Order
from counterfoil_proof.world.weather import storm
from counterfoil_proof.world.world import Plan, World, live

CARD = Card(number="4111111111111111", expiry_month=12, expiry_year=2030, cvv="123")
DECLINED = Card(number="4000000000000002", expiry_month=12, expiry_year=2030, cvv="123")


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serving(on_template=statements("changes.sql")) as running:
        yield running


def order(number: int, *, card: Card = CARD, kind: str = "sale") -> Order:
    return Order(
        number=f"order-{number}",
        kind=kind,
        amount_minor=1000 + number,
        currency="USD",
        card=card,
        key=f"key-{number}",
        email=f"{number}@shoppers.test",
    )


async def a_few_orders(world: World) -> None:
    shop = world.shops[0]
    bought = [shop.buy(order(n, kind=("sale", "authorization")[n % 2])) for n in range(6)]
    await asyncio.wait(bought)
    assert await world.settle()
    await world.check()


async def a_declined_order(world: World) -> None:
    shop = world.shops[0]
    await asyncio.wait([shop.buy(order(1, card=DECLINED))])
    assert await world.settle()
    await world.check()


def test_in_calm_weather_every_order_is_paid(server: Server) -> None:
    world, _ = live(server, Plan(seed=1), a_few_orders)

    assert world.story.violations == []
    assert {each.status for each in world.shops[0].orders.values()} == {"paid"}
    assert world.story.counts["mails"] == 12


def test_a_decline_is_no_payment(server: Server) -> None:
    world, _ = live(server, Plan(seed=1), a_declined_order)

    assert world.story.violations == []
    assert world.shops[0].orders["order-1"].status == "not_paid"
    assert world.story.counts["state declined"] == 1


def test_the_same_seed_tells_the_same_story(server: Server) -> None:
    def told(seed: int) -> tuple[str, int]:
        weather = storm(Chance(seed).stream("weather"))
        world, _ = live(server, Plan(seed=seed), a_few_orders, weather=weather)
        return world.story.digest, len(world.story.happenings)

    assert told(3) == told(3)
    assert told(3) != told(4)


@pytest.mark.parametrize(
    "point",
    [
        "query intend before",
        "query intend after",
        "link write 0200 before",
        "link write 0200 after",
        "query conclude before",
        "query conclude after",
        "reply createPayment before",
        "reply createPayment after",
        "query acknowledge before",
        "query acknowledge after",
        "journal intended after",
        "journal approved before",
        "journal approved after",
        "journal finished before",
    ],
)
def test_a_process_that_dies_at_a_point_loses_and_doubles_nothing(
    server: Server, point: str
) -> None:
    died: list[str] = []

    def at(world: World, life: Life, name: str) -> None:
        if name == point and not died:
            died.append(str(life))
            world.story.tell(life, f"dies at {name}")
            life.kill()

    async def scenario(world: World) -> None:
        shop = world.shops[0]
        await asyncio.wait([shop.buy(order(1))])
        await asyncio.sleep(1)
        world.keep_alive()
        assert await world.settle()
        await world.check()

    world, _ = live(server, Plan(seed=1, gateways=2), scenario, on_point=at)

    assert died, "no process came past this point"
    assert world.story.violations == []
    assert world.shops[0].orders["order-1"].status in ("paid", "not_paid")
