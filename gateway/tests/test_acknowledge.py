"""
The acknowledgment: an approval counts from then on, or never.
"""

import asyncio
from typing import Any
from uuid import uuid4

import asyncpg
import pytest
from counterfoil.payments.acknowledge import acknowledge, refuse, reversal_of
from counterfoil.payments.lifecycle import Cause, Kind, State
from counterfoil.payments.movements import void
from counterfoil.payments.payment import Payment
from counterfoil.payments.recovery import sweep
from counterfoil.payments.refusals import NotChargedAnyMore, NotNow, PaymentUnknown
from counterfoil.receipts.confirmation import is_valid
from counterfoil.store.database import Database, DatabaseAway
from payment_stage import ACTOR, SESSION, HandClock, Stage
from scripted_link import says, unknown


async def refused(stage: Stage, payment: Payment) -> Payment:
    return await refuse(stage.merchant, payment.payment_id, actor=ACTOR, road=stage.road)


async def test_an_acknowledged_sale_is_captured_with_a_confirmation_number(stage: Stage) -> None:
    """One commit: state, number, movement in the open batch, books, and both e-mails owed."""
    payment = await stage.paid()

    assert payment.state is State.CAPTURED
    assert payment.confirmation_number is not None
    assert is_valid(payment.confirmation_number)
    assert payment.captured_minor == 4200
    assert payment.acknowledged_at == stage.clock.now()
    assert await stage.transfers() == [("held", "issuer", 4200), ("open", "held", 4200)]
    (movement,) = await stage.road.store.movements(payment)
    assert (movement.kind, movement.state, movement.amount_minor) == ("capture", "pending", 4200)
    assert movement.batch_number == payment.batch_number
    assert await stage.count("outbox") == 2
    assert await stage.causes(payment) == ["requested", "issuer_approved", "acknowledged"]


async def test_an_acknowledged_authorization_is_held_and_not_taken(stage: Stage) -> None:
    """Its capture is a command of its own."""
    payment = await stage.paid(kind=Kind.AUTHORIZATION)

    assert payment.state is State.AUTHORIZED
    assert payment.confirmation_number is not None
    assert payment.captured_minor == 0
    assert await stage.transfers() == [("held", "issuer", 4200)]
    assert await stage.road.store.movements(payment) == []


async def test_f02_an_acknowledgment_can_be_sent_any_number_of_times(stage: Stage) -> None:
    """The same confirmation number for ever; nothing is booked or mailed twice."""
    payment = await stage.paid()

    again = [await stage.acknowledge(payment) for _ in range(3)]

    assert {each.confirmation_number for each in again} == {payment.confirmation_number}
    assert len(await stage.transfers()) == 2
    assert await stage.count("outbox") == 2


async def test_f02_twenty_acknowledgments_at_once_give_one_number(stage: Stage) -> None:
    """Over two processes."""
    payment = await stage.take()
    stages = [stage, stage.another_process()]

    found = await asyncio.gather(*(stages[n % 2].acknowledge(payment) for n in range(20)))

    assert len({each.confirmation_number for each in found}) == 1
    assert len(await stage.transfers()) == 2


@pytest.mark.parametrize(("session", "same"), [(SESSION, True), ("192.0.2.1:40001", False)])
async def test_it_is_recorded_whether_it_came_on_the_payments_session(
    stage: Stage, session: str, same: bool
) -> None:
    """DESIGN 5.9: one session carries a payment and its acknowledgment."""
    payment = await stage.take()

    claimed = await acknowledge(
        stage.merchant, payment.payment_id, session_id=session, actor=ACTOR, road=stage.road
    )

    assert claimed.acknowledged_on_session is same


async def test_the_last_moment_before_the_deadline_is_in_time(stage: Stage) -> None:
    """And the sweep leaves it alone until then."""
    payment = await stage.take()
    stage.clock.move(179.999)
    await sweep(stage.road)

    assert (await stage.acknowledge(payment)).state is State.CAPTURED


async def test_f03_at_the_deadline_it_is_too_late(stage: Stage) -> None:
    """Reversed at once, not only when the sweep comes by: 409, never a number."""
    payment = await stage.take()
    stage.clock.move(180)

    with pytest.raises(NotChargedAnyMore) as caught:
        await stage.acknowledge(payment)

    assert caught.value.payment.state is State.REVERSING
    assert caught.value.payment.confirmation_number is None
    (owed,) = await stage.advices()
    assert (owed["kind"], owed["reason_code"]) == ("reversal", "17")
    assert (await stage.causes(payment))[-1] == "unclaimed"


async def test_f03_deadline_and_acknowledgment_never_both_win(stage: Stage) -> None:
    """F12: both at the very moment, many times over: the guard in the statement decides."""
    payments = [await stage.take() for _ in range(10)]
    stage.clock.move(180)

    results = await asyncio.gather(
        *(stage.acknowledge(each) for each in payments),
        sweep(stage.road),
        sweep(stage.another_process().road),
        return_exceptions=True,
    )

    assert all(isinstance(each, NotChargedAnyMore) for each in results[:10])
    assert len(await stage.advices()) == 10


async def test_f03_clocks_that_differ_by_a_moment_never_let_both_win(stage: Stage) -> None:
    """One process is still in time while the other's sweep is over it: each payment has one end."""
    payments = [await stage.take() for _ in range(20)]
    stage.clock.move(179.9)
    ahead = Stage(
        stage.database,
        stage.merchant,
        stage.acquirer,
        HandClock(stage.clock.now()),
        link=stage.link,
    )
    ahead.clock.move(0.2)

    results = await asyncio.gather(
        *(stage.acknowledge(each) for each in payments[:10]),
        sweep(ahead.road),
        *(stage.acknowledge(each) for each in payments[10:]),
        return_exceptions=True,
    )

    claimed = {each.payment_id for each in results if isinstance(each, Payment)}
    refused_ones = [each for each in results if isinstance(each, NotChargedAnyMore)]
    assert len(claimed) + len(refused_ones) == 20
    owed = {row["payment_id"] for row in await stage.advices()}
    assert owed == {each.payment_id for each in payments} - claimed
    for each in payments:
        now = await stage.read(each)
        is_claimed = each.payment_id in claimed
        assert now.state is (State.CAPTURED if is_claimed else State.REVERSING)
        assert (now.confirmation_number is not None) == is_claimed


async def test_the_deadline_cannot_reverse_what_was_acknowledged(stage: Stage) -> None:
    """Whatever a slow process still believes."""
    payment = await stage.take()
    late = reversal_of(payment, Cause.UNCLAIMED, "worker", stage.road, unclaimed=True)
    await stage.acknowledge(payment)

    assert await stage.road.store.reverse(late) is None
    assert (await stage.read(payment)).state is State.CAPTURED
    assert await stage.advices() == []


async def test_the_deadline_cannot_reverse_before_its_time(stage: Stage) -> None:
    """The guard compares with the row, not with what the sweeper thinks."""
    payment = await stage.take()
    early = reversal_of(payment, Cause.UNCLAIMED, "worker", stage.road, unclaimed=True)

    assert await stage.road.store.reverse(early) is None
    assert (await stage.read(payment)).state is State.APPROVED


async def test_f03_an_acknowledgment_after_the_reversal_began_is_refused_for_ever(
    stage: Stage,
) -> None:
    """DESIGN 4: "not charged" never changes again."""
    payment = await stage.take()
    await refused(stage, payment)

    for _ in range(2):
        with pytest.raises(NotChargedAnyMore, match="reversing: the cardholder is not charged"):
            await stage.acknowledge(payment)


async def test_what_was_never_approved_cannot_be_acknowledged(stage: Stage) -> None:
    """A decline has nothing to claim; an unknown outcome is reversed, and says so."""
    stage.link.script.extend([says("51"), unknown])
    declined, reversing = await stage.take(), await stage.take()

    with pytest.raises(NotNow, match="declined: there is nothing") as caught:
        await stage.acknowledge(declined)
    assert not isinstance(caught.value, NotChargedAnyMore)
    with pytest.raises(NotChargedAnyMore):
        await stage.acknowledge(reversing)


async def test_what_was_acknowledged_keeps_its_number_whatever_follows(stage: Stage) -> None:
    """Voided or refunded since: asked again, the acknowledgment is answered as before."""
    payment = await stage.paid()
    await void(stage.command(payment), stage.road)

    again = await stage.acknowledge(payment)

    assert again.confirmation_number == payment.confirmation_number
    assert again.state is State.VOIDING


async def test_what_is_still_under_way_cannot_be_acknowledged_yet(stage: Stage) -> None:
    """Neither charged nor not: come back later."""
    under_way: list[Any] = []

    async def meanwhile(mti: str, fields: Any) -> Any:
        (row,) = await stage.sql(
            "SELECT payment_id FROM payments WHERE merchant_id = $1", stage.merchant.merchant_id
        )
        try:
            await acknowledge(
                stage.merchant, row["payment_id"], session_id=SESSION, actor=ACTOR, road=stage.road
            )
        except NotNow as error:
            under_way.append(error)
        return says("51")(mti, fields)

    stage.link.script.append(meanwhile)
    await stage.take()

    assert [str(each) for each in under_way] == [
        "the payment is processing: there is nothing to acknowledge"
    ]
    assert not isinstance(under_way[0], NotChargedAnyMore)


async def test_nobody_acknowledges_or_refuses_somebody_elses_payment(stage: Stage) -> None:
    """As if it were not there."""
    other = await Stage.set_up(stage.database)
    payment = await stage.take()

    for work in (other.acknowledge(payment), refused(other, payment)):
        with pytest.raises(PaymentUnknown):
            await work
    with pytest.raises(PaymentUnknown):
        await acknowledge(stage.merchant, uuid4(), session_id=SESSION, actor=ACTOR, road=stage.road)
    assert (await stage.read(payment)).state is State.APPROVED


async def test_a_refusal_reverses_at_once(stage: Stage) -> None:
    """The merchant does not want it: reason 17, and asking again changes nothing."""
    payment = await stage.take()

    first, second = await refused(stage, payment), await refused(stage, payment)

    (owed,) = await stage.advices()
    assert first.state is second.state is State.REVERSING
    assert (owed["reason_code"], owed["state"]) == ("17", "owed")
    assert (await stage.causes(payment))[-1] == "refused"


async def test_what_was_acknowledged_cannot_be_refused(stage: Stage) -> None:
    """It can be voided."""
    payment = await stage.paid()

    with pytest.raises(NotNow, match="only an approval can be refused"):
        await refused(stage, payment)


async def test_refusal_and_acknowledgment_at_once_have_one_winner(stage: Stage) -> None:
    """Whoever comes first; the other is told what became of it."""
    for _ in range(5):
        payment = await stage.take()
        claimed, turned_down = await asyncio.gather(
            stage.acknowledge(payment), refused(stage, payment), return_exceptions=True
        )
        state = (await stage.read(payment)).state
        if state is State.CAPTURED:
            assert isinstance(turned_down, NotNow)
        else:
            assert state is State.REVERSING
            assert isinstance(claimed, NotChargedAnyMore)


async def test_f07_an_acknowledgment_in_doubt_is_read_again(database: Database) -> None:
    """The COMMIT's answer was lost: the number that was stored is the one that is told."""

    class Losing(Database):
        lost = True

        async def rows(self, name: str, *arguments: Any) -> list[asyncpg.Record]:
            found = await super().rows(name, *arguments)
            if name == "acknowledge" and self.lost:
                self.lost = False
                raise DatabaseAway("no answer")
            return found

    stage = await Stage.set_up(Losing(database._pool))

    payment = await stage.paid()

    assert payment.state is State.CAPTURED
    assert payment == await stage.read(payment)
