"""
The days' totals: each event counted once, correct to the cent whatever happened to a payment.
"""

import asyncio
import contextlib
import random
from datetime import date
from typing import Any

import pytest
from counterfoil.events.feed import number_events
from counterfoil.events.totals import fold_totals
from counterfoil.events.types import ALL_TYPES
from counterfoil.money import currency
from counterfoil.payments.acknowledge import refuse
from counterfoil.payments.lifecycle import Kind
from counterfoil.payments.movements import capture, refund, undo, void
from counterfoil.payments.payment import Payment
from counterfoil.payments.policy import Policy
from counterfoil.payments.refusals import Refused
from counterfoil.store.feed import FeedStore
from counterfoil.store.totals import Day, TotalsStore
from payment_stage import ACTOR, Stage
from scripted_link import says

EVER = date(2020, 1, 1)
STEPS = 60
MOVES = {"capture": capture, "void": void, "refund": refund, "undo": undo}
NEW = ("sale", "sale", "sale", "authorization", "credit", "unclaimed", "declined", "euros")
WHAT_HAPPENS = (*NEW, *MOVES, "refund")


async def number(stage: Stage) -> None:
    """Give every event its number."""
    while await number_events(FeedStore(stage.database), stage.clock):
        pass


async def fold(stage: Stage) -> None:
    """Count every event that has a number."""
    while await fold_totals(TotalsStore(stage.database)):
        pass


async def days(stage: Stage, since: date = EVER) -> list[Day]:
    return await TotalsStore(stage.database).days(stage.merchant.merchant_id, since)


async def folded(stage: Stage) -> list[Any]:
    """Return what is kept, without what a page adds."""
    return await stage.sql(
        "SELECT currency, sum(gross_minor) AS gross, sum(refunds_minor) AS refunds, "
        "sum(approved) AS approved, sum(declined) AS declined FROM daily_totals "
        "WHERE merchant_id = $1 GROUP BY currency ORDER BY currency",
        stage.merchant.merchant_id,
    )


async def forward(stage: Stage) -> None:
    """Let everything that is owed to the acquirer be accepted."""
    forwarder = stage.forwarder()
    while await forwarder.forward():
        pass


async def of_payments(stage: Stage) -> dict[str, tuple[int, int]]:
    """Return what was taken and given back, added up over the payments themselves."""
    rows = await stage.sql(
        "SELECT currency, sum(captured_minor) AS gross, sum(refunded_minor) AS refunds "
        "FROM payments WHERE merchant_id = $1 GROUP BY currency",
        stage.merchant.merchant_id,
    )
    return {row["currency"]: (int(row["gross"]), int(row["refunds"])) for row in rows}


def added_up(found: list[Day]) -> dict[str, tuple[int, int]]:
    sums: dict[str, tuple[int, int]] = {}
    for each in found:
        gross, refunds = sums.get(each.currency, (0, 0))
        sums[each.currency] = (gross + each.gross_minor, refunds + each.refunds_minor)
    return sums


async def something(stage: Stage, chance: random.Random, payments: list[Payment]) -> None:
    """Let one thing happen, to a new payment or to one there is."""
    what = chance.choice(WHAT_HAPPENS)
    if what == "declined":
        stage.link.script.append(says("05"))
        await stage.take()
    elif what == "unclaimed":
        payment = await stage.take(amount_minor=chance.randint(100, 9_000))
        await refuse(stage.merchant, payment.payment_id, actor=ACTOR, road=stage.road)
    elif what in ("sale", "authorization", "credit", "euros"):
        kind = Kind.SALE if what == "euros" else Kind(what)
        code = "EUR" if what == "euros" else "USD"
        amount = chance.randint(100, 9_000)
        payments.append(await stage.paid(kind=kind, amount_minor=amount, currency=currency(code)))
    elif payments:
        part = chance.randint(1, 500) if chance.random() < 0.7 else None
        command = stage.command(chance.choice(payments), amount_minor=part)
        await forward(stage)
        with contextlib.suppress(Refused):
            await MOVES[what](command, stage.road)


@pytest.mark.parametrize("seed", range(4))
async def test_the_days_are_what_the_payments_say_to_the_cent(stage: Stage, seed: int) -> None:
    """After sales, captures, voids, refunds, credits, reversals; folded now and then, or never."""
    await stage.settings(credits_allowed=True)
    chance, payments = random.Random(seed), []
    for _ in range(STEPS):
        await something(stage, chance, payments)
        stage.clock.move(chance.choice([1, 60, 7_200]))
        if chance.random() < 0.3:
            await number(stage)
        if chance.random() < 0.2:
            await fold(stage)
        if chance.random() < 0.2:
            assert added_up(await days(stage)) == await of_payments(stage)
    await number(stage)
    await fold(stage)

    truth = await of_payments(stage)
    kept = {row["currency"]: (row["gross"], row["refunds"]) for row in await folded(stage)}
    assert kept == {code: sums for code, sums in truth.items() if sums != (0, 0)} or kept == truth
    assert added_up(await days(stage)) == truth


async def test_an_event_is_counted_once_by_however_many_workers(stage: Stage) -> None:
    """They fold at the same time, again and again."""
    for _ in range(12):
        await stage.paid()
    await number(stage)

    await asyncio.gather(*(fold(stage) for _ in range(6)))
    await fold(stage)

    [row] = await folded(stage)
    assert (row["gross"], row["approved"]) == (12 * 4200, 12)


async def test_what_was_not_folded_is_seen_all_the_same(stage: Stage) -> None:
    """A moment after the payment, before any worker has come by."""
    await stage.paid()

    [day] = await days(stage)

    assert (day.gross_minor, day.approved, day.behind) == (4200, 1, 0)
    assert await folded(stage) == []


async def test_a_day_is_the_merchants_own(stage: Stage) -> None:
    """Half past six in London is half past midnight in Chicago: a day lasts until six there."""
    await stage.paid(amount_minor=100)
    stage.clock.move(23.4 * 3600)
    await stage.paid(amount_minor=200)
    stage.clock.move(3600)
    await stage.paid(amount_minor=400)

    seen = {each.day: each.gross_minor for each in await days(stage)}

    assert seen == {date(2026, 11, 23): 300, date(2026, 11, 24): 400}


async def test_a_void_counts_on_the_day_of_the_void_and_a_refund_on_its_own(stage: Stage) -> None:
    """What a day said yesterday it says today."""
    first, second = await stage.paid(amount_minor=1000), await stage.paid(amount_minor=500)
    await number(stage)
    await fold(stage)
    await forward(stage)
    stage.clock.move(86_400)
    await void(stage.command(first), stage.road)
    await refund(stage.command(second, amount_minor=120), stage.road)

    before, after = await days(stage)

    assert (before.gross_minor, before.refunds_minor) == (1500, 0)
    assert (after.gross_minor, after.refunds_minor, after.net_minor) == (-1000, 120, -1120)


async def test_the_issuers_no_and_the_shops_own_are_told_apart(stage: Stage) -> None:
    """Of what the shop's rules stop no issuer is asked."""
    store, merchant_id = stage.road.store.screening, stage.merchant.merchant_id
    policy = Policy(duplicate_seconds=600)
    assert await store.set_policy(merchant_id, policy, after_version=0, actor="test")
    stage.link.script.append(says("05"))
    await stage.take(order_number="1")
    await stage.take(order_number="2")
    await stage.take(order_number="2")  # Once more: the duplicate guard stops it.

    [day] = await days(stage)

    assert (day.approved, day.declined, day.stopped) == (1, 1, 1)


async def test_what_a_clerk_was_only_asked_about_was_stopped_by_nobody(stage: Stage) -> None:
    """Neither before it is folded nor afterwards; what the shop's rule stopped is."""
    for session in ("terminal:0198", "127.0.0.1:40000"):
        guard = {"duplicate_seconds": 600, "session_id": session}
        await stage.paid(order_number=session, **guard)
        await stage.take(order_number=session, **guard)

    [live] = await days(stage)
    await number(stage)
    await fold(stage)
    [folded_day] = await days(stage)

    assert (live.approved, live.declined, live.stopped) == (2, 0, 1)
    assert folded_day == live
    [kept] = await stage.sql(
        "SELECT stopped FROM daily_totals WHERE merchant_id = $1", stage.merchant.merchant_id
    )
    assert kept["stopped"] == 1


async def test_another_merchants_days_are_not_seen(stage: Stage) -> None:
    """Each has its own."""
    other = await Stage.set_up(stage.database)
    await other.paid()
    await number(stage)
    await fold(stage)

    assert await days(stage) == []


async def test_an_older_version_that_is_told_late_takes_nothing_back(stage: Stage) -> None:
    """A movement's event noted while a refund was committed."""
    payment = await stage.paid()
    await forward(stage)
    await refund(stage.command(payment, amount_minor=700), stage.road)
    await number(stage)
    await fold(stage)
    await stage.sql(
        "INSERT INTO feed_pending (merchant_id, event_id, source, at, from_state, to_state, cause, "
        "actor, payment_id, version, captured_minor, refunded_minor, authorized_minor, "
        "released_minor) VALUES ($1, gen_random_uuid(), 'movement', now(), 'pending', 'captured', "
        "'batched', 'worker', $2, 3, 4200, 0, 4200, 0)",
        stage.merchant.merchant_id,
        payment.payment_id,
    )

    unfolded = added_up(await days(stage))
    await number(stage)
    await fold(stage)

    assert unfolded == added_up(await days(stage)) == {"USD": (4200, 700)}


def test_the_types_that_are_counted_exist() -> None:
    """The statement names them as text."""
    assert {"payment.approved", "payment.declined"} <= set(ALL_TYPES)
