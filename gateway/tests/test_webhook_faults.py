"""
The faults of telling: messages lost, doubled and out of order, and what a receiver makes of them.
"""

import asyncio
import random
from typing import Any

import pytest
from counterfoil.events.posting import Posted
from counterfoil.events.webhooks import SPACING_SECONDS
from counterfoil.payments.lifecycle import Kind
from counterfoil.payments.movements import capture, refund
from counterfoil.store.feed import FeedStore
from hook_stage import Hooks
from payment_stage import Stage

SEED = 32
PAYMENTS = 10


class Consumer:
    """
    A merchant's system as the guide says: a message is a hint, the feed is read by number.
    """

    def __init__(self, hooks: Hooks) -> None:
        self.hooks = hooks
        self.last = 0
        self.effects: list[int] = []
        self.reading = asyncio.Lock()  # One reader at a time, as a transaction would see to.

    async def hinted(self) -> None:
        store, merchant = FeedStore(self.hooks.stage.database), self.hooks.stage.merchant
        async with self.reading:
            for row in await store.page(merchant.merchant_id, self.last, 500):
                self.effects.append(row["number"])
                self.last = row["number"]


async def test_f32_a_receiver_that_drops_half_and_gets_doubles_sees_every_event_once(
    stage: Stage,
) -> None:
    """Half of the messages are lost, before or after they were taken: each is told until it is."""
    hooks, chance = Hooks(stage), random.Random(SEED)
    consumer, ids = Consumer(hooks), []

    async def drops_half(_: str, headers: Any, __: bytes) -> Posted:
        fate = chance.choice(("taken", "taken", "lost", "answer lost"))
        if fate != "lost":
            ids.append(headers["webhook-id"])
            await consumer.hinted()
        return Posted(200, None) if fate == "taken" else Posted(None, "no answer")

    endpoint, _ = await hooks.add("http://127.0.0.1:1/")
    sender = hooks.sender(drops_half)
    for _ in range(PAYMENTS):
        await refund(stage.command(await stage.paid()), stage.road)
        await hooks.send(sender)
    for seconds in SPACING_SECONDS[:6]:
        stage.clock.move(seconds)
        await hooks.send(sender)

    rows = await hooks.deliveries(endpoint)
    events = PAYMENTS * 3 + 2
    assert len(rows) == events
    assert {row["state"] for row in rows} == {"delivered"}
    assert consumer.effects == list(range(1, events + 1)), "every event seen, effects once"
    assert len(set(ids)) == events
    assert len(ids) > events, "doubles came, recognisable by their id"
    await stage.sql("UPDATE webhook_endpoints SET state = 'disabled'")


async def test_f32_a_payment_owes_each_mail_once_however_often_it_is_acknowledged(
    stage: Stage,
) -> None:
    """Exactly once per event into the outbox; the row's id makes the mail's id."""
    payment = await stage.paid()
    for _ in range(3):
        await stage.acknowledge(payment)

    rows = await stage.sql(
        "SELECT kind FROM outbox WHERE merchant_id = $1 ORDER BY kind", stage.merchant.merchant_id
    )
    assert [row["kind"] for row in rows] == ["mail_customer", "mail_merchant"]


@pytest.mark.parametrize("seed", range(5))
async def test_f33_a_consumer_that_compares_versions_is_right_in_any_order(
    stage: Stage, seed: int
) -> None:
    """Messages and the answers of the API, shuffled and doubled; the newest wins."""
    payment = await stage.paid(kind=Kind.AUTHORIZATION)
    taken = await capture(stage.command(payment), stage.road)
    await stage.forwarder().forward()
    await refund(stage.command(taken.payment), stage.road)
    hooks = Hooks(stage)
    await hooks.number()
    rows = await FeedStore(stage.database).page(stage.merchant.merchant_id, 0, 100)
    told = [_facts(row) for row in rows if row["payment_id"] == payment.payment_id]
    answers = [(payment.version, 0, payment.captured_minor, payment.refunded_minor)]
    heard = [*told, *told, *answers, *answers]
    random.Random(seed).shuffle(heard)

    known = (0, 0, 0, 0)
    for each in heard:
        if each[:2] > known[:2]:
            known = each

    now = await stage.read(payment)
    assert known[0] == now.version
    assert known[2:] == (now.captured_minor, now.refunded_minor) == (4200, 4200)


async def test_f33_a_consumer_that_believes_the_latest_message_is_wrong(stage: Stage) -> None:
    """Which is why the version is in every message."""
    await stage.paid(kind=Kind.AUTHORIZATION)
    hooks = Hooks(stage)
    await hooks.number()
    rows = await FeedStore(stage.database).page(stage.merchant.merchant_id, 0, 100)
    told = [_facts(row) for row in rows if row["payment_id"]]

    late = told[::-1]  # The approval's message arrives last.

    assert late[-1] != max(told)


def _facts(row: Any) -> tuple[int, int, int, int]:
    return row["version"], row["number"], row["captured_minor"], row["refunded_minor"]
