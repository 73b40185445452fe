"""
Verifications, forced captures, credits and partial approvals: what each asks, owes and books.
"""

from typing import Any

import pytest
from counterfoil.money import currency
from counterfoil.network.requests import TAG_CVV
from counterfoil.network.tlv import decode_tlv
from counterfoil.payments.acknowledge import refuse
from counterfoil.payments.authorize import take_payment
from counterfoil.payments.lifecycle import Kind, State
from counterfoil.payments.movements import capture, refund, void
from counterfoil.payments.order import answer_mti
from counterfoil.payments.payment import PartialApprovals, Payment
from counterfoil.payments.recovery import sweep
from counterfoil.payments.refusals import (
    AmountTooLarge,
    CreditsNotAllowed,
    KeyReused,
    NothingWritten,
    NotNow,
    OutcomeNotStored,
)
from counterfoil.payments.resolve import resolve
from counterfoil.payments.undo import undo
from counterfoil.store.database import DatabaseAway
from payment_stage import ACTOR, Stage
from scripted_link import contradicts, not_sent, says, unknown

VERIFICATION: dict[str, Any] = {
    "kind": Kind.VERIFICATION,
    "amount_minor": 0,
    "customer_email": None,
}
FORCED: dict[str, Any] = {"kind": Kind.FORCED, "voice_approval_code": "H7K2P9"}
CREDIT: dict[str, Any] = {"kind": Kind.CREDIT}
PART = says("10", f38="A1B2C3", f4="000000002100")


@pytest.fixture
async def giving(stage: Stage) -> Stage:
    """A merchant that may give credits."""
    await stage.settings(credits_allowed=True)
    return stage


@pytest.fixture
async def accepting(stage: Stage) -> Stage:
    """A merchant that takes what the issuer approves."""
    await stage.settings(partial_approvals=PartialApprovals.ACCEPT)
    return stage


async def told(stage: Stage) -> None:
    """Let the acquirer hear of everything that is owed, one after the other."""
    forwarder = stage.forwarder()
    while await forwarder.forward():
        pass


@pytest.mark.parametrize(
    ("changes", "mti", "answer"),
    [(VERIFICATION, "0100", "0110"), (FORCED, "0220", "0230"), (CREDIT, "0200", "0210")],
    ids=["verification", "forced", "credit"],
)
async def test_each_kind_is_asked_in_its_own_words(
    giving: Stage, changes: dict[str, Any], mti: str, answer: str
) -> None:
    """Protocols 1.5: message type, processing code, condition, and no original."""
    payment = await giving.take(**changes)

    asked = giving.link.asked[0]
    assert (asked.mti, answer_mti(payment.kind)) == (mti, answer)
    assert 90 not in asked.fields
    assert asked.fields[14] == "3012"
    assert asked.fields[60] == "000001"
    assert (asked.fields[3], asked.fields[25], asked.fields.get(38)) == {
        Kind.VERIFICATION: ("330000", "51", None),
        Kind.FORCED: ("000000", "59", "H7K2P9"),
        Kind.CREDIT: ("200000", "59", None),
    }[payment.kind]


@pytest.mark.parametrize("changes", [FORCED, CREDIT], ids=["forced", "credit"])
async def test_the_security_code_goes_only_where_it_is_checked(
    giving: Stage, changes: dict[str, Any]
) -> None:
    """Protocols 1.4: a 0220 never repeats it, and a credit proves nothing with it."""
    await giving.take(**changes)

    assert TAG_CVV not in decode_tlv(str(giving.link.asked[0].fields[48]))


@pytest.mark.parametrize("code", ["85", "00"])
async def test_a_verification_ends_verified(stage: Stage, code: str) -> None:
    """Nothing is held, nobody has to acknowledge it, and no mail is owed."""
    stage.link.script.append(says(code, f44="YM"))

    payment = await stage.take(**VERIFICATION)

    assert (payment.state, payment.amount_minor, payment.authorized_minor) == (State.VERIFIED, 0, 0)
    assert (payment.avs_result, payment.cvv_result) == ("Y", "M")
    assert (payment.acknowledge_by, payment.confirmation_number) == (None, None)
    assert stage.link.asked[0].fields[4] == "000000000000"
    assert await stage.causes(payment) == ["requested", "issuer_verified"]
    assert await stage.transfers() == []
    assert await stage.advices() == []
    assert await stage.count("outbox") == 0


async def test_a_verification_can_be_declined(stage: Stage) -> None:
    """The issuer's no, with its code."""
    stage.link.script.append(says("14"))

    payment = await stage.take(**VERIFICATION)

    assert (payment.state, payment.response_code) == (State.DECLINED, "14")


@pytest.mark.parametrize(
    ("step", "cause"),
    [
        (unknown, "answer_missing"),
        (contradicts, "answer_bad"),
        (PART, "answer_bad"),
        (says("68"), "answer_bad"),
        (says("94"), "answer_bad"),
    ],
    ids=["no answer", "bad answer", "a part of nothing", "too late there", "seen before"],
)
async def test_a_verification_that_nobody_answered_owes_nothing(
    stage: Stage, step: Any, cause: str
) -> None:
    """Neither verified nor declined: an outage is no decline, and there is nothing to reverse."""
    stage.link.script.append(step)

    payment = await stage.take(**VERIFICATION)

    assert payment.state is State.UNANSWERED
    assert (await stage.causes(payment))[-1] == cause
    assert await stage.advices() == []


async def test_f05_a_verification_whose_process_died_ends_without_a_reversal(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sweep ends it: there is nothing at the host to take back."""

    async def away(*_: object) -> None:
        raise DatabaseAway("gone")

    monkeypatch.setattr(stage.road.store, "conclude", away)
    order = stage.order(**VERIFICATION)
    with pytest.raises(OutcomeNotStored):
        await take_payment(order, stage.road)
    stage.clock.move(7200)

    await sweep(stage.road)

    payment = await resolve(stage.merchant, order.idempotency_key, stage.road)
    assert payment is not None
    assert payment.state is State.UNANSWERED
    assert (await stage.causes(payment))[-1] == "process_ended"
    assert await stage.advices() == []


async def test_a_verification_that_was_not_sent_may_be_tried_again(stage: Stage) -> None:
    """As every payment of which no byte was written."""
    stage.link.script.append(not_sent)
    order = stage.order(**VERIFICATION)
    with pytest.raises(NothingWritten):
        await take_payment(order, stage.road)
    stage.link.script.append(says("85"))

    taken = await take_payment(order, stage.road)

    assert taken.payment.state is State.VERIFIED


async def test_a_verification_cannot_be_acknowledged(stage: Stage) -> None:
    """There is nothing to claim."""
    payment = await stage.take(**VERIFICATION)

    with pytest.raises(NotNow):
        await stage.acknowledge(payment)


async def test_a_forced_capture_is_a_debit_once_it_is_acknowledged(stage: Stage) -> None:
    """The road of a sale: held, claimed, in the batch; the voice code stays when 0230 has none."""
    stage.link.script.append(says("00"))
    payment = await stage.take(**FORCED)
    before = (payment.state, payment.authorized_minor, payment.approval_code)

    payment = await stage.acknowledge(payment)

    assert before == (State.APPROVED, 4200, "H7K2P9")
    assert (payment.state, payment.captured_minor) == (State.CAPTURED, 4200)
    (taken,) = await stage.road.store.movements(payment)
    assert (taken.kind, taken.amount_minor, taken.batch_number) == ("capture", 4200, 1)
    assert await stage.transfers() == [("held", "issuer", 4200), ("open", "held", 4200)]
    assert await stage.count("outbox") == 2


async def test_a_credit_is_refused_unless_the_operator_allowed_it(stage: Stage) -> None:
    """Off by default; nothing is written and nothing is sent."""
    with pytest.raises(CreditsNotAllowed):
        await stage.take(**CREDIT)

    assert stage.link.asked == []
    assert await stage.count("idempotency_keys") == 0


async def test_a_credit_is_answered_from_its_key_after_it_was_forbidden(giving: Stage) -> None:
    """Keys hold for ever: what was given was given."""
    order = giving.order(**CREDIT)
    first = await take_payment(order, giving.road)
    await giving.settings(credits_allowed=False)

    again = await take_payment(
        giving.order(**CREDIT, idempotency_key=order.idempotency_key), giving.road
    )

    assert (again.payment.payment_id, again.first) == (first.payment.payment_id, False)


async def test_a_credit_is_a_refund_in_the_batch_once_it_is_acknowledged(giving: Stage) -> None:
    """Nothing is authorized or captured: the money goes the other way."""
    payment = await giving.take(**CREDIT)
    before = (payment.state, payment.authorized_minor)

    payment = await giving.acknowledge(payment)

    assert before == (State.APPROVED, 0)
    assert payment.state is State.CAPTURED
    assert payment.confirmation_number
    assert (payment.captured_minor, payment.refunded_minor) == (0, 4200)
    (given,) = await giving.road.store.movements(payment)
    assert (given.kind, given.amount_minor, given.rrn) == ("refund", 4200, payment.rrn)
    assert await giving.transfers() == [("refunded", "open", 4200)]


@pytest.mark.parametrize(
    ("changes", "mti", "code"),
    [(FORCED, "0220", "000000"), (CREDIT, "0200", "200000")],
    ids=["forced", "credit"],
)
async def test_f01_what_nobody_claims_is_reversed_by_its_own_name(
    giving: Stage, changes: dict[str, Any], mti: str, code: str
) -> None:
    """0420: DE 90 names the 0220 or 0200, DE 3 is the original's; the books are as before."""
    payment = await giving.take(**changes)
    asked = giving.link.asked[0].fields
    giving.clock.move(181)
    await sweep(giving.road)
    await giving.forwarder().forward()

    reversal = giving.link.asked[-1]
    assert reversal.mti == "0420"
    assert str(reversal.fields[90]).startswith(f"{mti}{asked[11]}{asked[7]}")
    assert (reversal.fields[3], reversal.fields[4], reversal.fields[39]) == (
        code,
        "000000004200",
        "17",
    )
    assert (await giving.read(payment)).state is State.REVERSED
    assert (
        sum(amount if debit == "held" else -amount for debit, _, amount in await giving.transfers())
        == 0
    )


@pytest.mark.parametrize("changes", [FORCED, CREDIT], ids=["forced", "credit"])
@pytest.mark.parametrize(
    ("step", "reason"),
    [(unknown, "68"), (contradicts, "22"), (says("85"), "22"), (PART, "22")],
    ids=["no answer", "bad answer", "verified only", "a part"],
)
async def test_f08_a_forced_capture_or_credit_in_doubt_is_reversed(
    giving: Stage, changes: dict[str, Any], step: Any, reason: str
) -> None:
    """As a sale; and an issuer cannot approve a part of what was approved by voice."""
    giving.link.script.append(step)

    payment = await giving.take(**changes)

    (owed,) = await giving.advices()
    assert payment.state is State.REVERSING
    assert (owed["kind"], owed["reason_code"], owed["amount_minor"]) == ("reversal", reason, 4200)


async def test_a_key_remembers_the_voice_code(stage: Stage) -> None:
    """Another code under the same key is another request."""
    await stage.take(**FORCED, idempotency_key="a-voice")

    with pytest.raises(KeyReused):
        await stage.take(kind=Kind.FORCED, voice_approval_code="OTHER1", idempotency_key="a-voice")


async def test_a_partial_approval_is_accepted_when_the_merchant_wants_it(accepting: Stage) -> None:
    """Everything afterwards uses what was approved."""
    accepting.link.script.append(PART)

    payment = await accepting.paid()

    assert (payment.amount_minor, payment.authorized_minor, payment.captured_minor) == (
        4200,
        2100,
        2100,
    )
    assert (payment.state, payment.response_code) == (State.CAPTURED, "10")
    (taken,) = await accepting.road.store.movements(payment)
    assert taken.amount_minor == 2100
    assert await accepting.transfers() == [("held", "issuer", 2100), ("open", "held", 2100)]


async def test_a_partly_approved_authorization_is_captured_for_its_part(accepting: Stage) -> None:
    """The whole of what is held."""
    accepting.link.script.append(PART)
    payment = await accepting.paid(kind=Kind.AUTHORIZATION)

    done = await capture(accepting.command(payment), accepting.road)

    assert done.payment.captured_minor == 2100
    assert (await accepting.advices())[-1]["amount_minor"] == 2100


@pytest.mark.parametrize("code", ["USD", "JPY", "KWD"])
async def test_what_was_approved_is_the_limit_of_everything_after(
    accepting: Stage, code: str
) -> None:
    """Not what was asked: of captures, voids, refunds and undoings, in every currency."""
    accepting.link.script.append(PART)
    payment = await accepting.paid(kind=Kind.AUTHORIZATION, currency=currency(code))
    road, command = accepting.road, accepting.command

    with pytest.raises(AmountTooLarge, match="is more than the") as too_much:
        await capture(command(payment, amount_minor=2101), road)
    assert too_much.value.most_minor == 2100
    for part in (700, 1399, 1):
        await capture(command(payment, amount_minor=part), road)
    with pytest.raises(NotNow, match="nothing is held any more"):
        await capture(command(payment, amount_minor=1), road)
    await told(accepting)
    await void(command(payment, amount_minor=1399), road)
    await told(accepting)
    with pytest.raises(AmountTooLarge, match="is more than the") as too_much:
        await refund(command(payment, amount_minor=702), road)
    assert too_much.value.most_minor == 701
    for part in (700, 1):
        await refund(command(payment, amount_minor=part), road)

    now = await accepting.read(payment)
    assert (now.amount_minor, now.authorized_minor, now.captured_minor) == (4200, 2100, 701)
    assert (now.released_minor, now.refunded_minor, now.currency) == (1399, 701, code)
    for over in (undo, refund, void):
        with pytest.raises(NotNow):
            await over(command(payment), road)


async def test_a_forced_capture_is_voided_and_refunded_in_parts(stage: Stage) -> None:
    """By its own name: DE 90 is the 0220, DE 4 what was asked, DE 95 what remains."""
    payment = await stage.paid(**FORCED)
    await void(stage.command(payment, amount_minor=4199), stage.road)
    await told(stage)
    reversal = stage.link.asked[-1].fields
    await refund(stage.command(payment, amount_minor=1), stage.road)

    now = await stage.read(payment)
    assert (str(reversal[90])[:4], reversal[4], reversal[39]) == ("0220", "000000004200", "32")
    assert str(reversal[95])[:12] == "000000000001"
    assert (now.state, now.captured_minor, now.refunded_minor) == (State.CAPTURED, 1, 1)
    with pytest.raises(NotNow):
        await undo(stage.command(payment, amount_minor=1), stage.road)


async def test_a_partial_approval_is_reversed_by_default(stage: Stage) -> None:
    """All or nothing: the part stands in the books until the acquirer has released it."""
    stage.link.script.append(PART)

    payment = await stage.take()
    (owed,) = await stage.advices()
    await stage.forwarder().forward()

    assert (payment.state, payment.authorized_minor) == (State.REVERSING, 2100)
    assert (await stage.causes(payment))[-2] == "refused"
    assert (owed["reason_code"], owed["amount_minor"]) == ("17", 4200)
    assert (await stage.read(payment)).state is State.REVERSED
    assert await stage.transfers() == [("held", "issuer", 2100), ("released", "held", 2100)]


async def test_a_partial_approval_that_nobody_wants_is_reversed_whole(accepting: Stage) -> None:
    """0420: DE 4 is what was asked, because that is what names the original."""
    accepting.link.script.append(PART)
    payment = await accepting.take()

    await refuse(accepting.merchant, payment.payment_id, actor=ACTOR, road=accepting.road)
    await accepting.forwarder().forward()

    assert accepting.link.asked[-1].fields[4] == "000000004200"
    assert (await accepting.read(payment)).state is State.REVERSED
    assert await accepting.transfers() == [("held", "issuer", 2100), ("released", "held", 2100)]


@pytest.mark.parametrize("part", ["000000000000", "000000004201", "", "00000000210 "])
async def test_a_part_that_is_no_part_is_a_bad_answer(accepting: Stage, part: str) -> None:
    """Code 10 with nothing, or with more than was asked, says nothing to build on."""
    accepting.link.script.append(says("10", f38="A1B2C3", f4=part))

    payment: Payment = await accepting.take()

    (owed,) = await accepting.advices()
    assert (payment.state, payment.authorized_minor) == (State.REVERSING, 0)
    assert owed["reason_code"] == "22"
    assert (await accepting.causes(payment))[-1] == "answer_bad"


async def test_an_unclaimed_credit_is_undone_whole_by_its_amount(giving: Stage) -> None:
    """It authorizes nothing, and its amount is all of it all the same."""
    payment = await giving.take(**CREDIT)

    with pytest.raises(AmountTooLarge):
        await undo(giving.command(payment, amount_minor=4199), giving.road)
    done = await undo(giving.command(payment, amount_minor=4200), giving.road)

    assert done.payment.state is State.REVERSING
