"""
What a worker does for the terminal: write how sales ended whose process has died.
"""

from datetime import timedelta

import structlog

from counterfoil.payments.road import Road
from counterfoil.store.merchants import MerchantStore
from counterfoil.store.terminal import TerminalStore
from counterfoil.terminal.selling import find_out

AT_ONCE_MAX = 100
LEFT_ALONE = timedelta(seconds=3)  # So long whoever began a sale is at it, most likely.

log = structlog.get_logger("terminal")


class SaleMinder:
    """
    Looks after all sales that have no end yet, round after round.
    """

    def __init__(self, road: Road, store: TerminalStore, merchants: MerchantStore) -> None:
        self._road = road
        self._store = store
        self._merchants = merchants

    async def look(self) -> int:
        """
        Take one look; return how many sales stand otherwise than before.
        """
        done = 0
        for each in await self._store.unfinished(self._road.clock.now() - LEFT_ALONE, AT_ONCE_MAX):
            merchant = await self._merchants.merchant(each.merchant_id)
            assert merchant is not None, "a merchant is never deleted"
            found = await find_out(each, merchant, road=self._road, store=self._store)
            if found.state is not each.state:
                log.info("sale_found_out", sale=each.sale_id.hex, state=found.state)
                done += 1
        return done
