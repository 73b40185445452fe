"""
The outbox: leased, ticked off by who holds the lease, and never lost.
"""

import asyncio
from datetime import timedelta
from typing import Any
from uuid import uuid4

import asyncpg
from counterfoil.store.database import Database
from counterfoil.store.outbox import OutboxStore, OwedMail
from counterfoil.store.processes import ProcessStore
from payment_stage import Stage

LEASE = timedelta(seconds=120)


async def claimed(stage: Stage, store: OutboxStore) -> list[OwedMail]:
    """Claim what is due, and return what belongs to the stage."""
    now = stage.clock.now()
    found = await store.claim_mail(now, now + LEASE, 1000)
    return [each for each in found if each.merchant_id == stage.merchant.merchant_id]


async def states(stage: Stage) -> list[Any]:
    rows = await stage.sql(
        "SELECT state FROM outbox WHERE merchant_id = $1", stage.merchant.merchant_id
    )
    return sorted(row["state"] for row in rows)


async def test_a_mail_carries_everything_that_its_receipt_needs(stage: Stage) -> None:
    """Payment and merchant, and no card data beyond brand, BIN and last four."""
    payment = await stage.paid()

    found = {
        each.kind: each
        for each in await claimed(stage, OutboxStore(stage.database, uuid4(), stage.clock))
    }

    assert set(found) == {"mail_customer", "mail_merchant"}
    assert found["mail_customer"].recipient == "shopper@example.com"
    assert found["mail_merchant"].recipient == "owner@bookshop.example"
    facts = found["mail_customer"].facts
    assert facts["confirmation_number"] == payment.confirmation_number
    assert (facts["merchant_name"], facts["timezone"]) == ("The Book Shop", "America/Chicago")
    assert "4111111111111111" not in str(facts)


async def test_what_one_worker_holds_another_one_does_not_get(stage: Stage) -> None:
    """Until the lease is over."""
    await stage.paid()
    one, other = (OutboxStore(stage.database, uuid4(), stage.clock) for _ in range(2))

    first, second = await claimed(stage, one), await claimed(stage, other)
    stage.clock.move(120)
    third = await claimed(stage, other)

    assert [len(first), len(second), len(third)] == [2, 0, 2]
    assert {each.attempts for each in third} == {2}


async def test_who_stands_in_finds_nothing_due_while_a_mailer_lives(stage: Stage) -> None:
    """A worker leaves the mail to mailers, and sends it when the last one's lease is over."""
    await stage.paid()
    worker = OutboxStore(stage.database, uuid4(), stage.clock, stands_in=True)
    now = stage.clock.now()
    mailer = ProcessStore(stage.database, uuid4())
    await mailer.register("mailer", now, now + timedelta(seconds=10))

    meanwhile = await claimed(stage, worker)
    stage.clock.move(10)
    afterwards = await claimed(stage, worker)
    await mailer.end(now)  # Whose lease another test's worker would see.

    assert (len(meanwhile), len(afterwards)) == (0, 2)


async def test_a_mailer_finds_what_is_due_whoever_else_lives(stage: Stage) -> None:
    """Another mailer or a worker beside it changes nothing: each row has a lease of its own."""
    await stage.paid()
    now = stage.clock.now()
    others = [ProcessStore(stage.database, uuid4()) for _ in range(2)]
    for kind, other in zip(("mailer", "worker"), others, strict=True):
        await other.register(kind, now, now + timedelta(seconds=10))
    mailers = [OutboxStore(stage.database, uuid4(), stage.clock) for _ in range(2)]

    found = [await claimed(stage, each) for each in mailers]
    for other in others:
        await other.end(now)

    assert [len(each) for each in found] == [2, 0]


async def test_who_lost_the_lease_ticks_nothing_off(stage: Stage) -> None:
    """A frozen worker's late word does not end what another one is sending."""
    await stage.paid()
    frozen, awake = (OutboxStore(stage.database, uuid4(), stage.clock) for _ in range(2))
    held = await claimed(stage, frozen)
    stage.clock.move(120)
    await claimed(stage, awake)

    for each in held:
        await frozen.mail_sent(each, stage.clock.now(), seconds_max=1.0)
        await frozen.mail_failed(each, "gave_up", stage.clock.now(), "no")

    assert await states(stage) == ["owed", "owed"]


async def test_what_was_sent_stays_sent(stage: Stage) -> None:
    """Whatever is noted afterwards, it is not claimed again."""
    await stage.paid()
    store = OutboxStore(stage.database, uuid4(), stage.clock)
    held = await claimed(stage, store)
    for each in held:
        await store.mail_sent(each, stage.clock.now(), seconds_max=1.0)
        await store.mail_failed(each, "owed", stage.clock.now(), "no")
    stage.clock.move(3600)

    assert await states(stage) == ["sent", "sent"]
    assert await claimed(stage, store) == []


async def test_what_is_sent_at_different_moments_is_noted_together(stage: Stage) -> None:
    """A commit for each mail would cost the payments beside it more than sending it did."""
    await stage.paid()
    watched = Watched(stage.database)
    store = OutboxStore(watched, uuid4(), stage.clock)
    held = await claimed(stage, store)

    async def taken_after(seconds: float, owed: OwedMail) -> None:
        await asyncio.sleep(seconds)
        await store.mail_sent(owed, stage.clock.now(), seconds_max=1.0)

    await asyncio.gather(*(taken_after(0.01 * at, each) for at, each in enumerate(held)))

    assert await states(stage) == ["sent", "sent"]
    assert watched.asked.count("mail_sent") == 1


class Watched(Database):
    """
    The stage's database, which tells what was asked of it.
    """

    def __init__(self, whole: Database) -> None:
        super().__init__(whole._pool)
        self.asked: list[str] = []

    async def rows(self, name: str, *arguments: Any, **how: Any) -> list[asyncpg.Record]:
        """Note the name and ask."""
        self.asked.append(name)
        return await super().rows(name, *arguments, **how)
