"""
The group writer: concurrent payments at the same step share one statement and one commit.

Each payment hands in one row and waits for its own. Nothing is delayed by a timer:
a lone row is written at once; what arrives while a group is on its way forms the
next one. This is how the gateway gets past one commit per payment (DESIGN.md 6).
Who comes while a larger group is under way waits for its end, because two groups cost
more than one of twice the rows; but not for one that takes long (it may wait for a lock).

Every step is guarded in its SQL, so that running it twice changes nothing the
second time. Hence the two rules here: a group that *fails* is run again row by row,
so that one bad row hurts nobody else; a group whose COMMIT is *in doubt* is run
again on a new connection, where the guard waits for the first try's locks and then
tells who won. A row that the guard refused comes back as None: its caller re-reads.
"""

import asyncio
from collections.abc import Callable
from contextvars import Context
from typing import Any

import asyncpg

from counterfoil.clock import Clock
from counterfoil.store.database import Database, DatabaseAway

GROUP_ROWS_MAX = 256
QUEUE_ROWS_MAX = 4096
GROUPS_AT_ONCE_MAX = 2
ALONE_ROWS_MIN = 4  # A group of so many goes alone,
ALONE_SECONDS_MAX = 0.1  # for so long.
PAUSE_SECONDS_MIN = 0.05
PAUSE_SECONDS_MAX = 1.0

Row = tuple[Any, ...]


class QueueFull(Exception):
    """
    More rows wait for this step than the database can take; nothing was written.
    """


class _Waiting:
    """
    One row, who waits for it, and until when.
    """

    __slots__ = ("answer", "deadline", "key", "row")

    def __init__(
        self, key: Row, row: Row, deadline: float, answer: "asyncio.Future[asyncpg.Record | None]"
    ) -> None:
        self.key = key
        self.row = row
        self.deadline = deadline
        self.answer = answer


class GroupWriter:
    """
    Writes the rows of one step: a named query that takes an array for each column, or with
    *whole_rows* one array of a row type, which costs less on both sides.

    *on_group* is told how many rows go together, *on_row* how many seconds a row took until it
    was durable or refused. The query returns the rows that won, with `merchant_id` and
    `payment_id`. `lock` names the query that locks the payments' rows first, for a step that
    reads more than these.
    """

    def __init__(
        self,
        database: Database,
        step: str,
        *,
        clock: Clock,
        groups_at_once: int = GROUPS_AT_ONCE_MAX,
        on_group: Callable[[str, int], None] | None = None,
        on_row: Callable[[str, float], None] | None = None,
        lock: str | None = None,
        whole_rows: bool = False,
    ) -> None:
        assert not (lock and whole_rows), "a lock is asked for by columns"
        self._database = database
        self._step = step
        self._whole_rows = whole_rows
        self._lock = lock
        self._clock = clock
        self._groups_at_once = groups_at_once
        self._on_group = on_group
        self._on_row = on_row
        self._queue: list[_Waiting] = []
        self._running: set[asyncio.Task[None]] = set()
        self._alone: set[int] = set()

    @property
    def depth(self) -> int:
        """
        Rows that wait and are not yet on their way.
        """
        return len(self._queue)

    async def write(self, row: Row, *, seconds_max: float) -> asyncpg.Record | None:
        """
        Write *row* (its first two columns are merchant and payment) and return what became of it.

        Returns None when the guard refused it: read the payment to see why.

        Raises:
            QueueFull: Nothing was written; come back later.
            DatabaseAway: No answer within *seconds_max*: in doubt.
        """
        if len(self._queue) >= QUEUE_ROWS_MAX:
            raise QueueFull(f"{QUEUE_ROWS_MAX} rows wait for {self._step}")
        answer: asyncio.Future[asyncpg.Record | None] = asyncio.get_running_loop().create_future()
        began = self._clock.monotonic()
        self._queue.append(_Waiting(row[:2], row, began + seconds_max, answer))
        self._start_group()
        written = await answer
        if self._on_row:
            self._on_row(self._step, self._clock.monotonic() - began)
        return written

    async def drain(self) -> None:
        """
        Wait until everything handed in has been written or given up.
        """
        while self._running:
            await asyncio.wait(self._running)

    def _start_group(self) -> None:
        if self._queue and len(self._running) < self._groups_at_once and not self._alone:
            # A group is of many requests: what it logs bears the id of none.
            task = asyncio.create_task(self._work(), context=Context())
            self._running.add(task)
            task.add_done_callback(self._group_ended)

    def _group_ended(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        if task.cancelled():
            self._give_up()
            return
        self._start_group()  # What waits behind a group that met a defect is none of it.
        if error := task.exception():
            raise error

    def _give_up(self) -> None:
        """
        Only a process that ends cancels a group: no other begins, and nobody waits for one.
        """
        queue, self._queue = self._queue, []
        for each in queue:
            _refuse(each, DatabaseAway(f"{self._step} is in doubt: the process ends"))

    async def _work(self) -> None:
        while not self._alone and (group := self._take_group()):
            if self._on_group:
                self._on_group(self._step, len(group))
            timer = self._go_alone(group) if len(group) >= ALONE_ROWS_MIN else None
            try:
                await self._write_group(group)
            finally:
                if timer:
                    timer.cancel()
                    self._alone.discard(id(group))
                # Nobody waits for ever, whatever ended the group: a defect, or the process.
                for each in group:
                    _refuse(each, DatabaseAway(f"{self._step} is in doubt: its group was ended"))

    def _go_alone(self, group: list[_Waiting]) -> asyncio.TimerHandle:
        """
        Let nobody begin beside *group*, for as long as a group may take.
        """
        self._alone.add(id(group))
        return asyncio.get_running_loop().call_later(ALONE_SECONDS_MAX, self._no_longer, group)

    def _no_longer(self, group: list[_Waiting]) -> None:
        self._alone.discard(id(group))
        self._start_group()

    def _take_group(self) -> list[_Waiting]:
        """
        Take what waits, at most one row for each payment, sorted by key.
        """
        group: dict[Row, _Waiting] = {}
        later: list[_Waiting] = []
        for waiting in self._queue:
            if waiting.key in group or len(group) >= GROUP_ROWS_MAX:
                later.append(waiting)
            elif not waiting.answer.cancelled():
                group[waiting.key] = waiting
        self._queue = later
        return [group[key] for key in sorted(group)]

    async def _write_group(self, group: list[_Waiting]) -> None:
        try:
            won = await self._many([each.row for each in group])
        except DatabaseAway:
            await asyncio.gather(*(self._settle_doubt(each) for each in group))
        except asyncpg.PostgresError:
            for each in group:
                await self._write_alone(each)
        else:
            by_key = {(record["merchant_id"], record["payment_id"]): record for record in won}
            for each in group:
                _answer(each, by_key.get(each.key))

    async def _many(self, rows: list[Row]) -> list[asyncpg.Record]:
        if self._whole_rows:
            return await self._database.rows(self._step, rows)
        if self._lock is None:
            return await self._database.many(self._step, rows)
        return await self._database.many(self._step, rows, lock=self._lock)

    async def _write_alone(self, waiting: _Waiting) -> None:
        try:
            won = await self._many([waiting.row])
        except DatabaseAway:
            await self._settle_doubt(waiting)
        except asyncpg.PostgresError as error:
            _refuse(waiting, error)
        else:
            _answer(waiting, won[0] if won else None)

    async def _settle_doubt(self, waiting: _Waiting) -> None:
        """
        Ask again on new connections until there is an answer or the row's time is up.
        """
        pause = PAUSE_SECONDS_MIN
        while self._clock.monotonic() + pause < waiting.deadline:
            await asyncio.sleep(pause)
            pause = min(pause * 2, PAUSE_SECONDS_MAX)
            try:
                won = await self._many([waiting.row])
            except DatabaseAway:
                continue
            except asyncpg.PostgresError as error:
                _refuse(waiting, error)
                return
            _answer(waiting, won[0] if won else None)
            return
        _refuse(waiting, DatabaseAway(f"{self._step} is in doubt: the database did not answer"))


def _answer(waiting: _Waiting, record: asyncpg.Record | None) -> None:
    if not waiting.answer.done():
        waiting.answer.set_result(record)


def _refuse(waiting: _Waiting, error: Exception) -> None:
    if not waiting.answer.done():
        waiting.answer.set_exception(error)
