"""
A merchant on the road of a payment to the real rail, over the real link, in one process.

What the scripted acquirer cannot witness: whether the host and we tell the same story.
"""

import asyncio
import io
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, cast

from counterfoil.config import Timers
from counterfoil.network.link import AcquirerLink, LinkSettings
from counterfoil.network.outcome import Late
from counterfoil.payments.recovery import sweep
from counterfoil.store.database import Database
from counterfoil_rail.dialects import dialect_named
from counterfoil_rail.issuer import DelayRange
from counterfoil_rail.listing import charges
from counterfoil_rail.log import Log
from counterfoil_rail.server import Rail, Settings, running
from dialect_stage import AES_KEY, RETAIL
from dialect_stage import dialect_named as our_dialect
from payment_stage import HandClock, Stage
from scripted_link import ScriptedLink

READY_SECONDS_MAX = 10.0
KEYS = {"gw87-bcd": RETAIL, "gw87-ebcdic": AES_KEY}
# Short where a test waits for the time to pass.
HASTY = Timers(send_seconds=15.0, answer_seconds=0.4, advice_answer_seconds=0.4, lease_seconds=4.0)


class AtTheRail:
    """
    The stage, the rail, and what the link handed over late.
    """

    def __init__(self, stage: Stage, rail: Rail, folder: Path, link: AcquirerLink) -> None:
        self.stage = stage
        self.rail = rail
        self.link = link
        self.folder = folder
        self.late: list[Late] = []

    def charges(self) -> list[dict[str, object]]:
        """Return the rail's own books."""
        return list(charges(self.folder))

    def charge_states(self) -> list[object]:
        """Return the state of each charge in the rail's books."""
        return [each["state"] for each in self.charges()]

    async def settle(self) -> None:
        """Let time pass until nothing is owed: orphans are swept, advices sent."""
        forwarder = self.stage.forwarder()
        self.stage.clock.move(181)  # Past any answer, and past the time to acknowledge.
        await sweep(self.stage.road)
        for _ in range(20):
            await forwarder.forward()
            if not await self._owed():
                return
            await asyncio.sleep(0.02)
            self.stage.clock.move(61)
        raise AssertionError("something is owed for ever")

    async def _owed(self) -> int:
        rows = await self.stage.sql(
            "SELECT count(*) AS n FROM advices WHERE merchant_id = $1 AND state = 'owed'",
            self.stage.merchant.merchant_id,
        )
        number: int = rows[0]["n"]
        return number


@asynccontextmanager
async def at_the_rail(
    database: Database,
    folder: Path,
    *,
    timers: Timers = HASTY,
    delay_ms: int = 0,
    dialect: str = "gw87",
    **more: Any,
) -> AsyncIterator[AtTheRail]:
    """
    Run a rail in *folder*, sign on, and put a merchant on the road to it.

    Both speak *dialect*, each by a codec of its own.
    """
    spoken = dialect_named(dialect, KEYS.get(dialect))
    delay = DelayRange(delay_ms, delay_ms)
    settings = Settings(folder, issuer_delay=delay, is_durable=False, dialect=spoken)
    clock = HandClock()
    async with AsyncExitStack() as open_now:
        log = Log(settings.clock, stream=io.StringIO())
        rail = await open_now.enter_async_context(running(settings, log))
        late: list[Late] = []
        link = link_to(rail, clock, late.append, dialect=dialect)
        await link.start()
        try:
            assert await link.wait_ready(READY_SECONDS_MAX)
            stage = await Stage.set_up(
                database, link=cast("ScriptedLink", link), timers=timers, clock=clock, **more
            )
            found = AtTheRail(stage, rail, folder, link)
            found.late = late
            yield found
        finally:
            await link.stop()


def link_to(
    rail: Rail,
    clock: HandClock,
    on_late: Callable[[Late], None] | None = None,
    *,
    dialect: str = "gw87",
) -> AcquirerLink:
    """
    Return a link to *rail* that nobody has started.
    """
    settings = LinkSettings(
        host="127.0.0.1", port=rail.port, institution_id="987654", drain_seconds=1.0
    )
    return AcquirerLink(settings, our_dialect(dialect), clock, on_late=on_late)
