"""
The outbox: leased, ticked off by who holds the lease, and never lost.
"""

from datetime import timedelta
from typing import Any
from uuid import uuid4

from counterfoil.store.outbox import OutboxStore, OwedMail
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
