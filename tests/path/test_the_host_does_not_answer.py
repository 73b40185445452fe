"""
A request without an answer: nobody knows, so it is not charged, and the host hears of it until
it accepts.
"""

import asyncio

from .agreement import ACCOUNTS, agreed, balances, messages, states
from .merchants import Merchant, card
from .sandboxes import eventually

# What befalls the answer of one sale each, and what the rail's books say of that sale in the end.
LOST = {
    ("silent", "1:booked"): ["reversed"],
    ("silent", "1:unbooked"): [],
    ("wrong_stan_answer", "1"): ["reversed"],
    ("late_answer_seconds", "5:1"): ["reversed"],
}


async def test_f08_a_payment_without_an_answer_is_reversed(hasty_merchant: Merchant) -> None:
    """Lost on the way there or back, under another's number, or late: never charged, never 00."""
    merchant, sandbox = hasty_merchant, hasty_merchant.sandbox
    rail, gateway = sandbox.log("rail"), sandbox.log("gateway")
    async with merchant.client() as client:
        sales = []
        for fault, value in LOST:
            async with sandbox.fault(fault, value):
                sale = client.sale(4200, "USD", card(), order="lost", idempotency_key=fault + value)
                sales.append(asyncio.create_task(sale))
                await rail.says("message", times=len(sales), mti="0200")
        sold = await asyncio.gather(*sales)
    told = await agreed(merchant)
    await gateway.says("late_answer", rrn=sold[-1].rrn)
    await gateway.says("unmatched_answer", rrn=sold[-2].rrn)

    charges = await sandbox.rail_books({merchant.terminal_id})
    for each, expected in zip(sold, LOST.values(), strict=True):
        assert (each.charged, each.confirmation_number) == (False, None)
        known = told[str(each.idempotency_key)]
        assert states(known) == ["processing", "reversing", "reversed"]
        assert known["states"][1]["cause"] == "answer_missing"
        assert [one["39"] for one in messages(known, "0420")] == ["68"]
        assert await balances(merchant, known) == dict.fromkeys(ACCOUNTS, 0)
        assert [one["state"] for one in charges if one["rrn"] == each.rrn] == expected
    assert await sandbox.mails("for order lost") == []
    await _the_late_approval_is_kept(merchant, sold[-1].id)


async def _the_late_approval_is_kept(merchant: Merchant, payment_id: str) -> None:
    async def kept() -> bool:
        answers = messages(await merchant.payment(payment_id), "0210")
        return [each["39"] for each in answers] == ["00"]

    await eventually(kept, "the late answer lies beside its request")
    told = {each["id"]: each for each in (await agreed(merchant)).values()}[payment_id]
    assert states(told) == ["processing", "reversing", "reversed"]
    assert await balances(merchant, told) == dict.fromkeys(ACCOUNTS, 0)


async def test_f08_a_payment_whose_link_is_lost_is_reversed_on_the_next(
    hasty_merchant: Merchant,
) -> None:
    """Booked, and then the link is cut instead of an answer: unknown at once, and reversed."""
    merchant = hasty_merchant
    async with merchant.sandbox.fault("drop_link_after_booking", "1"), merchant.client() as client:
        cut = await client.sale(4200, "USD", card(), idempotency_key="cut")
        await merchant.sandbox.takes_payments()
        after = await client.sale(4300, "USD", card(), idempotency_key="after")

    told = await agreed(merchant)
    assert (cut.charged, told["cut"]["state"]) == (False, "reversed")
    assert [each["39"] for each in messages(told["cut"], "0420")] == ["68"]
    assert after.paid


async def test_f08_an_answer_that_comes_twice_counts_once(hasty_merchant: Merchant) -> None:
    """A host that repeats itself changes nothing."""
    merchant = hasty_merchant
    async with merchant.sandbox.fault("duplicate_answer", "1"), merchant.client() as client:
        sold = await client.sale(4200, "USD", card(), idempotency_key="twice")

    told = (await agreed(merchant))["twice"]
    assert sold.paid
    assert states(told) == ["processing", "approved", "captured"]


async def test_f11_a_reversal_is_repeated_until_the_host_accepts_it(
    hasty_merchant: Merchant,
) -> None:
    """Unanswered and refused ones come again as 0421, and meanwhile hold up nobody else's."""
    merchant, sandbox = hasty_merchant, hasty_merchant.sandbox
    rail, worker = sandbox.log("rail"), sandbox.log("worker")
    unanswered, refused = await asyncio.gather(
        merchant.post_payment("unanswered"), merchant.post_payment("refused")
    )
    async with merchant.client() as client:
        async with sandbox.fault("silent_to_reversals", "1"):
            await client.refuse(unanswered.json()["id"])
            await rail.says("message", mti="0420", rrn=unanswered.json()["rrn"])
        async with sandbox.fault("decline_reversals", "1:05"):
            await client.refuse(refused.json()["id"])
            await rail.says("message", mti="0420", rrn=refused.json()["rrn"])
    assert worker.said("advice_unanswered") == []  # The first one is still waited for.
    told = await agreed(merchant)

    assert {each["state"] for each in told.values()} == {"reversed"}
    for each in told.values():
        _, *tries = rail.said("message", rrn=each["rrn"])
        assert [one["mti"] for one in tries] == ["0420", "0421"]
        assert len({one["stan"] for one in tries}) == 1
