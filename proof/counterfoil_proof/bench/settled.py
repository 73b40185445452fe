"""
Seconds to close and to reconcile a day of many payments, made by real traffic.

Closing: from the command until every batch is closed, both sides' totals agreeing. Reconciling:
from the moment the acquirer's reports and the bank's statement lie there until every deposit is
funded. The acquirer's own work on its business day in between is its own, and is told apart. The
e-mails that are still owed of the traffic are taken off the queue before: they are another thing.
"""

import asyncio
import ssl
import time
from datetime import date
from pathlib import Path
from typing import Any

import httpx2
import msgspec
from counterfoil_rail.control import ADVANCE_SECONDS_MAX, ask
from counterfoil_rail.settlement import listing
from counterfoil_rail.store import rail_folder

from counterfoil_proof.bench.installation import BEHIND, BenchFailed, Installation

CONNECTIONS = 64
SECONDS_MAX = 900.0
LOOK_SECONDS = 0.1
DAYS_MAX = 9
OPEN_ITEMS = """
SELECT count(*) FROM movements WHERE kind = 'capture' AND state = 'pending'
"""
PERSON = "SELECT count(*) FROM batches WHERE state = 'needs_a_person'"
UNFUNDED = """
SELECT count(*) FROM movements WHERE kind = 'capture' AND state IN ('pending', 'batched', 'settled')
"""


class Settled(msgspec.Struct, frozen=True, kw_only=True):
    """
    How long it took, for how many payments. `reconciled` are more than `payments`, which were
    closed, by those of batches that were full before.
    """

    payments: int
    reconciled: int
    batches: int
    close_seconds: float
    reconcile_seconds: float
    close_and_reconcile_seconds: float
    acquirers_day_seconds: float


async def measure(installation: Installation, payments: int) -> tuple[Settled, int]:
    """
    Make *payments*, close the day and reconcile it; return the figures and how many were confirmed.

    Raises:
        BenchFailed: A batch needs a person, or it does not come to an end.
    """
    async with installation.running("gateway"):
        made = await installation.load(CONNECTIONS, payments=payments)
    connection = await installation.connect()
    try:
        await installation.take_mails_off()
        await connection.execute("ANALYZE")
        captured = await connection.fetchval(OPEN_ITEMS)
        unfunded = await connection.fetchval(UNFUNDED)
        async with installation.running("gateway", *BEHIND):
            began = time.perf_counter()
            await _close(installation)
            await _until(connection, OPEN_ITEMS, 0)
            closed = time.perf_counter()
            await asyncio.to_thread(_advance, installation.folder)
            written = time.perf_counter()
            await _until(connection, UNFUNDED, 0)
            funded = time.perf_counter()
        batches = await connection.fetchval("SELECT count(*) FROM batches WHERE state = 'closed'")
    finally:
        await connection.close()
    figures = Settled(
        payments=captured,
        reconciled=unfunded,
        batches=batches,
        close_seconds=round(closed - began, 2),
        reconcile_seconds=round(funded - written, 2),
        close_and_reconcile_seconds=round(closed - began + funded - written, 2),
        acquirers_day_seconds=round(written - closed, 2),
    )
    return figures, made.confirmed


async def _close(installation: Installation) -> None:
    trust = ssl.create_default_context(cafile=installation.box.authority_path)
    async with httpx2.AsyncClient(
        base_url=installation.box.gateway_url,
        verify=trust,
        headers={"Authorization": f"Bearer {installation.key()}"},
        timeout=SECONDS_MAX,
    ) as api:
        (await api.post("/v1/batches/close", json={})).raise_for_status()


async def _until(connection: Any, text: str, expected: int) -> None:
    deadline = time.perf_counter() + SECONDS_MAX
    while (found := await connection.fetchval(text)) != expected:
        if await connection.fetchval(PERSON):
            raise BenchFailed("a batch needs a person: its totals do not agree")
        if time.perf_counter() > deadline:
            raise BenchFailed(f"not within {SECONDS_MAX:g} s: {found} instead of {expected}")
        await asyncio.sleep(LOOK_SECONDS)


def _advance(state: Path) -> None:
    """
    Let the acquirer's days pass until the bank has paid all.
    """
    for _ in range(DAYS_MAX):
        answer = ask(rail_folder(state), {"advance": 1}, seconds=ADVANCE_SECONDS_MAX)
        today = date.fromisoformat(answer["days"][-1][0])
        due = [date.fromisoformat(str(each["value_date"])) for each in listing.deposits(state)]
        if due and all(each < today for each in due):
            return
