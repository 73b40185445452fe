"""
The gateway is told to stop, as every upgrade does, while payments are under way.
"""

import asyncio
import os
import signal

from .agreement import agreed, states
from .merchants import Merchant, card

SALES = 4


async def test_f20_a_gateway_that_is_told_to_stop_finishes_what_it_has_begun(
    merchant: Merchant,
) -> None:
    """Stopped with requests at the issuer: each is decided before it ends, and is paid once."""
    sandbox = merchant.sandbox
    gateway, rail = sandbox.log("gateway"), sandbox.log("rail")
    async with sandbox.fault("issuer_delay_ms", "1000"), merchant.client() as client:
        sales = [
            asyncio.create_task(client.sale(4200, "USD", card(), idempotency_key=f"stop-{each}"))
            for each in range(SALES)
        ]
        await gateway.says("network.sent", times=SALES, mti="0200")
        stopped = sandbox.pid("gateway")
        os.kill(stopped, signal.SIGTERM)
        await sandbox.is_back("gateway", stopped)
        sold = await asyncio.gather(*sales)

    assert all(each.paid for each in sold)
    told = await agreed(merchant)
    for each in sold:
        assert states(told[str(each.idempotency_key)]) == ["processing", "approved", "captured"]
    assert len(rail.said("message", mti="0200")) == SALES


async def test_f20_a_worker_that_is_told_to_stop_leaves_nothing_half_done(
    hasty_merchant: Merchant,
) -> None:
    """Stopped with a reversal at the host: it is finished, or repeated by the next worker."""
    merchant, sandbox = hasty_merchant, hasty_merchant.sandbox
    rail = sandbox.log("rail")
    refused = (await merchant.post_payment("worker-stops")).json()
    async with sandbox.fault("silent_to_reversals", "1"), merchant.client() as client:
        await client.refuse(refused["id"])
        await rail.says("message", mti="0420", rrn=refused["rrn"])
        stopped = sandbox.pid("worker")
        os.kill(stopped, signal.SIGTERM)
        await sandbox.is_back("worker", stopped)

    told = (await agreed(merchant))["worker-stops"]
    assert states(told) == ["processing", "approved", "reversing", "reversed"]
    assert [each["state"] for each in await sandbox.rail_books({merchant.terminal_id})] == [
        "reversed"
    ]
