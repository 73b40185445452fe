"""
Resolve a key: find out what became of a request, and fence it if it never came.

Whoever asks for a key that was never seen gets "never seen"; a copy of the request
that comes later is refused (DESIGN.md 5.4). So after this answer nothing can change. A
command that was refused is as good as never seen: nothing was done, and nothing will be.
"""

from counterfoil.payments.commands import REFUSED
from counterfoil.payments.payment import Merchant, Payment
from counterfoil.payments.road import Road


async def resolve(merchant: Merchant, idempotency_key: str, road: Road) -> Payment | None:
    """
    Return the payment that *idempotency_key* was used for; None when it is fenced from now on.
    """
    now = road.clock.now()
    if await road.store.fence(merchant.merchant_id, idempotency_key, now):
        return None
    use = await road.store.key(merchant.merchant_id, idempotency_key)
    assert use is not None, "a key that could not be fenced is there"
    if use.payment_id is None or use.operation == REFUSED:
        return None
    return await road.store.payment(merchant.merchant_id, use.payment_id)
