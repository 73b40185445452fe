"""
The merchant's day ends at the merchant's cutoff, in the merchant's time zone.

Run by every worker; a guarded UPDATE decides who keeps a cutoff. After an outage the
cutoffs that were missed are kept at once, as one.
"""

from datetime import timedelta
from functools import lru_cache
from uuid import UUID

import asyncpg
import structlog

from counterfoil.payments.road import Road
from counterfoil.settlement.close import begin
from counterfoil.settlement.cutoff import next_cutoff
from counterfoil.store.batches import BatchStore, Cutoff

MERCHANTS_AT_ONCE_MAX = 500
CUTOFFS_KEPT_MAX = 20_000
OPEN_MAX = timedelta(hours=25)  # The longest day: the one on which summer time ends.
CLOSING_MAX = timedelta(minutes=5)

log = structlog.get_logger("schedule")

# The day's end of ten thousand merchants is found once a day, not every five seconds.
_first_cutoff = lru_cache(CUTOFFS_KEPT_MAX)(next_cutoff)


async def keep_cutoffs(batches: BatchStore, road: Road) -> int:
    """
    Begin to close the batches of every merchant whose cutoff has passed; return how many.
    """
    begun = 0
    after: UUID | None = None
    while page := await batches.cutoffs(after, MERCHANTS_AT_ONCE_MAX):
        for merchant in page:
            begun += await _keep_safely(merchant, batches, road)
        after = page[-1].merchant_id
    return begun


async def watch(batches: BatchStore, road: Road) -> None:
    """
    Raise an alarm for batches whose items wait too long, that close too long, or need a person.
    """
    now = road.clock.now()
    for row in await batches.overdue(now - OPEN_MAX, now - CLOSING_MAX):
        log.error(
            "batch_overdue",
            terminal=row["terminal_id"],
            currency=row["currency"],
            batch=row["batch_number"],
            state=row["state"],
            opened_at=row["opened_at"].isoformat(),
        )


async def _keep_safely(merchant: Cutoff, batches: BatchStore, road: Road) -> int:
    """
    Keep one merchant's cutoff; a zone or a number that cannot be is that merchant's trouble.
    """
    try:
        return await _keep(merchant, batches, road)
    except (ValueError, asyncpg.CheckViolationError) as error:
        log.error(
            "cutoff_not_kept",
            merchant=merchant.merchant_id.hex,
            reason=f"{type(error).__name__}: {error}",
        )
        return 0


async def _keep(merchant: Cutoff, batches: BatchStore, road: Road) -> int:
    now = road.clock.now()
    due = _first_cutoff(merchant.last_cutoff_at, merchant.cutoff, merchant.timezone)
    if due > now:
        return 0
    latest = due
    while (following := next_cutoff(latest, merchant.cutoff, merchant.timezone)) <= now:
        latest = following
    # Closing comes first: after a crash in between it is done again, and finds only what was
    # opened before the cutoff.
    keys = await batches.to_close(merchant.merchant_id, latest)
    begun = await begin(keys, batches, road, cause="cutoff", actor="worker")
    await batches.keep_cutoff(merchant.merchant_id, merchant.last_cutoff_at, latest)
    if begun:
        log.info("cutoff", merchant=merchant.merchant_id.hex, batches=len(begun))
    return len(begun)
