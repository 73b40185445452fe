"""
F37: the link is back after an outage, and everything that waited wants to leave at once.
"""

import asyncio
import time

import pytest
from counterfoil.network.message import Fields
from counterfoil.network.outcome import Outcome
from counterfoil.payments import movements, under_way
from counterfoil.payments.acknowledge import refuse
from counterfoil.payments.lifecycle import State
from counterfoil.payments.payment import Payment
from counterfoil.payments.under_way import UNDER_WAY_MAX
from counterfoil.routing.pace import Share
from payment_stage import ACTOR, Stage, until
from scripted_link import ScriptedLink, approve

OWED = 600  # More than may be under way at once.
NEW = 100
HOST_SECONDS = 0.02  # What the host takes over each message.
NEW_SECONDS_MAX = 5.0


class BusyLink(ScriptedLink):
    """
    A host that takes its time, and counts how much of each kind it has at once.
    """

    def __init__(self) -> None:
        super().__init__()
        self.at_once = {"02": 0, "04": 0}
        self.most = {"02": 0, "04": 0}

    async def request(
        self, mti: str, fields: Fields, *, send_before: float, answer_within: float
    ) -> Outcome:
        kind = mti[:2]
        self.asked.append((mti, fields))  # type: ignore[arg-type]
        self.at_once[kind] += 1
        self.most[kind] = max(self.most[kind], self.at_once[kind])
        await asyncio.sleep(HOST_SECONDS)
        self.at_once[kind] -= 1
        return approve(mti, fields)


async def refused(stage: Stage) -> Payment:
    payment = await stage.take()
    return await refuse(stage.merchant, payment.payment_id, actor=ACTOR, road=stage.road)


async def test_f37_after_an_outage_what_is_owed_comes_in_bounded_portions_beside_new_payments(
    stage: Stage,
) -> None:
    """Six hundred reversals never fill the host, and new payments do not wait behind them."""
    await stage.take()
    await asyncio.gather(*(refused(stage) for _ in range(OWED)))
    busy = BusyLink()
    up_again = stage.another_process(link=busy)
    forwarder = up_again.forwarder()
    busy.ready = False
    idle = await forwarder.forward()
    untried = {row["attempts"] for row in await stage.advices()}
    busy.ready = True

    async def catch_up() -> None:
        while await forwarder.forward():
            continue

    catching_up = asyncio.create_task(catch_up())
    began = time.monotonic()
    new = await asyncio.gather(*(up_again.take() for _ in range(NEW)))
    seconds = time.monotonic() - began
    await catching_up

    assert (idle, untried) == (0, {0})
    assert {each.state for each in new} == {State.APPROVED}
    assert seconds < NEW_SECONDS_MAX
    assert 0 < busy.most["04"] <= UNDER_WAY_MAX
    assert {row["state"] for row in await stage.advices()} == {"accepted"}
    assert sum(mti == "0420" for mti, _ in busy.asked) == OWED
    assert not any(mti == "0421" for mti, _ in busy.asked)


def eight_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let at most eight be under way at one acquirer, in the same parts as always."""
    monkeypatch.setattr(under_way, "UNDER_WAY_MAX", 8)
    monkeypatch.setattr(under_way, "SHARE_UNDER_WAY_MAX", {Share.TAKING_BACK: 6, Share.GOING_ON: 4})


class DeafToAdvices(ScriptedLink):
    """
    A host that never answers a 0220, and everything else at once.
    """

    async def request(
        self, mti: str, fields: Fields, *, send_before: float, answer_within: float
    ) -> Outcome:
        if mti.startswith("022"):
            self.asked.append((mti, fields))  # type: ignore[arg-type]
            await asyncio.Event().wait()
        return await super().request(
            mti, fields, send_before=send_before, answer_within=answer_within
        )


async def test_f37_a_heap_of_refunds_in_front_does_not_hold_back_a_reversal(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The host is silent on refunds, which are older and more than may be under way."""
    eight_at_once(monkeypatch)
    payment = await stage.paid()
    for _ in range(12):
        await movements.refund(stage.command(payment, amount_minor=100), stage.road)
    for _ in range(3):
        await refused(stage)
    link = DeafToAdvices()
    forwarder = stage.another_process(link=link).forwarder()

    for _ in range(3):
        await forwarder.forward()

    owed = await stage.advices()
    assert [row["state"] for row in owed if row["kind"] == "reversal"] == ["accepted"] * 3
    assert sum(mti == "0220" for mti, _ in link.asked) <= 4
    assert all(row["state"] == "owed" for row in owed if row["kind"] == "refund")


async def test_f37_reversals_leave_a_share_to_what_goes_on(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More reversals than there is room for: a refund still goes out in the first round."""
    eight_at_once(monkeypatch)
    for _ in range(12):
        await refused(stage)
    for _ in range(3):
        payment = await stage.paid()
        await movements.refund(stage.command(payment, amount_minor=100), stage.road)
    link = ScriptedLink()

    await stage.another_process(link=link).forwarder().forward()
    await until(lambda: len(link.asked) >= 8)  # A slow round may end before all of it is out.

    sent = [mti for mti, _ in link.asked]
    assert len(sent) == 8
    assert sent.count("0220") + sent.count("0200") == 2
