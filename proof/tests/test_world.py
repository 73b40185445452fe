"""A universe: it tells the same story for the same seed, and its faults are survived."""

import asyncio
from collections.abc import Iterator

import msgspec
import pytest
from counterfoil.config import Timers
from counterfoil.network.verification_results import Cvv
from counterfoil.payments.payment import PartialApprovals
from counterfoil.payments.policy import Policy
from counterfoil_client.cards import Card
from counterfoil_proof.simulate.traffic import HALF_APPROVED_MINOR, WRONG_CODE
from counterfoil_proof.world.chance import Chance
from counterfoil_proof.world.life import Life
from counterfoil_proof.world.server import Server, serving, statements
from counterfoil_proof.world.shop import Order
from counterfoil_proof.world.weather import storm
from counterfoil_proof.world.witness import BLOCKED_EMAIL
from counterfoil_proof.world.world import Plan, World, live

CARD = Card(number="4111111111111111", expiry_month=12, expiry_year=2030, cvv="123")
DECLINED = Card(number="4000000000000002", expiry_month=12, expiry_year=2030, cvv="123")
HOUR_SECONDS = 3700.0  # And a little more: alarms ring at an hour.
ENDURING = Timers(
    send_seconds=2.0,
    answer_seconds=8.0,
    advice_answer_seconds=8.0,
    late_seconds=60.0,
    lease_seconds=60.0,
    orphan_seconds=60.0,
    close_answer_seconds=10.0,
)


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


@pytest.mark.parametrize("accepted", [True, False])
def test_other_kinds_and_the_merchants_rules_come_out_as_the_books_say(
    server: Server, accepted: bool
) -> None:
    wrong = msgspec.structs.replace(CARD, cvv=WRONG_CODE)
    half = msgspec.structs.replace(order(3), amount_minor=HALF_APPROVED_MINOR)
    orders = [
        msgspec.structs.replace(order(1, kind="forced"), voice_approval_code="V1234"),
        order(2, kind="credit"),
        half,
        order(4, card=wrong),
        msgspec.structs.replace(order(5), email=BLOCKED_EMAIL),
    ]

    async def scenario(world: World) -> None:
        await asyncio.wait([world.shops[0].buy(each) for each in orders])
        assert await world.settle()
        await world.check()

    setting = PartialApprovals.ACCEPT if accepted else PartialApprovals.REVERSE
    plan = Plan(
        credits_allowed=True,
        partial_approvals=setting,
        screening=Policy(cvv_refused=(Cvv.NO_MATCH,)),
    )
    world, _ = live(server, plan, scenario)

    assert world.story.violations == []
    told = "paid" if accepted else "not_paid"
    assert [each.status for each in orders] == ["paid", "paid", told, "not_paid", "not_paid"]
    assert half.paid_minor == HALF_APPROVED_MINOR // 2  # What was approved, kept or not.
    counts = world.story.counts
    assert counts["blocked by the shop"] == counts["security code wrong reversed"] == 1


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


def test_an_hour_without_the_acquirer_charges_nobody_and_is_made_good_at_its_end(
    server: Server,
) -> None:
    """The real link, cut under a request that was written, on lines that seem to stand."""
    cut: list[str] = []

    def at(world: World, life: Life, name: str) -> None:
        if name == "link write 0200 after" and not cut and world.shops[0].orders:
            cut.append(str(life))
            world.network.is_cut = True

    async def scenario(world: World) -> list[str]:
        shop = world.shops[0]
        await asyncio.wait([shop.buy(order(1))])
        world.site.rests_seconds = (20.0, 40.0)  # An hour in which nothing can be done.
        during = [order(n) for n in range(2, 8)]
        for each in during:
            await asyncio.wait([shop.buy(each)])
            await asyncio.sleep(HOUR_SECONDS / len(during))
        statuses = [each.status for each in during]
        world.network.is_cut = False
        await asyncio.sleep(60)
        await asyncio.wait([shop.buy(order(8))])
        assert await world.settle()
        await world.check()
        return statuses

    world, statuses = live(server, Plan(timers=ENDURING), scenario, on_point=at)

    assert cut
    assert world.story.violations == []
    assert statuses == ["not_paid"] * 6
    told = [each.status for each in world.shops[0].orders.values()]
    assert told == ["not_paid"] * 7 + ["paid"]
    assert any("advice_overdue" in each.what for each in world.story.happenings)
    counts = world.story.counts
    assert counts["state reversed"] == 2, "written before anybody knew of the cut"
    assert counts["not sent"] == len(statuses) - 1, "what was told not_sent was sent by nobody"
