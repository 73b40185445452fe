"""
The feed: everything that happened to a merchant's payments, numbered without gaps.

Stands at the end of the road: triggers note each change in the commit that makes it,
the worker numbers what was noted, and the merchant's systems read from the number
where they stopped. A webhook is only a hint to read here.
"""

import asyncio
from uuid import UUID

import asyncpg

from counterfoil.clock import Clock
from counterfoil.events.types import TYPES
from counterfoil.store.feed import FeedStore, Numbered

NUMBERED_AT_ONCE_MAX = 5_000
MERCHANTS_AT_ONCE_MAX = (250, 25, 1)  # In one statement: first, and for who has too many events.
WAIT_SECONDS_MAX = 20
WAITING_MAX = 100  # Readers that one process lets wait; the others get their empty page at once.
LOOK_SECONDS = 0.25


async def number_events(store: FeedStore, clock: Clock) -> int:
    """
    Number what waits, many merchants at once; return how many events got a number.

    Who has more than its share of a statement is served among fewer, and at last alone: it keeps
    nobody else waiting, and no statement numbers more than NUMBERED_AT_ONCE_MAX events (beside
    the earlier versions that some take along).
    """
    total, waiting = 0, await store.waiting()
    for merchants_max in MERCHANTS_AT_ONCE_MAX:
        numbered = await _number_in_groups(store, waiting, merchants_max, clock)
        total, waiting = total + numbered.events, numbered.behind
    return total


async def _number_in_groups(
    store: FeedStore, waiting: list[UUID], merchants_max: int, clock: Clock
) -> Numbered:
    events, behind = 0, []
    for start in range(0, len(waiting), merchants_max):
        group = waiting[start : start + merchants_max]
        share = NUMBERED_AT_ONCE_MAX // len(group)
        numbered = await store.number(group, TYPES, share, clock.now())
        events += numbered.events
        behind += numbered.behind
    return Numbered(events, behind)


class Feed:
    """
    The feed as it is read: at once, or after a wait for something new.
    """

    def __init__(self, store: FeedStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._waiting = 0
        self._ended = asyncio.Event()

    async def read(
        self, merchant_id: UUID, *, after: int, limit: int, wait_seconds: float = 0
    ) -> list[asyncpg.Record]:
        """
        Return events after *after*, oldest first; wait up to *wait_seconds* for the next one.

        Nobody waits for a number that is not the next one.
        """
        rows = await self._store.page(merchant_id, after, limit)
        if rows or not wait_seconds or self._waiting >= WAITING_MAX:
            return rows
        self._waiting += 1
        try:
            await self._await_next(merchant_id, after, self._clock.monotonic() + wait_seconds)
        finally:
            self._waiting -= 1
        return await self._store.page(merchant_id, after, limit)

    async def head(self, merchant_id: UUID) -> int:
        """
        Return the number of the latest event, 0 when there is none.
        """
        return await self._store.head(merchant_id)

    def end_waits(self) -> None:
        """
        Let everybody who waits go: the process is stopping.
        """
        self._ended.set()

    async def _await_next(self, merchant_id: UUID, after: int, until: float) -> None:
        while self._clock.monotonic() < until and await self._store.head(merchant_id) == after:
            try:
                await asyncio.wait_for(self._ended.wait(), LOOK_SECONDS)
            except TimeoutError:
                continue
            return
