"""
A technical "no" is definite: the payment may be asked again, under a new trace number.
"""

import msgspec
import pytest
from counterfoil.cards import Card
from counterfoil.config import Acquirer, Routing, Timers
from counterfoil.network import response_codes
from counterfoil.network.message import Fields
from counterfoil.network.outcome import Outcome
from counterfoil.network.response_codes import Again
from counterfoil.payments.lifecycle import State
from counterfoil.payments.payment import Payment
from counterfoil.routing.routes import Routes
from counterfoil.store.database import Database
from payment_stage import Stage
from scripted_link import approve, not_sent, says, unknown

MASTERCARD = Card("5555555555554444", 12, 2030, "927")


@pytest.fixture
async def patient(database: Database, monkeypatch: pytest.MonkeyPatch) -> Stage:
    """A stage that asks again at once, twice at most."""
    for code in ("22", "91", "96"):
        monkeypatch.setitem(response_codes._AGAIN, code, Again(0.0, 2))
    stage = await Stage.set_up(database)
    stage.road.routes.settings = Routing(technical_retries_max=2)
    return stage


async def test_a_technical_no_is_asked_again_under_a_new_trace_number(patient: Stage) -> None:
    """One payment, one intent more; the first answer is kept."""
    patient.link.script.append(says("91"))

    payment = await patient.take()

    first, second = patient.link.asked
    assert payment.state is State.APPROVED
    assert first.fields[11] != second.fields[11]
    assert payment.rrn == second.fields[37]
    assert await patient.causes(payment) == ["requested", "asked_again", "issuer_approved"]
    messages = await patient.road.store.messages(payment)
    assert [each["direction"] for each in messages] == ["sent", "received", "sent", "received"]
    assert [each["stan"] for each in messages] == [1, 1, 2, 2]
    assert await patient.count("payments") == 1


@pytest.mark.parametrize("code", ["22", "91", "96"])
async def test_what_the_table_calls_a_fault_on_the_way_is_asked_again(
    patient: Stage, code: str
) -> None:
    """22 is a malfunction as 96 is."""
    patient.link.script.append(says(code))

    assert (await patient.take()).state is State.APPROVED


async def test_what_is_asked_again_is_durable_before_it_goes_out(patient: Stage) -> None:
    """DESIGN 5.1 holds for the second try as for the first."""
    seen: list[int] = []

    async def look(mti: str, fields: Fields) -> Outcome:
        rows = await patient.sql(
            "SELECT stan FROM payments WHERE merchant_id = $1 AND state = 'processing'",
            patient.merchant.merchant_id,
        )
        seen.extend(row["stan"] for row in rows)
        return approve(mti, fields)

    patient.link.script.extend([says("96"), look])

    await patient.take()

    assert seen == [int(patient.link.asked[1].fields[11])]


async def test_it_is_asked_as_often_as_the_table_says_and_then_declined(patient: Stage) -> None:
    """Two retries, and the third no is the answer."""
    patient.link.script.extend([says("91")] * 5)

    payment = await patient.take()

    assert (payment.state, payment.response_code) == (State.DECLINED, "91")
    assert len(patient.link.asked) == 3


async def test_without_the_setting_nothing_is_asked_again(stage: Stage) -> None:
    """The default."""
    stage.link.script.append(says("91"))

    payment = await stage.take()

    assert payment.state is State.DECLINED
    assert len(stage.link.asked) == 1


@pytest.mark.parametrize("step", [says("05"), says("51"), says("30"), unknown])
async def test_a_decline_or_an_unknown_outcome_is_never_asked_again(
    patient: Stage, step: object
) -> None:
    """The first costs fees, the second might charge twice."""
    patient.link.script.append(step)  # type: ignore[arg-type]

    await patient.take()

    assert len(patient.link.asked) == 1


async def test_an_advice_code_is_respected(patient: Stage) -> None:
    """DE 48, tag 21; and a network that gives advice wants none but that."""
    patient.link.script.extend([says("91", f48="210224"), says("91")])

    await patient.take()
    await patient.take(card=MASTERCARD)

    assert len(patient.link.asked) == 2


async def test_the_second_try_must_be_out_before_the_first_ones_deadline(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that the whole time for its answer is left."""
    monkeypatch.setitem(response_codes._AGAIN, "91", Again(1.0, 2))
    stage = await Stage.set_up(database, timers=Timers(send_seconds=0.9))
    stage.road.routes.settings = Routing(technical_retries_max=2)
    stage.link.script.append(says("91"))

    payment = await stage.take()

    assert payment.state is State.DECLINED
    assert len(stage.link.asked) == 1


async def test_an_unknown_second_try_reverses_the_second_trace(patient: Stage) -> None:
    """The first was a definite no: nothing is owed for it."""
    patient.link.script.extend([says("91"), unknown])

    payment = await patient.take()

    (owed,) = await patient.advices()
    assert payment.state is State.REVERSING
    assert payment.stan == int(patient.link.asked[1].fields[11])
    assert owed["kind"] == "reversal"


async def test_a_second_try_that_is_not_sent_leaves_the_answer_to_the_first(
    patient: Stage,
) -> None:
    """Something was written, and the host said no: "nothing was sent" would be wrong."""
    patient.link.script.extend([says("91"), not_sent])

    payment = await patient.take()

    assert (payment.state, payment.response_code) == (State.DECLINED, "91")
    assert await patient.causes(payment) == ["requested", "asked_again", "issuer_declined"]
    messages = await patient.road.store.messages(payment)
    assert [each["direction"] for each in messages] == ["sent", "received", "sent"]
    assert await patient.advices() == []


async def test_an_acquirer_that_has_its_fill_is_not_asked_again(patient: Stage) -> None:
    """A second request counts as much as a first one."""
    stage, settings = (
        patient,
        Acquirer(
            patient.acquirer,
            "test",
            "127.0.0.1",
            1,
            "123456",
            "987654",
            payments_per_second_max=1.0,
        ),
    )
    routes = Routes(
        stage.merchants, {stage.acquirer: settings}, {stage.acquirer: stage.link}, stage.clock,
        settings=stage.road.routes.settings,
    )  # fmt: skip
    stage.road = msgspec.structs.replace(stage.road, routes=routes)
    stage.link.script.append(says("91"))

    payment = await stage.take()

    assert (payment.state, payment.response_code) == (State.DECLINED, "91")
    assert len(stage.link.asked) == 1


async def test_a_payment_that_was_reversed_meanwhile_is_not_asked_again(patient: Stage) -> None:
    """The sweep came first: its word stands, and nothing more is sent."""

    async def swept(mti: str, fields: Fields) -> Outcome:
        await patient.sql(
            "UPDATE payments SET state = 'reversing' WHERE merchant_id = $1",
            patient.merchant.merchant_id,
        )
        return says("91")(mti, fields)  # type: ignore[return-value]

    patient.link.script.append(swept)

    payment = await patient.take()

    assert payment.state is State.REVERSING
    assert len(patient.link.asked) == 1


async def test_f07_running_the_step_twice_changes_nothing(patient: Stage) -> None:
    """A COMMIT in doubt is run again; the trace that was answered is the guard."""
    steps: list[msgspec.Struct] = []
    inner = patient.road.store.ask_again

    async def twice(step: msgspec.Struct) -> bool:
        steps.append(step)
        await inner(step)  # type: ignore[arg-type]
        return await inner(step)  # type: ignore[arg-type]

    patient.road.store.ask_again = twice  # type: ignore[method-assign,assignment]
    patient.link.script.append(says("91"))

    payment: Payment = await patient.take()

    assert payment.state is State.APPROVED
    assert payment.version == 3
    assert len(steps) == 1
