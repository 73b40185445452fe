"""
PostgreSQL is killed under way; its supervisor starts it again, and no answer given is lost.
"""

import asyncio
import os
import signal
from pathlib import Path

from counterfoil.store.database import CALL_SECONDS_MAX

from .agreement import agreed, states
from .merchants import Merchant, card
from .tills import Shop


async def test_f07_an_answer_that_finds_no_database_waits_for_it(merchant: Merchant) -> None:
    """Killed while the issuer thinks: the approval is stored when it is back, and is paid."""
    sandbox = merchant.sandbox
    gateway = sandbox.log("gateway")
    async with sandbox.fault("issuer_delay_ms", "1000"), merchant.client() as client:
        sale = asyncio.create_task(client.sale(4200, "USD", card(), idempotency_key="waits"))
        await gateway.says("network.sent", mti="0200")
        await sandbox.kill_database()
        sold = await sale

    told = (await agreed(merchant))["waits"]
    assert sold.paid
    assert sold.confirmation_number == told["confirmation_number"]
    assert states(told) == ["processing", "approved", "captured"]


async def test_f07_a_database_that_stands_still_loses_no_approval(merchant: Merchant) -> None:
    """Frozen for longer than a call may take, while the issuer says yes: paid when it goes on."""
    sandbox = merchant.sandbox
    gateway, rail = sandbox.log("gateway"), sandbox.log("rail")
    async with sandbox.fault("issuer_delay_ms", "1000"), merchant.client() as client:
        sale = asyncio.create_task(client.sale(4200, "USD", card(), idempotency_key="still"))
        await gateway.says("network.sent", mti="0200")
        frozen = _family(sandbox.postgres_pid())
        try:
            for pid in frozen:
                os.kill(pid, signal.SIGSTOP)
            await rail.says("message", mti="0200", outcome="answered")
            await asyncio.sleep(CALL_SECONDS_MAX + 1)
            told_early = sale.done()
        finally:
            for pid in frozen:
                os.kill(pid, signal.SIGCONT)
        sold = await sale

    told = (await agreed(merchant))["still"]
    assert not told_early
    assert sold.paid
    assert states(told) == ["processing", "approved", "captured"]
    assert len(rail.said("message", mti="0200", rrn=sold.rrn)) == 1


def _family(pid: int) -> list[int]:
    """Return *pid* and its children: PostgreSQL has a process for each connection."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *map(int, children)]


async def test_a_gateway_that_finds_no_database_waits_for_it(merchant: Merchant) -> None:
    """Both die, and PostgreSQL takes long to recover: the gateway is not given up meanwhile."""
    sandbox = merchant.sandbox
    gateway = sandbox.log("gateway")
    holder, killed = sandbox.pid("database"), sandbox.pid("gateway")
    os.kill(holder, signal.SIGSTOP)  # It does not notice, so nobody starts PostgreSQL again.
    try:
        os.kill(sandbox.postgres_pid(), signal.SIGKILL)
        os.kill(killed, signal.SIGKILL)
        await gateway.says("database_awaited", times=3)
    finally:
        os.kill(holder, signal.SIGCONT)
    await sandbox.is_back("gateway", killed)
    await sandbox.takes_payments()
    async with merchant.client() as client:
        sold = await client.sale(4200, "USD", card())

    assert sold.paid
    await agreed(merchant)


async def test_f07_a_backend_that_dies_takes_its_server_along_and_the_supervisor_starts_it_again(
    merchant: Merchant,
) -> None:
    """One process of PostgreSQL is killed, as for want of memory: said, counted, paid on."""
    sandbox = merchant.sandbox
    program, restarts = sandbox.pid("database"), sandbox.restarts("database")
    log = sandbox.log("database")
    backend = await asyncio.to_thread(_backend, sandbox.postgres_pid())
    os.kill(backend, signal.SIGKILL)
    await sandbox.is_back("database", program)
    await sandbox.takes_payments()
    async with merchant.client() as client:
        sold = await client.sale(4200, "USD", card())

    assert sold.paid
    assert sandbox.restarts("database") == restarts + 1
    assert "restart_after_crash" in log.text()
    await agreed(merchant)


def _backend(server: int) -> int:
    """Return a child of *server* that serves a connection."""
    for each in _family(server)[1:]:
        if Path(f"/proc/{each}/cmdline").read_text().startswith("postgres: counterfoil "):
            return each
    raise LookupError("no process of PostgreSQL serves a connection")


async def test_f07_kills_under_load_leave_one_story(merchant: Merchant) -> None:
    """Sales under way while PostgreSQL is killed twice: paid or not charged, nothing unknown."""
    async with merchant.client(merchant.new_journal()) as client:
        shop = Shop(client)
        selling = asyncio.create_task(shop.sell())
        for _ in range(2):
            await shop.sold(more=8)
            await merchant.sandbox.kill_database()
        await shop.sold(more=8)
        shop.close()
        await selling
        await shop.recover()

    shop.was_told_the_truth(await agreed(merchant))
