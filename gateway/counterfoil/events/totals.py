"""
The days' totals, kept up with the feed: a duty of the worker, off the road of a payment.
"""

from counterfoil.store.totals import TotalsStore

EVENTS_AT_ONCE_MAX = 5_000


async def fold_totals(store: TotalsStore) -> int:
    """
    Count what the feed has told since the last round; return how many events that were.
    """
    merchants = await store.due()
    if not merchants:
        return 0
    return await store.fold(merchants, max(EVENTS_AT_ONCE_MAX // len(merchants), 1))
