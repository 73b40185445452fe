"""
Frozen for longer than others wait, and then gone on: what was in hand is somebody else's by now.

SIGSTOP to a worker, to a client, and for a whole minute to gateway, worker and client at once, as a
machine does that is suspended. The gateway alone is in test_the_gateway_stands_still.py.
"""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from .agreement import ACCOUNTS, agreed, balances, states
from .merchants import VISA, Merchant
from .sandboxes import Json, Sandbox

A_MINUTE_SECONDS = 61.0
HANDED_OVER_SECONDS = 60.0

# A till that says at its end what it was told.
TILL = """
import json, sys
from pathlib import Path
from counterfoil_client import Card, Client

url, key, authority, journal, number = sys.argv[1:]
card = Card(number=number, expiry_month=12, expiry_year=2030, cvv="739")
with Client(url, key, ca=Path(authority), journal=Path(journal)) as client:
    sold = client.sale(4200, "USD", card, order="frozen", idempotency_key="frozen")
    left = [each.outcome for each in client.recover()]
told = {"charged": sold.charged, "number": sold.confirmation_number, "left": left}
print(json.dumps(told))
"""
NOT_CHARGED = {"charged": False, "number": None, "left": []}


async def test_f03_a_client_frozen_past_its_time_hears_that_nothing_was_charged(
    hasty_merchant: Merchant,
) -> None:
    """The approval waits in its socket until it is reversed; the acknowledgment comes too late."""
    merchant, sandbox = hasty_merchant, hasty_merchant.sandbox
    async with _selling(merchant) as till, _frozen([till.pid]):
        told = (await agreed(merchant))["frozen"]
    said = await _said(till)

    assert said == NOT_CHARGED
    assert states(told) == ["processing", "approved", "reversing", "reversed"]
    assert told["states"][2]["cause"] == "unclaimed"
    again = (await agreed(merchant))["frozen"]
    assert states(again) == states(told)
    charges = await sandbox.rail_books({merchant.terminal_id})
    assert [each["state"] for each in charges] == ["reversed"]


async def test_f22_a_worker_frozen_with_a_reversal_in_hand_changes_nothing_when_it_goes_on(
    hasty_merchant: Merchant,
) -> None:
    """Another worker ends it meanwhile; the first one finds its own try unanswered, and is late."""
    merchant, sandbox = hasty_merchant, hasty_merchant.sandbox
    rail, worker = sandbox.log("rail"), sandbox.log("worker")
    refused = (await merchant.post_payment("handed-over")).json()
    async with sandbox.fault("silent_to_reversals", "1"), merchant.client() as client:
        await client.refuse(refused["id"])
        await rail.says("message", mti="0420", rrn=refused["rrn"])
    async with _frozen([sandbox.pid("worker")]), _another_worker(sandbox):
        told = (await agreed(merchant))["handed-over"]
        before = await _written(merchant)
    await worker.says("advice_unanswered")
    await asyncio.sleep(0.5)  # What it does after saying so is refused within a round trip.

    assert states(told) == ["processing", "approved", "reversing", "reversed"]
    assert [each["mti"] for each in rail.said("message", rrn=refused["rrn"])][1:] == [
        "0420",
        "0421",
    ]
    assert await _written(merchant) == before
    assert await balances(merchant, (await agreed(merchant))["handed-over"]) == {
        **dict.fromkeys(ACCOUNTS, 0),
        "issuer": -4200,
        "released": 4200,
    }


async def test_f22_everybody_frozen_for_a_minute_goes_on_with_one_story(
    merchant: Merchant,
) -> None:
    """Between the host's approval and its commit, with the timers of the design.

    Another worker finds the payment of an ended process, and has it reversed before they go on.
    """
    sandbox = merchant.sandbox
    pids = [sandbox.pid("gateway"), sandbox.pid("worker")]
    async with _selling(merchant) as till, _frozen([*pids, till.pid]), _another_worker(sandbox):
        await asyncio.sleep(A_MINUTE_SECONDS)
        meanwhile = await _written(merchant)
    said = await _said(till)
    told = (await agreed(merchant))["frozen"]

    assert said == NOT_CHARGED
    assert [row["state"] for row in meanwhile if row["of"] == "payment"] == ["reversed"]
    assert await _written(merchant) == meanwhile
    assert states(told) == ["processing", "reversing", "reversed"]
    assert told["states"][1]["cause"] == "process_ended"
    assert await balances(merchant, told) == dict.fromkeys(ACCOUNTS, 0)
    charges = await sandbox.rail_books({merchant.terminal_id})
    assert [each["state"] for each in charges] == ["reversed"]


@asynccontextmanager
async def _selling(merchant: Merchant) -> AsyncIterator[asyncio.subprocess.Process]:
    """Lend a till whose sale is at the issuer; the issuer says yes within a second and a half."""
    sandbox = merchant.sandbox
    gateway = sandbox.log("gateway")
    facts = [sandbox.plan.gateway_url, merchant.key, str(sandbox.plan.authority_path)]
    async with sandbox.fault("issuer_delay_ms", "1500"):
        till = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", TILL, *facts, str(merchant.new_journal()), VISA),
            stdout=asyncio.subprocess.PIPE,
        )
        try:
            await gateway.says("network.sent", mti="0200")
            yield till
        except BaseException:
            till.kill()
            await till.wait()
            raise


async def _said(till: asyncio.subprocess.Process) -> Json:
    """Return what the till was told, when it has ended by itself."""
    out, _ = await asyncio.wait_for(till.communicate(), HANDED_OVER_SECONDS)
    assert till.returncode == 0
    said: Json = json.loads(out)
    return said


@asynccontextmanager
async def _frozen(pids: list[int]) -> AsyncIterator[None]:
    """Stop these processes, and let them go on at the end, whatever happens."""
    try:
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


@asynccontextmanager
async def _another_worker(sandbox: Sandbox) -> AsyncIterator[None]:
    """Run one more worker of the installation."""
    worker = await asyncio.create_subprocess_exec(
        *(str(Path(sys.executable).with_name("counterfoil")), "worker"),
        env={**os.environ, "COUNTERFOIL_CONFIG": str(sandbox.plan.configuration_path)},
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        yield
    finally:
        worker.send_signal(signal.SIGTERM)
        await worker.wait()


async def _written(merchant: Merchant) -> list[Json]:
    """Return every payment, advice, event and transfer of *merchant* as they stand."""
    async with merchant.sandbox.database() as database:
        rows = await database.fetch(
            "SELECT 'payment' AS of, to_jsonb(t)::text FROM payments t WHERE merchant_id = $1 "
            "UNION ALL SELECT 'advice', to_jsonb(t)::text FROM advices t WHERE merchant_id = $1 "
            "UNION ALL SELECT 'event', to_jsonb(t)::text FROM payment_events t "
            "WHERE merchant_id = $1 "
            "UNION ALL SELECT 'transfer', to_jsonb(t)::text FROM transfers t "
            "WHERE merchant_id = $1 ORDER BY 1, 2",
            merchant.merchant_id,
        )
    return [{"of": row[0], **json.loads(row[1])} for row in rows]
