"""
The seal over the journal: nothing is left out, and nothing changes, goes or comes unnoticed.
"""

import asyncio
import hashlib
from datetime import UTC, datetime, timedelta
from uuid import UUID

import asyncpg
import pytest
from counterfoil.ledger import chain
from counterfoil.ledger.chain import (
    BEGINNING,
    FIRST_PREVIOUS,
    LATE,
    SETTLE,
    THOROUGH_EVERY,
    Sealer,
)
from counterfoil.store.chain import ChainStore
from counterfoil.store.database import Database, DatabaseAway
from sealed_journal import BEGIN, BROKEN, FORGED, LATER, Journal, emptied

TWO_DAYS = 2 * 86_400.0


@pytest.fixture
async def journal(database: Database) -> Journal:
    """An empty journal; earlier tests' are gone, because their clocks went on further."""
    await emptied(database)
    return Journal(database)


async def test_everything_that_has_settled_is_sealed(journal: Journal) -> None:
    """And what is younger waits: a transfer is dated before it is committed."""
    await journal.post(5)
    journal.clock.move(SETTLE.total_seconds() + 2)
    await journal.sealer.seal()
    assert await journal.sealed() == 3

    await journal.seal()
    assert await journal.sealed() == 5
    assert await journal.verify() == []


async def test_a_block_is_what_the_description_says(journal: Journal) -> None:
    """Whoever knows the page can check the chain without our code."""
    await journal.post(3)
    await journal.seal()
    await journal.post(2)
    await journal.seal()

    previous = FIRST_PREVIOUS
    for number, block in enumerate(await journal.blocks(), start=1):
        digests = [
            await canonical_digest(journal, transfer_id) for transfer_id in block["transfer_ids"]
        ]
        whole = previous + number.to_bytes(8, "big") + b"".join(digests)
        assert block["digests"] == digests
        assert block["previous"] == previous
        assert block["hash"] == hashlib.sha256(whole).digest()
        previous = block["hash"]


async def canonical_digest(journal: Journal, transfer_id: UUID) -> bytes:
    """Return a row's digest, made from the manual's rules for the text of a row."""
    (row,) = await journal.sql(
        "SELECT * FROM transfers WHERE merchant_id = $1 AND transfer_id = $2",
        journal.merchant_id,
        transfer_id,
    )
    microseconds = (row["at"] - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    names = ("merchant_id", "transfer_id", "payment_id", "movement_id", "reference",
             "debit_account", "credit_account", "amount_minor", "currency", "cause")  # fmt: skip
    values = [*(row[name] for name in names), microseconds]
    return hashlib.sha256(f"({','.join(map(quoted, values))})".encode()).digest()


def quoted(value: object) -> str:
    """Return a value as it stands in the text of a row."""
    if value is None:
        return ""
    text = str(value)
    if text and not any(each in '(),"\\' or each.isspace() for each in text):
        return text
    return '"' + text.replace("\\", "\\\\").replace('"', '""') + '"'


async def test_blocks_are_bounded_and_linked(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A day with many transfers is many blocks, in order."""
    monkeypatch.setattr(chain, "BLOCK_TRANSFERS_MAX", 4)
    monkeypatch.setattr(chain, "SEALED_AT_ONCE_MAX", 10)
    await journal.post(25)
    journal.clock.move(60)

    await journal.seal()

    blocks = await journal.blocks()
    assert [block["block_number"] for block in blocks] == list(range(1, len(blocks) + 1))
    assert max(len(block["transfer_ids"]) for block in blocks) == 4
    assert await journal.sealed() == 25
    assert await journal.verify() == []


async def test_a_transfer_that_commits_late_is_sealed_too(journal: Journal) -> None:
    """Dated before a block that is kept already, visible only after it."""
    at = journal.clock.now()
    async with journal.database.acquire() as connection:
        slow = connection.transaction()
        await slow.start()
        await connection.execute(
            "INSERT INTO transfers (merchant_id, transfer_id, debit_account, credit_account, "
            "amount_minor, currency, cause, at, reference) "
            "VALUES ($1, gen_random_uuid(), 'held', 'issuer', 7, 'USD', 'test', $2, 'r')",
            journal.merchant_id,
            at,
        )
        await journal.post(3, at=at + timedelta(seconds=1))
        await journal.seal()
        assert await journal.sealed() == 3
        await slow.commit()

    await journal.seal()

    assert await journal.sealed() == 4
    assert await journal.verify() == []


async def test_a_worker_that_starts_looks_at_everything(journal: Journal) -> None:
    """What became visible later than the ordinary rounds look back is sealed, and no forgery."""
    await journal.post(2)
    await journal.seal()
    journal.clock.move(2 * LATE.total_seconds())
    await journal.post()
    await journal.seal()
    await journal.post(at=BEGIN + timedelta(seconds=3))
    await journal.seal()
    assert await journal.sealed() == 3

    await Sealer(ChainStore(journal.database), journal.clock).seal()

    assert await journal.sealed() == 4
    assert await journal.verify() == []


async def test_f23_a_clock_that_jumps_ahead_and_back_stops_nothing(journal: Journal) -> None:
    """Honest rows are sealed while others are dated into the future; nobody is named."""
    await journal.post(2)
    await journal.seal()
    journal.clock.move(TWO_DAYS)
    await journal.post(2)
    await journal.seal()
    assert await journal.sealed() == 4
    journal.clock.move(-TWO_DAYS)

    for _ in range(3):
        await journal.post(2)
        await journal.post(at=journal.clock.now() + timedelta(days=2))
        await journal.seal()
        assert await journal.verify() == []
    assert await journal.sealed() == 10

    journal.clock.move(TWO_DAYS + LATE.total_seconds())
    await journal.seal()
    assert await journal.sealed() == 13
    assert await journal.verify() == []


async def test_the_daily_look_comes_though_the_clock_jumped_back(journal: Journal) -> None:
    """A look that was kept in the future does not put off the next one for days."""
    journal.clock.move(TWO_DAYS)
    await journal.seal()
    journal.clock.move(-TWO_DAYS)
    await journal.post()
    await journal.seal()
    journal.clock.move(2 * LATE.total_seconds())
    await journal.post(at=BEGIN)
    journal.clock.move(THOROUGH_EVERY.total_seconds())
    await journal.seal()

    assert await journal.sealed() == 2


async def test_a_daily_look_that_fails_waits_for_the_next_day(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The ordinary rounds go on meanwhile."""
    asked = []

    async def round_(since: datetime, now: datetime) -> int:
        asked.append(since)
        if since == BEGINNING:
            raise DatabaseAway("too slow")
        return 0

    await journal.post()
    await journal.seal()
    sealer = Sealer(ChainStore(journal.database), journal.clock)
    monkeypatch.setattr(sealer, "_round", round_)
    with pytest.raises(DatabaseAway):
        await sealer.seal()
    await sealer.seal()
    assert asked.count(BEGINNING) == 1

    journal.clock.move(THOROUGH_EVERY.total_seconds())
    with pytest.raises(DatabaseAway):
        await sealer.seal()


async def test_two_workers_seal_each_transfer_once(journal: Journal) -> None:
    """The second one's block has a number that is taken."""
    await journal.post(50)
    journal.clock.move(100)
    sealers = [Sealer(ChainStore(journal.database), journal.clock) for _ in range(6)]

    await asyncio.gather(*(each.seal() for each in sealers))
    await journal.seal()

    assert await journal.sealed() == 50
    assert await journal.verify() == []


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("amount_minor", "1003"),
        ("debit_account", "'open'"),
        ("credit_account", "'open'"),
        ("currency", "'EUR'"),
        ("cause", "'other'"),
        ("reference", "'other'"),
        ("payment_id", "gen_random_uuid()"),
        ("movement_id", "gen_random_uuid()"),
        ("at", "at - interval '1 microsecond'"),
    ],
)
async def test_f39_a_changed_transfer_is_named(journal: Journal, column: str, value: str) -> None:
    """Whatever column it is, of one row in many."""
    await journal.post(20)
    await journal.seal()
    (row,) = await journal.sql(
        "SELECT transfer_id FROM transfers WHERE merchant_id = $1 AND amount_minor = 1007",
        journal.merchant_id,
    )
    await journal.damage(
        f"UPDATE transfers SET {column} = {value} WHERE merchant_id = $1 AND amount_minor = 1007"
    )

    (found,) = await journal.verify()

    assert found.what == FORGED
    assert found.subject == f"transfer {row['transfer_id']}"
    assert str(found.found).startswith("changed: ")
    assert found.difference_minor in (1003, 1007)


async def test_f39_a_removed_transfer_is_named(journal: Journal) -> None:
    """Its amount is gone with it; its name is not."""
    await journal.post(20)
    await journal.seal()
    (row,) = await journal.sql(
        "SELECT transfer_id FROM transfers WHERE merchant_id = $1 AND amount_minor = 1007",
        journal.merchant_id,
    )
    await journal.damage("DELETE FROM transfers WHERE merchant_id = $1 AND amount_minor = 1007")

    (found,) = await journal.verify()

    assert (found.subject, found.found) == (f"transfer {row['transfer_id']}", "removed")
    assert found.difference_minor is None


async def test_a_transfer_that_is_sealed_late_is_named_until_it_is_sealed(journal: Journal) -> None:
    """Dated into the past, where everything is sealed; the daily look heals it."""
    await journal.post(20)
    await journal.seal()
    journal.clock.move(2 * LATE.total_seconds())
    await journal.post()
    await journal.seal()
    await journal.post(at=BEGIN + timedelta(seconds=5))
    assert await journal.verify() == []
    journal.clock.move((THOROUGH_EVERY + LATE).total_seconds())

    (found,) = await journal.verify()

    assert found.what == LATER
    assert found.found == "in no block: 1000 from issuer to held"
    assert found.difference_minor == 1000
    await journal.seal()
    assert await journal.verify() == []


@pytest.mark.parametrize(
    "table",
    [
        "payment_events",
        "network_messages",
        "transfers",
        "transfer_blocks",
        "signed_heads",
        "batch_events",
        "movement_events",
        "deposit_events",
    ],
)
async def test_f39_what_only_grows_is_never_emptied(journal: Journal, table: str) -> None:
    """Not by one row, and not by all at once."""
    with pytest.raises(asyncpg.RestrictViolationError, match=f"{table} is append-only"):
        await journal.sql(f"TRUNCATE {table}")


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE transfer_blocks SET hash = sha256(hash) WHERE merchant_id = $1 "
        "AND block_number = 2",
        "UPDATE transfer_blocks SET previous = sha256(previous) WHERE merchant_id = $1 "
        "AND block_number = 2",
        "UPDATE transfer_blocks SET digests[1] = sha256(digests[1]) WHERE merchant_id = $1 "
        "AND block_number = 2",
        "DELETE FROM transfer_blocks WHERE merchant_id = $1 AND block_number = 2",
    ],
)
async def test_a_damaged_block_is_named(journal: Journal, damage: str) -> None:
    """A chain is as good as each of its links."""
    for _ in range(3):
        await journal.post(2)
        await journal.seal()
    await journal.damage(damage)

    found = await journal.verify()

    assert {"block 2", "block 3"} & {each.subject for each in found if each.what == BROKEN}


async def test_an_idle_round_is_quick_and_says_so(journal: Journal) -> None:
    """Nothing to seal means a pause for the worker."""
    await journal.post(3)
    await journal.seal()

    assert await journal.sealer.seal() == 0
