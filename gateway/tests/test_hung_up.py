"""
F20: the client hangs up, at any moment of any call; what was begun ends as if it had stayed.
"""

from typing import Any

import pytest
from api_stage import SALE, Api
from counterfoil import ids
from counterfoil.payments.lifecycle import Kind, State
from counterfoil.payments.payment import Payment
from counterfoil.payments.resolve import resolve
from interruption import interrupted_at
from payment_stage import Stage

FINISH_SECONDS_MAX = 5.0


@pytest.fixture
async def api(stage: Stage) -> Api:
    """The application, with a key."""
    return await Api.of(stage)


async def hung_up_at_every_await(api: Api, call: Any) -> int:
    """
    Make *call* again and again, hung up one await later each time; return how often.

    Each time everything begun is waited for, as at the end of a process.
    """
    stopped = 0
    while await interrupted_at(stopped + 1, call(stopped)):
        stopped += 1
        assert await api.desk.finish(FINISH_SECONDS_MAX) == 0
        api.desk._stopping = False
    return stopped


async def payment_of(api: Api, key: str) -> Payment | None:
    return await resolve(api.stage.merchant, key, api.stage.road)


async def test_f20_a_sale_whose_client_hangs_up_is_decided_all_the_same(api: Api) -> None:
    """Never begun, or approved and waiting to be claimed: nothing in between, nothing twice."""
    stopped = await hung_up_at_every_await(api, lambda number: api.sale(key=f"gone-{number}"))

    found = [await payment_of(api, f"gone-{number}") for number in range(stopped + 1)]
    begun = [payment for payment in found if payment is not None]
    assert stopped >= 3
    assert {payment.state for payment in begun} == {State.APPROVED}
    assert len(api.stage.link.asked) == len(begun) > 1


@pytest.mark.parametrize(
    ("call", "kind", "done"),
    [
        ("acknowledge", None, State.CAPTURED),
        ("refuse", None, State.REVERSING),
        ("capture", Kind.AUTHORIZATION, State.CAPTURED),
        ("void", Kind.SALE, State.VOIDING),
        ("refund", Kind.SALE, State.CAPTURED),
    ],
)
async def test_f20_a_command_whose_client_hangs_up_is_done_or_not_begun(
    api: Api, call: str, kind: Kind | None, done: State
) -> None:
    """And asking again under the same key finishes it once."""
    payments: list[Payment] = []
    for _ in range(40):
        taken = await api.stage.take(kind=kind or Kind.SALE)
        payments.append(await api.stage.acknowledge(taken) if kind else taken)

    def command(number: int) -> Any:
        written = ids.written(ids.PAYMENT, payments[number].payment_id)
        path = f"/v1/payments/{written}/{call}"
        return api.call("POST", path, {}, idempotency_key=f"{call}-{payments[0].rrn}-{number}")

    stopped = await hung_up_at_every_await(api, command)

    assert stopped >= 2
    before = [payment.state for payment in payments[: stopped + 1]]
    for number in range(stopped + 1):
        now = await api.stage.read(payments[number])
        assert now.state in (before[number], done)
        assert (await command(number)).status in (200, 201)
        again = await api.stage.read(payments[number])
        assert again.state is done
        assert again.refunded_minor == (again.captured_minor if call == "refund" else 0)


async def test_f20_a_client_that_hangs_up_and_asks_again_hears_the_first_outcome(api: Api) -> None:
    """Its second request is the same payment, whatever had become of the first."""
    number = 0
    while await interrupted_at(number + 1, api.sale(key=f"twice-{number}")):
        reply = await api.sale(key=f"twice-{number}")
        assert reply.status in (200, 201, 202), reply.json
        assert reply.json["amount_minor"] == SALE["amount_minor"]
        assert await api.desk.finish(FINISH_SECONDS_MAX) == 0
        api.desk._stopping = False
        number += 1

    keys = [await payment_of(api, f"twice-{each}") for each in range(number)]
    assert {payment.state for payment in keys if payment} == {State.APPROVED}
    assert len(api.stage.link.asked) == number + 1
