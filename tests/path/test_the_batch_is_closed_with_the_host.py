"""
The end of the day: both sides agree on what was taken, or everybody knows by how much they do not.
"""

import asyncio
from collections import Counter
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import httpx2
import pytest

from .agreement import states
from .evenings import Evening, count_and_amount
from .merchants import DECLINED, payment
from .sandboxes import Json, Log, eventually

NOBODY_ASKS = 30  # Items of a batch that is not small.
MANY = 220
KILLS_AFTER = (5, 100, 215)  # Items of MANY that are uploaded.
AWAY_SECONDS = 8
ZONE = "America/Los_Angeles"


async def test_both_sides_close_with_the_same_gross_totals(evening: Evening) -> None:
    """Sales, captures and refunds stand; voids, reversals are taken back; declines never were."""
    sold = await evening.sell(1000, 2000, 3000, 4000)
    [held, let_go] = await evening.sell(500, 600, capture="manual")
    await evening.change(held, "capture")
    await evening.change(let_go, "void")
    await evening.change(sold[0], "void")
    await evening.change(sold[1], "refund")
    await evening.sell(7000, card={**payment()["card"], "number": DECLINED})
    async with evening.merchant.api() as api:
        refused = await evening.charge(api, amount_minor=800)
        await evening.post(api, f"/v1/payments/{refused['id']}/refuse")

    closed = await evening.close()
    told = await evening.agreed()

    ours, host = closed["ours"], closed["host"]
    assert (closed["state"], closed["differs_by_minor"]) == ("closed", 0)
    # 2000, 3000, 4000 and the capture of 500 stand, less the refund of 2000.
    assert count_and_amount(ours) == count_and_amount(host) == (5, 7500)
    assert ours == host
    assert (ours["debits"], ours["debits_minor"]) == (6, 11300)
    assert (ours["debit_reversals"], ours["debit_reversals_minor"]) == (2, 1800)
    assert (ours["credits"], ours["credits_minor"], ours["authorizations"]) == (1, 2000, 2)
    assert evening.acquirer.batch(closed["batch"])["state"] == "balanced"
    assert Counter(each["state"] for each in told.values()) == {
        "captured": 4,
        "voided": 2,
        "declined": 1,
        "reversed": 1,
    }
    assert (await evening.audit_with_everybody())[1]["differences"] == []


@pytest.mark.parametrize("fault", ["close_out_of_balance", "forget_item"])
async def test_a_batch_out_of_balance_is_uploaded_and_closed(evening: Evening, fault: str) -> None:
    """95: every item goes up once, the host takes it over, and the batch is closed after all."""
    rail = evening.sandbox.log("rail")
    sold = await evening.sell(*range(1000, 1000 + NOBODY_ASKS))
    await evening.change(sold[0], "refund")
    await evening.acquirer.fault(fault)

    closed = await evening.close()
    await evening.agreed()

    assert (closed["state"], closed["items"]) == ("closed", NOBODY_ASKS + 1)
    assert closed["ours"] == closed["host"]
    heard = {mti: len(evening.heard(rail, mti)) for mti in ("0500", "0320", "0520")}
    assert heard == {"0500": 1, "0320": NOBODY_ASKS + 1, "0520": 1}
    assert (await evening.audit()).differences == []


async def test_an_upload_that_is_refused_needs_a_person(evening: Evening) -> None:
    """The batch names the item that the host will not have; a person ends it, with a note."""
    await evening.sell(1000, 2000, 3000)
    await evening.acquirer.fault("close_out_of_balance")
    await evening.acquirer.fault("upload_refuses")

    stuck = await evening.close()
    name = stuck["batch"]
    _, shown = await evening.told("batch", "show", name)
    [difference] = (await evening.audit()).differences

    refused = [each for each in shown["items_listed"] if each["upload"] != "00"]
    assert stuck["state"] == "needs_a_person"
    assert [each["upload"] for each in refused] == ["25"]
    assert {each["state"] for each in shown["items_listed"]} == {"pending"}
    assert difference.what == "a batch has no agreed end"
    assert name in difference.subject

    await evening.sandbox.command(
        "counterfoil", "batch", "resolve", name, "--note", "agreed by phone with the acquirer"
    )
    [resolved] = [each for each in await evening.listed("batches") if each["batch"] == name]
    assert resolved["state"] == "closed"
    assert (await evening.audit()).differences == []


@pytest.mark.parametrize(("refusals", "uploads"), [("2", 1), ("3", 2)])
async def test_a_close_that_is_refused_after_the_upload_goes_on_when_a_person_retries(
    evening: Evening, refusals: str, uploads: int
) -> None:
    """95, and 95 again after the upload: the retry is a new attempt, and no number comes twice."""
    rail = evening.sandbox.log("rail")
    sold = await evening.sell(1000, 2000, 3000)
    await evening.change(sold[0], "refund")
    await evening.acquirer.fault("close_out_of_balance", refusals)
    stuck = await evening.close()

    why = "--note", "the acquirer has looked: nothing is missing"
    await evening.sandbox.command("counterfoil", "batch", "retry", stuck["batch"], *why)
    closed = await evening.ended(stuck["batch"])
    await evening.agreed()

    assert (stuck["state"], closed["state"]) == ("needs_a_person", "closed")
    assert closed["ours"] == closed["host"]
    heard = [each for mti in ("0500", "0320", "0520") for each in evening.heard(rail, mti)]
    told = Counter(each["mti"] for each in heard)
    assert told == {"0500": 2, "0320": 4 * uploads, "0520": uploads}
    assert len({each["stan"] for each in heard}) == len(heard)
    assert evening.acquirer.batch(closed["batch"])["state"] == "balanced"
    assert (await evening.audit()).differences == []


async def test_f17_totals_without_an_answer_are_repeated_and_the_batch_closes_once(
    evening: Evening,
) -> None:
    """The host acts and does not answer: the same message comes again as 0501."""
    rail = evening.sandbox.log("rail")
    await evening.sell(1000, 2000)
    await evening.acquirer.fault("silent_to_close", "2")

    closed = await evening.close()

    assert closed["state"] == "closed"
    assert len(evening.heard(rail, "0500")) == 1
    assert len(evening.heard(rail, "0501")) == 2
    assert len({each["stan"] for mti in ("0500", "0501") for each in evening.heard(rail, mti)}) == 1
    await evening.agreed()
    assert (await evening.audit()).differences == []


async def test_f17_a_worker_that_is_killed_in_the_close_closes_once(evening: Evening) -> None:
    """Killed at the totals and again and again in the upload: no number is sent twice as new."""
    rail = evening.sandbox.log("rail")
    await evening.sell(*range(1000, 1000 + MANY))
    await evening.acquirer.fault("close_out_of_balance")
    [name] = await evening.begin_close()
    for items in (0, *KILLS_AFTER):
        await _uploaded(evening, rail, items)
        await evening.sandbox.kill("worker")

    closed = await evening.ended(name)
    await evening.agreed()

    assert (closed["state"], closed["items"]) == ("closed", MANY)
    assert closed["ours"] == closed["host"]
    first = [
        (each["mti"], each["stan"]) for each in _messages(evening, rail, "0500", "0320", "0520")
    ]
    again = {each["stan"] for each in _messages(evening, rail, "0501", "0321", "0521")}
    assert len(first) == len(set(first))
    assert len({stan for _, stan in first} | again) == MANY + 2  # The totals, each item, the end.
    assert (await evening.audit()).differences == []


async def test_every_payment_is_in_exactly_one_batch_whatever_closes_meanwhile(
    evening: Evening,
) -> None:
    """Intents race with three closes: each captured payment is in one batch, the same on both."""
    closed_three = asyncio.Event()
    selling = asyncio.create_task(_sell_on(evening, closed_three))
    names: list[str] = []
    while len(names) < 3 and not selling.done():
        await asyncio.sleep(0.1)
        names += await evening.begin_close()
    closed_three.set()
    sold = await selling
    names += await evening.begin_close()
    closed = [await evening.ended(each) for each in names]
    told = await evening.agreed()

    assert [each["state"] for each in closed] == ["closed"] * len(names)
    assert len(names) >= 3
    assert all(each["ours"] == each["host"] for each in closed)
    paid = [each for each in sold if each["state"] == "captured"]
    assert len(paid) == len(sold) == len(told)
    assert sum(each["items"] for each in closed) == len(paid)
    assert (await evening.audit()).differences == []


async def test_a_void_that_races_with_the_close_is_one_of_two(evening: Evening) -> None:
    """Voided and in no batch, or refused because the batch closes, and then refunded."""
    sold = await evening.sell(*range(1000, 1012))
    async with evening.merchant.api() as api:
        voids = [asyncio.create_task(_void(evening, api, each["id"])) for each in sold]
        await asyncio.sleep(0.01)
        [name] = await evening.begin_close()
        answers = await asyncio.gather(*voids)
        late = [each for each, answer in zip(sold, answers, strict=True) if answer == 409]
        for each in late:
            await evening.post(api, f"/v1/payments/{each['id']}/refund")
    closed = await evening.ended(name)
    told = {each["id"]: each for each in (await evening.agreed()).values()}

    assert set(answers) <= {200, 201, 409}
    assert (closed["state"], closed["items"]) == ("closed", len(late))
    for each, answer in zip(sold, answers, strict=True):
        voided = told[each["id"]]["state"] == "voided"
        assert voided == (answer != 409)
        assert told[each["id"]]["refunded_minor"] == (0 if voided else each["amount_minor"])
    assert (await evening.audit()).differences == []


async def test_an_approval_that_nobody_claims_is_in_no_batch(evening: Evening) -> None:
    """The close waits until it is reversed; what the host took back is told gross by both."""
    await evening.sell(1000)
    left = (await evening.merchant.post_payment(amount_minor=2000)).json()
    [name] = await evening.begin_close()

    closed = await evening.ended(name)
    told = {each["id"]: each for each in (await evening.agreed()).values()}

    assert states(told[left["id"]]) == ["processing", "approved", "reversing", "reversed"]
    assert closed["ours"] == closed["host"]
    assert (closed["items"], closed["ours"]["debit_reversals_minor"]) == (1, 2000)
    assert (await evening.audit()).differences == []


async def test_a_void_after_the_host_closed_by_itself_is_a_refund(evening: Evening) -> None:
    """The shopper's money comes back all the same: not charged here, given back there."""
    [sold, _] = await evening.sell(1000, 2000)
    await evening.acquirer.fault("close_batch", "all")

    voided = await evening.change(sold, "void")

    async def final() -> bool:
        return bool((await evening.merchant.payment(sold["id"]))["state"] == "voided")

    await eventually(final, "the void ends as a refund")
    for each in await evening.listed("batches"):
        if each["state"] == "open":
            await evening.begin_close()
    closed = [await evening.ended(each["batch"]) for each in await _not_open(evening)]
    [charge] = [
        each
        for each in evening.acquirer.charges(evening.merchant.terminal_id)
        if each["rrn"] == sold["rrn"]
    ]

    assert voided["charged"] is False
    assert {each["state"] for each in closed} == {"closed"}
    assert (charge["state"], charge["refunded_minor"]) == ("refunded", 1000)
    code, audited = await evening.audit_with_everybody()
    assert (code, audited["differences"]) == (0, [])


async def test_the_day_closes_at_the_cutoff_of_the_merchants_wall(evening: Evening) -> None:
    """At the merchant's own time of day, and afterwards when nobody was there to see it."""
    await evening.sell(1000)
    await _cutoff(evening, datetime.now(UTC) + timedelta(seconds=2))
    await _begun(evening, 1)
    await evening.sell(2000, 3000)
    missed = datetime.now(UTC) + timedelta(seconds=AWAY_SECONDS)
    await _cutoff(evening, missed)
    await evening.sandbox.stop("gateway")
    assert datetime.now(UTC) < missed, "too slow to miss the cutoff"
    await asyncio.sleep((missed - datetime.now(UTC)).total_seconds())
    await evening.sandbox.start("gateway")
    await evening.sandbox.takes_payments()

    closed = [await evening.ended(each["batch"]) for each in await _begun(evening, 2)]
    await evening.agreed()

    assert {(each["state"], each["cause"]) for each in closed} == {("closed", "cutoff")}
    assert [each["items"] for each in closed] == [2, 1]
    assert (await evening.audit()).differences == []


async def _uploaded(evening: Evening, rail: Log, items: int) -> None:
    """Wait until the rail has had so many items, or the totals for none."""

    async def heard() -> bool:
        mtis = ("0320", "0321") if items else ("0500", "0501")
        return len({each["stan"] for each in _messages(evening, rail, *mtis)}) >= max(items, 1)

    await eventually(heard, f"{items} items uploaded")


def _messages(evening: Evening, rail: Log, *mtis: str) -> list[Json]:
    return [each for mti in mtis for each in evening.heard(rail, mti)]


async def _sell_on(evening: Evening, enough: asyncio.Event) -> list[Json]:
    sold: list[Json] = []
    for number in range(40):
        if enough.is_set():
            break
        sold += await evening.sell(*range(1000 + 10 * number, 1010 + 10 * number))
    return sold


async def _void(evening: Evening, api: httpx2.AsyncClient, payment_id: str) -> int:
    try:
        await evening.post(api, f"/v1/payments/{payment_id}/void")
    except httpx2.HTTPStatusError as refused:
        return refused.response.status_code
    return 200


async def _not_open(evening: Evening) -> list[Json]:
    return [each for each in await evening.listed("batches") if each["state"] != "open"]


async def _begun(evening: Evening, number: int) -> list[Json]:
    found: list[Json] = []

    async def begun() -> bool:
        found[:] = await _not_open(evening)
        return len(found) >= number

    await eventually(begun, "the cutoff was kept")
    return found


async def _cutoff(evening: Evening, at: datetime) -> None:
    """Let the merchant's day end at that moment."""
    wall = at.astimezone(ZoneInfo(ZONE)).time()
    async with evening.sandbox.database() as database:
        await database.execute(
            "UPDATE merchants SET cutoff = $2 WHERE merchant_id = $1", evening.number, wall
        )
