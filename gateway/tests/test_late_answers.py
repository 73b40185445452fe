"""
F8, rule 15: answers that nobody waits for any more.
"""

from datetime import UTC, datetime

import pytest
from counterfoil.network.message import Fields, Message
from counterfoil.network.outcome import Answered, Late, MatchKey, NotSent, Outcome
from counterfoil.payments.late_answers import LateAnswers
from counterfoil.payments.lifecycle import State
from counterfoil.payments.payment import Payment
from counterfoil.store.database import Database
from database_proxy import Cut, proxied
from payment_stage import Stage
from scripted_link import answered, says, unknown

LATE_SECONDS = 600
KEY = MatchKey("0210", ("TERM0001", "000001", "1123063000"))


@pytest.fixture
def answers(stage: Stage) -> LateAnswers:
    """What the stage's link hands over."""
    return LateAnswers(
        stage.acquirer, stage.road.store, stage.road.ids, stage.clock, late_seconds=LATE_SECONDS
    )


async def reversed_in_vain(stage: Stage, code: str = "25") -> Payment:
    """Return a payment without an answer whose reversal was ended by *code*."""
    stage.link.script.extend([unknown, *([says(code)] * 3)])
    payment = await stage.take()
    forwarder = stage.forwarder()
    for _ in range(3):
        await forwarder.forward()
        stage.clock.move(LATE_SECONDS + 1)
    payment = await stage.read(payment)
    assert payment.state is State.REVERSED
    return payment


def answer(stage: Stage, code: str = "00", **changes: str) -> Answered:
    """Return the host's answer to the first request, at last."""
    return answered("0200", stage.link.asked[0].fields, code, f38="A1B2C3", **changes)


def message(stage: Stage, code: str = "00", **changes: str) -> Message:
    said = answer(stage, code, **changes)
    fields: Fields = dict(said.fields)
    return Message(said.mti, fields)


async def test_f08_an_approval_of_what_was_reversed_in_vain_is_reversed_again(
    stage: Stage, answers: LateAnswers
) -> None:
    """The host had not found it (25) and has it now: a new 0420 under a new trace number."""
    payment = await reversed_in_vain(stage)

    answers.unmatched(message(stage))
    await answers.drain()
    between = await stage.read(payment)
    await stage.forwarder().forward()

    assert between.state is State.REVERSING
    assert (await stage.read(payment)).state is State.REVERSED
    first, *_, last = [each for each in stage.link.asked if each.mti.startswith("042")]
    assert (first.mti, last.mti) == ("0420", "0420")
    assert first.fields[11] != last.fields[11]
    assert first.fields[90] == last.fields[90]
    assert (await stage.causes(payment))[-2:] == ["approved_late", "host_accepted"]
    assert await stage.transfers() == []


async def test_f08_an_approval_between_two_tries_in_vain_is_reversed_under_a_new_trace(
    stage: Stage, answers: LateAnswers
) -> None:
    """
    The host has said 25 once, and then approves: the repeat would be answered 25 as well.

    So the reversal would end by 25 with the late window, and the cardholder would pay.
    """
    stage.link.script.extend([unknown, says("25")])
    payment = await stage.take()
    await stage.forwarder().forward()

    answers.late(Late("timed_out", "0200", KEY, answer(stage)))
    await answers.drain()
    stage.clock.move(1)
    await stage.forwarder().forward()

    first, last = [each for each in stage.link.asked if each.mti.startswith("042")]
    assert (first.mti, last.mti) == ("0420", "0420")
    assert first.fields[11] != last.fields[11]
    assert (await stage.read(payment)).state is State.REVERSED
    assert (await stage.causes(payment))[-2:] == ["approved_late", "host_accepted"]


async def test_f08_an_approval_overtakes_the_last_try_in_vain(
    stage: Stage, answers: LateAnswers
) -> None:
    """The 25 that would end the reversal is under way when the approval comes: it ends nothing."""
    stage.link.script.extend([unknown, says("25"), says("25")])
    payment = await stage.take()
    for _ in range(2):
        await stage.forwarder().forward()
        stage.clock.move(LATE_SECONDS + 1)

    async def overtaken(mti: str, fields: Fields) -> Outcome:
        answers.unmatched(message(stage))
        await answers.drain()
        return answered(mti, fields, "25")

    stage.link.script.append(overtaken)
    await stage.forwarder().forward()

    assert (await stage.read(payment)).state is State.REVERSING
    await stage.forwarder().forward()
    assert (await stage.read(payment)).state is State.REVERSED
    assert [each["response_code"] for each in await stage.advices()] == ["00"]


async def test_f08_it_is_reversed_again_once_for_each_time(
    stage: Stage, answers: LateAnswers
) -> None:
    """The same answer twice, by both ways, owes one reversal; after a real one nothing."""
    payment = await reversed_in_vain(stage)

    answers.late(Late("timed_out", "0200", KEY, answer(stage)))
    answers.unmatched(message(stage))
    await answers.drain()
    await stage.forwarder().forward()
    answers.unmatched(message(stage))
    await answers.drain()

    assert (await stage.read(payment)).state is State.REVERSED
    assert (await stage.causes(payment)).count("approved_late") == 1
    assert len(await stage.advices()) == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"code": "05"},
        {"f7": "1123063001"},
        {"f11": "999999"},
        {"f37": "632706999999"},
        {"f41": "TERM0002"},
    ],
    ids=["a decline", "another time", "another STAN", "another RRN", "another terminal"],
)
async def test_f08_what_is_no_approval_of_that_very_message_changes_nothing(
    stage: Stage, answers: LateAnswers, changes: dict[str, str]
) -> None:
    """Terminal, STAN, time and RRN all name it, or it is somebody else's."""
    payment = await reversed_in_vain(stage)

    answers.unmatched(message(stage, **changes))  # type: ignore[arg-type]
    await answers.drain()

    assert (await stage.read(payment)).state is State.REVERSED


async def test_f08_a_late_approval_of_what_the_host_has_reversed_is_kept_and_no_more(
    stage: Stage, answers: LateAnswers
) -> None:
    """Its reversal was accepted: the answer lies beside the payment for a person who looks."""
    payment = await reversed_in_vain(stage, code="00")

    answers.late(Late("timed_out", "0200", KEY, answer(stage)))
    await answers.drain()

    assert (await stage.read(payment)).state is State.REVERSED
    kept = [each for each in await stage.road.store.messages(payment) if each["mti"] == "0210"]
    assert len(kept) == 1


@pytest.mark.parametrize(
    "changes",
    [{"f7": "1122063000"}, {"f37": "632706999999"}, {"f11": "999999"}, {"f41": "TERM0002"}],
    ids=["of the day before", "another RRN", "another STAN", "another terminal"],
)
async def test_f08_a_late_answer_is_kept_beside_that_very_message_and_no_other(
    stage: Stage, answers: LateAnswers, changes: dict[str, str]
) -> None:
    """A trace number comes again: yesterday's answer says nothing about today's payment."""
    payment = await reversed_in_vain(stage, code="00")

    answers.late(Late("timed_out", "0200", KEY, answer(stage, **changes)))
    await answers.drain()

    kept = [each for each in await stage.road.store.messages(payment) if each["mti"] == "0210"]
    assert kept == []


@pytest.mark.parametrize("how", ["committed", "not committed"])
async def test_f08_a_late_answer_that_meets_a_commit_in_doubt_is_kept_once(
    parameters: dict[str, str], how: Cut
) -> None:
    """It is written again under its own name."""
    async with proxied(parameters) as (proxy, through):
        database = await Database.open(**through)
        stage = await Stage.set_up(database)
        payment = await reversed_in_vain(stage, code="00")
        answers = LateAnswers(
            stage.acquirer,
            stage.road.store,
            stage.road.ids,
            stage.clock,
            late_seconds=LATE_SECONDS,
            pauses=(0.1, 0.1),
        )
        proxy.cut_at("keep_received", how)

        answers.late(Late("timed_out", "0200", KEY, answer(stage)))
        await answers.drain()

        kept = [each for each in await stage.road.store.messages(payment) if each["mti"] == "0210"]
        assert proxy.cuts == 1
        assert len(kept) == 1
        await database.close()


async def test_f08_what_carries_no_names_or_was_not_sent_is_nobodys(
    stage: Stage, answers: LateAnswers
) -> None:
    """Nothing is written, and nothing fails."""
    answers.late(Late("abandoned", "0200", KEY, NotSent("dropped")))
    answers.unmatched(Message("0210", {39: "00"}))
    answers.late(
        Late(
            "timed_out",
            "0200",
            KEY,
            Answered("0210", {39: "00"}, datetime.now(UTC)),
        )
    )
    await answers.drain()

    assert await stage.count("network_messages") == 0


@pytest.mark.parametrize("how", ["committed", "not committed"])
async def test_f08_a_late_approval_meets_a_commit_in_doubt(
    parameters: dict[str, str], how: Cut
) -> None:
    """The database is away, or its answer is lost: it is owed again, once."""
    async with proxied(parameters) as (proxy, through):
        database = await Database.open(**through)
        stage = await Stage.set_up(database)
        payment = await reversed_in_vain(stage)
        answers = LateAnswers(
            stage.acquirer,
            stage.road.store,
            stage.road.ids,
            stage.clock,
            late_seconds=LATE_SECONDS,
            pauses=(0.1, 0.1),
        )
        proxy.cut_at("owe_again", how)

        answers.unmatched(message(stage))
        await answers.drain()

        assert proxy.cuts == 1
        assert (await stage.read(payment)).state is State.REVERSING
        assert (await stage.causes(payment)).count("approved_late") == 1
        await database.close()
