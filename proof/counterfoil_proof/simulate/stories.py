"""
Small worlds with one story each, about a promise that no simulated day comes near often enough.

A story that holds returns nothing. What it catches is in the table of mutants.
"""

import asyncio
from random import Random
from typing import Any

import msgspec
from counterfoil.network.outcome import Answered, NotSent, Outcome, OutcomeUnknown
from counterfoil.routing.health import PROBE_SECONDS_MAX, Ask, Breaker, Standing
from counterfoil_client import wire
from counterfoil_client.cards import Card
from counterfoil_client.commands import Answer

from counterfoil_proof.simulate.traffic import HALF_APPROVED_MINOR, TRY_SECONDS, Customer, unclaimed
from counterfoil_proof.world.clock import EPOCH
from counterfoil_proof.world.server import Server
from counterfoil_proof.world.shop import Movement, Order
from counterfoil_proof.world.story import Violation
from counterfoil_proof.world.world import Plan, World, live

CARD = Card(number="4111111111111111", expiry_month=12, expiry_year=2030, cvv="123")
LOOK_SECONDS = 0.25
LOOKS_MAX = 4_000
OWED_PER_SECOND = 4
UNCLAIMED = 40
STEPS = 20_000
FAULT, GOOD = OutcomeUnknown("no answer"), Answered("0210", {39: "00"}, EPOCH)

REFUSED_REFUNDS = """
SELECT 'pay_' || replace(a.payment_id::text, '-', '') AS payment, count(f.finding_id) AS findings
FROM advices AS a LEFT JOIN findings AS f ON f.merchant_id = a.merchant_id
    AND f.movement_id = a.movement_id AND f.kind = 'refund_refused' AND f.state = 'open'
WHERE a.kind = 'refund' AND a.state = 'refused' GROUP BY a.payment_id
"""


def a_refusal_is_final(server: Server) -> list[Violation]:
    """
    A refund of what is only held is refused; its copy comes when it has become possible.
    """

    async def story(world: World) -> None:
        order = await _paid(world, "authorization")
        shop, payment_id = world.shops[0], str(order.payment_id)
        request = wire.movement("refund-1", "refund", payment_id, 100, "USD")[1]
        refund = msgspec.structs.replace(request, seconds=TRY_SECONDS)
        first = await shop.session().send(refund)
        assert isinstance(first, Answer)
        assert first.status == 409
        await _moved(world, order, "capture")
        await world.settle()
        copy = await shop.session().send(refund)
        if not isinstance(copy, Answer) or copy.status != 409:
            world.story.violated("a refusal is final for its key", repr(copy), payment_id)

    return _told(server, story)


def a_denial_is_not_believed_at_once(server: Server) -> list[Violation]:
    """
    The acquirer says of a sale it has approved that it does not know it, and takes nothing back.
    """

    async def story(world: World) -> None:
        order = await _paid(world, "sale")
        _misbehaves(world, "decline_reversals", "2:25")
        await _moved(world, order, "void")
        if await world.settle():
            await world.check()

    return _told(server, story)


def a_refused_refund_needs_a_person(server: Server) -> list[Violation]:
    """
    Half was approved, nobody heard it, and the batch closed: a refund of the whole is refused.
    """

    async def story(world: World) -> None:
        _misbehaves(world, "silent", "1:booked")
        buying = asyncio.create_task(_paid(world, "sale", HALF_APPROVED_MINOR))
        await asyncio.sleep(world.plan.timers.answer_seconds / 2)
        assert world.acquirer.rail is not None
        world.acquirer.rail.host.close_batches(None)
        await buying
        for _ in range(LOOKS_MAX):
            if found := world.store.ask(REFUSED_REFUNDS):
                break
            await asyncio.sleep(LOOK_SECONDS)
        else:
            world.story.violated("a refund too much is refused", "the acquirer has taken it")
        for row in found:
            if row["findings"] != 1:
                what = f"it is refused, and {row['findings']} findings say so"
                world.story.violated("a refused refund needs a person", what, row["payment"])

    return _told(server, story)


def what_is_owed_keeps_its_pace(server: Server) -> list[Violation]:
    """
    Forty approvals lapse at once: their reversals go out as agreed, and the shop goes on selling.
    """

    async def story(world: World) -> None:
        shop, sent = world.shops[0], [0]
        customers = [
            Customer(str(number), shop, world.story, Random(number))  # noqa: S311
            for number in range(UNCLAIMED)
        ]
        watching = asyncio.create_task(_reversals(world, sent))
        await asyncio.gather(*(unclaimed(each) for each in customers))
        selling = asyncio.create_task(_paid(world, "sale"))
        await watching
        looks = int(1 / LOOK_SECONDS)
        most = max(later - sent[max(0, at - looks)] for at, later in enumerate(sent))
        # A full bucket, and what runs into it meanwhile.
        if most > 2 * OWED_PER_SECOND:
            world.story.violated("what is owed keeps its pace", f"{most} within a second")
        if (await selling).status != "paid":
            world.story.violated("a shop goes on selling", "while others are reversed")
        await world.settle()

    plan = Plan(acknowledge_seconds=5, owed_per_second_max=OWED_PER_SECOND)
    return _told(server, story, plan)


def one_probe_at_a_time(_: Server) -> list[Violation]:
    """
    An acquirer that is well and ill by turns: of a breaker's probes one at a time is under way.
    """
    chance, breaker, now = Random(1), Breaker(), 0.0  # noqa: S311 - it must repeat.
    under_way: list[tuple[Ask, bool]] = []
    for _step in range(STEPS):
        now += chance.expovariate(2.0)
        is_probe = breaker.standing(now) is Standing.HALF_OPEN and breaker.takes(now)
        probes = [ask for ask, was in under_way if was and now - ask.since < PROBE_SECONDS_MAX]
        if is_probe and probes:
            what = f"{len(probes)} are under way, and another one goes"
            return [Violation(invariant="one probe at a time", at=round(now, 3), what=what)]
        under_way.append((breaker.chosen(now), is_probe))
        while under_way and chance.random() < len(under_way) / 20:
            ask, _was = under_way.pop(chance.randrange(len(under_way)))
            breaker.told(ask, _drawn(chance), now)
    return []


async def _reversals(world: World, sent: list[int]) -> None:
    """
    Note, look after look, how many reversals were sent, until all are.
    """
    for _ in range(LOOKS_MAX):
        await asyncio.sleep(LOOK_SECONDS)
        sent.append(world.story.counts["sent 0420"])
        if sent[-1] >= UNCLAIMED:
            return


def _drawn(chance: Random) -> Outcome | None:
    outcomes: tuple[Outcome | None, ...] = (FAULT, FAULT, FAULT, GOOD, NotSent("no link"), None)
    return chance.choice(outcomes)


async def _paid(world: World, kind: str, amount_minor: int = 1000) -> Order:
    number = len(world.shops[0].orders)
    order = Order(
        number=f"order-{number}",
        kind=kind,
        amount_minor=amount_minor,
        currency="USD",
        card=CARD,
        key=f"order-key-{number}",
    )
    await asyncio.wait([world.shops[0].buy(order)])
    return order


async def _moved(world: World, order: Order, kind: str) -> None:
    movement = Movement(
        kind=kind,
        payment_id=str(order.payment_id),
        amount_minor=None,
        currency="USD",
        key=f"{kind}-of-{order.number}",
    )
    await asyncio.wait([world.shops[0].move(movement)])
    assert movement.status == "done"


def _misbehaves(world: World, name: str, value: str) -> None:
    assert world.acquirer.rail is not None
    world.story.tell("rail", f"misbehaves: {name}={value}")
    world.acquirer.rail.faults.set(name, value)


def _told(server: Server, story: Any, plan: Plan | None = None) -> list[Violation]:
    world, _ = live(server, plan or Plan(), story)
    return world.story.violations
