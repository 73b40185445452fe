"""
Resolving a key: what became of it, or that nothing ever will.
"""

import asyncio

import pytest
from counterfoil.payments import movements
from counterfoil.payments.authorize import Taken, take_payment
from counterfoil.payments.refusals import KeyFenced
from counterfoil.payments.resolve import resolve
from payment_stage import Stage


async def test_a_key_that_was_never_seen_is_closed(stage: Stage) -> None:
    """DESIGN 5.4: asked again, the answer is the same; a copy that comes later is refused."""
    order = stage.order()

    answers = [await resolve(stage.merchant, order.idempotency_key, stage.road) for _ in range(2)]

    assert answers == [None, None]
    with pytest.raises(KeyFenced):
        await take_payment(order, stage.road)


async def test_a_key_that_was_used_leads_to_its_payment(stage: Stage) -> None:
    """In its current state; nothing is closed by asking."""
    order = stage.order()
    payment = (await take_payment(order, stage.road)).payment

    found = await resolve(stage.merchant, order.idempotency_key, stage.road)
    confirmed = await stage.acknowledge(payment)

    assert found == payment
    assert await resolve(stage.merchant, order.idempotency_key, stage.road) == confirmed


async def test_the_key_of_a_command_leads_to_its_payment_too(stage: Stage) -> None:
    """A client that died during a refund learns that it happened."""
    payment = await stage.paid()
    await movements.refund(stage.command(payment, key="refund-1"), stage.road)

    found = await resolve(stage.merchant, "refund-1", stage.road)

    assert found is not None
    assert (found.payment_id, found.refunded_minor) == (payment.payment_id, 4200)


async def test_merchants_do_not_close_each_others_keys(stage: Stage) -> None:
    """Keys are unique per merchant."""
    other = await Stage.set_up(stage.database)
    order = stage.order()
    await resolve(other.merchant, order.idempotency_key, other.road)

    assert (await take_payment(order, stage.road)).first


async def test_fence_and_payment_at_once_have_one_winner(stage: Stage) -> None:
    """F5: either the payment is there and told, or it was never made and never will be."""
    for _ in range(10):
        order = stage.order()
        taken, answer = await asyncio.gather(
            take_payment(order, stage.road),
            resolve(stage.merchant, order.idempotency_key, stage.another_process().road),
            return_exceptions=True,
        )
        if answer is None:
            assert isinstance(taken, KeyFenced)
            assert len(stage.link.asked) == await stage.count("payments")
        else:
            assert isinstance(taken, Taken)
            assert not isinstance(answer, BaseException)
            assert answer.payment_id == taken.payment.payment_id
