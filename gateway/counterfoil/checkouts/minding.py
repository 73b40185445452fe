"""
What a worker does for payment pages: end what is too old, go on where a process has died, and
remove, long afterwards, what ended unpaid.
"""

from datetime import timedelta

import structlog

from counterfoil.checkouts.paying import ADDRESS_WINDOW, find_out
from counterfoil.payments.road import Road
from counterfoil.store.checkouts import CheckoutStore
from counterfoil.store.merchants import MerchantStore

AT_ONCE_MAX = 100
UNPAID_KEPT = timedelta(days=90)  # Then a checkout that ended unpaid is removed; paid ones stay.
LEFT_ALONE = timedelta(seconds=3)  # So long whoever began a try is at it, most likely.

log = structlog.get_logger("checkouts")


class Minder:
    """
    Looks after all checkouts, round after round.
    """

    def __init__(self, road: Road, store: CheckoutStore, merchants: MerchantStore) -> None:
        self._road = road
        self._store = store
        self._merchants = merchants

    async def look(self) -> int:
        """
        Take one look; return how many checkouts have ended, or stand otherwise than before.
        """
        now = self._road.clock.now()
        done = await self._store.expire_due(now, AT_ONCE_MAX)
        for each in await self._store.paying(now - LEFT_ALONE, AT_ONCE_MAX):
            merchant = await self._merchants.merchant(each.merchant_id)
            assert merchant is not None, "a merchant is never deleted"
            found = await find_out(each, merchant, road=self._road, store=self._store)
            if found.state is not each.state:
                log.info("try_found_out", checkout=each.checkout_id.hex, state=found.state)
                done += 1
        await self._store.forget_declines(now - ADDRESS_WINDOW)
        await self._store.forget_unpaid(now - UNPAID_KEPT)
        return done
