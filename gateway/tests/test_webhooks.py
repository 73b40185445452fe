"""
Webhooks: each event to each endpoint at least once; one that is dead holds up nobody else.
"""

import asyncio
import itertools
from base64 import b64decode
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from email.policy import default
from typing import Any
from uuid import uuid4

import pytest
from counterfoil.events.posting import Posted
from counterfoil.events.webhooks import (
    DISABLED_AFTER,
    EACH_AT_ONCE_MAX,
    FAILING_AT_ONCE_MAX,
    KEPT,
    SPACING_SECONDS,
    TRIES_MAX,
    WORKING_AT_ONCE_MAX,
)
from counterfoil.receipts.notice import endpoint_disabled
from counterfoil.store.database import DatabaseAway
from counterfoil.store.outbox import OutboxStore
from counterfoil.store.webhooks import DeliveryStore, EndpointStore
from hook_receiver import Received, Receiver
from hook_stage import Hooks
from payment_stage import Stage
from standardwebhooks.webhooks import Webhook


@pytest.fixture
async def hooks(stage: Stage) -> AsyncIterator[Hooks]:
    """The stage's endpoints; afterwards, no other test's sender finds anything of theirs due."""
    hooks = Hooks(stage)
    yield hooks
    await hooks.poster.close()
    await stage.sql("UPDATE webhook_endpoints SET state = 'disabled'")


async def test_an_endpoint_is_told_of_each_event(hooks: Hooks) -> None:
    """With the event's id and number, its version, and a signature that the standard accepts."""
    async with Receiver().serving() as receiver:
        endpoint, secret = await hooks.add(receiver.url)
        payment = await hooks.stage.paid()
        await hooks.send()

    told = [each.json for each in receiver.received]
    assert sorted(each["type"] for each in told) == [
        "batch.opened", "endpoint.enabled", "payment.approved", "payment.captured",
    ]  # fmt: skip
    message = next(each for each in receiver.received if b"payment.captured" in each.body)
    assert _signs(secret, message)
    said = message.json
    assert set(said) == {"type", "timestamp", "data"}
    assert message.headers["webhook-id"] == said["data"]["id"]
    assert said["data"]["payment"]["id"] == f"pay_{payment.payment_id.hex}"
    assert said["data"]["version"] == 3
    assert "4111111111111111" not in message.body.decode()
    rows = await hooks.deliveries(endpoint)
    assert {row["state"] for row in rows} == {"delivered"}
    assert {(row["status"], row["error"]) for row in rows} == {(200, None)}


async def test_only_what_an_endpoint_wants_to_hear_is_owed_to_it(hooks: Hooks) -> None:
    """A filter by type."""
    endpoint, _ = await hooks.add("http://127.0.0.1:1/", ["payment.captured"])
    await hooks.stage.paid()
    await hooks.number()

    assert [row["type"] for row in await hooks.deliveries(endpoint)] == ["payment.captured"]


async def test_a_secret_lies_in_no_table(hooks: Hooks) -> None:
    """Sealed to its row; another row's ciphertext does not open."""
    _, secret = await hooks.add("http://127.0.0.1:1/")

    rows = await hooks.stage.sql("SELECT webhook_endpoints::text AS all FROM webhook_endpoints")
    raw = b64decode(secret.removeprefix("whsec_"))
    assert 24 <= len(raw) <= 64
    assert not [row for row in rows if raw.hex() in row["all"] or secret in row["all"]]


async def test_both_secrets_sign_while_one_is_rotated(hooks: Hooks) -> None:
    """Old and new receivers accept it; when the overlap is over, only the new one does."""
    async with Receiver().serving() as receiver:
        endpoint, old = await hooks.add(receiver.url, ["payment.approved"])
        _, new = await hooks.endpoints.rotate(
            hooks.stage.merchant.merchant_id, endpoint, "test", 3600
        )
        await hooks.stage.take()
        await hooks.send()
        hooks.stage.clock.move(3601)
        await hooks.stage.take()
        await hooks.send()

    both, after = receiver.received
    assert len(both.headers["webhook-signature"].split()) == 2
    assert _signs(old, both)
    assert _signs(new, both)
    assert len(after.headers["webhook-signature"].split()) == 1
    assert _signs(new, after)
    assert not _signs(old, after)


async def test_what_is_not_taken_is_tried_again_later_and_later(hooks: Hooks) -> None:
    """From five seconds to a day, the same message id each time; then it gives up, visibly."""
    times = []

    async def refuse(*_: Any) -> Posted:
        times.append(hooks.stage.clock.now())
        return Posted(503, None)

    endpoint, _ = await hooks.add("http://127.0.0.1:1/", ["payment.approved"])
    sender = hooks.sender(refuse)
    await hooks.stage.take()
    await hooks.send(sender)
    for seconds in SPACING_SECONDS:
        hooks.stage.clock.move(seconds - 1)
        await hooks.send(sender)
        hooks.stage.clock.move(1)
        await hooks.send(sender)

    (row,) = await hooks.deliveries(endpoint)
    assert [(b - a).total_seconds() for a, b in itertools.pairwise(times)] == list(SPACING_SECONDS)
    assert (SPACING_SECONDS[0], SPACING_SECONDS[-1]) == (5, 86_400)
    assert (row["state"], row["tries"], row["status"]) == ("gave_up", TRIES_MAX, 503)
    assert row["error"] == "answered 503, not 200 to 299"
    tries = await hooks.store.attempts(hooks.stage.merchant.merchant_id, [row["delivery_id"]])
    assert len(tries[row["delivery_id"]]) == TRIES_MAX


async def test_pauses_differ_by_chance(hooks: Hooks) -> None:
    """So that all messages of an endpoint that was down do not come back at once."""

    async def refuse(*_: Any) -> Posted:
        return Posted(None, "away")

    pauses = []
    for chance in (0.0, 1.0):
        endpoint, _ = await hooks.add("http://127.0.0.1:1/", ["payment.approved"])
        await hooks.stage.take()
        await hooks.send(hooks.sender(refuse, lambda fixed=chance: fixed))
        (row,) = [each for each in await hooks.deliveries(endpoint) if each["tries"]][-1:]
        pauses.append(row["next_try_at"] - hooks.stage.clock.now())

    assert pauses == [timedelta(seconds=4), timedelta(seconds=6)]


async def test_an_endpoint_that_is_gone_is_disabled_at_once(hooks: Hooks) -> None:
    """410 ends it: with history, an event, an alarm and a mail."""
    async with Receiver(410).serving() as receiver:
        endpoint, _ = await hooks.add(receiver.url, ["payment.approved"])
        await hooks.stage.take()
        await hooks.send()
        await hooks.stage.take()
        await hooks.send()

    assert len(receiver.received) == 1
    assert (await hooks.endpoint(endpoint))["state"] == "disabled"
    history = await hooks.store.history(hooks.stage.merchant.merchant_id, endpoint)
    assert [(row["to_state"], row["cause"]) for row in history] == [
        ("enabled", "added"), ("disabled", "gone"),
    ]  # fmt: skip
    feed = await hooks.stage.sql(
        "SELECT type FROM feed WHERE merchant_id = $1 AND type LIKE 'endpoint.%' ORDER BY number",
        hooks.stage.merchant.merchant_id,
    )
    assert [row["type"] for row in feed] == ["endpoint.enabled", "endpoint.disabled"]
    assert await _mails(hooks) == 1


async def test_an_endpoint_that_fails_for_days_is_disabled(hooks: Hooks) -> None:
    """One message taken in between, and the days are counted anew."""
    answers, states = [500, 200, 500, 500, 500], []

    async def answer(*_: Any) -> Posted:
        return Posted(answers.pop(0), None)

    endpoint, _ = await hooks.add("http://127.0.0.1:1/", ["payment.approved"])
    sender = hooks.sender(answer)
    for days, news in ((0, True), (2, False), (0, True), (2, False), (1, False)):
        hooks.stage.clock.move(days * 86_400)
        if news:
            await hooks.stage.take()
        await hooks.send(sender)
        states.append((await hooks.endpoint(endpoint))["state"])

    assert timedelta(days=3) == DISABLED_AFTER
    assert states == ["enabled", "enabled", "enabled", "enabled", "disabled"]
    assert await _mails(hooks) == 1


async def test_a_dead_endpoint_holds_up_no_other_one(hooks: Hooks) -> None:
    """It never answers; the others have their messages meanwhile, and it gets one at a time."""
    begun: list[str] = []
    hang = asyncio.Event()

    async def post(url: str, *_: Any) -> Posted:
        begun.append(url)
        if "dead" in url:
            await hang.wait()
            return Posted(None, "no answer")
        return Posted(200, None)

    dead, _ = await hooks.add("http://127.0.0.1:1/dead", ["payment.approved"])
    await hooks.add("http://127.0.0.1:1/well", ["payment.approved"])
    for _ in range(12):
        await hooks.stage.take()
    await hooks.number()
    sender = hooks.sender(post)
    for _ in range(12):
        await sender.send_due()

    assert begun.count("http://127.0.0.1:1/well") == 12
    assert begun.count("http://127.0.0.1:1/dead") == EACH_AT_ONCE_MAX
    hang.set()
    await sender.finish()
    hang.clear()
    before = len(begun)
    for _ in range(3):
        await sender.send_due()
    assert len(begun) == before + 1, "one at a time to an endpoint that fails"
    assert (await hooks.endpoint(dead))["failing_since"] is not None
    hang.set()
    await sender.finish()
    assert EACH_AT_ONCE_MAX < FAILING_AT_ONCE_MAX < WORKING_AT_ONCE_MAX


async def test_an_endpoint_whose_secret_cannot_be_read_holds_up_no_other_one(hooks: Hooks) -> None:
    """A damaged row: it fails like one that does not answer, and its merchant can see it."""
    posted: list[str] = []

    async def post(url: str, *_: Any) -> Posted:
        posted.append(url)
        return Posted(200, None)

    damaged, _ = await hooks.add("http://127.0.0.1:1/damaged", ["payment.approved"])
    await hooks.add("http://127.0.0.1:1/well", ["payment.approved"])
    await hooks.stage.sql(
        "UPDATE webhook_endpoints SET secret_sealed = '\\x00' WHERE endpoint_id = $1", damaged
    )
    await hooks.stage.take()
    await hooks.number()
    sender = hooks.sender(post)
    for _ in range(3):
        await sender.send_due()
    await sender.finish()
    row = (await hooks.deliveries(damaged))[0]

    assert posted == ["http://127.0.0.1:1/well"]
    assert (row["state"], row["tries"]) == ("owed", 1)
    assert (await hooks.endpoint(damaged))["failing_since"] is not None


async def test_two_workers_do_not_post_the_same(hooks: Hooks) -> None:
    """A lease is one worker's; when its time is over, or its process, it is taken again."""
    posted: list[str] = []
    hang = asyncio.Event()

    async def post(_: str, headers: Any, __: bytes) -> Posted:
        posted.append(headers["webhook-id"])
        await hang.wait()
        return Posted(200, None)

    await hooks.add("http://127.0.0.1:1/", ["payment.approved"])
    await hooks.stage.take()
    await hooks.number()
    one, other = hooks.sender(post), hooks.sender(post)
    await one.send_due()
    await other.send_due()

    assert len(posted) == 1
    hang.set()
    await one.finish()
    await other.finish()


async def test_a_worker_killed_between_delivery_and_its_row_posts_it_again(hooks: Hooks) -> None:
    """Told twice under one id, not lost: the receiver sees that it is a repeat."""
    async with Receiver().serving() as receiver:
        endpoint, _ = await hooks.add(receiver.url, ["payment.approved"])
        await hooks.stage.take()
        await hooks.number()

        async def killed(*arguments: Any) -> Posted:
            await hooks.poster.post(*arguments)
            raise DatabaseAway("the process is gone")

        dying = hooks.sender(killed)
        await dying.send_due()
        await dying.finish()
        hooks.stage.clock.move(121)
        await hooks.send()

    first, second = receiver.received
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert first.body == second.body
    (row,) = await hooks.deliveries(endpoint)
    assert (row["state"], row["attempts"]) == ("delivered", 2)


async def test_who_lost_the_lease_notes_nothing(hooks: Hooks) -> None:
    """A frozen worker's late word does not undo what another one has noted."""
    hang = asyncio.Event()

    async def late(*_: Any) -> Posted:
        await hang.wait()
        return Posted(500, None)

    async def well(*_: Any) -> Posted:
        return Posted(200, None)

    endpoint, _ = await hooks.add("http://127.0.0.1:1/", ["payment.approved"])
    await hooks.stage.take()
    await hooks.number()
    frozen = hooks.sender(late)
    await frozen.send_due()
    hooks.stage.clock.move(121)
    await hooks.send(hooks.sender(well))
    hang.set()
    await frozen.finish()

    (row,) = await hooks.deliveries(endpoint)
    assert row["state"] == "delivered"
    assert (await hooks.endpoint(endpoint))["failing_since"] is None


async def test_a_delivery_can_be_replayed(hooks: Hooks) -> None:
    """The same message again, under the same id; its tries before stay visible."""
    async with Receiver().serving() as receiver:
        endpoint, _ = await hooks.add(receiver.url, ["payment.approved"])
        await hooks.stage.take()
        await hooks.send()
        (row,) = await hooks.deliveries(endpoint)
        await hooks.endpoints.replay(
            hooks.stage.merchant.merchant_id, endpoint, row["delivery_id"], "key_1"
        )
        await hooks.send()

    assert len({each.headers["webhook-id"] for each in receiver.received}) == 1
    (row,) = await hooks.deliveries(endpoint)
    assert (row["state"], row["attempts"]) == ("delivered", 2)


async def test_a_deleted_endpoint_is_told_nothing_more(hooks: Hooks) -> None:
    """What it is still owed is given up."""
    endpoint, _ = await hooks.add("http://127.0.0.1:1/", ["payment.approved"])
    await hooks.stage.take()
    await hooks.number()
    merchant_id = hooks.stage.merchant.merchant_id
    await hooks.endpoints.change(merchant_id, endpoint, "test", state="deleted")

    rows = await hooks.stage.sql(
        "SELECT state FROM webhook_deliveries WHERE endpoint_id = $1", endpoint
    )
    assert [row["state"] for row in rows] == ["gave_up"]
    assert await hooks.store.one(merchant_id, endpoint) is None


async def test_deliveries_that_ended_long_ago_are_forgotten(hooks: Hooks) -> None:
    """With their tries; what is owed stays, and the feed keeps the event."""
    endpoint, _ = await hooks.add("http://127.0.0.1:1/", ["payment.approved"])
    await hooks.stage.take()

    async def well(*_: Any) -> Posted:
        return Posted(200, None)

    await hooks.send(hooks.sender(well))
    await hooks.stage.take()
    await hooks.number()
    store = DeliveryStore(hooks.stage.database, hooks.stage.merchant.merchant_id)
    await store.forget(hooks.stage.clock.now() + KEPT)

    rows = await hooks.deliveries(endpoint)
    assert [row["state"] for row in rows] == ["owed"]
    assert isinstance(hooks.store, EndpointStore)


async def _mails(hooks: Hooks) -> int:
    rows = await hooks.stage.sql(
        "SELECT 1 FROM outbox WHERE merchant_id = $1 AND kind = 'mail_endpoint_disabled'",
        hooks.stage.merchant.merchant_id,
    )
    return len(rows)


def _signs(secret: str, message: Received) -> bool:
    """Return whether the standard's own library makes one of the message's signatures."""
    at = datetime.fromtimestamp(int(message.headers["webhook-timestamp"]), UTC)
    due = Webhook(secret).sign(message.headers["webhook-id"], at, message.body.decode())
    return due in message.headers["webhook-signature"].split()


async def test_a_merchant_is_told_by_mail_that_an_endpoint_was_disabled(hooks: Hooks) -> None:
    """Which one, that nothing is lost, and what to do; the same message id at every try."""

    async def gone(*_: Any) -> Posted:
        return Posted(410, None)

    await hooks.add("http://127.0.0.1:1/gone", ["payment.approved"])
    await hooks.stage.take()
    await hooks.send(hooks.sender(gone))
    outbox, now = (
        OutboxStore(hooks.stage.database, uuid4(), hooks.stage.clock),
        hooks.stage.clock.now(),
    )
    claimed = await outbox.claim_mail(now, now + timedelta(seconds=1), 1000)
    merchant_id = hooks.stage.merchant.merchant_id
    (owed,) = [
        each
        for each in claimed
        if each.merchant_id == merchant_id and each.kind == "mail_endpoint_disabled"
    ]

    first, second = (
        message_from_bytes(
            endpoint_disabled(owed, "pay@gateway.example", now, test=True).content, policy=default
        )
        for _ in range(2)
    )

    assert first["To"] == "owner@bookshop.example"
    assert first["Message-ID"] == second["Message-ID"] == f"<{owed.outbox_id.hex}@gateway.example>"
    assert "http://127.0.0.1:1/gone" in first.get_content()
    assert "GET /v1/events" in first.get_content()


async def test_however_many_endpoints_fail_the_others_are_found_due(hooks: Hooks) -> None:
    """The oldest messages are those of dead endpoints; they do not fill the list."""
    for place in range(3):
        await hooks.add(f"http://127.0.0.1:1/dead-{place}", ["payment.approved"])
    await hooks.stage.take()
    await hooks.number()
    await hooks.stage.sql("UPDATE webhook_endpoints SET failing_since = now()")
    hooks.stage.clock.move(60)
    well, _ = await hooks.add("http://127.0.0.1:1/well", ["payment.approved"])
    await hooks.stage.take()
    await hooks.number()
    store = DeliveryStore(hooks.stage.database, uuid4())

    due = await store.due(hooks.stage.clock.now(), each=4, limit=2, under_way=())

    assert [each.failing for each in due] == [True, True, False]
    assert due[-1].endpoint_id == well
