"""
The number beside an entry of the menu: looked up once in a few seconds for each merchant.
"""

from uuid import UUID

from counterfoil.people.roles import Right
from counterfoil.store.attention import AttentionStore
from counterfoil.store.database import DatabaseAway
from counterfoil.web.visit import Visit

KEPT_SECONDS = 4.0
KEPT_MAX = 10_000

_kept: dict[UUID, tuple[float, int]] = {}


async def counts_of(visit: Visit) -> dict[str, int]:
    """
    Return the numbers that the menu shows to whoever looks, by the address of the entry.

    A page is shown without them rather than not at all.
    """
    who = visit.guest
    if who is None or not who.may(Right.READ_PAYMENTS):
        return {}
    merchant_id, now = who.merchant.merchant_id, visit.desk.clock.monotonic()
    until, number = _kept.get(merchant_id, (0.0, 0))
    if now >= until:
        try:
            number = await AttentionStore(visit.desk.database, merchant_id).number()
        except DatabaseAway:
            return {}
        if len(_kept) >= KEPT_MAX:
            _kept.clear()
        _kept[merchant_id] = (now + KEPT_SECONDS, number)
    return {"/attention": number}


def forget(merchant_id: UUID) -> None:
    """
    Look anew: something was seen to.
    """
    _kept.pop(merchant_id, None)
