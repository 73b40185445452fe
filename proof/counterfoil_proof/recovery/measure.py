"""
Measure a recovery: a sandbox of real processes, a wreck, a restart, and a shop that goes on.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
from counterfoil.config import Configuration
from counterfoil.opened import open_database
from counterfoil.supervisor import Supervisor
from counterfoil_client import AsyncClient, Card, CounterfoilError
from counterfoil_rail.listing import charges

from counterfoil_proof.demo import ports, sandbox
from counterfoil_proof.demo.sandbox import Sandbox
from counterfoil_proof.recovery.wreck import Wreck, wreck

LOOK_SECONDS = 0.25
OPEN_SECONDS_MAX = 15.0
TILLS = 8
SETTINGS = """
[timers]
lease_seconds = 10.0
"""
BASE = ("mailbox", "rail", "database")
GATEWAY = ("gateway", "worker", "mailer")
LEFT = """
SELECT count(*) FROM payments
WHERE merchant_id = ANY($1::uuid[]) AND state IN ('processing', 'approved', 'reversing')
"""


PROMISED_SECONDS, PROMISED_PAYMENTS = 60.0, 10_000  # So many are settled within a minute,
PROMISED_SHARE = 0.5  # and new ones keep at least half of their rate.


class Figures(msgspec.Struct, frozen=True):
    """
    What was measured. `held_at_host` and `left` must be 0.
    """

    payments: int
    unanswered: int
    unclaimed: int
    recovery_seconds: float
    reversals_per_second: float
    new_per_second_before: float
    new_per_second_during: float
    new_refused_during: int
    left: int
    held_at_host: int

    @property
    def holds(self) -> bool:
        """
        Whether all was settled as fast as it is promised, and new payments kept their share.
        """
        allowed = PROMISED_SECONDS * max(1.0, self.payments / PROMISED_PAYMENTS)
        kept = self.new_per_second_during >= PROMISED_SHARE * self.new_per_second_before > 0
        return not (self.left or self.held_at_host) and self.recovery_seconds <= allowed and kept


class Shop:
    """
    Sells at several tills until told to stop, and counts.
    """

    def __init__(self, box: Sandbox, tills: int = TILLS) -> None:
        self._box = box
        self._tills = tills
        self.paid = 0
        self.refused = 0
        self.open = asyncio.Event()  # From the first payment on.

    async def sell(self) -> None:
        """Sell until cancelled."""
        key = self._box.key_path.read_text("utf-8").strip()
        journal = self._box.folder / "shop" / "recovery" / "journal.db"
        async with AsyncClient(
            self._box.gateway_url, key, ca=self._box.authority_path, journal=journal
        ) as client:
            await asyncio.gather(*(self._till(client) for _ in range(self._tills)))

    async def _till(self, client: AsyncClient) -> None:
        card = Card(number="4539578763621486", expiry_month=12, expiry_year=2030, cvv="739")
        while True:
            try:
                payment = await client.sale(4200, "USD", card)
                self.paid += payment.paid
                self.open.set()
            except CounterfoilError:
                self.refused += 1
                await asyncio.sleep(0.1)


async def measure(folder: Path, payments: int, seconds_max: float, base_seconds: float) -> Figures:
    """
    Leave *payments* in flight below *folder*, restart, and return how the recovery went.

    It is watched for *seconds_max* at most; the usual rate is taken over *base_seconds*.
    """
    chosen, _ = ports.choose()
    box = Sandbox(folder, chosen, "0", SETTINGS)
    configuration = sandbox.prepare(box)
    async with _running(box, configuration, BASE):
        async with _running(box, configuration, GATEWAY):
            before = await _usual(box, base_seconds)
        left = await wreck(configuration, payments, payments // 5)
        began = time.monotonic()
        async with _running(box, configuration, ("gateway",)):
            shop = Shop(box)
            selling = asyncio.create_task(shop.sell())
            await _opened(shop)
            paid, since = shop.paid, time.monotonic()
            # Only now somebody recovers: the shop sells all the while.
            async with _running(box, configuration, ("worker", "mailer")):
                open_ones = await _settled(configuration, left, began + seconds_max)
                paid, ended = shop.paid - paid, time.monotonic()
            selling.cancel()
            await asyncio.gather(selling, return_exceptions=True)
    return Figures(
        payments=payments,
        unanswered=left.unanswered,
        unclaimed=left.unclaimed,
        recovery_seconds=round(ended - began, 1),
        reversals_per_second=round((payments - open_ones) / (ended - began), 1),
        new_per_second_before=round(before, 1),
        new_per_second_during=round(paid / (ended - since), 1),
        new_refused_during=shop.refused,
        left=open_ones,
        held_at_host=_held(folder, left),
    )


async def _usual(box: Sandbox, seconds: float) -> float:
    """
    Return how many payments a second an open shop makes while nothing has to be recovered.
    """
    shop = Shop(box)
    selling = asyncio.create_task(shop.sell())
    await _opened(shop)
    before, since = shop.paid, time.monotonic()
    await asyncio.wait({selling}, timeout=seconds)
    rate = (shop.paid - before) / (time.monotonic() - since)
    selling.cancel()
    await asyncio.gather(selling, return_exceptions=True)
    return rate


async def _opened(shop: Shop) -> None:
    """
    Wait for the first payment, which opens the lines: it says nothing about the rate.
    """
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(shop.open.wait(), OPEN_SECONDS_MAX)


async def _settled(configuration: Configuration, left: Wreck, until: float) -> int:
    """
    Wait until nothing of the wreck is open; return how much is.
    """
    async with open_database(configuration) as database, database.acquire() as connection:
        while True:
            count: int = await connection.fetchval(LEFT, list(left.merchants))
            if count == 0 or time.monotonic() > until:
                return count
            await asyncio.sleep(LOOK_SECONDS)


def _held(folder: Path, left: Wreck) -> int:
    """
    Return how many charges of the wreck the host still holds, by its own books.
    """
    return sum(
        each["state"] in ("held", "captured")
        for each in charges(folder)
        if each["terminal_id"] in left.terminals
    )


@contextlib.asynccontextmanager
async def _running(
    box: Sandbox, configuration: Configuration, names: tuple[str, ...]
) -> AsyncIterator[None]:
    programs = [
        msgspec.structs.replace(
            each,
            after=tuple(set(each.after) & set(names)),
            env={**(each.env or {}), "COUNTERFOIL_LOG_LEVEL": "warning"},
        )
        for each in sandbox.programs(box, configuration)
        if each.name in names
    ]
    supervisor = Supervisor(programs)
    try:
        await supervisor.start()
        yield
    finally:
        await supervisor.stop()
