"""
The whole gateway process stands still for a while (SIGSTOP, a suspended machine) and goes on.
"""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from .agreement import ACCOUNTS, agreed, balances, states
from .locks import intents_wait, statements_wait
from .merchants import Merchant, card
from .sandboxes import Sandbox

SALES = 4


async def test_f09_a_request_whose_time_to_be_sent_has_passed_is_never_sent(
    hasty_merchant: Merchant,
) -> None:
    """Frozen between the intent and the link: not a byte leaves afterwards, and 503 says so."""
    merchant, sandbox = hasty_merchant, hasty_merchant.sandbox
    await _first_sale(merchant)
    rail = sandbox.log("rail")
    async with _frozen_at_the_end(sandbox), intents_wait(merchant):
        waiting = asyncio.create_task(merchant.post_payment("frozen"))
        await statements_wait(sandbox)
        _signal(sandbox, signal.SIGSTOP)
        await asyncio.sleep(sandbox.configuration.timers.send_seconds + 0.2)
    answered = await waiting

    assert (answered.status_code, answered.json()["code"]) == (503, "not_sent")
    assert int(answered.headers["retry-after"]) >= 1
    told = (await agreed(merchant))["frozen"]
    assert states(told) == ["processing", "not_sent"]
    assert await balances(merchant, told) == dict.fromkeys(ACCOUNTS, 0)
    assert rail.said("message", mti="0200") == []


async def test_f22_a_process_that_was_taken_for_dead_finds_its_payments_reversed(
    hasty_merchant: Merchant,
) -> None:
    """Frozen beyond its lease with approvals in its sockets: they are not turned into payments."""
    merchant, sandbox = hasty_merchant, hasty_merchant.sandbox
    gateway, worker = sandbox.log("gateway"), sandbox.log("worker")
    async with sandbox.fault("issuer_delay_ms", "1000"), merchant.client() as client:
        sales = [
            asyncio.create_task(client.sale(4200, "USD", card(), idempotency_key=f"frozen-{each}"))
            for each in range(SALES)
        ]
        await gateway.says("network.sent", times=SALES, mti="0200")
        async with _frozen_at_the_end(sandbox):
            _signal(sandbox, signal.SIGSTOP)
            await worker.says("reversal_owed", times=SALES, cause="process_ended")
        sold = await asyncio.gather(*sales)

    told = await agreed(merchant)
    for each in sold:
        assert (each.charged, each.confirmation_number) == (False, None)
        assert states(told[str(each.idempotency_key)]) == ["processing", "reversing", "reversed"]
    charges = await sandbox.rail_books({merchant.terminal_id})
    assert [each["state"] for each in charges] == ["reversed"] * SALES


async def _first_sale(merchant: Merchant) -> None:
    """Let the merchant's first batch be opened."""
    async with merchant.client() as client:
        assert (await client.sale(100, "USD", card())).paid


@asynccontextmanager
async def _frozen_at_the_end(sandbox: Sandbox) -> AsyncIterator[None]:
    """Let the gateway go on, whatever happens."""
    try:
        yield
    finally:
        _signal(sandbox, signal.SIGCONT)


def _signal(sandbox: Sandbox, number: signal.Signals) -> None:
    os.kill(sandbox.pid("gateway"), number)
