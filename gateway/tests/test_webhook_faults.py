"""
The faults of telling: messages lost, doubled and out of order, and what a receiver makes of them.
"""

import asyncio
import json
import random
from typing import Any

import pytest
from api_stage import SALE, Api
from counterfoil.events.posting import Posted
from counterfoil.events.webhooks import SPACING_SECONDS
from counterfoil.payments.movements import refund
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


class Told:
    """
    What a merchant is told of one payment: by webhooks, and by the answers of the API.
    """

    def __init__(self, stage: Stage, api: Api) -> None:
        self.stage, self.api, self.hooks = stage, api, Hooks(stage)
        self.posted: list[dict[str, Any]] = []
        self.answers: list[dict[str, Any]] = []
        self.lost: set[str] = set()  # Types of events that do not arrive.

    async def a_life(self) -> str:
        """Authorize, acknowledge, capture and refund over the API; return the payment's path."""
        held = (await self.api.sale({**SALE, "capture": "manual"})).json
        self.answers.append(held)
        path = f"/v1/payments/{held['id']}"
        for call in ("acknowledge", "capture", "refund"):
            key = f"{call}-{held['id']}"
            said = await self.api.call("POST", f"{path}/{call}", {}, idempotency_key=key)
            assert said.status in (200, 201), said.json
            self.answers.append(said.json)
            await self.stage.forwarder().forward()
        return path

    async def post(self, _: str, __: Any, body: bytes) -> Posted:
        """Take a message, unless its kind is lost."""
        event = json.loads(body)["data"]
        if event["type"] in self.lost:
            return Posted(None, "no answer")
        self.posted.append(event)
        return Posted(200, None)

    def of_payment(self) -> list[dict[str, Any]]:
        """Return the messages about the payment, as they came."""
        return [each for each in self.posted if each["payment"]]

    async def now(self, path: str) -> dict[str, Any]:
        """Ask what the payment is."""
        said: dict[str, Any] = (await self.api.call("GET", path)).json
        return said


@pytest.mark.parametrize("seed", range(5))
async def test_f33_a_consumer_that_compares_versions_is_right_in_any_order(
    stage: Stage, seed: int
) -> None:
    """What was posted and what the API answered, shuffled and doubled: the newest wins."""
    told = Told(stage, await Api.of(stage))
    await told.hooks.add("http://127.0.0.1:1/")
    path = await told.a_life()
    await told.hooks.send(told.hooks.sender(told.post))
    heard = [
        *((each["version"], each["number"], _facts(each["payment"])) for each in told.of_payment()),
        *((each["version"], 0, _facts(each)) for each in told.answers),
    ] * 2
    random.Random(seed).shuffle(heard)

    known: tuple[Any, ...] = (0, 0)
    for each in heard:
        if each[:2] > known[:2]:
            known = each

    now = await told.now(path)
    assert len(told.of_payment()) >= len(told.answers)
    assert known[0] == now["version"] > len(told.answers)
    assert known[2] == _facts(now) == ("captured", 4200, 4200)


async def test_f33_a_message_that_comes_last_and_late_says_how_old_it_is(stage: Stage) -> None:
    """Posted again after all newer ones: as it was, under its own version, below what is known."""
    told = Told(stage, await Api.of(stage))
    await told.hooks.add("http://127.0.0.1:1/")
    told.lost = {"payment.approved"}
    path = await told.a_life()
    await told.hooks.send(told.hooks.sender(told.post))
    newest = max(each["version"] for each in told.of_payment())
    told.lost.clear()
    stage.clock.move(SPACING_SECONDS[0] + 1)
    await told.hooks.send(told.hooks.sender(told.post))

    late = told.posted[-1]
    assert (late["type"], _facts(late["payment"])) == ("payment.approved", ("approved", 0, 0))
    assert late["version"] == late["payment"]["version"] == told.answers[0]["version"]
    assert late["version"] < newest == (await told.now(path))["version"]


def _facts(said: dict[str, Any]) -> tuple[str, int, int]:
    return said["state"], said["captured_minor"], said["refunded_minor"]
