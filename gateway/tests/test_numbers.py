"""
Numbers leased in ranges: none twice, over any number of processes; and the open batch.
"""

import asyncio
from datetime import date, timedelta
from typing import Any
from uuid import uuid4

import pytest
from counterfoil.ids import Ids
from counterfoil.receipts.confirmation import is_valid
from counterfoil.store import numbers
from counterfoil.store.database import Database, DatabaseAway, Lock
from counterfoil.store.numbers import (
    ConfirmationLeases,
    OpenBatches,
    StanLeases,
    TerminalUsedUp,
)
from payment_stage import Stage, batch_key

DAY = date(2026, 11, 23)
KEY = bytes(range(32))


async def used_up_to(stage: Stage, next_stan: int) -> None:
    """Let the terminal's counter of the day stand at *next_stan*."""
    await stage.sql(
        "INSERT INTO stan_counters VALUES ($1, $2, 'TERM0001', $3, $4)",
        stage.merchant.merchant_id,
        stage.acquirer,
        DAY,
        next_stan,
    )


async def take(
    leases: StanLeases, stage: Stage, day: date = DAY, terminal: str = "TERM0001"
) -> int:
    return await leases.take(stage.merchant.merchant_id, stage.acquirer, terminal, day)


async def test_f21_no_trace_number_is_given_twice_by_two_processes_at_once(stage: Stage) -> None:
    """F21: 600 takers on two processes, with ranges of seven: 600 different numbers from 1."""
    processes = [StanLeases(stage.database, 7) for _ in range(2)]

    found = await asyncio.gather(*(take(processes[n % 2], stage) for n in range(600)))

    assert len(set(found)) == 600
    assert min(found) == 1
    assert max(found) < 600 + 2 * 7


async def test_f21_a_process_that_starts_again_goes_on_behind_its_range(stage: Stage) -> None:
    """The rest of the old range is lost: gaps are allowed, repeats are not."""
    before = [await take(StanLeases(stage.database, 10), stage) for _ in range(3)]

    assert before == [1, 11, 21]


async def test_f21_every_terminal_and_every_day_counts_for_itself(stage: Stage) -> None:
    """DE 11 is unique per terminal and day."""
    leases = StanLeases(stage.database, 10)
    first = await take(leases, stage)

    assert await take(leases, stage, day=DAY + timedelta(days=1)) == first == 1
    assert await take(leases, stage, terminal="TERM0002") == 1
    assert await take(leases, stage) == 2


async def test_a_range_is_leased_once_for_all_who_wait(stage: Stage) -> None:
    """A hundred payments at once ask the database once."""
    leases = StanLeases(stage.database, 100)

    found = await asyncio.gather(*(take(leases, stage) for _ in range(100)))

    assert sorted(found) == list(range(1, 101))


async def test_the_next_range_is_there_before_the_last_number_of_this_one(stage: Stage) -> None:
    """Nobody waits for a range, and a database that hangs in between is not noticed."""
    asked = Asked(stage.database)
    leases = StanLeases(asked, 200)

    found = [await take(leases, stage) for _ in range(100)]
    await asyncio.wait_for(asked.twice.wait(), 5)
    asked.hangs = True
    found += [await take(leases, stage) for _ in range(101)]

    assert found == list(range(1, 202))


async def test_who_needs_a_number_waits_for_the_range_that_is_being_fetched(stage: Stage) -> None:
    """It is not leased a second time."""
    asked = Asked(stage.database)
    leases = StanLeases(asked, 150)

    found = await asyncio.gather(*(take(leases, stage) for _ in range(180)))

    assert sorted(found) == list(range(1, 181))
    assert asked.times == 2


async def test_a_range_that_could_not_be_fetched_ahead_is_asked_for_again(stage: Stage) -> None:
    """A database that is away for a moment costs nothing but the wait for whoever comes then."""
    asked = Asked(stage.database)
    leases = StanLeases(asked, 101)
    await take(leases, stage)
    asked.away = True
    await asyncio.sleep(0.01)  # The fetch meets nobody.

    found = [await take(leases, stage) for _ in range(100)]
    asked.away = False
    found.append(await take(leases, stage))

    assert found[:100] == list(range(2, 102))
    assert found[100] > 101


class Asked(Database):
    """
    The stage's database: counts, and when told so hangs or is away.
    """

    def __init__(self, whole: Database) -> None:
        super().__init__(whole._pool)
        self.times = 0
        self.twice = asyncio.Event()
        self.hangs = False
        self.away = False

    async def row(self, name: str, *arguments: Any, lock: Lock | None = None) -> Any:
        """Note that it was asked, and answer when it does."""
        self.times += 1
        if self.hangs:
            await asyncio.sleep(60)
        if self.away:
            raise DatabaseAway("no answer")
        row = await super().row(name, *arguments, lock=lock)
        if self.times == 2:
            self.twice.set()
        return row


async def test_f21_the_last_trace_number_of_a_day_is_999999(stage: Stage) -> None:
    """DE 11 has six digits: the counter ends there, and 000000 never comes."""
    await used_up_to(stage, 999_990)
    leases = StanLeases(stage.database, 10)

    found = [await take(leases, stage) for _ in range(10)]

    assert found == list(range(999_990, 1_000_000))
    with pytest.raises(TerminalUsedUp, match="terminal TERM0001 has used all trace numbers today"):
        await take(leases, stage)


async def test_f21_a_terminal_that_is_used_up_stays_so_until_the_day_ends(stage: Stage) -> None:
    """On every process; tomorrow begins at 1."""
    await used_up_to(stage, 1_000_000)

    for _ in range(2):
        with pytest.raises(TerminalUsedUp):
            await take(StanLeases(stage.database, 10), stage)
    assert await take(StanLeases(stage.database, 10), stage, day=DAY + timedelta(days=1)) == 1


async def test_f21_confirmation_numbers_of_two_processes_never_meet(stage: Stage) -> None:
    """600 at once over two processes, all valid, all different."""
    processes = [ConfirmationLeases(stage.database, KEY, 7) for _ in range(2)]
    merchant = stage.merchant.merchant_id

    found = await asyncio.gather(*(processes[n % 2].take(merchant) for n in range(600)))

    assert len(set(found)) == 600
    assert all(map(is_valid, found))


async def test_every_merchant_has_a_counter_of_its_own(database: Database) -> None:
    """Nobody can tell from a number how much others sell."""
    leases = ConfirmationLeases(database, KEY, 10)
    one, other = uuid4(), uuid4()

    assert await leases.take(one) != await leases.take(other)
    async with database.acquire() as connection:
        counters = await connection.fetch(
            "SELECT next_number FROM confirmation_counters WHERE merchant_id = ANY($1)",
            [one, other],
        )
    assert [each["next_number"] for each in counters] == [10, 10]


async def test_memory_for_ranges_has_a_maximum(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The least recently used is forgotten; its rest is lost, nothing comes twice."""
    monkeypatch.setattr(numbers, "COUNTERS_KEPT_MAX", 2)
    leases = StanLeases(stage.database, 10)

    found = [
        await take(leases, stage, terminal=terminal)
        for terminal in ("TERM000A", "TERM000B", "TERM000C", "TERM000A", "TERM000C")
    ]

    assert found == [1, 1, 1, 11, 2]


async def test_the_first_batch_is_opened_for_the_first_payment(stage: Stage) -> None:
    """By whoever comes first, once."""
    batches = [OpenBatches(stage.database, stage.clock, Ids(stage.clock)) for _ in range(5)]

    found = await asyncio.gather(*(each.number(*batch_key(stage)) for each in batches))

    assert found == [1] * 5
    assert await stage.count("batches") == 1


async def test_every_currency_has_a_batch_of_its_own(stage: Stage) -> None:
    """Totals of different currencies do not add up."""
    batches = OpenBatches(stage.database, stage.clock, Ids(stage.clock))
    await batches.number(*batch_key(stage, "USD"))
    await batches.number(*batch_key(stage, "EUR"))

    assert await stage.count("batches") == 2


async def test_a_closed_batch_is_forgotten_when_told(stage: Stage) -> None:
    """Memory may be behind a close; then it is asked again."""
    batches = OpenBatches(stage.database, stage.clock, Ids(stage.clock))
    await batches.number(*batch_key(stage))
    await next_batch(stage)

    remembered = await batches.number(*batch_key(stage))
    batches.forget(*batch_key(stage))

    assert remembered == 1
    assert await batches.number(*batch_key(stage)) == 2


async def next_batch(stage: Stage) -> None:
    """Close the open batch of the stage's terminal and open the next."""
    await stage.sql(
        "UPDATE batches SET state = 'closed' WHERE merchant_id = $1", stage.merchant.merchant_id
    )
    await stage.sql(
        "INSERT INTO batches (merchant_id, acquirer, terminal_id, currency, batch_number, state, "
        "opened_at) VALUES ($1, $2, $3, $4, 2, 'open', now())",
        *batch_key(stage),
    )


async def test_a_batch_that_is_nearly_full_is_closed_and_the_next_takes_what_comes(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A batch holds at most 9,999 items; nobody waits for the cutoff to find out."""
    monkeypatch.setattr(numbers, "ITEMS_COUNTED_EVERY", 1)
    monkeypatch.setattr(numbers, "ITEMS_MAX", 2)
    await stage.paid()
    await stage.paid()
    batches = OpenBatches(stage.database, stage.clock, Ids(stage.clock))

    assert await batches.number(*batch_key(stage)) == 2
    states = await stage.sql(
        "SELECT state FROM batches WHERE merchant_id = $1 ORDER BY batch_number",
        stage.merchant.merchant_id,
    )
    assert [row["state"] for row in states][:1] == ["closing"]


async def test_a_batch_is_counted_when_a_process_learns_of_it(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Processes that come and go after a few items each do not fill a batch beyond its maximum."""
    monkeypatch.setattr(numbers, "ITEMS_MAX", 2)
    await stage.paid()
    await stage.paid()

    assert (
        await OpenBatches(stage.database, stage.clock, Ids(stage.clock)).number(*batch_key(stage))
        == 2
    )


async def test_who_counts_a_batch_that_was_closed_meanwhile_learns_the_next(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that only captures and refunds never meets the intent's check."""
    monkeypatch.setattr(numbers, "ITEMS_COUNTED_EVERY", 3)
    batches = OpenBatches(stage.database, stage.clock, Ids(stage.clock))
    await batches.number(*batch_key(stage))
    await next_batch(stage)

    found = [await batches.number(*batch_key(stage)) for _ in range(4)]

    assert found == [1, 1, 2, 2]


async def test_many_processes_count_more_often(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that all of them together do not fill a batch beyond its maximum between two counts."""
    monkeypatch.setattr(numbers, "ITEMS_UNCOUNTED_MAX", 12)
    batches = OpenBatches(stage.database, stage.clock, Ids(stage.clock), processes=4)
    await batches.number(*batch_key(stage))
    await next_batch(stage)

    found = [await batches.number(*batch_key(stage)) for _ in range(4)]

    assert found == [1, 1, 2, 2]
    assert 64 * (numbers.ITEMS_UNCOUNTED_MAX // 64) + numbers.ITEMS_MAX < 9_999


async def test_the_batch_that_was_least_recently_asked_for_is_forgotten(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Memory has a maximum, and who is busy stays in it."""
    monkeypatch.setattr(numbers, "COUNTERS_KEPT_MAX", 2)
    batches = OpenBatches(stage.database, stage.clock, Ids(stage.clock))
    for code in ("USD", "EUR", "USD", "GBP"):  # EUR goes.
        await batches.number(*batch_key(stage, code))
    await stage.sql(
        "UPDATE batches SET state = 'closed' WHERE merchant_id = $1", stage.merchant.merchant_id
    )

    assert await batches.number(*batch_key(stage, "USD")) == 1
    with pytest.raises(AssertionError, match="a terminal without an open batch"):
        await batches.number(*batch_key(stage, "EUR"))


async def test_the_opening_of_a_batch_stands_in_its_history(stage: Stage) -> None:
    """Once, whoever comes first."""
    batches = [OpenBatches(stage.database, stage.clock, Ids(stage.clock)) for _ in range(5)]
    await asyncio.gather(*(each.number(*batch_key(stage)) for each in batches))

    rows = await stage.sql(
        "SELECT from_state, to_state, cause FROM batch_events WHERE merchant_id = $1",
        stage.merchant.merchant_id,
    )
    assert [tuple(row.values()) for row in rows] == [(None, "open", "opened")]
