"""
Numbers that many processes draw from one counter: leased in ranges, handed out from memory.

A range that a process does not use up is lost: STANs and confirmation counters may
have gaps, they may never repeat.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from contextvars import Context
from datetime import date
from functools import partial
from uuid import UUID

import asyncpg

from counterfoil.clock import Clock
from counterfoil.ids import Ids
from counterfoil.receipts.confirmation import ConfirmationNumbers
from counterfoil.store.database import Database, DatabaseAway

STAN_RANGE = 500
CONFIRMATION_RANGE = 500
COUNTERS_KEPT_MAX = 20_000
FETCHED_AHEAD = 100  # So many are left when the next range is fetched: nobody waits for it.

# A batch has at most 9,999 items (DE 71). Each process counts when it learns of a batch and after
# every 100 items of its own, and closes from 6,000 on: thirty processes stay below. More than that
# on one machine count more often, so that together they go on for 3,000 items at most.
ITEMS_COUNTED_EVERY = 100
ITEMS_UNCOUNTED_MAX = 3_000
ITEMS_MAX = 6_000


class TerminalUsedUp(Exception):
    """
    A terminal has sent a million messages today; its merchant needs another terminal.
    """


Lease = Callable[[], Awaitable[asyncpg.Record | None]]  # `first` of a range, None: used up.


class _Range:
    """
    A leased range, the one after it, and the lock that keeps two tasks from leasing at once.
    """

    __slots__ = ("ahead", "end", "lock", "next", "spare")

    def __init__(self) -> None:
        self.next = 0
        self.end = 0
        self.spare: int | None = None  # Where the range after this one begins.
        self.ahead: asyncio.Task[None] | None = None
        self.lock = asyncio.Lock()

    async def take(self, lease: Lease, size: int) -> int | None:
        """
        Return the next number, of a range that *lease* brings if there is none; None: used up.
        """
        while self.next >= self.end:
            async with self.lock:
                if self.next < self.end:
                    continue
                if self.ahead is not None:
                    await asyncio.wait({self.ahead})
                first = self.spare
                if first is None:
                    row = await lease()
                    if row is None:
                        return None
                    first = int(row["first"])
                self.spare, self.next, self.end = None, first, first + size
        number = self.next
        self.next += 1
        if self.end - self.next == FETCHED_AHEAD and self.ahead is None:
            # Of many requests: what it logs bears the id of none.
            self.ahead = asyncio.create_task(self._fetch(lease), context=Context())
        return number

    async def _fetch(self, lease: Lease) -> None:
        """
        Fetch the next range; what stands in the way is told to whoever needs a number of it.
        """
        try:
            row = await lease()
        except (DatabaseAway, asyncpg.PostgresError):
            return
        finally:
            self.ahead = None
        if row is not None:
            self.spare = int(row["first"])


class _Ranges:
    """
    The ranges of one process, least recently used thrown away.
    """

    def __init__(self) -> None:
        self._kept: OrderedDict[object, _Range] = OrderedDict()

    def of(self, key: object) -> _Range:
        kept = self._kept.get(key)
        if kept is None:
            kept = self._kept[key] = _Range()
            if len(self._kept) > COUNTERS_KEPT_MAX:
                self._kept.popitem(last=False)
        else:
            self._kept.move_to_end(key)
        return kept


class StanLeases:
    """
    System trace audit numbers (DE 11), one counter for each terminal and UTC day.
    """

    def __init__(self, database: Database, size: int = STAN_RANGE) -> None:
        self._database = database
        self._size = size
        self._ranges = _Ranges()

    async def take(self, merchant_id: UUID, acquirer: str, terminal_id: str, day: date) -> int:
        """
        Return the next STAN, 1 to 999999, of the terminal on *day* (the UTC date of DE 7).

        Raises:
            TerminalUsedUp: All of the day's numbers are gone.
        """
        key = (merchant_id, acquirer, terminal_id, day)
        lease = partial(self._database.row, "lease_stans", *key, self._size)
        stan = await self._ranges.of(key).take(lease, self._size)
        if stan is None:
            raise TerminalUsedUp(f"terminal {terminal_id} has used all trace numbers today")
        return stan


class ConfirmationLeases:
    """
    Confirmation numbers, from each merchant's own counter.
    """

    def __init__(self, database: Database, key: bytes, size: int = CONFIRMATION_RANGE) -> None:
        self._database = database
        self._key = key
        self._size = size
        self._ranges = _Ranges()
        self._numbers: OrderedDict[UUID, ConfirmationNumbers] = OrderedDict()

    async def take(self, merchant_id: UUID) -> str:
        """
        Return the next confirmation number of a merchant.
        """
        lease = partial(self._database.row, "lease_confirmations", merchant_id, self._size)
        counter = await self._ranges.of(merchant_id).take(lease, self._size)
        assert counter is not None, "a counter of confirmation numbers has no end"
        return self._numbers_of(merchant_id).number(counter)

    def _numbers_of(self, merchant_id: UUID) -> ConfirmationNumbers:
        numbers = self._numbers.get(merchant_id)
        if numbers is None:
            numbers = self._numbers[merchant_id] = ConfirmationNumbers(self._key, merchant_id)
            if len(self._numbers) > COUNTERS_KEPT_MAX:
                self._numbers.popitem(last=False)
        return numbers


class OpenBatches:
    """
    The number of the open batch of each terminal and currency, remembered.

    Memory may be behind a close; the intent's statement checks it and `forget` follows. Every
    item of a batch is announced here by asking for its number, sales, captures and refunds
    alike: a batch that is nearly full is closed here, and the next number takes what comes.
    So many *processes* of the installation do the same.
    """

    def __init__(self, database: Database, clock: Clock, ids: Ids, *, processes: int = 1) -> None:
        self._counted_every = min(ITEMS_COUNTED_EVERY, ITEMS_UNCOUNTED_MAX // processes)
        self._database = database
        self._clock = clock
        self._ids = ids
        self._known: OrderedDict[tuple[UUID, str, str, str], _Open] = OrderedDict()

    async def number(
        self, merchant_id: UUID, acquirer: str, terminal_id: str, currency: str
    ) -> int:
        """
        Return the open batch's number; the first batch of a terminal is opened here.
        """
        key = (merchant_id, acquirer, terminal_id, currency)
        known = self._known.get(key) or await self._learn(key)
        if key in self._known:
            self._known.move_to_end(key)
        counts = known.used % self._counted_every == 0
        known.used += 1
        if counts and not await self._has_room(key, known.number):
            self.forget(*key)
            return await self.number(*key)
        return known.number

    def remembered(
        self, merchant_id: UUID, acquirer: str, terminal_id: str, currency: str
    ) -> int | None:
        """
        Return the open batch's number if it is remembered: nothing is asked, opened or counted.
        """
        known = self._known.get((merchant_id, acquirer, terminal_id, currency))
        return known.number if known else None

    def forget(self, merchant_id: UUID, acquirer: str, terminal_id: str, currency: str) -> None:
        """
        Ask the database again next time: the batch was closed meanwhile.
        """
        self._known.pop((merchant_id, acquirer, terminal_id, currency), None)

    async def _learn(self, key: tuple[UUID, str, str, str]) -> "_Open":
        known = self._known[key] = _Open(await self._open_number(key))
        if len(self._known) > COUNTERS_KEPT_MAX:
            self._known.popitem(last=False)
        return known

    async def _open_number(self, key: tuple[UUID, str, str, str]) -> int:
        row = await self._database.row("open_batch", *key)
        if row is None:
            await self._database.rows("open_first_batch", *key, self._clock.now())
            row = await self._database.row("open_batch", *key)
        assert row is not None, "a terminal without an open batch: the close must open the next"
        number: int = row["batch_number"]
        return number

    async def _has_room(self, key: tuple[UUID, str, str, str], number: int) -> bool:
        """
        Count the batch and close it when it is nearly full; no room either in one closed before.
        """
        row = await self._database.row("items_in_batch", *key, number)
        assert row is not None
        if row["is_open"] and row["items"] < ITEMS_MAX:
            return True
        now, event_id = self._clock.now(), self._ids.new()
        await self._database.rows("begin_close", *key, number, now, "full", "gateway", event_id)
        return False


class _Open:
    """
    A remembered number, and how often this process handed it out.
    """

    __slots__ = ("number", "used")

    def __init__(self, number: int) -> None:
        self.number = number
        self.used = 0
