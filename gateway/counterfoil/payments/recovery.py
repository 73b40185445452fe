"""
Recovery: what must not wait for anybody to ask.

The sweep finds approvals that nobody claimed in time and intents whose process has
ended without an answer, and owes the network a reversal for each; and it lets go of
holds whose time is over. It runs in every worker; the guarded UPDATE decides when two
of them see the same payment.
"""

import asyncio
from datetime import timedelta
from uuid import UUID

import structlog

from counterfoil.network.requests import REASON_TIMEOUT, REASON_VOID
from counterfoil.payments.lifecycle import Cause, State
from counterfoil.payments.payment import Payment
from counterfoil.payments.road import Road
from counterfoil.store.payments import Lapse, Reversal

SWEPT_AT_ONCE_MAX = 500
ACTOR = "worker"

log = structlog.get_logger("recovery")


async def sweep(road: Road) -> int:
    """
    Owe a reversal for every payment that is overdue, release lapsed holds; return how many.
    """
    return await _unclaimed(road) + await _orphaned(road) + await _lapsed(road)


async def _unclaimed(road: Road) -> int:
    now = road.clock.now()
    overdue = await road.store.unclaimed(now, SWEPT_AT_ONCE_MAX)
    return await _reverse(
        overdue, State.APPROVED, Cause.UNCLAIMED, REASON_VOID, road, unclaimed=True
    )


async def _orphaned(road: Road) -> int:
    now = road.clock.now()
    oldest = now - timedelta(seconds=road.timers.orphan_seconds)
    orphans = await road.store.orphaned(now, oldest, SWEPT_AT_ONCE_MAX)
    return await _reverse(orphans, State.PROCESSING, Cause.PROCESS_ENDED, REASON_TIMEOUT, road)


async def _lapsed(road: Road) -> int:
    """
    Release what authorizations still hold past their time, and tell the acquirer.
    """
    now = road.clock.now()
    lapses = [
        Lapse(
            merchant_id=merchant_id,
            payment_id=payment_id,
            event_id=road.ids.new(),
            transfer_id=road.ids.new(),
            advice_id=road.ids.new(),
            late_until=now + timedelta(seconds=road.timers.late_seconds),
            at=now,
            actor=ACTOR,
        )
        for merchant_id, payment_id in await road.store.lapsed(now, SWEPT_AT_ONCE_MAX)
    ]
    expired = [payment for each in lapses if (payment := await road.store.expire(each))]
    for payment in expired:
        log.info("hold_lapsed", payment=payment.payment_id.hex, state=payment.state)
    return len(expired)


async def _reverse(
    found: list[tuple[UUID, UUID]],
    before: State,
    cause: Cause,
    reason_code: str,
    road: Road,
    *,
    unclaimed: bool = False,
) -> int:
    now = road.clock.now()
    reversals = [
        Reversal(
            merchant_id=merchant_id,
            payment_id=payment_id,
            event_id=road.ids.new(),
            from_state=before,
            unclaimed_since=now if unclaimed else None,
            cause=cause,
            advice_id=road.ids.new(),
            reason_code=reason_code,
            late_until=now + timedelta(seconds=road.timers.late_seconds),
            at=now,
            actor=ACTOR,
        )
        for merchant_id, payment_id in found
    ]
    moved = await asyncio.gather(*(road.store.reverse(each) for each in reversals))
    won: list[Payment] = [payment for payment in moved if payment]
    for payment in won:
        if payment.state is State.UNANSWERED:
            log.warning("verification_unanswered", payment=payment.payment_id.hex, rrn=payment.rrn)
            continue
        log.warning("reversal_owed", payment=payment.payment_id.hex, cause=cause, rrn=payment.rrn)
    return len(won)
