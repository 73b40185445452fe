"""
No statement of a payment's road reads much more when much is stored, whatever the planner knew.

PostgreSQL keeps the plan of a prepared statement, and of a foreign key check, until the
statistics of one of its tables are taken again. A plan made for empty tables reads whole ones.
"""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any, NamedTuple
from uuid import uuid4

import asyncpg
import pytest
from counted_pages import CountingDatabase, lay
from counterfoil.config import Mail
from counterfoil.events.feed import number_events
from counterfoil.payments import movements
from counterfoil.payments.acknowledge import refuse
from counterfoil.payments.lifecycle import Kind
from counterfoil.payments.recovery import sweep
from counterfoil.receipts.letter import Letter
from counterfoil.receipts.mail import Mailer
from counterfoil.store.database import Database
from counterfoil.store.feed import FeedStore
from counterfoil.store.outbox import OutboxStore
from counterfoil.store.statistics import GROWING, look_at_grown
from payment_stage import Stage

ROUNDS = 3
AT_ONCE = 20
PAGES_EACH_MAX = 200  # For one row of one call; most statements need less than a third of it.
HOT = {
    *("screen", "lease_stans", "open_batch", "intend", "conclude", "acknowledge", "reverse"),
    *("capture", "void", "refund", "expire", "payment_by_id"),
    *("unclaimed_payments", "orphaned_payments", "lapsed_holds"),
    *("due_advices", "claim_advices", "try_advice", "advice_answered"),
    *("due_mail", "claim_mail", "mail_sent", "feeds_to_number", "number_events"),
}
NOBODY_ELSE_LOOKS = """
SELECT 'ALTER TABLE ' || quote_ident(relname) || ' SET (autovacuum_enabled = off)' AS statement
FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'
"""


class Installation(NamedTuple):
    """
    A gateway's database with one connection, which keeps its plans, and the same one from outside.
    """

    gateway: CountingDatabase
    worker: Database


@pytest.fixture
async def installation(server: Any, template: str) -> AsyncIterator[Installation]:
    """A database of the test's own, in which only the test takes statistics."""
    name = f"plans_{uuid4().hex[:8]}"
    administrator = await asyncpg.connect(**server.parameters)
    await administrator.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
    await administrator.execute(f'ALTER DATABASE "{name}" SET plan_cache_mode = force_generic_plan')
    await administrator.close()
    parameters = {**server.parameters, "database": name}
    worker = await Database.open(**parameters)
    async with worker.acquire() as connection:
        for row in await connection.fetch(NOBODY_ELSE_LOOKS):
            await connection.execute(row["statement"])
    gateway = await CountingDatabase.open(size_max=1, **parameters)
    assert isinstance(gateway, CountingDatabase)
    gateway.forget()
    yield Installation(gateway, worker)
    await gateway.close()
    await worker.close()


async def analyze(database: Database) -> None:
    async with database.acquire() as connection:
        await connection.execute("ANALYZE")


async def walked(stage: Stage) -> None:
    """Let payments walk every road, alone and many at once, with what a worker does for them."""
    for count in [1] * ROUNDS + [AT_ONCE]:
        many = range(count)
        voids, refunds = [await asyncio.gather(*(stage.paid() for _ in many)) for _ in "12"]
        holds = await asyncio.gather(*(stage.paid(kind=Kind.AUTHORIZATION) for _ in many))
        await movements.capture(stage.command(holds[0]), stage.road)
        for each in voids:
            await movements.void(stage.command(each), stage.road)
        for each in refunds:
            await movements.refund(stage.command(each), stage.road)
        for each in await asyncio.gather(*(stage.take() for _ in many)):
            await refuse(stage.merchant, each.payment_id, actor="test", road=stage.road)
        await asyncio.gather(*(stage.take() for _ in many))
        stage.clock.move(200)
        await worked(stage)
    await stage.paid(kind=Kind.AUTHORIZATION)
    stage.clock.move(8 * 86_400)
    await stage.lease.renew(stage.clock.now() + timedelta(hours=1))
    await worked(stage)


async def worked(stage: Stage) -> None:
    """Do what is due: sweep, forward, number events, mail."""
    await sweep(stage.road)
    forwarder, outbox = stage.forwarder(), OutboxStore(stage.database, uuid4(), stage.clock)
    mailer = Mailer(outbox, Mail(), stage.clock, test=True, deliver=thrown_away)
    while await forwarder.forward():
        continue
    while await number_events(FeedStore(stage.database), stage.clock):
        continue
    while await mailer.send_due():
        continue


async def thrown_away(letter: Letter) -> None:
    """Be a mail server that takes everything."""


@pytest.mark.parametrize("merchants", [1, 100])
@pytest.mark.parametrize("analyzed", ["never", "empty", "few", "full"])
async def test_a_plan_made_for_empty_tables_does_not_outlive_them(
    installation: Installation, analyzed: str, merchants: int
) -> None:
    """
    Statements prepared while nothing was there, then ten thousand payments, of one or of many.

    Whenever statistics were taken before, the worker's look is enough for every statement.
    """
    gateway, worker = installation
    stage = await Stage.set_up(gateway)
    if analyzed == "empty":
        await analyze(worker)
    await walked(stage)
    if analyzed == "few":
        await analyze(worker)
    await lay(worker, stage.merchant.merchant_id, merchants)
    if analyzed == "full":
        await analyze(worker)
    await look_at_grown(worker)
    gateway.forget()

    await walked(stage)

    assert set(gateway.read) >= HOT
    dear = {name: pages for name, pages in gateway.each().items() if pages > PAGES_EACH_MAX}
    assert dear == {}


async def test_only_what_has_grown_is_looked_at(installation: Installation) -> None:
    """Four times the pages and not before; a second look finds nothing to do."""
    gateway, worker = installation
    stage = await Stage.set_up(gateway)
    await stage.paid()
    grown = [await worker.rows("grown_tables", list(GROWING), 4)]
    await lay(worker, stage.merchant.merchant_id, 1, ["payments", "transfers"])
    grown.append(await worker.rows("grown_tables", list(GROWING), 4))
    await look_at_grown(worker)
    grown.append(await worker.rows("grown_tables", list(GROWING), 4))

    assert [[row["name"] for row in rows] for rows in grown] == [[], ["payments", "transfers"], []]


async def test_a_table_that_is_locked_is_looked_at_in_the_next_round(
    installation: Installation, capsys: pytest.CaptureFixture[str]
) -> None:
    """And nobody is told before that it was."""
    gateway, worker = installation
    stage = await Stage.set_up(gateway)
    await stage.paid()
    await lay(worker, stage.merchant.merchant_id, 1, ["payments", "transfers"])
    async with gateway.acquire() as other, other.transaction():
        await other.execute("LOCK TABLE payments IN SHARE UPDATE EXCLUSIVE MODE")
        await look_at_grown(worker)
        first = capsys.readouterr().out
    await look_at_grown(worker)
    second = capsys.readouterr().out

    assert ("table=transfers" in first, "table=payments" in first) == (True, False)
    assert ("table=transfers" in second, "table=payments" in second) == (False, True)


async def test_every_table_that_grows_is_one_of_ours(installation: Installation) -> None:
    """A name that the schema does not know would be looked for in vain, and nobody would notice."""
    async with installation.worker.acquire() as connection:
        missing = await connection.fetch(
            "SELECT name FROM unnest($1::text[]) AS t (name) WHERE to_regclass(name) IS NULL",
            list(GROWING),
        )

    assert missing == []
