"""
The event feed: gapless numbers, each change told once, in the order of a payment's versions.
"""

import asyncio
from typing import Any
from uuid import uuid4

import asyncpg
import pytest
from api_stage import Api
from counterfoil.clock import SystemClock
from counterfoil.events.feed import Feed, number_events
from counterfoil.events.types import ALL_TYPES, TYPES, UNTOLD_STATES
from counterfoil.payments.lifecycle import Kind, State
from counterfoil.payments.movements import capture, refund, void
from counterfoil.store.database import Database
from counterfoil.store.feed import FeedStore
from counterfoil.store.migrate import migrations
from counterfoil.store.queries import query
from payment_stage import Stage
from scripted_link import says

WRITERS = 8
NUMBERERS = 3
BEFORE_THE_FEED = [each.name for each in migrations()].index("the_event_feed")
ANNOUNCED = """
    INSERT INTO deposit_events
        (merchant_id, event_id, acquirer, reference, at, to_state, cause, actor)
    VALUES ($1, $2, 'one', 'CF1', now(), 'announced', 'reported', 'acquirer')
"""


async def numbered(stage: Stage) -> list[asyncpg.Record]:
    """Number what waits, and return the stage's whole feed."""
    store = FeedStore(stage.database)
    while await number_events(store, stage.clock):
        pass
    return await store.page(stage.merchant.merchant_id, 0, 500)


async def types(stage: Stage) -> list[str]:
    return [row["type"] for row in await numbered(stage)]


async def forward(stage: Stage) -> None:
    """Let everything that is owed to the acquirer be accepted."""
    forwarder = stage.forwarder()
    while await forwarder.forward():
        pass


async def test_the_life_of_a_sale_is_told(stage: Stage) -> None:
    """One event for each change, with what stood after it."""
    payment = await stage.paid()

    opened, first, second = await numbered(stage)

    assert [opened["type"], first["type"], second["type"]] == [
        "batch.opened", "payment.approved", "payment.captured"
    ]  # fmt: skip
    assert [opened["number"], first["number"], second["number"]] == [1, 2, 3]
    assert [first["version"], second["version"]] == [2, 3]
    assert [first["authorized_minor"], first["captured_minor"]] == [4200, 0]
    assert [second["authorized_minor"], second["captured_minor"]] == [4200, 4200]
    assert second["payment_id"] == payment.payment_id
    assert (second["cause"], second["state"]) == ("acknowledged", "captured")


async def test_an_intent_that_is_under_way_is_no_news(stage: Stage) -> None:
    """Who asked for it waits for its answer; nothing is noted before there is one."""
    await stage.take()

    assert await types(stage) == ["batch.opened", "payment.approved"]
    assert {State.PROCESSING} == UNTOLD_STATES


async def test_an_event_keeps_the_amounts_of_its_time(stage: Stage) -> None:
    """What comes later does not change what was told, however late it was numbered."""
    payment = await stage.paid(kind=Kind.AUTHORIZATION)
    await capture(stage.command(payment), stage.road)

    _, *rows = await numbered(stage)

    assert [row["type"] for row in rows] == [
        "payment.approved", "payment.authorized", "payment.captured"
    ]  # fmt: skip
    assert [row["captured_minor"] for row in rows] == [0, 0, 4200]
    assert rows[2]["movement_state"] == "pending"


async def test_a_void_tells_of_the_payment_and_of_its_capture(stage: Stage) -> None:
    """Both histories of one statement, the payment's first."""
    payment = await stage.paid()
    await void(stage.command(payment), stage.road)

    rows = await numbered(stage)

    assert [row["type"] for row in rows[3:]] == ["payment.void_begun", "capture.undone"]
    assert rows[3]["version"] == rows[4]["version"] == 4
    assert len({row["event_id"] for row in rows}) == 5


async def test_every_kind_of_change_has_its_own_type(stage: Stage) -> None:
    """Every state of a payment but the first; no story of ours is told as `changed`."""
    told = {f"payment {state}" for state in State if state not in UNTOLD_STATES}

    assert told <= set(TYPES)
    assert len(ALL_TYPES) == len(set(ALL_TYPES))
    sale = await stage.paid()
    await refund(stage.command(sale), stage.road)
    await void(stage.command(await stage.paid()), stage.road)
    held = await stage.paid(kind=Kind.AUTHORIZATION)
    await capture(stage.command(held), stage.road)
    await forward(stage)
    found = await types(stage)
    assert set(found) <= set(ALL_TYPES)
    assert not [each for each in found if each.endswith(".changed")]


async def test_the_feed_is_gapless_with_eight_writers_and_three_numbering_workers(
    stage: Stage,
) -> None:
    """Each event once, no number left out, versions in their order within each payment."""
    stages = [stage.another_process() for _ in range(WRITERS)]
    for each in stages:
        await each.register()
    writing = True

    async def write(each: Stage) -> None:
        for _ in range(6):
            payment = await each.paid()
            await refund(each.command(payment), each.road)

    async def work() -> None:
        store = FeedStore(stage.database)
        while writing:
            await number_events(store, stage.clock)
            await asyncio.sleep(0)

    workers = [asyncio.create_task(work()) for _ in range(NUMBERERS)]
    await asyncio.gather(*(write(each) for each in stages))
    writing = False
    await asyncio.gather(*workers)
    rows = await numbered(stage)

    history = await stage.count("payment_events") + await stage.count("movement_events")
    batches = await stage.count("batch_events")
    untold = WRITERS * 6
    assert [row["number"] for row in rows] == list(range(1, len(rows) + 1))
    assert len(rows) == history + batches - untold
    assert len({row["event_id"] for row in rows}) == len(rows)
    assert await stage.count("feed_pending") == 0
    last: dict[Any, int] = {}
    for row in filter(lambda row: row["payment_id"], rows):
        assert row["version"] >= last.get(row["payment_id"], 0)
        last[row["payment_id"]] = row["version"]


async def test_a_commit_that_comes_late_gets_a_later_number(
    stage: Stage, parameters: dict[str, str]
) -> None:
    """What was noted early and committed late is not skipped by a reader who has read on."""
    late = await asyncpg.connect(**parameters)
    try:
        transaction = late.transaction()
        await transaction.start()
        await late.execute(ANNOUNCED, stage.merchant.merchant_id, uuid4())
        await stage.take()
        before = await numbered(stage)
        await transaction.commit()
    finally:
        await late.close()
    after = await numbered(stage)

    assert [row["type"] for row in before] == ["batch.opened", "payment.approved"]
    assert [row["number"] for row in after] == [1, 2, 3]
    assert after[2]["type"] == "deposit.announced"


async def test_a_worker_that_dies_while_numbering_leaves_no_gap(
    stage: Stage, parameters: dict[str, str]
) -> None:
    """Taking an event and giving it a number are one commit: both happen, or neither."""
    await stage.take()
    connection = await asyncpg.connect(**parameters)
    transaction = connection.transaction()
    await transaction.start()
    await stage.sql(
        "INSERT INTO feed_heads VALUES ($1, 0) ON CONFLICT DO NOTHING", stage.merchant.merchant_id
    )
    await connection.fetch(
        query("number_events"),
        [stage.merchant.merchant_id],
        10,
        list(TYPES),
        list(TYPES.values()),
        stage.clock.now(),
    )
    connection.terminate()  # Killed between its work and its commit.

    assert [row["number"] for row in await numbered(stage)] == [1, 2]


async def test_versions_keep_their_order_when_the_databases_clock_steps_back(
    stage: Stage,
) -> None:
    """Also when a round takes fewer events than wait."""
    await stage.paid()
    await stage.sql(
        "UPDATE feed_pending SET noted_at = noted_at - make_interval(hours => version) "
        "WHERE merchant_id = $1 AND version IS NOT NULL",
        stage.merchant.merchant_id,
    )
    store, merchant_id = FeedStore(stage.database), stage.merchant.merchant_id
    await store.waiting()

    first = await store.number([merchant_id], TYPES, 1, stage.clock.now())
    second = await store.number([merchant_id], TYPES, 10, stage.clock.now())

    assert first == (2, [merchant_id]), "version 3 takes version 2 along"
    assert second == (1, [])

    rows = await store.page(merchant_id, 0, 10)
    assert [row["version"] for row in rows if row["version"]] == [2, 3]


async def test_the_feed_cannot_be_rewritten(stage: Stage) -> None:
    """It can be read for ever, and says the same for ever."""
    await stage.take()
    await numbered(stage)

    for change in ("UPDATE feed SET type = 'payment.declined'", "DELETE FROM feed"):
        with pytest.raises(asyncpg.RestrictViolationError):
            await stage.sql(f"{change} WHERE merchant_id = $1", stage.merchant.merchant_id)


async def test_what_happened_before_there_was_a_feed_is_in_it(empty: dict[str, str]) -> None:
    """An upgrade tells the whole history, in order; earlier amounts are not known."""
    merchant_id, payment_id = uuid4(), uuid4()
    connection = await asyncpg.connect(**empty)
    try:
        for each in migrations()[:BEFORE_THE_FEED]:
            await connection.execute(each.text)
        for version, state in enumerate(("processing", "approved", "captured"), start=1):
            await connection.execute(
                "INSERT INTO payment_events VALUES "
                "($1, $2, $3::integer, $4, now() - make_interval(secs => $3::integer), NULL, $5, "
                "'told', 'test')",
                merchant_id, payment_id, version, uuid4(), state,
            )  # fmt: skip
        for each in migrations()[BEFORE_THE_FEED:]:
            await connection.execute(each.text)
    finally:
        await connection.close()
    database = await Database.open(**empty)
    store = FeedStore(database)
    await number_events(store, SystemClock())
    rows = await store.page(merchant_id, 0, 10)
    await database.close()

    assert [(row["number"], row["type"]) for row in rows] == [
        (1, "payment.approved"),
        (2, "payment.captured"),
    ]


async def test_the_feed_is_read_in_pages(stage: Stage) -> None:
    """`next_after` goes into `after`; at the end it stays what it is."""
    payment = await stage.paid()
    await numbered(stage)
    api = await Api.of(stage)

    first = (await api.call("GET", "/v1/events", query="limit=2")).json
    second = (await api.call("GET", "/v1/events", query="after=2&limit=10")).json
    end = (await api.call("GET", "/v1/events", query="after=3")).json

    assert [each["number"] for each in first["data"] + second["data"]] == [1, 2, 3]
    assert (first["next_after"], second["next_after"], end["next_after"]) == (2, 3, 3)
    assert end["data"] == []
    told = second["data"][0]
    assert told["id"].startswith("evt_")
    assert (told["type"], told["version"], told["mode"]) == ("payment.captured", 3, "test")
    assert told["payment"]["id"] == f"pay_{payment.payment_id.hex}"
    assert told["payment"]["card"] == {"brand": "visa", "last4": "1111"}
    assert told["payment"]["captured_minor"] == 4200
    assert "411111" not in str(told)


async def test_a_double_is_told_as_declined_by_the_shops_own_rule(stage: Stage) -> None:
    """What a clerk was asked about, too: an issuer's no has another cause, and a code."""
    guard = {"duplicate_seconds": 600, "session_id": "terminal:0198", "order_number": "1001"}
    await stage.paid(**guard)
    question = await stage.take(**guard)
    stage.link.script.append(says("51"))
    declined = await stage.take(order_number="1002")
    await numbered(stage)
    api = await Api.of(stage)

    told = {
        each["payment"]["id"]: (each["type"], each["cause"])
        for each in (await api.call("GET", "/v1/events")).json["data"]
        if each["type"] == "payment.declined"
    }
    asked, refused = (f"pay_{each.payment_id.hex}" for each in (question, declined))
    payment = (await api.call("GET", f"/v1/payments/{asked}")).json

    assert told[asked] == ("payment.declined", "screened")
    assert told[refused][1] != "screened"
    assert (payment["state"], payment["response_code"]) == ("declined", None)
    assert payment["decline"]["retry"] == "never"
    assert ("duplicate", "refused") in [
        (each["rule"], each["result"]) for each in payment["screening"]
    ]


async def test_another_merchants_events_are_not_in_it(stage: Stage) -> None:
    """A feed is its merchant's own."""
    await stage.paid()
    await numbered(stage)
    other = await Api.of(await Stage.set_up(stage.database))

    assert (await other.call("GET", "/v1/events")).json["data"] == []


async def test_who_waits_gets_the_next_event_when_it_comes(stage: Stage) -> None:
    """A long poll ends with the event, not with its time."""
    api = await Api.of(stage)
    waiting = asyncio.create_task(api.call("GET", "/v1/events", query="wait_seconds=20"))
    await asyncio.sleep(0.05)
    await stage.take()
    await numbered(stage)

    reply = await asyncio.wait_for(waiting, 5)

    assert [each["type"] for each in reply.json["data"]] == ["batch.opened", "payment.approved"]


async def test_nobody_waits_in_a_process_that_stops(stage: Stage) -> None:
    """A stop is not held up by readers of the feed."""
    feed = Feed(FeedStore(stage.database), stage.clock)
    reading = asyncio.create_task(
        feed.read(stage.merchant.merchant_id, after=0, limit=1, wait_seconds=20)
    )
    await asyncio.sleep(0.05)
    feed.end_waits()

    assert await asyncio.wait_for(reading, 5) == []


async def test_a_feed_that_ends_before_a_readers_number_says_so(stage: Stage) -> None:
    """After a restore, silence would look like "nothing new" while numbers are given again."""
    await stage.paid()
    await numbered(stage)
    api = await Api.of(stage)

    reply = await api.call("GET", "/v1/events", query="after=4")

    assert (reply.status, reply.json["code"]) == (409, "feed_behind")
    assert (await api.call("GET", "/v1/events", query="after=3")).status == 200


@pytest.mark.parametrize("query", ["after=-1", "limit=0", "limit=501", "wait_seconds=21", "x=1"])
async def test_a_query_out_of_range_is_refused(stage: Stage, query: str) -> None:
    """Limits have names and are kept."""
    api = await Api.of(stage)

    reply = await api.call("GET", "/v1/events", query=query)

    assert (reply.status, reply.json["code"]) == (400, "query_invalid")
    assert "str" not in reply.json["detail"], "whoever wrote -1 sent no text"


async def test_a_later_void_of_a_part_does_not_change_what_was_told_of_a_capture(
    stage: Stage,
) -> None:
    """The movement's amount is that of the event, like the payment's."""
    held = await stage.paid(kind=Kind.AUTHORIZATION)
    await capture(stage.command(held), stage.road)
    await void(stage.command(held, amount_minor=1000), stage.road)
    await numbered(stage)
    api = await Api.of(stage)

    told = (await api.call("GET", "/v1/events")).json["data"]

    captured = next(each for each in told if each["type"] == "payment.captured")
    assert captured["payment"]["movement"]["amount_minor"] == 4200
    assert not [each["type"] for each in told if each["type"].endswith(".changed")]
