"""
Parts of a payment: captured, voided and refunded in several pieces, on both sides alike.
"""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from counterfoil.payments import commands, movements
from counterfoil.payments.lifecycle import Kind, State
from counterfoil.payments.movements import Done
from counterfoil.payments.payment import CAPTURES_MAX, Movement, Payment, held_minor
from counterfoil.payments.refusals import AmountTooLarge, NotNow
from counterfoil.store.database import Database
from ledger_day import ClosingLink, Day, audited, close_batch, forward
from payment_stage import Stage
from scripted_link import Asked, says


@pytest.fixture
async def stage(database: Database) -> Stage:
    """A merchant whose host agrees with every total."""
    return await Stage.set_up(database, link=ClosingLink())


async def hold(stage: Stage, amount_minor: int = 5000) -> Payment:
    return await stage.paid(kind=Kind.AUTHORIZATION, amount_minor=amount_minor)


async def do(
    stage: Stage, name: str, payment: Payment, amount: int | None = None, **more: Any
) -> Payment:
    command = stage.command(payment, amount_minor=amount, **more)
    done: Done = await getattr(movements, name)(command, stage.road)
    return done.payment


def amounts(payment: Payment) -> tuple[int, int, int, int]:
    """Return what is held, captured, released, refunded."""
    return (
        held_minor(payment),
        payment.captured_minor,
        payment.released_minor,
        payment.refunded_minor,
    )


async def captures(stage: Stage, payment: Payment) -> list[tuple[int, int, str]]:
    """Return of each capture what stands, what was voided before, and its state."""
    return [
        (each.amount_minor, each.voided_minor, each.state)
        for each in await stage.road.store.movements(payment)
        if each.kind == "capture"
    ]


def wire(asked: Sequence[Asked], mti: str) -> list[tuple[str, int, int | None, str]]:
    """Return of each such message its reason, amount, what remains, and the original's MTI."""
    return [
        (
            str(each.fields.get(39, "")),
            int(str(each.fields[4])),
            int(str(each.fields[95])[:12]) if 95 in each.fields else None,
            str(each.fields[90])[:4],
        )
        for each in asked
        if each.mti == mti
    ]


async def test_a_hold_is_captured_in_parts_until_nothing_is_held(stage: Stage) -> None:
    """Each is an item of its own with the authorization's RRN; the last one takes the rest."""
    payment = await hold(stage)

    for amount in (1000, 1500, None):
        payment = await do(stage, "capture", payment, amount)
    await forward(stage)

    assert (payment.state, amounts(payment)) == (State.CAPTURED, (0, 5000, 0, 0))
    found = await stage.road.store.movements(payment)
    assert [(each.amount_minor, each.rrn) for each in found] == [
        (1000, payment.rrn), (1500, payment.rrn), (2500, payment.rrn),
    ]  # fmt: skip
    assert wire(stage.link.asked, "0220") == [
        ("", 1000, None, "0100"), ("", 1500, None, "0100"), ("", 2500, None, "0100"),
    ]  # fmt: skip
    with pytest.raises(NotNow, match="nothing is held any more"):
        await do(stage, "capture", payment, 1)
    await audited(stage)


async def test_more_than_is_still_held_is_not_captured(stage: Stage) -> None:
    """The refusal says how much is."""
    payment = await do(stage, "capture", await hold(stage), 4000)

    with pytest.raises(AmountTooLarge, match=r"10\.01 USD is more than the 10\.00 USD that"):
        await do(stage, "capture", payment, 1001)
    assert amounts(await stage.read(payment)) == (1000, 4000, 0, 0)


async def test_the_last_capture_lets_the_rest_of_the_hold_go(stage: Stage) -> None:
    """`final`: after its 0220 a 0420 says what remains, and the books agree."""
    payment = await do(stage, "capture", await hold(stage), 1000)

    payment = await do(stage, "capture", payment, 1500, is_final=True)
    await forward(stage)

    assert amounts(payment) == (0, 2500, 2500, 0)
    assert [each.mti for each in stage.link.asked] == ["0100", "0220", "0220", "0420"]
    assert wire(stage.link.asked, "0420") == [("32", 5000, 2500, "0100")]
    assert (await stage.causes(payment)).count("captured_final") == 1
    await audited(stage)


async def test_a_final_capture_of_everything_has_nothing_to_let_go(stage: Stage) -> None:
    """No 0420."""
    payment = await do(stage, "capture", await hold(stage), None, is_final=True)
    await forward(stage)

    assert amounts(payment) == (0, 5000, 0, 0)
    assert [each.mti for each in stage.link.asked] == ["0100", "0220"]


async def test_an_authorization_is_captured_ninety_nine_times_at_most(stage: Stage) -> None:
    """So that no list of a payment's movements grows without end."""
    payment = await hold(stage)
    for _ in range(CAPTURES_MAX):
        payment = await do(stage, "capture", payment, 1)

    with pytest.raises(NotNow, match="99 times at most"):
        await do(stage, "capture", payment, 1)
    assert payment.captured_minor == CAPTURES_MAX


async def test_a_part_of_a_hold_is_released(stage: Stage) -> None:
    """A void of an amount that is only held: the state stays, DE 95 says what remains."""
    payment = await do(stage, "void", await hold(stage), 2000)
    payment = await do(stage, "void", payment, 500)
    await forward(stage)

    assert (payment.state, amounts(payment)) == (State.AUTHORIZED, (2500, 0, 2500, 0))
    assert wire(stage.link.asked, "0420") == [
        ("32", 5000, 3000, "0100"), ("32", 5000, 2500, "0100"),
    ]  # fmt: skip
    found = await stage.road.store.movements(payment)
    assert [(each.kind, each.state, each.amount_minor) for each in found] == [
        ("void", "done", 2000), ("void", "done", 500),
    ]  # fmt: skip
    await audited(stage)


async def test_a_void_of_all_that_is_held_is_a_whole_void(stage: Stage) -> None:
    """Named by its amount or not: one 0420 with reason 17 that leaves nothing."""
    payment = await do(stage, "void", await hold(stage), 2000)

    payment = await do(stage, "void", payment, 3000)
    await forward(stage)

    assert (await stage.read(payment)).state is State.VOIDED
    assert wire(stage.link.asked, "0420") == [
        ("32", 5000, 3000, "0100"), ("17", 5000, None, "0100"),
    ]  # fmt: skip
    await audited(stage)


@pytest.mark.parametrize("forwarded", [True, False])
async def test_a_part_of_a_sale_is_voided_while_its_batch_is_open(
    stage: Stage, forwarded: bool
) -> None:
    """The capture is lowered; the batch holds what stands; a second part goes on from there."""
    payment = await do(stage, "void", await stage.paid(), 1000)
    await forward(stage)
    payment = await do(stage, "void", payment, 200)
    if forwarded:
        await forward(stage)

    assert (payment.state, amounts(payment)) == (State.CAPTURED, (0, 3000, 1200, 0))
    assert await captures(stage, payment) == [(3000, 1200, "pending")]
    await audited(stage)
    await forward(stage)
    assert wire(stage.link.asked, "0420") == [
        ("32", 4200, 3200, "0200"), ("32", 4200, 3000, "0200"),
    ]  # fmt: skip


async def test_the_rest_of_a_sale_is_voided_whole(stage: Stage) -> None:
    """After a part was voided: reason 17, DE 4 is still what was asked."""
    payment = await do(stage, "void", await stage.paid(), 1000)
    await forward(stage)
    payment = await do(stage, "void", payment, 3200)
    await forward(stage)

    payment = await stage.read(payment)
    assert (payment.state, amounts(payment)) == (State.VOIDED, (0, 0, 4200, 0))
    assert wire(stage.link.asked, "0420")[-1] == ("17", 4200, None, "0200")
    await audited(stage)


async def test_a_part_of_a_capture_is_voided_and_its_hold_lowered(stage: Stage) -> None:
    """The capture first, then the hold: at the acquirer a capture that is undone is held again."""
    payment = await do(stage, "capture", await hold(stage), None)
    await forward(stage)
    payment = await do(stage, "void", payment, 2000)
    await forward(stage)

    taken = next(each for each in stage.link.asked if each.mti == "0220")
    lowered = [each for each in stage.link.asked if each.mti == "0420"]
    assert amounts(payment) == (0, 3000, 2000, 0)
    assert wire(stage.link.asked, "0420") == [
        ("32", 5000, 3000, "0220"), ("32", 5000, 3000, "0100"),
    ]  # fmt: skip
    assert str(lowered[0].fields[90])[4:20] == f"{taken.fields[11]}{taken.fields[7]}"
    assert {each.fields[37] for each in lowered} == {payment.rrn}
    assert [each.state for each in await stage.road.store.movements(payment)] == ["pending", "done"]
    await audited(stage)


async def test_what_is_held_goes_before_what_is_captured(stage: Stage) -> None:
    """An amount that fits into the hold touches no capture; one that does not, leaves the hold."""
    payment = await do(stage, "capture", await hold(stage), 3000)
    payment = await do(stage, "void", payment, 1500)
    held_only = amounts(payment)
    payment = await do(stage, "void", payment, 1000)
    await forward(stage)

    assert held_only == (500, 3000, 1500, 0)
    assert amounts(payment) == (500, 2000, 2500, 0)
    assert wire(stage.link.asked, "0420") == [
        ("32", 5000, 3500, "0100"), ("32", 3000, 2000, "0220"), ("32", 5000, 2500, "0100"),
    ]  # fmt: skip
    await audited(stage)


async def test_the_newest_capture_into_which_it_fits_is_lowered(stage: Stage) -> None:
    """And one that is undone whole is told with reason 17."""
    payment = await hold(stage)
    for amount in (3000, 500, 1500):
        payment = await do(stage, "capture", payment, amount)
    payment = await do(stage, "void", payment, 2000)
    await forward(stage)
    payment = await do(stage, "void", payment, 500)
    await forward(stage)
    payment = await do(stage, "void", payment, 1000)
    await forward(stage)

    assert await captures(stage, payment) == [
        (1000, 2000, "pending"), (500, 0, "pending"), (1000, 500, "undone"),
    ]  # fmt: skip
    assert [each for each in wire(stage.link.asked, "0420") if each[3] == "0220"] == [
        ("32", 3000, 1000, "0220"), ("32", 1500, 1000, "0220"), ("17", 1500, None, "0220"),
    ]  # fmt: skip
    assert amounts(payment) == (0, 1500, 3500, 0)
    await audited(stage)


async def test_an_amount_that_fits_nowhere_is_refused_with_what_would(stage: Stage) -> None:
    """Held 500, captured 3000 and 1500: 3001 fits nowhere whole."""
    payment = await hold(stage)
    for amount in (3000, 1500):
        payment = await do(stage, "capture", payment, amount)

    with pytest.raises(
        AmountTooLarge, match=r"at most 30.00 USD.*45.00 USD can be refunded"
    ) as too:
        await do(stage, "void", payment, 3001)
    assert (too.value.most_minor, too.value.is_whole) == (3000, False)
    with pytest.raises(AmountTooLarge, match=r"at most 30\.00 USD") as too:
        await do(stage, "undo", payment, 4501)
    assert too.value.most_minor == 4500, "the refund of both could be more than a void"
    assert amounts(await stage.read(payment)) == (500, 4500, 0, 0)


async def test_a_void_of_the_only_capture_leads_back_to_authorized(stage: Stage) -> None:
    """While something is still held; without a hold it is a whole void."""
    payment = await do(stage, "capture", await hold(stage), 3000)

    payment = await do(stage, "void", payment, 3000)
    await forward(stage)

    assert (payment.state, amounts(payment)) == (State.AUTHORIZED, (2000, 0, 3000, 0))
    payment = await do(stage, "capture", payment, None)
    await forward(stage)
    assert (payment.state, amounts(payment)) == (State.CAPTURED, (0, 2000, 3000, 0))
    await audited(stage)


async def test_a_whole_void_takes_back_all_captures_and_the_hold(stage: Stage) -> None:
    """One 0420 for everything; no capture is left in the batch."""
    payment = await hold(stage)
    for amount in (1000, 1500):
        payment = await do(stage, "capture", payment, amount)

    payment = await do(stage, "void", payment)
    await forward(stage)

    assert (await stage.read(payment)).state is State.VOIDED
    assert await captures(stage, payment) == [(1000, 0, "undone"), (1500, 0, "undone")]
    assert wire(stage.link.asked, "0420") == [("17", 5000, None, "0100")]
    await audited(stage)


async def test_a_whole_void_leaves_what_is_in_a_closed_batch(stage: Stage) -> None:
    """The first capture is closed: the second is undone, the hold released, the first stays."""
    payment = await do(stage, "capture", await hold(stage), 1000)
    await forward(stage)
    await close_batch(stage)
    payment = await do(stage, "capture", payment, 1500)
    await forward(stage)

    payment = await do(stage, "void", payment)
    await forward(stage)

    assert (payment.state, amounts(payment)) == (State.CAPTURED, (0, 1000, 4000, 0))
    assert wire(stage.link.asked, "0420") == [
        ("17", 1500, None, "0220"), ("32", 5000, 1000, "0100"),
    ]  # fmt: skip
    with pytest.raises(NotNow, match=r"batch is closed.*10.00 USD can be refunded"):
        await do(stage, "void", payment)
    await audited(stage)


async def test_after_a_refund_only_the_hold_can_be_voided(stage: Stage) -> None:
    """What was captured is refunded from then on."""
    payment = await do(stage, "capture", await hold(stage), 3000)
    await forward(stage)
    payment = await do(stage, "refund", payment, 1000)

    payment = await do(stage, "void", payment, 500)
    with pytest.raises(NotNow, match="fits whole"):
        await do(stage, "void", payment, 2000)
    payment = await do(stage, "void", payment)
    with pytest.raises(NotNow, match=r"was refunded.*20.00 USD can be refunded"):
        await do(stage, "void", payment)

    assert amounts(payment) == (0, 3000, 2000, 1000)
    await forward(stage)
    await audited(stage)


async def test_a_payment_is_refunded_in_parts_never_more_than_captured(stage: Stage) -> None:
    """Each part is a credit with a reference of its own."""
    payment = await stage.paid()
    for amount in (1000, 200, None):
        payment = await do(stage, "refund", payment, amount)
    await forward(stage)

    found = [each for each in await stage.road.store.movements(payment) if each.kind == "refund"]
    assert [each.amount_minor for each in found] == [1000, 200, 3000]
    assert len({each.rrn for each in found}) == 3
    assert amounts(payment) == (0, 4200, 0, 4200)
    with pytest.raises(NotNow, match="was refunded before"):
        await do(stage, "refund", payment, 1)
    await audited(stage)


async def test_what_the_acquirer_may_still_refuse_is_not_refunded(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only what it has as captured: an amount that needs the capture on its way has to wait."""
    monkeypatch.setattr("counterfoil.payments.commands.ACQUIRER_SECONDS_MAX", 0.1)
    payment = await do(stage, "capture", await hold(stage), 1000)
    await forward(stage)
    payment = await do(stage, "capture", payment, 2000)

    payment = await do(stage, "refund", payment, 1000)
    with pytest.raises(NotNow, match="has not reached the acquirer yet"):
        await do(stage, "refund", payment, 1)
    stage.link.script.extend([says("61"), says("00")])
    await forward(stage)

    payment = await stage.read(payment)
    assert amounts(payment) == (4000, 1000, 0, 1000)
    await audited(stage)


async def test_a_refused_capture_leaves_the_others(stage: Stage) -> None:
    """Its amount is held again; the payment stays captured."""
    payment = await do(stage, "capture", await hold(stage), 1000)
    payment = await do(stage, "capture", payment, 2000)
    stage.link.script.extend([says("00"), says("61")])
    await forward(stage)

    payment = await stage.read(payment)
    assert (payment.state, amounts(payment)) == (State.CAPTURED, (4000, 1000, 0, 0))
    assert await captures(stage, payment) == [(1000, 0, "pending"), (2000, 0, "failed")]
    await audited(stage)


async def test_a_capture_that_is_refused_after_a_part_of_it_was_voided(stage: Stage) -> None:
    """What was voided stays released, what was left is held again; both sides know."""
    payment = await do(stage, "capture", await hold(stage), 3000)
    payment = await do(stage, "void", payment, 2500)
    stage.link.script.append(says("61"))
    await forward(stage)

    payment = await stage.read(payment)
    assert (payment.state, amounts(payment)) == (State.AUTHORIZED, (2500, 0, 2500, 0))
    assert wire(stage.link.asked, "0420")[-1] == ("32", 5000, 2500, "0100")
    await audited(stage)


async def test_a_void_of_a_part_waits_for_the_one_before(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until the acquirer has heard of it; meanwhile the refusal says to try again."""
    monkeypatch.setattr("counterfoil.payments.commands.ACQUIRER_SECONDS_MAX", 0.1)
    payment = await do(stage, "void", await stage.paid(), 1000)

    with pytest.raises(NotNow, match="has not reached the acquirer yet"):
        await do(stage, "void", payment)
    await forward(stage)
    assert (await do(stage, "void", payment)).state is State.VOIDING


@pytest.mark.parametrize("kind", [Kind.SALE, Kind.AUTHORIZATION])
async def test_a_part_that_the_host_cannot_void_any_more_is_refunded(
    stage: Stage, kind: Kind
) -> None:
    """Response 40: its batch is closed. The capture stands whole again, the part comes back."""
    payment = await stage.paid(kind=kind)
    if kind is Kind.AUTHORIZATION:
        payment = await do(stage, "capture", payment, 3000)
        await forward(stage)
    captured = payment.captured_minor
    await do(stage, "void", payment, 2000)
    stage.link.script.append(says("40"))
    await forward(stage)

    payment = await stage.read(payment)
    assert payment.state is State.CAPTURED
    assert amounts(payment) == (4200 - captured, captured, 0, 2000)
    assert await captures(stage, payment) == [(captured, 0, "pending")]
    assert [each.mti for each in stage.link.asked[-2:]] == ["0420", "0220"]
    assert stage.link.asked[-1].fields[3] == "200000"
    assert "owed" not in {each["state"] for each in await stage.advices()}
    await audited(stage)


async def test_a_whole_void_that_comes_too_late_at_the_host_is_refunded(stage: Stage) -> None:
    """The captures stand again and are refunded together; the rest of the hold is released."""
    payment = await hold(stage)
    for amount in (1000, 1500):
        payment = await do(stage, "capture", payment, amount)
    payment = await do(stage, "void", payment, 700)
    await forward(stage)
    await do(stage, "void", payment)
    stage.link.script.append(says("40"))
    await forward(stage)

    payment = await stage.read(payment)
    assert (payment.state, amounts(payment)) == (State.VOIDED, (0, 2500, 2500, 2500))
    assert wire(stage.link.asked, "0420")[-1] == ("32", 5000, 2500, "0100")
    assert int(str(stage.link.asked[-2].fields[4])) == 2500
    await audited(stage)


async def test_a_whole_void_waits_for_what_was_taken_out_of_a_capture_before(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    The host may say that the capture's batch is closed: then it stands, and only a refund helps.

    A 0420 for the whole payment would be refused for ever, and the refund wait behind it.
    """
    monkeypatch.setattr(commands, "ACQUIRER_SECONDS_MAX", 0.1)
    payment = await do(stage, "capture", await hold(stage), 3000)
    await forward(stage)
    await do(stage, "void", payment, 3000)

    with pytest.raises(NotNow, match="has not reached the acquirer yet"):
        await do(stage, "void", payment)
    stage.link.script.append(says("40"))
    await forward(stage)
    payment = await do(stage, "void", payment)
    await forward(stage)

    payment = await stage.read(payment)
    assert (payment.state, amounts(payment)) == (State.CAPTURED, (0, 3000, 2000, 3000))
    assert "owed" not in {each["state"] for each in await stage.advices()}
    await audited(stage)


async def test_a_void_asked_for_twice_at_once_is_answered_twice(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second copy reads the movements after the first is done: that is no reason to refuse."""
    payment = await stage.paid()
    first, second = (stage.command(payment, key="void-twice") for _ in range(2))
    movements_of = stage.road.store.movements

    async def overtaken(read: Payment) -> list[Movement]:
        monkeypatch.undo()
        await movements.void(first, stage.road)
        return await movements_of(read)

    monkeypatch.setattr(stage.road.store, "movements", overtaken)
    done = await movements.void(second, stage.road)

    assert (done.payment.state, done.first) == (State.VOIDING, False)


async def test_a_refusal_speaks_of_the_payment_as_it_stands(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A void that was overtaken by another is planned anew, not refused by what it read before."""
    payment = await hold(stage)
    for amount in (1000, 1500):
        payment = await do(stage, "capture", payment, amount)
    await forward(stage)
    movements_of = stage.road.store.movements

    async def overtaken(read: Payment) -> list[Movement]:
        monkeypatch.undo()
        await do(stage, "void", payment)
        return await movements_of(read)

    monkeypatch.setattr(stage.road.store, "movements", overtaken)
    with pytest.raises(NotNow, match="the payment is voiding"):
        await do(stage, "void", payment, 2600)


async def test_a_capture_and_its_void_move_to_the_next_batch_together(stage: Stage) -> None:
    """The host has closed the batch of the capture: its void names the new one."""
    payment = await do(stage, "capture", await hold(stage), 3000)
    await do(stage, "void", payment, 2500)
    stage.link.script.append(says("40"))
    await forward(stage)

    about_capture = next(each for each in stage.link.asked if each.mti == "0420")
    assert about_capture.fields[60] == "000002"
    assert (await stage.road.store.movements(payment))[0].batch_number == 2
    await audited(stage)


async def test_f14_fifty_partial_refunds_never_exceed_the_capture(stage: Stage) -> None:
    """Of fifty tenths, over two processes, ten are paid back."""
    payment = await stage.paid(amount_minor=1000)
    roads = [stage.road, stage.another_process().road]

    results = await asyncio.gather(
        *(
            movements.refund(stage.command(payment, amount_minor=100), roads[n % 2])
            for n in range(50)
        ),
        return_exceptions=True,
    )

    done = [each for each in results if isinstance(each, Done)]
    assert len(done) == 10
    assert all(isinstance(each, NotNow) for each in results if not isinstance(each, Done))
    assert amounts(await stage.read(payment)) == (0, 1000, 0, 1000)
    assert [each["amount_minor"] for each in await stage.advices()] == [100] * 10
    await audited(stage)


async def test_f14_fifty_partial_captures_never_exceed_the_hold(stage: Stage) -> None:
    """The same with what is held: no more is taken than the issuer promised."""
    payment = await hold(stage, 1000)
    roads = [stage.road, stage.another_process().road]

    results = await asyncio.gather(
        *(
            movements.capture(stage.command(payment, amount_minor=300), roads[n % 2])
            for n in range(50)
        ),
        return_exceptions=True,
    )

    assert sum(isinstance(each, Done) for each in results) == 3
    assert amounts(await stage.read(payment)) == (100, 900, 0, 0)
    await audited(stage)


@pytest.mark.parametrize("seed", range(4))
async def test_f15_captures_voids_refunds_and_undos_at_once_keep_the_books(
    database: Database, seed: int
) -> None:
    """Forty commands of four kinds on one payment, with answers and a close between them."""
    day = await Day.empty(database)
    stage = day.stage
    payment = await do(stage, "capture", await hold(stage, 9000), 3000)
    await forward(stage)
    roads = [stage.road, stage.another_process().road]
    names = ("capture", "void", "refund", "undo")

    async def command(number: int) -> Done:
        name = names[(number + seed) % 4]
        asked = stage.command(payment, amount_minor=(number * 37) % 400 + 1)
        done: Done = await getattr(movements, name)(asked, roads[number % 2])
        return done

    over = asyncio.Event()

    async def tell_the_host() -> None:
        while not over.is_set():
            await forward(stage)
            await asyncio.sleep(0.02)

    telling = asyncio.create_task(tell_the_host())
    results = await asyncio.gather(
        *(command(number) for number in range(40)), return_exceptions=True
    )
    over.set()
    await telling
    faults = [
        each for each in results if isinstance(each, BaseException) and not isinstance(each, NotNow)
    ]
    await forward(stage)

    assert faults == []
    assert any(isinstance(each, Done) for each in results)
    await audited(stage)
    await day.close()
    await day.settle(chargeback_minor=0)
    await day.fund()
    await day.seal()
    assert (await day.audit()).agrees
