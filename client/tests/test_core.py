"""
One call, step by step: what each failure proves, and what is done about it.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from counterfoil_client import (
    Card,
    GatewayUnavailable,
    InvalidRequest,
    KeyReused,
    NotSent,
    OutcomeUnknown,
    Payment,
    RequestRefused,
)
from counterfoil_client.commands import (
    Answer,
    Begin,
    Claim,
    Command,
    Failure,
    Found,
    Record,
    Send,
    State,
    Steps,
    Wait,
)
from scripted_gateway import Gateway
from stage import Crash, Fault, Stage


@pytest.fixture
def stage(tmp_path: Path, gateway: Gateway) -> Iterator[Stage]:
    stage = Stage(tmp_path / "journal.db", gateway)
    yield stage
    stage.close()


def with_faults(stage: Stage, *faults: Fault) -> Stage:
    stage._faults = iter(faults)
    return stage


def test_the_intent_is_written_before_and_the_outcome_before_the_acknowledgment(
    stage: Stage, card: Card
) -> None:
    """
    Commit before you speak.
    """
    payment = stage.run(stage.sale(card))

    kinds = [type(each) for each in stage.log]
    assert kinds == [Begin, Send, Record, Send, Record]
    assert [each.state for each in stage.log if isinstance(each, Record)] == [
        State.APPROVED,
        State.FINISHED,
    ]
    assert payment.paid
    assert payment.confirmation_number == "000000000001"


def test_a_decline_is_a_result_and_is_not_acknowledged(stage: Stage, card: Card) -> None:
    """
    An issuer's no is no exception.
    """
    stage.gateway.declines = True

    payment = stage.run(stage.sale(card))

    assert payment.decline is not None
    assert payment.decline.response_code == "51"
    assert not payment.paid
    assert stage.sent() == ["POST /v1/payments"]


def test_a_reversal_before_the_acknowledgment_is_a_result_that_is_not_charged(
    stage: Stage, card: Card
) -> None:
    """
    409 to an acknowledgment: the shop must not print a receipt.
    """
    steps = stage.sale(card)
    steps.send(None)
    sale = steps.send(Claim(Found.NEW))
    assert isinstance(sale, Send)
    steps.send(stage._send(sale))
    acknowledgment = steps.send(True)
    assert isinstance(acknowledgment, Send)
    stage.gateway.expire()

    record = steps.send(stage._send(acknowledgment))
    with pytest.raises(StopIteration) as done:
        steps.send(True)

    assert isinstance(record, Record)
    assert record.state is State.FINISHED
    assert done.value.value.charged is False
    assert not done.value.value.paid


def test_no_connection_at_all_proves_that_nothing_was_sent(stage: Stage, card: Card) -> None:
    """
    NotSent, without asking; the intent stays for recovery to fence.
    """
    with_faults(stage, *[Fault.UNREACHABLE] * 4)

    with pytest.raises(NotSent) as proof:
        stage.run(stage.sale(card))

    assert proof.value.idempotency_key == "key-1"
    assert not proof.value.fenced
    assert set(stage.sent()) == {"POST /v1/payments"}
    (found,) = stage.run(stage.recover())
    assert found.outcome == "never_sent"


def test_not_sent_may_be_tried_again_under_the_same_key(stage: Stage, card: Card) -> None:
    """
    The same call, the same key, another day.
    """
    with_faults(stage, *[Fault.UNREACHABLE] * 4)
    with pytest.raises(NotSent):
        stage.run(stage.sale(card))

    payment = stage.run(stage.sale(card))

    assert payment.paid


def test_503_not_sent_is_tried_again_and_then_proof(stage: Stage, card: Card) -> None:
    """
    Two 503 are ridden out; more than the budget is NotSent.
    """
    stage.gateway.networks_down = 2
    assert stage.run(stage.sale(card, "a")).paid

    stage.gateway.networks_down = 99
    with pytest.raises(NotSent) as proof:
        stage.run(stage.sale(card, "b"))
    assert not proof.value.fenced


def test_one_lost_request_among_refused_connections_leaves_a_doubt(
    stage: Stage, card: Card
) -> None:
    """
    It may have been received: so the gateway is asked, and the key is fenced.
    """
    with_faults(stage, Fault.LOST, *[Fault.UNREACHABLE] * 2, Fault.LOST)

    with pytest.raises(NotSent) as proof:
        stage.run(stage.sale(card))

    assert proof.value.fenced
    assert stage.sent()[-1] == "POST /v1/resolve"


def test_what_cannot_be_found_out_is_unknown_and_carries_the_key(stage: Stage, card: Card) -> None:
    """
    The only exception for it; recover() finds out.
    """
    with_faults(stage, Fault.ANSWER_LOST, *[Fault.UNREACHABLE] * 7)

    with pytest.raises(OutcomeUnknown) as unknown:
        stage.run(stage.sale(card))

    assert unknown.value.idempotency_key == "key-1"
    (found,) = stage.run(stage.recover())
    assert found.outcome == "paid"


def test_f03_an_acknowledgment_without_an_answer_is_repeated_then_unknown(
    stage: Stage, card: Card
) -> None:
    """
    Never a receipt without the confirmation number.
    """
    with_faults(stage, Fault.NONE, Fault.ANSWER_LOST)
    assert stage.run(stage.sale(card, "a")).paid

    with_faults(stage, Fault.NONE, *[Fault.ANSWER_LOST] * 4)
    with pytest.raises(OutcomeUnknown):
        stage.run(stage.sale(card, "b"))


def test_processing_is_looked_up_without_sending_the_card_again(stage: Stage, card: Card) -> None:
    """
    202: the payment is polled by its id.
    """
    stage.gateway.slow_looks = 3

    payment = stage.run(stage.sale(card))

    assert payment.paid
    assert stage.sent().count("POST /v1/payments") == 1
    assert len([each for each in stage.sent() if each.startswith("GET")]) == 3


def test_a_call_ends_in_its_time_even_if_the_gateway_never_decides(
    stage: Stage, card: Card
) -> None:
    """
    Polling is bounded.
    """
    stage.gateway.slow_looks = 10**9

    with pytest.raises(OutcomeUnknown):
        stage.run(stage.sale(card))

    assert stage.now <= 121


def test_retries_are_jittered_and_no_sooner_than_the_gateway_says(stage: Stage, card: Card) -> None:
    """
    Retry-After is a lower bound.
    """
    steps = stage.sale(card)
    steps.send(None)
    steps.send(Claim(Found.NEW))
    body = b'{"code": "not_sent", "detail": "the link is down"}'

    wait = steps.send(Answer(status=503, body=body, retry_after_seconds=7.0))

    assert isinstance(wait, Wait)
    assert 7.0 < wait.seconds <= 7.2


def test_an_untrusted_certificate_is_not_tried_again(stage: Stage, card: Card) -> None:
    """
    No retry makes it trusted, and nothing was sent.
    """
    steps = stage.sale(card)
    steps.send(None)
    steps.send(Claim(Found.NEW))

    record = steps.send(Failure(detail="self-signed", received=False, hopeless=True))

    assert isinstance(record, Record)
    assert record.state is State.NOT_SENT
    with pytest.raises(NotSent):
        steps.send(True)


@pytest.mark.parametrize("status", [200, 302, 404, 500, 503])
def test_a_page_that_is_no_gateways_proves_nothing(stage: Stage, card: Card, status: int) -> None:
    """
    Only a problem with a code is a definite no.
    """
    steps = stage.sale(card)
    steps.send(None)
    answer = Answer(status=status, body=b"<html>")

    with pytest.raises(OutcomeUnknown):
        feed(steps, steps.send(Claim(Found.NEW)), answer)


def feed(steps: Steps[Payment], command: Command, answer: Answer) -> None:
    """
    Give every request the same *answer* until the call ends.
    """
    while True:
        command = steps.send(answer if isinstance(command, Send) else None)


def test_a_refusal_after_a_lost_try_is_not_believed_before_asking(stage: Stage, card: Card) -> None:
    """
    The first try may have been charged, whatever the second one was told.
    """
    steps = stage.sale(card)
    steps.send(None)
    steps.send(Claim(Found.NEW))
    steps.send(Failure(detail="reset", received=True))
    steps.send(None)

    command = steps.send(Answer(status=401, body=b'{"code": "key_revoked"}'))

    assert isinstance(command, Send)
    assert command.path == "/v1/resolve"


def test_a_definite_no_is_raised_with_its_code_and_the_key_may_be_used_again(
    stage: Stage, card: Card
) -> None:
    """
    Nothing was charged, and the corrected request may go under the same key.
    """
    steps = stage.sale(card)
    steps.send(None)
    steps.send(Claim(Found.NEW))
    body = b'{"code":"card_expired","param":"card","detail":"It expired.","request_id":"req_9"}'

    record = steps.send(Answer(status=422, body=body))
    with pytest.raises(RequestRefused) as refused:
        steps.send(True)

    assert isinstance(record, Record)
    assert record.state is State.REFUSED
    assert (refused.value.code, refused.value.param) == ("card_expired", "card")
    assert (refused.value.status, refused.value.request_id) == (422, "req_9")


def test_the_same_key_and_body_give_the_recorded_outcome_without_asking(
    stage: Stage, card: Card
) -> None:
    """
    One row, one payment, no second request.
    """
    first = stage.run(stage.sale(card))
    requests = len(stage.sent())

    second = stage.run(stage.sale(card))

    assert second == first
    assert len(stage.sent()) == requests


def test_f13_the_same_key_for_another_body_is_refused_before_it_is_sent(
    stage: Stage, card: Card
) -> None:
    """
    By the journal, and by the gateway if the journal cannot know.
    """
    stage.run(stage.sale(card))
    requests = len(stage.sent())

    with pytest.raises(KeyReused):
        stage.run(stage.sale(card, order="1002"))

    assert len(stage.sent()) == requests


def test_an_approval_that_cannot_be_stored_is_not_acknowledged(stage: Stage, card: Card) -> None:
    """
    A full disk: the gateway reverses, or recovery finds it.
    """
    steps = stage.sale(card)
    steps.send(None)
    send = steps.send(Claim(Found.NEW))
    assert isinstance(send, Send)
    steps.send(stage._send(send))

    with pytest.raises(OutcomeUnknown):
        steps.send(False)


def test_resolve_finishes_what_it_finds(stage: Stage, card: Card) -> None:
    """
    A key of another machine that is approved is acknowledged; one never seen is fenced.
    """
    send = next(each for each in sends(stage, card) if isinstance(each, Send))
    stage.gateway.handle(send.method, send.path, send.body, "elsewhere")

    seen = stage.run(stage.calls().resolve("elsewhere"))
    never = stage.run(stage.calls().resolve("nowhere"))

    assert seen.payment is not None
    assert seen.payment.paid
    assert (never.status, never.payment) == ("never_seen", None)
    assert "nowhere" in stage.gateway.fenced


def sends(stage: Stage, card: Card) -> Iterator[object]:
    steps = stage.sale(card)
    yield steps.send(None)
    yield steps.send(Claim(Found.NEW))


def test_nothing_that_carries_the_card_shows_it(stage: Stage, card: Card) -> None:
    """
    Neither number nor CVV in any repr.
    """
    shown = f"{card!r} {card.__rich_repr__()} {list(sends(stage, card))!r}"

    assert "1111" in shown
    assert card.number not in shown
    assert "927" not in shown


@pytest.mark.parametrize("kind", ["forced", "credit"])
def test_a_forced_sale_and_a_credit_are_journalled_and_acknowledged_like_a_sale(
    stage: Stage, card: Card, kind: str
) -> None:
    """
    Commit before you speak, whichever way the money goes.
    """
    payment = stage.run(stage.sale(card, kind=kind))

    kinds = [type(each) for each in stage.log]
    assert kinds == [Begin, Send, Record, Send, Record]
    assert (payment.kind, payment.state) == (kind, "captured")
    assert (payment.paid, payment.credited) == (kind == "forced", kind == "credit")
    assert payment.confirmation_number == "000000000001"


def test_a_credit_that_was_reversed_is_not_said_to_stand(stage: Stage, card: Card) -> None:
    """
    Approved, the shop dead, the window over: recover says that nothing was given.
    """
    with pytest.raises(Crash):
        stage.run(stage.sale(card, kind="credit"), 3)
    stage.gateway.expire()

    (found,) = stage.run(stage.recover())

    assert (found.kind, found.outcome) == ("credit", "not_charged")
    assert found.payment is not None
    assert not found.payment.credited


def test_a_recovered_credit_is_done(stage: Stage, card: Card) -> None:
    """
    It stands, and nobody was charged.
    """
    with pytest.raises(Crash):
        stage.run(stage.sale(card, kind="credit"), 3)

    (found,) = stage.run(stage.recover())

    assert found.outcome == "done"
    assert found.payment is not None
    assert found.payment.credited


def test_a_verification_is_asked_until_it_is_answered_and_never_journalled(
    stage: Stage, card: Card
) -> None:
    """
    It moves nothing: a lost answer is asked for again under the same key.
    """
    with_faults(stage, Fault.ANSWER_LOST, Fault.PROXY_PAGE)
    stage.gateway.slow_looks = 1

    payment = stage.run(stage.verification(card))

    assert payment.verified
    assert not payment.paid
    assert {type(each) for each in stage.log} == {Send, Wait}
    assert len(stage.gateway.by_key) == 1


def test_a_verification_without_an_answer_leaves_nothing_behind(stage: Stage, card: Card) -> None:
    """
    GatewayUnavailable, not OutcomeUnknown: there is nothing to find out.
    """
    with_faults(stage, *[Fault.LOST] * 4)

    with pytest.raises(GatewayUnavailable):
        stage.run(stage.verification(card))
    assert stage.run(stage.recover()) == []


def test_a_verification_can_be_declined(stage: Stage, card: Card) -> None:
    """
    A result.
    """
    stage.gateway.declines = True

    payment = stage.run(stage.verification(card))

    assert (payment.verified, payment.state) == (False, "declined")


@pytest.mark.parametrize("code", ["", "H7K2P99", "H7 2P9", "é", None])
def test_a_voice_code_that_cannot_stand_is_refused_before_anything_is_written(
    stage: Stage, card: Card, code: str | None
) -> None:
    """
    Six letters and digits.
    """
    with pytest.raises(InvalidRequest):
        stage.calls().payment(
            "forced",
            4200,
            "USD",
            card,
            order=None,
            description=None,
            customer_email=None,
            idempotency_key=None,
            voice_approval_code=code,
        )


def test_what_only_screening_looks_at_is_sent_and_is_no_part_of_the_request(
    stage: Stage, card: Card
) -> None:
    """
    A shopper on the move repeats from another address: the same payment, not another body.
    """
    first = stage.run(stage.sale(card, customer_ip="192.0.2.1", duplicate_check=False))
    again = stage.run(stage.sale(card, customer_ip="198.51.100.7"))

    (sent,) = [each for each in stage.log if isinstance(each, Send) and each.path == "/v1/payments"]
    assert json.loads(sent.body or b"")["customer_ip"] == "192.0.2.1"
    assert json.loads(sent.body or b"")["duplicate_check"] is False
    assert again == first
