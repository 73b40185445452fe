"""
A universe's days: traffic and troubles, the close, the night, and at the end the money.
"""

import asyncio
from datetime import UTC, datetime, timedelta
from datetime import time as time_of_day
from random import Random

import msgspec
from counterfoil.config import Timers
from counterfoil.network.verification_results import Avs, Cvv
from counterfoil.payments.payment import PartialApprovals
from counterfoil.payments.policy import Policy

from counterfoil_proof.simulate.traffic import Customer, visit
from counterfoil_proof.simulate.troubles import trouble
from counterfoil_proof.world.chance import Chance
from counterfoil_proof.world.clock import EPOCH
from counterfoil_proof.world.reader import Reader
from counterfoil_proof.world.weather import Weather, storm
from counterfoil_proof.world.world import Plan, World

VISITS_A_DAY = (120, 240)
TRAFFIC_SECONDS = (40.0, 90.0)
QUIET_SALES = 8
TROUBLES_A_DAY = (0, 6)
READ_AGAIN_SECONDS = (4.0, 12.0)  # Of the merchants' own readers of the feed.
FUNDING_DAYS = 4  # Until the last day's deposits are in the bank and its statement has come.
MORNING_SECONDS = 25.0
CUTOFF_MARGIN_SECONDS = 12.0  # Workers look every few seconds.
TASKS_SECONDS_MAX = 600.0
DAY = timedelta(days=1)


class Universe(msgspec.Struct, frozen=True, kw_only=True):
    """
    What a seed stands for.
    """

    plan: Plan
    days: int
    visits: int
    traffic_seconds: float
    troubles: int
    has_webhooks: bool


def draw(seed: int, days: int) -> tuple[Universe, Weather]:
    """
    Draw the universe of *seed*, and its weather.
    """
    chance = Chance(seed).stream("universe")
    answer_seconds = chance.choice((3.0, 8.0, 20.0))
    accept, reverse = PartialApprovals.ACCEPT, PartialApprovals.REVERSE
    plan = Plan(
        seed=seed,
        gateways=chance.choice((1, 2, 2, 3)),
        workers=chance.choice((1, 1, 2)),
        shops=chance.choice((1, 2)),
        merchants=chance.choice((1, 1, 2)),
        terminals=chance.choice((1, 2)),
        acknowledge_seconds=chance.choice((5, 15, 30, 60)),
        cutoff=time_of_day(14, chance.choice((1, 1, 2))),
        credits_allowed=True,
        partial_approvals=chance.choice((accept, accept, reverse)),
        screening=Policy(avs_refused=(Avs.NO_MATCH,), cvv_refused=(Cvv.NO_MATCH,)),
        timers=Timers(
            send_seconds=chance.choice((1.0, 2.0, 5.0)),
            answer_seconds=answer_seconds,
            advice_answer_seconds=answer_seconds,
            late_seconds=chance.choice((30.0, 120.0)),
            lease_seconds=chance.choice((6.0, 16.0)),
            orphan_seconds=answer_seconds + 40.0,
            close_answer_seconds=10.0,
        ),
    )
    universe = Universe(
        plan=plan,
        days=days,
        visits=chance.randint(*VISITS_A_DAY),
        traffic_seconds=chance.uniform(*TRAFFIC_SECONDS),
        troubles=chance.randint(*TROUBLES_A_DAY),
        has_webhooks=chance.random() < 0.5,
    )
    return universe, storm(Chance(seed).stream("weather"))


async def live_through(world: World, universe: Universe) -> None:
    """
    Let the days pass, and look at everything when the money is in the bank.
    """
    drawn = msgspec.structs.replace(world.weather)
    for day in range(universe.days):
        if day:
            await morning(world)
        await quiet_hour(world, day)
        if universe.has_webhooks and not day:
            await world.hooks.subscribe()
        world.change_weather(drawn)
        await busy_hours(world, universe, day)
        await after_cutoff(world)
        if not await world.settle():
            return
        await night(world)
    for _ in range(FUNDING_DAYS):
        await night(world)
    await morning(world)
    await asyncio.sleep(MORNING_SECONDS)
    if await world.settle():
        await world.check()


async def quiet_hour(world: World, day: int) -> None:
    """
    A few sales in calm weather, so that there is something that a storm can spoil.
    """
    world.calm_down()
    await world.up()
    chance = world.chance.stream("quiet", day)
    for number in range(QUIET_SALES):
        shop = next((each for each in world.shops if each.is_up), None)
        if shop is None:
            return
        seed = chance.getrandbits(64)
        customer = Customer(f"{day}-q{number}", shop, world.story, Random(seed))  # noqa: S311
        await asyncio.wait([shop.buy(customer.order())])


async def busy_hours(world: World, universe: Universe, day: int) -> None:
    """
    Traffic and troubles at once.
    """
    chance = world.chance.stream("day", day)
    moments = sorted(chance.uniform(0, universe.traffic_seconds) for _ in range(universe.visits))
    tasks = [
        asyncio.create_task(_visit_at(world, f"{day}-{number}", at, chance.getrandbits(64)))
        for number, at in enumerate(moments)
    ]
    for number in range(universe.troubles):
        at = chance.uniform(0, universe.traffic_seconds)
        stream = world.chance.stream("trouble", day, number)
        tasks.append(asyncio.create_task(_trouble_at(world, at, stream)))
    reading = [asyncio.create_task(_read_feed(each, world)) for each in world.readers]
    await asyncio.wait(tasks, timeout=TASKS_SECONDS_MAX)
    for task in reading:
        task.cancel()
    for task in tasks:
        if not task.done():
            task.cancel()
        elif not task.cancelled() and (fault := task.exception()) is not None:
            raise fault


async def after_cutoff(world: World) -> None:
    """
    Wait for the merchants' cutoff, if it has not come in the busy hours.
    """
    cutoff = datetime.combine(world.clock.now(), world.plan.cutoff, tzinfo=UTC)
    left = (cutoff - world.clock.now()).total_seconds() + CUTOFF_MARGIN_SECONDS
    world.calm_down()
    world.keep_alive()
    await asyncio.sleep(max(left, 0.0))


async def night(world: World) -> None:
    """
    Stop everything in good order; the acquirer ends its business day.
    """
    for shop in world.shops:
        shop.kill()
    for machine in world.machines:
        await machine.stop()
    if world.acquirer.rail is None:
        world.start_acquirer()
    world.acquirer.end_day()
    world.acquirer.kill()
    world.story.tell("night", "falls")
    passed = (world.clock.now() - EPOCH) % DAY
    world.loop.jump((DAY - passed).total_seconds())


async def morning(world: World) -> None:
    """
    Start everything for a new day.
    """
    await world.up()


async def _visit_at(world: World, number: str, at: float, seed: int) -> None:
    await asyncio.sleep(at)
    chance = Random(seed)  # noqa: S311 - it must repeat.
    here = [each for each in world.shops if each.is_up]
    if not here:
        return
    shop = chance.choice(here)
    assert shop.life is not None
    customer = Customer(number, shop, world.story, chance)
    what = visit(chance)
    world.story.count(f"visit {what.__name__}")
    # In the shop's own life: when the shop dies, its customer gets no further.
    await asyncio.wait([shop.life.spawn(_visited(customer, what))])


async def _read_feed(reader: Reader, world: World) -> None:
    chance = world.chance.stream(reader.name, world.loop.time())
    while True:
        await asyncio.sleep(chance.uniform(*READ_AGAIN_SECONDS))
        await reader.read_on()


async def _visited(customer: Customer, what: object) -> None:
    assert callable(what)
    await what(customer)


async def _trouble_at(world: World, at: float, chance: Random) -> None:
    await asyncio.sleep(at)
    await trouble(chance)(world, chance)
