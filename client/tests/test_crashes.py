"""
Whatever dies, whenever: in the end the shop's word and the gateway's books are the same.
"""

import tempfile
from pathlib import Path

import pytest
from counterfoil_client import Card, NotSent, OutcomeUnknown, RequestRefused
from hypothesis import given, settings
from hypothesis import strategies as st
from scripted_gateway import Gateway
from stage import Crash, Fault, Stage

End = tuple[int, bool, bool, bool]  # Step, after it, sells again, the window passed.

ROUNDS_MAX = 30
A_SALE_HAS_STEPS = 5  # Begin, Send sale, Record approved, Send acknowledgment, Record finished.

faults = st.lists(st.sampled_from(list(Fault)), max_size=14)
crashes = st.lists(st.tuples(st.integers(0, 12), *[st.booleans()] * 3), max_size=4)


def is_told_paid(stage: Stage, card: Card, crashes: list[End], kind: str = "sale") -> bool:
    """
    Play a shop to its end: sell, die where told, start again, until it knows. What it
    knows is what it was told last, by a call or by recover().
    """
    told: bool | None = None
    steps, ends = stage.sale(card, kind=kind), list(crashes)
    for _ in range(ROUNDS_MAX):
        at, after, sells_again, expires = ends.pop(0) if ends else (None, False, False, False)
        try:
            outcome = stage.run(steps, at, after=after)
            if not isinstance(outcome, list):
                return outcome.paid or outcome.credited
            for each in outcome:
                told = None if each.outcome == "unknown" else each.outcome in ("paid", "done")
            if told is not None:
                return told
            if not outcome and not stage.gateway.by_key:
                return False  # Died before anything was written: no intent, no charge.
        except (Crash, OutcomeUnknown):
            pass
        except (NotSent, RequestRefused):
            return False
        if expires:
            stage.gateway.expire()
        steps = stage.sale(card, kind=kind) if sells_again else stage.recover()
    raise AssertionError("the shop never found out")


def check_agreement(faults: list[Fault], crashes: list[End], kind: str = "sale") -> None:
    card = Card(number="4111111111111111", expiry_month=12, expiry_year=2031, cvv="927")
    with tempfile.TemporaryDirectory() as folder:
        gateway = Gateway()
        stage = Stage(Path(folder) / "journal.db", gateway, faults)
        try:
            told = is_told_paid(stage, card, crashes, kind)
            stage.deliver_late()
            gateway.expire()

            assert told == ("key-1" in gateway.standing_keys())
            assert (kind == "credit") or gateway.standing_keys() == gateway.charged_keys()
            assert len(gateway.by_key) <= 1
        finally:
            stage.close()


@settings(max_examples=80, deadline=None)
@given(faults, crashes)
def test_f01_the_shop_is_told_paid_exactly_if_the_card_is_charged(
    faults: list[Fault], crashes: list[End]
) -> None:
    """
    Any faults, any crashes, also in recovery: paid is said if and only if it is charged.
    """
    check_agreement(faults, crashes)


@settings(max_examples=80, deadline=None)
@given(faults, crashes, st.sampled_from(["forced", "credit"]))
def test_forced_sales_and_credits_are_as_certain_as_sales(
    faults: list[Fault], crashes: list[End], kind: str
) -> None:
    """
    Said to stand if and only if it stands, and once: nobody is given money twice.
    """
    check_agreement(faults, crashes, kind)


@pytest.mark.parametrize("expires", [False, True])
@pytest.mark.parametrize("sells_again", [False, True])
@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("step", range(A_SALE_HAS_STEPS))
def test_f02_a_crash_at_every_single_step_is_recovered(
    step: int, after: bool, sells_again: bool, expires: bool
) -> None:
    """
    Before and after each of the steps of an undisturbed sale.
    """
    check_agreement([], [(step, after, sells_again, expires)])


def test_an_undisturbed_sale_has_the_steps_that_are_crashed_above(
    tmp_path: Path, gateway: Gateway, card: Card
) -> None:
    """
    The list above misses none.
    """
    stage = Stage(tmp_path / "journal.db", gateway)

    stage.run(stage.sale(card))

    assert len(stage.log) == A_SALE_HAS_STEPS
    stage.close()


def test_an_intent_that_may_never_have_been_sent_is_fenced(
    tmp_path: Path, gateway: Gateway, card: Card
) -> None:
    """
    Died between the journal and the socket: recovery charges nothing, and closes the key.
    """
    stage = Stage(tmp_path / "journal.db", gateway)
    with pytest.raises(Crash):
        stage.run(stage.sale(card), 1)

    (found,) = stage.run(stage.recover())

    assert (found.outcome, found.order, found.amount_minor) == ("never_sent", "1001", 4200)
    assert "POST /v1/payments" not in stage.sent()[1:]
    assert gateway.fenced == {"key-1"}
    with pytest.raises(RequestRefused) as refused:
        stage.run(stage.sale(card))
    assert refused.value.code == "key_fenced"
    stage.close()


def test_an_outcome_that_the_process_died_with_is_told_again(
    tmp_path: Path, gateway: Gateway, card: Card
) -> None:
    """
    The sale was finished; whether the shop stored it, nobody knows. So it hears it again,
    at least once, until a process says goodbye.
    """
    stage = Stage(tmp_path / "journal.db", gateway)
    paid = stage.run(stage.sale(card))
    stage.restart()

    (found,) = stage.run(stage.recover())
    again_here = stage.run(stage.recover())
    stage.restart()
    (after_another_crash,) = stage.run(stage.recover())
    stage.close()
    stage = Stage(tmp_path / "journal.db", gateway)
    after_goodbye = stage.run(stage.recover())

    assert found.payment == paid
    assert (found.outcome, found.was_open) == ("paid", False)
    assert again_here == []
    assert after_another_crash == found
    assert after_goodbye == []
    stage.close()


def test_recovery_stops_asking_a_gateway_that_cannot_be_reached(
    tmp_path: Path, gateway: Gateway, card: Card
) -> None:
    """
    Each open intent is unknown, after the tries of one, and is found out next time.
    """
    stage = Stage(tmp_path / "journal.db", gateway, [Fault.UNREACHABLE] * 4)
    for key in ("a", "b", "c"):
        with pytest.raises(Crash):
            stage.run(stage.sale(card, key), 1)

    unknown = stage.run(stage.recover())
    known = stage.run(stage.recover())

    assert [each.outcome for each in unknown] == ["unknown"] * 3
    assert [each.outcome for each in known] == ["never_sent"] * 3
    stage.close()


@pytest.mark.parametrize("arrived", [False, True])
def test_a_refund_that_a_crash_left_open_is_looked_up_not_repeated(
    tmp_path: Path, gateway: Gateway, card: Card, arrived: bool
) -> None:
    """
    Recovery gives no money back that was not given back already.
    """
    stage = Stage(tmp_path / "journal.db", gateway)
    payment = stage.run(stage.sale(card))
    _, refund = stage.calls().movement("refund", payment, "10.00", None, "refund-1")
    with pytest.raises(Crash):
        stage.run(refund, 1, after=arrived)

    found = {each.idempotency_key: each for each in stage.run(stage.recover())}["refund-1"]

    assert found.outcome == ("done" if arrived else "never_sent")
    assert gateway.by_key["key-1"]["refunded_minor"] == (1000 if arrived else 0)
    stage.close()


def test_a_refund_that_resolve_does_not_know_is_looked_for_in_the_payment(
    tmp_path: Path, gateway: Gateway, card: Card
) -> None:
    """
    "Never seen" about a refund that was made would make the shop refund twice.
    """
    stage = Stage(tmp_path / "journal.db", gateway)
    payment = stage.run(stage.sale(card))
    _, refund = stage.calls().movement("refund", payment, None, None, "refund-1")
    with pytest.raises(Crash):
        stage.run(refund, 1, after=True)
    gateway.moves.clear()

    found = {each.idempotency_key: each for each in stage.run(stage.recover())}["refund-1"]

    assert found.outcome == "done"
    stage.close()
