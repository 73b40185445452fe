"""
The gateway process is killed at any point of a payment; its supervisor starts it again.
"""

import asyncio

from .agreement import ACCOUNTS, agreed, balances, messages, states
from .merchants import Merchant, card
from .tills import Shop


async def test_f05_an_orphan_of_a_dead_process_is_reversed(hasty_merchant: Merchant) -> None:
    """Killed with the request at the issuer: the client is told not charged, and so it is."""
    merchant, sandbox = hasty_merchant, hasty_merchant.sandbox
    gateway = sandbox.log("gateway")
    async with sandbox.fault("issuer_delay_ms", "2000"), merchant.client() as client:
        sale = asyncio.create_task(
            client.sale(4200, "USD", card(), order="orphan", idempotency_key="orphan")
        )
        await gateway.says("network.sent", mti="0200")
        await sandbox.kill("gateway")
        sold = await sale

    assert (sold.charged, sold.confirmation_number) == (False, None)
    told = (await agreed(merchant))["orphan"]
    assert states(told) == ["processing", "reversing", "reversed"]
    assert told["states"][1]["cause"] == "process_ended"
    assert [each["39"] for each in messages(told, "0420")] == ["68"]
    assert await balances(merchant, told) == dict.fromkeys(ACCOUNTS, 0)


async def test_f05_kills_at_any_point_leave_one_story(hasty_merchant: Merchant) -> None:
    """Sales under way, and the gateway killed between each two of its steps: all agree."""
    merchant, sandbox = hasty_merchant, hasty_merchant.sandbox
    async with merchant.client(merchant.new_journal()) as client:
        shop = Shop(client)
        selling = asyncio.create_task(shop.sell())
        for event in ("payment.intended", "network.answered", "payment.concluded"):
            await shop.sold(more=3)
            await sandbox.log("gateway").says(event)
            await sandbox.kill("gateway")
        await shop.sold(more=3)
        shop.close()
        await selling
        await shop.recover()

    shop.was_told_the_truth(await agreed(merchant))
