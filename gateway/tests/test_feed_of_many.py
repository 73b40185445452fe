"""
Many merchants' events are numbered in one statement: each merchant's own are gapless, nobody waits.
"""

import asyncio
from uuid import UUID, uuid4

import asyncpg
import pytest
from counterfoil.events import feed
from counterfoil.events.feed import number_events
from counterfoil.events.types import TYPES
from counterfoil.store.feed import FeedStore, Numbered
from payment_stage import Stage

ANNOUNCED = """
    INSERT INTO deposit_events
        (merchant_id, event_id, acquirer, reference, at, to_state, cause, actor)
    SELECT m, gen_random_uuid(), 'one', 'CF' || n, now(), 'announced', 'reported', 'acquirer'
    FROM unnest($1::uuid[]) AS m, generate_series(1, $2::integer) AS n
"""
ENDPOINT = """
    INSERT INTO webhook_endpoints
        (merchant_id, endpoint_id, url, state, secret_key_id, secret_nonce, secret_sealed,
         created_at, updated_at)
    VALUES ($1, gen_random_uuid(), 'https://shop.example/', 'enabled', 'k', $2, 's', now(), now())
"""
MERCHANTS = feed.MERCHANTS_AT_ONCE_MAX[0] + 30
SHARE = feed.NUMBERED_AT_ONCE_MAX // feed.MERCHANTS_AT_ONCE_MAX[0]
WAIT_SECONDS = 0.2


async def number(stage: Stage, merchants: list[UUID], limit: int) -> Numbered:
    return await FeedStore(stage.database).number(merchants, TYPES, limit, stage.clock.now())


async def announced(stage: Stage, merchants: int, events: int) -> list[UUID]:
    """Note events of new merchants; return the merchants in their order, heads and all."""
    made = sorted(uuid4() for _ in range(merchants))
    await stage.sql(ANNOUNCED, made, events)
    await FeedStore(stage.database).waiting()
    return made


async def numbers(stage: Stage, merchant_id: UUID) -> list[int]:
    rows = await FeedStore(stage.database).page(merchant_id, 0, 500)
    return [row["number"] for row in rows]


async def test_each_merchants_numbers_begin_at_one_and_a_second_run_changes_nothing(
    stage: Stage,
) -> None:
    """As after a commit in doubt: what has a number gets no other."""
    merchants = await announced(stage, 3, 4)

    first = await number(stage, merchants, 10)
    again = await number(stage, merchants, 10)

    assert (first, again) == ((12, []), (0, []))
    assert [await numbers(stage, each) for each in merchants] == [[1, 2, 3, 4]] * 3
    assert [await FeedStore(stage.database).head(each) for each in merchants] == [4] * 3


async def test_who_has_too_many_events_is_left_behind_and_then_served_alone(stage: Stage) -> None:
    """A backlog keeps nobody else waiting, and makes no statement long."""
    short, long = await announced(stage, 2, 2)
    await stage.sql(ANNOUNCED, [long], 3)

    together = await number(stage, [short, long], 5)
    alone = await number(stage, [long], 4)

    assert together == (2, [long])
    assert alone == (4, [long]), "the oldest four"
    assert await numbers(stage, short) == [1, 2]
    assert await numbers(stage, long) == [1, 2, 3, 4]


async def test_every_feed_is_gapless_with_three_workers_and_hundreds_of_merchants(
    stage: Stage,
) -> None:
    """More than one statement takes, and one of them with more than its share."""
    merchants = await announced(stage, MERCHANTS, 2)
    await stage.sql(ANNOUNCED, merchants[7:8], SHARE)
    stores = [FeedStore(stage.database) for _ in range(3)]

    await asyncio.gather(*(number_events(each, stage.clock) for each in stores))

    for position, each in enumerate(merchants):
        events = 2 + SHARE * (position == 7)
        assert await numbers(stage, each) == list(range(1, events + 1))


async def test_a_backlog_above_what_one_statement_numbers_is_numbered_all_the_same(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Round after round, alone or among others."""
    monkeypatch.setattr(feed, "NUMBERED_AT_ONCE_MAX", 6)
    monkeypatch.setattr(feed, "MERCHANTS_AT_ONCE_MAX", (3, 2, 1))
    merchants = await announced(stage, 4, 15)

    while await number_events(FeedStore(stage.database), stage.clock):
        continue

    assert [await numbers(stage, each) for each in merchants] == [list(range(1, 16))] * 4


async def test_heads_are_locked_in_one_order_so_that_no_two_workers_wait_in_a_circle(
    stage: Stage, parameters: dict[str, str]
) -> None:
    """Who waits for the first head holds none of the others, however it was asked."""
    await stage.sql("TRUNCATE feed_heads")
    first, second = sorted((uuid4(), uuid4()))
    await stage.sql("INSERT INTO feed_heads VALUES ($2, 0), ($1, 0)", first, second)
    await stage.sql(ANNOUNCED, [first, second], 1)
    other = await asyncpg.connect(**parameters)
    transaction = other.transaction()
    await transaction.start()
    lock = "SELECT 1 FROM feed_heads WHERE merchant_id = $1 FOR UPDATE NOWAIT"
    await other.execute(lock, first)
    waiting = asyncio.create_task(number(stage, [second, first], 10))
    await asyncio.sleep(WAIT_SECONDS)

    assert not waiting.done()
    await other.execute(lock, second)

    await transaction.commit()
    await other.close()
    assert await waiting == (2, [])


async def test_what_an_endpoint_wants_is_owed_to_its_own_merchant_only(stage: Stage) -> None:
    """In the statement that numbers the events of both."""
    deaf, hearing = await announced(stage, 2, 2)
    await stage.sql(ENDPOINT, hearing, bytes(12))

    await number(stage, [deaf, hearing], 10)

    owed = await stage.sql(
        "SELECT merchant_id, number FROM webhook_deliveries WHERE merchant_id = ANY($1) "
        "ORDER BY number",
        [deaf, hearing],
    )
    assert [tuple(each) for each in owed] == [(hearing, 1), (hearing, 2)]
