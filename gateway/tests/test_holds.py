"""
Holds lapse: what is still held then goes back, the acquirer is told, and a capture is too late.
"""

from datetime import timedelta

import pytest
from counterfoil.payments import movements
from counterfoil.payments.lifecycle import Kind, State, charged
from counterfoil.payments.payment import Payment
from counterfoil.payments.recovery import sweep
from counterfoil.payments.refusals import AmountTooLarge, CaptureTooLate
from counterfoil.store.database import Database
from ledger_day import ClosingLink, audited, forward
from payment_stage import START, Stage
from scripted_link import says

DAY_SECONDS = 86_400
HOLD_DAYS = 7


@pytest.fixture
async def stage(database: Database) -> Stage:
    """A merchant whose host agrees with every total."""
    return await Stage.set_up(database, link=ClosingLink())


async def held(stage: Stage) -> Payment:
    return await stage.paid(kind=Kind.AUTHORIZATION, amount_minor=5000)


async def captured(stage: Stage, payment: Payment, amount_minor: int | None) -> Payment:
    command = stage.command(payment, amount_minor=amount_minor)
    return (await movements.capture(command, stage.road)).payment


async def test_an_authorization_is_held_for_seven_days_from_its_approval(stage: Stage) -> None:
    """A sale holds nothing."""
    payment, sale = await held(stage), await stage.paid()

    assert payment.hold_until == START + timedelta(days=HOLD_DAYS)
    assert sale.hold_until is None


async def test_a_lapsed_hold_expires_and_the_acquirer_is_told(stage: Stage) -> None:
    """Released on both sides: a 0420 for the whole hold, and the payment charges nobody."""
    payment = await held(stage)
    stage.clock.move(HOLD_DAYS * DAY_SECONDS - 1)
    early = await sweep(stage.road)
    stage.clock.move(1)
    await sweep(stage.road)
    await forward(stage)

    payment = await stage.read(payment)
    told = stage.link.asked[-1]
    assert (early, payment.state, payment.released_minor) == (0, State.EXPIRED, 5000)
    assert charged(payment.state, payment.kind) is False
    assert (told.mti, told.fields[39], told.fields[4]) == ("0420", "17", "000000005000")
    assert 95 not in told.fields
    assert await stage.transfers() == [("held", "issuer", 5000), ("released", "held", 5000)]
    assert (await stage.causes(payment))[-2:] == ["expired", "host_accepted"]
    await audited(stage)


async def test_of_a_partly_captured_hold_the_rest_is_released(stage: Stage) -> None:
    """The payment stays captured; DE 95 says what was captured."""
    payment = await captured(stage, await held(stage), 2000)
    stage.clock.move(HOLD_DAYS * DAY_SECONDS)
    await sweep(stage.road)
    await forward(stage)

    payment = await stage.read(payment)
    told = stage.link.asked[-1]
    assert (payment.state, payment.captured_minor, payment.released_minor) == (
        State.CAPTURED, 2000, 3000,
    )  # fmt: skip
    assert (told.mti, told.fields[39], str(told.fields[95])[:12]) == ("0420", "32", "000000002000")
    assert await sweep(stage.road) == 0
    await audited(stage)


@pytest.mark.parametrize("swept", [True, False])
async def test_a_capture_after_the_hold_lapsed_is_refused(stage: Stage, swept: bool) -> None:
    """Whether the sweep has come by or not."""
    payment = await held(stage)
    stage.clock.move(HOLD_DAYS * DAY_SECONDS)
    if swept:
        await sweep(stage.road)

    with pytest.raises(CaptureTooLate, match="authorize again"):
        await captured(stage, payment, 1000)
    assert await stage.count("movements") == 0


async def test_the_statement_itself_refuses_a_late_capture(stage: Stage) -> None:
    """Time passes between the check and the commit: the guard has the last word."""
    payment = await held(stage)
    announce = stage.road.batches.number

    async def slow(*key: object) -> int:
        stage.clock.move(HOLD_DAYS * DAY_SECONDS)
        return await announce(*key)  # type: ignore[arg-type]

    stage.road.batches.number = slow  # type: ignore[method-assign, assignment]
    with pytest.raises(CaptureTooLate):
        await captured(stage, payment, 1000)
    assert await stage.count("movements") == 0


async def test_a_capture_that_the_host_refuses_because_the_hold_lapsed_there_expires(
    stage: Stage,
) -> None:
    """Response 25: the next sweep ends what is left of the hold."""
    payment = await captured(stage, await held(stage), 2000)
    stage.link.script.append(says("25"))
    await forward(stage)
    after_refusal = await stage.read(payment)
    await sweep(stage.road)
    await forward(stage)

    payment = await stage.read(payment)
    assert (after_refusal.state, after_refusal.captured_minor) == (State.AUTHORIZED, 0)
    assert (payment.state, payment.released_minor) == (State.EXPIRED, 5000)
    with pytest.raises(CaptureTooLate):
        await captured(stage, payment, 1)
    await audited(stage)


async def test_other_captures_stand_when_one_came_too_late_at_the_host(stage: Stage) -> None:
    """The payment stays captured with what was accepted."""
    payment = await captured(stage, await held(stage), 2000)
    await forward(stage)
    await captured(stage, payment, 1000)
    stage.link.script.append(says("25"))
    await forward(stage)
    await sweep(stage.road)
    await forward(stage)

    payment = await stage.read(payment)
    assert (payment.state, payment.captured_minor, payment.released_minor) == (
        State.CAPTURED, 2000, 3000,
    )  # fmt: skip
    await audited(stage)


async def test_the_release_of_a_hold_that_lapsed_at_the_host_too_comes_to_an_end(
    stage: Stage,
) -> None:
    """25 to the 0420: believed after the late window, said three times, as for any reversal."""
    payment = await held(stage)
    stage.clock.move(HOLD_DAYS * DAY_SECONDS)
    await sweep(stage.road)
    stage.link.script.extend([says("25")] * 3)
    for _ in range(3):
        await forward(stage)
        stage.clock.move(601)

    assert [each["state"] for each in await stage.advices()] == ["accepted"]
    assert (await stage.read(payment)).state is State.EXPIRED


@pytest.mark.parametrize("captured_minor", [0, 1000])
async def test_a_host_that_has_forgotten_a_lapsed_hold_has_denied_no_approval(
    stage: Stage, captured_minor: int
) -> None:
    """Nobody is told of a contradiction, and it is not asked ten times: a hold lapses."""
    payment = await held(stage)
    if captured_minor:
        command = stage.command(payment, amount_minor=captured_minor)
        await movements.capture(command, stage.road)
        await forward(stage)
    stage.clock.move(HOLD_DAYS * DAY_SECONDS)
    await sweep(stage.road)
    stage.link.script.extend([says("25")] * 3)
    for _ in range(3):
        await forward(stage)
        stage.clock.move(601)

    assert {each["state"] for each in await stage.advices()} == {"accepted"}
    found = await stage.sql(
        "SELECT kind FROM findings WHERE merchant_id = $1", stage.merchant.merchant_id
    )
    assert found == []


async def test_two_sweeps_at_once_release_a_hold_once(stage: Stage) -> None:
    """The guarded UPDATE decides."""
    payment = await held(stage)
    stage.clock.move(HOLD_DAYS * DAY_SECONDS)
    other = stage.another_process()

    released = [await sweep(stage.road), await sweep(other.road)]

    assert sum(released) == 1
    assert len(await stage.advices()) == 1
    assert (await stage.read(payment)).state is State.EXPIRED


async def test_what_was_voided_before_is_not_released_again(stage: Stage) -> None:
    """Only what is still held."""
    payment = await held(stage)
    await movements.void(stage.command(payment, amount_minor=2000), stage.road)
    with pytest.raises(AmountTooLarge):
        await captured(stage, payment, 3001)
    stage.clock.move(HOLD_DAYS * DAY_SECONDS)
    await sweep(stage.road)
    await forward(stage)

    assert (await stage.read(payment)).released_minor == 5000
    await audited(stage)


async def test_a_hold_lapses_after_what_was_taken_out_of_its_capture_is_known(stage: Stage) -> None:
    """If the host has closed the capture's batch, the capture stands and is refunded."""
    payment = await captured(stage, await held(stage), 3000)
    await forward(stage)
    await movements.void(stage.command(payment, amount_minor=3000), stage.road)
    stage.clock.move(HOLD_DAYS * DAY_SECONDS)
    early = await sweep(stage.road)
    stage.link.script.append(says("40"))
    await forward(stage)
    swept = await sweep(stage.road)
    await forward(stage)

    payment = await stage.read(payment)
    assert (early, swept) == (0, 1)
    assert (payment.state, payment.captured_minor, payment.refunded_minor) == (
        State.CAPTURED, 3000, 3000,
    )  # fmt: skip
    assert "owed" not in {each["state"] for each in await stage.advices()}
    await audited(stage)
