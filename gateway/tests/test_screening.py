"""
Screening: what is refused before the network, what is given back after, and what is counted.
"""

import asyncio
import contextlib
from typing import Any

import msgspec
import pytest
from counterfoil.api.answers import payment_answer
from counterfoil.cards import Card
from counterfoil.config import Routing
from counterfoil.ids import Ids, first_at
from counterfoil.money import currency
from counterfoil.network.message import Fields
from counterfoil.network.outcome import Outcome
from counterfoil.payments.authorize import take_payment
from counterfoil.payments.lifecycle import Kind, State
from counterfoil.payments.payment import PartialApprovals, Payment
from counterfoil.payments.policy import Policy, Velocity
from counterfoil.payments.refusals import NotChargedAnyMore, NothingWritten
from counterfoil.payments.screened import Result, results_of
from counterfoil.payments.screening import address_text
from counterfoil.store.screening import POLICY_SECONDS, VOLUME_SECONDS, Block
from payment_stage import CARD, HandClock, Stage
from scripted_link import answered, not_sent, says, unknown

MASTERCARD = Card("5555555555554444", 12, 2030, "927")
OTHER = Card("4242424242424242", 12, 2030, "927")


async def rules(stage: Stage, **changes: Any) -> None:
    """Let these rules hold for the stage's merchant, at once."""
    store = stage.road.store.screening
    kept = await store.kept_policy(stage.merchant.merchant_id)
    policy = msgspec.structs.replace(Policy(), **changes)
    assert await store.set_policy(
        stage.merchant.merchant_id, policy, after_version=kept.version, actor="test"
    )
    stage.clock.move(POLICY_SECONDS + 1)


def refusals(payment: Payment) -> list[tuple[str, str]]:
    """Return the rules that stopped a payment, and what came of them."""
    return [(each.rule, each.result) for each in results_of(payment) if each.result != "accepted"]


# Before the network


async def test_what_is_refused_is_durable_and_never_reaches_the_network(stage: Stage) -> None:
    """A declined payment with the cause `screened`, no message, nothing held, nothing owed."""
    await rules(stage, card=Velocity(seconds=3600, payments_max=1))
    await stage.take()

    payment = await stage.take(order_number="1002")

    assert payment.state is State.DECLINED
    assert payment.response_code is None
    assert await stage.causes(payment) == ["screened"]
    assert refusals(payment) == [("velocity_card", "refused")]
    assert len(stage.link.asked) == 1
    assert await stage.road.store.messages(payment) == []
    assert await stage.count("transfers") == 1
    assert await stage.advices() == []


async def test_a_repeat_of_a_refused_key_gets_the_same_answer(stage: Stage) -> None:
    """Also when the rule would let it through by now."""
    await rules(stage, card=Velocity(seconds=60, payments_max=1))
    await stage.take()
    order = stage.order()
    first = await take_payment(order, stage.road)
    stage.clock.move(3600)

    again = await take_payment(order, stage.road)

    assert first.payment.state is State.DECLINED
    assert again.payment == first.payment
    assert (first.first, again.first) == (True, False)


async def test_a_repeat_of_a_paid_key_is_not_screened_anew(stage: Stage) -> None:
    """It is the same payment, not one more."""
    await rules(stage, card=Velocity(seconds=3600, payments_max=1), duplicate_seconds=600)
    order = stage.order()
    first = await take_payment(order, stage.road)

    again = await take_payment(order, stage.road)

    assert again.payment.payment_id == first.payment.payment_id
    assert again.payment.state is State.APPROVED


async def test_the_merchant_reads_why_and_the_shopper_does_not(stage: Stage) -> None:
    """Words for both in the answer; a thief learns nothing."""
    await rules(stage, card=Velocity(seconds=3600, payments_max=1))
    await stage.take()

    answer = payment_answer(await stage.take(), "test", ())

    assert answer.charged is False
    assert answer.decline is not None
    assert answer.decline.response_code is None
    assert answer.decline.merchant_message == (
        "Declined by the shop's rules. The shop takes at most 1 payment of one card within "
        "3600 seconds."
    )
    assert answer.decline.shopper_message == "Your card was declined. Please use another card."
    assert answer.screening == [
        Result(
            "velocity_card",
            "refused",
            "The shop takes at most 1 payment of one card within 3600 seconds.",
        )
    ]


async def test_without_rules_nothing_is_refused_and_nothing_counted(stage: Stage) -> None:
    """The default."""
    for _ in range(3):
        assert (await stage.take()).state is State.APPROVED

    assert await stage.count("screening_marks") == 0
    assert await stage.count("duplicate_guards") == 0


# Velocity


@pytest.mark.parametrize(
    ("rule", "same"),
    [
        ("card", {}),
        ("email", {"customer_email": "Shopper@Example.com"}),
        ("address", {"customer_ip": "203.0.113.7"}),
    ],
)
async def test_tries_of_one_card_or_address_are_counted(
    stage: Stage, rule: str, same: dict[str, str]
) -> None:
    """Two in an hour; the third is refused, and somebody else is not."""
    changes = {"customer_ip": "203.0.113.7", **same}
    await rules(stage, **{rule: Velocity(seconds=3600, payments_max=2)})
    for _ in range(2):
        assert (await stage.take(**changes)).state is State.APPROVED

    third = await stage.take(**changes)
    other = await stage.take(
        card=OTHER, customer_email="else@example.com", customer_ip="203.0.113.8"
    )

    assert refusals(third) == [(f"velocity_{rule}", "refused")]
    assert other.state is State.APPROVED


async def test_the_window_slides(stage: Stage) -> None:
    """What is an hour old counts no more, and until then it does."""
    await rules(stage, card=Velocity(seconds=3600, payments_max=1))
    await stage.take()
    stage.clock.move(3599.999)
    within = await stage.take()
    stage.clock.move(0.001)

    assert refusals(within) == [("velocity_card", "refused")]
    assert (await stage.take()).state is State.APPROVED


async def test_amounts_are_summed_in_the_payments_own_currency(stage: Stage) -> None:
    """100.00 in an hour; other currencies are not added."""
    await rules(stage, card=Velocity(seconds=3600, amount_minor_max=10_000))
    assert (await stage.take(amount_minor=6000)).state is State.APPROVED
    assert (await stage.take(amount_minor=9000, currency=currency("EUR"))).state is State.APPROVED

    refused = await stage.take(amount_minor=4001)
    assert refused.state is State.DECLINED
    assert [each.words for each in results_of(refused)] == [
        "The shop takes at most 100.00 USD of one card within 3600 seconds."
    ]
    assert (await stage.take(amount_minor=4000)).state is State.APPROVED


@pytest.mark.parametrize("step", [not_sent, unknown, says("91"), says("96")])
async def test_an_outage_takes_its_try_back(stage: Stage, step: Any) -> None:
    """Nobody is refused because a host was down."""
    await rules(stage, card=Velocity(seconds=3600, payments_max=1))
    stage.link.script.append(step)
    with contextlib.suppress(NothingWritten):
        await stage.take()
    stage.clock.move(1)

    assert (await stage.take()).state is State.APPROVED


async def test_a_try_that_is_taken_back_takes_no_other_one_with_it(stage: Stage) -> None:
    """Both leave the window together, however long the acquirer kept silent."""
    await rules(stage, card=Velocity(seconds=60, payments_max=1))

    async def silent(mti: str, fields: Fields) -> Outcome:
        stage.clock.move(20)
        return unknown(mti, fields)

    stage.link.script.append(silent)
    await stage.take()
    stage.clock.move(10)
    await stage.take()
    stage.clock.move(35)  # The silence began 65 seconds ago, and ended 45 seconds ago.

    assert refusals(await stage.take()) == [("velocity_card", "refused")]


async def test_what_is_sent_after_all_counts_again(stage: Stage) -> None:
    """Not sent, then sent under the same key: one try, not none."""
    await rules(stage, card=Velocity(seconds=3600, payments_max=1))
    order = stage.order()
    stage.link.script.append(not_sent)
    with pytest.raises(NothingWritten):
        await take_payment(order, stage.road)
    stage.clock.move(1)
    await take_payment(order, stage.road)

    assert (await stage.take()).state is State.DECLINED


async def test_the_whole_merchants_volume(stage: Stage) -> None:
    """Counted by the ids of his payments, which tell the time; at most a second old."""
    await rules(stage, merchant=Velocity(seconds=3600, payments_max=2))
    stage.clock.move(7200)
    taken = []
    for number in range(4):
        stage.clock.move(VOLUME_SECONDS if number % 2 else 0)
        taken.append((await stage.take(card=OTHER if number % 2 else CARD)).state)
    stage.clock.move(3601)

    assert taken == [State.APPROVED, State.APPROVED, State.DECLINED, State.DECLINED]
    assert (await stage.take()).state is State.APPROVED


def test_ids_tell_the_time() -> None:
    """No id made before a moment is as large as the first of that moment."""
    clock = HandClock()
    made = Ids(clock)
    before = made.new()
    clock.move(1)
    moment = first_at(clock.now())

    assert before < moment <= made.new()


@pytest.mark.parametrize(
    ("address", "compared"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:DB8:1:2::9", "2001:db8:1:2::/64"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("::FFFF:cb00:7107", "203.0.113.7"),
        (":::", ":::"),
        (None, None),
    ],
)
def test_an_ipv6_address_is_compared_by_its_first_64_bits(
    address: str | None, compared: str | None
) -> None:
    """One machine has all of them."""
    assert address_text(address) == compared


# Declines: anti-carding and the networks' limits


@pytest.mark.parametrize(
    ("first", "then"),
    [
        ({}, {"amount_minor": 1}),
        ({"customer_ip": "203.0.113.7"}, {"customer_ip": "203.0.113.7", "card": OTHER}),
        ({}, {"card": OTHER}),  # The same e-mail address.
    ],
    ids=["card", "network address", "e-mail"],
)
async def test_after_some_declines_no_more_cards_are_tried(
    stage: Stage, first: dict[str, Any], then: dict[str, Any]
) -> None:
    """Whoever tries out stolen cards is stopped, whatever the next card is."""
    await rules(stage, declines_max=2, declines_seconds=600)
    for amount in (100, 200):
        stage.link.script.append(says("05"))
        await stage.take(**{"amount_minor": amount, **first})

    stopped = await stage.take(**then)
    stage.clock.move(601)

    assert refusals(stopped) == [("declines", "refused")]
    assert (await stage.take(**then)).state is State.APPROVED


@pytest.mark.parametrize("step", [says("91"), says("96"), says("30"), unknown, not_sent])
async def test_an_outage_is_no_decline(stage: Stage, step: Any) -> None:
    """Nor is a fault of ours."""
    await rules(stage, declines_max=1)
    stage.link.script.append(step)
    with contextlib.suppress(NothingWritten):
        await stage.take()

    assert (await stage.take()).state is State.APPROVED


async def test_a_verification_counts_as_a_try_of_the_card(stage: Stage) -> None:
    """It is what thieves try cards with."""
    await rules(stage, declines_max=1)
    stage.link.script.append(says("05"))
    await stage.take(kind=Kind.VERIFICATION, amount_minor=0)

    assert refusals(await stage.take()) == [("declines", "refused")]


async def test_the_networks_limit_of_tries_is_kept(stage: Stage) -> None:
    """Visa: twenty reattempts in thirty days of one card for one amount."""
    stage.link.script.extend([says("51")] * 21)
    for _ in range(21):
        assert (await stage.take()).response_code == "51"

    refused = await stage.take()
    another_amount = await stage.take(amount_minor=4300)
    stage.clock.move(30 * 86_400 + 1)

    assert refusals(refused) == [("network_limit", "refused")]
    assert results_of(refused)[0].words == (
        "This card was declined 21 times for this amount within 30 days; its network allows 21 "
        "tries."
    )
    assert another_amount.state is State.APPROVED
    assert (await stage.take()).state is State.APPROVED


async def test_the_networks_limits_can_be_left_out_in_test_mode(stage: Stage) -> None:
    """For whoever tests his shop with the same declined card all day."""
    stage.road.routes.settings = Routing(network_limits=False)
    stage.link.script.extend([says("41")] * 2)

    assert [(await stage.take()).response_code for _ in range(2)] == ["41", "41"]


async def test_mastercards_limit_is_ten_a_day(stage: Stage) -> None:
    """And what was declined yesterday counts for the month only."""
    stage.link.script.extend([says("51")] * 10)
    for _ in range(10):
        await stage.take(card=MASTERCARD)

    assert refusals(await stage.take(card=MASTERCARD)) == [("network_limit", "refused")]
    stage.clock.move(86_401)
    assert (await stage.take(card=MASTERCARD)).state is State.APPROVED


@pytest.mark.parametrize(
    ("card", "step"),
    [(CARD, says("41")), (MASTERCARD, says("05", f48="210203")), (CARD, says("R1"))],
    ids=["category 1", "advice 03", "stop order"],
)
async def test_what_must_never_be_tried_again_is_not(stage: Stage, card: Card, step: Any) -> None:
    """Refused before the network; the decline itself says so too."""
    stage.link.script.append(step)
    declined = await stage.take(card=card)
    answer = payment_answer(declined, "test", ())

    again = await stage.take(card=card)

    assert answer.decline is not None
    assert (answer.decline.retry, answer.decline.retryable) == ("never", False)
    assert refusals(again) == [("network_limit", "refused")]
    assert len(stage.link.asked) == 1


# Duplicates


async def test_the_same_order_is_not_paid_twice(stage: Stage) -> None:
    """Another key, the same card, amount and order: the first payment is named."""
    await rules(stage, duplicate_seconds=600)
    first = await stage.take()

    second = await stage.take()

    assert second.state is State.DECLINED
    assert second.duplicate_of == first.payment_id
    (result,) = results_of(second)
    assert (result.rule, result.result) == ("duplicate", "refused")
    assert f"pay_{first.payment_id.hex}" in result.words
    answer = payment_answer(second, "test", ())
    assert answer.decline is not None
    assert "paid already" in answer.decline.shopper_message
    assert (answer.decline.retry, answer.decline.retryable) == ("never", False)
    assert len(stage.link.asked) == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"order_number": "1002"},
        {"amount_minor": 4300},
        {"card": OTHER},
        {"duplicate_check": False},
    ],
    ids=["order", "amount", "card", "said so"],
)
async def test_what_differs_or_is_meant_is_no_duplicate(
    stage: Stage, changes: dict[str, Any]
) -> None:
    """`duplicate_check: false` is the merchant's word."""
    await rules(stage, duplicate_seconds=600)
    await stage.take()

    assert (await stage.take(**changes)).state is State.APPROVED


async def test_after_its_time_the_same_order_may_be_paid_again(stage: Stage) -> None:
    """A subscription of the same amount, for instance."""
    await rules(stage, duplicate_seconds=600)
    await stage.take()
    stage.clock.move(601)

    assert (await stage.take()).state is State.APPROVED


@pytest.mark.parametrize("step", [says("51"), unknown, not_sent])
async def test_what_charged_nobody_is_no_first_payment(stage: Stage, step: Any) -> None:
    """A shopper may try again after a decline, a timeout or a refusal."""
    await rules(stage, duplicate_seconds=600)
    stage.link.script.append(step)
    with contextlib.suppress(NothingWritten):
        await stage.take()

    assert (await stage.take()).state is State.APPROVED


async def test_f12_what_was_not_sent_is_not_paid_beside_its_duplicate(stage: Stage) -> None:
    """The first key was not sent, the shopper pays under another, the first key comes again."""
    await rules(stage, duplicate_seconds=600)
    first = stage.order()
    stage.link.script.append(not_sent)
    with pytest.raises(NothingWritten):
        await take_payment(first, stage.road)
    second = await stage.take()

    with pytest.raises(NothingWritten, match="the same order is paid meanwhile"):
        await take_payment(first, stage.road)

    assert second.state is State.APPROVED
    assert len(stage.link.asked) == 2


async def test_what_was_not_sent_takes_its_guard_again(stage: Stage) -> None:
    """Tried again under its own key, and then nobody else pays the same."""
    await rules(stage, duplicate_seconds=600)
    order = stage.order()
    stage.link.script.append(not_sent)
    with pytest.raises(NothingWritten):
        await take_payment(order, stage.road)

    paid = await take_payment(order, stage.road)

    assert paid.payment.state is State.APPROVED
    assert (await stage.take()).duplicate_of == paid.payment.payment_id


async def test_f12_a_double_click_is_paid_once_on_two_processes(stage: Stage) -> None:
    """Two keys at the same moment on two gateways: the row decides, one is asked."""
    await rules(stage, duplicate_seconds=600)
    other = stage.another_process()
    await other.register()

    taken = await asyncio.gather(*(each.take() for each in (stage, other) * 8))

    states = [each.state for each in taken]
    assert states.count(State.APPROVED) == 1
    assert states.count(State.DECLINED) == 15
    (first,) = [each.payment_id for each in taken if each.state is State.APPROVED]
    assert {each.duplicate_of for each in taken if each.state is State.DECLINED} == {first}
    assert len(stage.link.asked) == 1


# The block list


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("bin", "4111"),
        ("bin", "411111"),
        ("email", "shopper@example.com"),
        ("email_domain", "example.com"),
    ],
)
async def test_who_is_blocked_is_refused(stage: Stage, kind: str, value: str) -> None:
    """Until the entry is ended; the other merchants do not know of it."""
    merchant_id = stage.merchant.merchant_id
    block = Block(
        block_id=stage.road.ids.new(),
        kind=kind,
        value=value,
        shown=value,
        reason="chargebacks",
        actor="cli:ada",
    )
    assert await stage.road.store.screening.add_block(merchant_id, block)

    refused = await stage.take(customer_email="SHOPPER@example.com")
    another = await Stage.set_up(stage.database)
    assert await stage.road.store.screening.end_block(merchant_id, block.block_id, "cli:ada")

    assert refusals(refused) == [("block_list", "refused")]
    assert (await another.take()).state is State.APPROVED
    assert (await stage.take(order_number="1002")).state is State.APPROVED


async def test_what_was_not_sent_is_screened_anew_when_it_comes_again(stage: Stage) -> None:
    """Nobody was asked yet, so the rules of now decide, and what they refuse stays refused."""
    order = stage.order()
    stage.link.script.append(not_sent)
    with pytest.raises(NothingWritten):
        await take_payment(order, stage.road)
    merchant_id = stage.merchant.merchant_id
    block = Block(
        block_id=stage.road.ids.new(),
        kind="bin",
        value="411111",
        shown="411111",
        reason="fraud",
        actor="cli:ada",
    )
    assert await stage.road.store.screening.add_block(merchant_id, block)

    refused = await take_payment(order, stage.road)
    assert await stage.road.store.screening.end_block(merchant_id, block.block_id, "cli:ada")
    again = await take_payment(order, stage.road)

    assert refused.payment.state is State.DECLINED
    assert refusals(refused.payment) == [("block_list", "refused")]
    assert await stage.causes(refused.payment) == ["requested", "nothing_written", "screened"]
    assert len(await stage.road.store.messages(refused.payment)) == 1
    assert (refused.first, again.first, again.payment) == (True, False, refused.payment)
    assert len(stage.link.asked) == 1
    assert await stage.advices() == []


async def test_what_was_not_sent_counts_before_it_is_sent_again(stage: Stage) -> None:
    """Another payment of the card has taken the last place in the window meanwhile."""
    await rules(stage, card=Velocity(seconds=3600, payments_max=1))
    order = stage.order()
    stage.link.script.append(not_sent)
    with pytest.raises(NothingWritten):
        await take_payment(order, stage.road)
    stage.clock.move(1)
    paid = await stage.take(order_number="1002")

    late = await take_payment(order, stage.road)

    assert paid.state is State.APPROVED
    assert refusals(late.payment) == [("velocity_card", "refused")]
    assert await stage.count("transfers") == 1


async def test_f07_a_refusal_of_what_was_not_sent_stays_refused_in_doubt(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The COMMIT's answer was lost: read again, it is ours, and nobody is asked."""
    order = stage.order()
    stage.link.script.append(not_sent)
    with pytest.raises(NothingWritten):
        await take_payment(order, stage.road)
    await rules(stage, merchant=Velocity(seconds=3600, amount_minor_max=1))
    inner = stage.road.store.intend_again

    async def in_doubt(step: Any) -> None:
        await inner(step)

    monkeypatch.setattr(stage.road.store, "intend_again", in_doubt)

    taken = await take_payment(order, stage.road)

    assert taken.payment.state is State.DECLINED
    assert refusals(taken.payment) == [("velocity_merchant", "refused")]
    assert len(stage.link.asked) == 1


async def test_a_card_is_blocked_by_one_of_its_payments(stage: Stage) -> None:
    """Nobody types a card number into a command."""
    paid = await stage.take()
    store, merchant_id = stage.road.store.screening, stage.merchant.merchant_id
    found = await store.card_of(merchant_id, paid.payment_id)
    assert found is not None
    value, shown = found
    block = Block(
        block_id=stage.road.ids.new(),
        kind="card",
        value=value,
        shown=shown,
        reason="fraud",
        actor="cli:ada",
    )
    assert await store.add_block(merchant_id, block)
    assert not await store.add_block(
        merchant_id, msgspec.structs.replace(block, block_id=stage.road.ids.new())
    )

    assert shown == "visa ending 1111"
    assert refusals(await stage.take()) == [("block_list", "refused")]
    assert (await stage.take(card=OTHER)).state is State.APPROVED


# AVS and CVV


@pytest.mark.parametrize(
    ("rule", "letters", "words"),
    [
        ({"avs_refused": ("no_match",)}, "NM", "Neither street nor postal code fits."),
        ({"avs_refused": ("street_only",)}, "AM", "The street fits, the postal code does not."),
        ({"cvv_refused": ("no_match",)}, "YN", "The security code does not fit."),
    ],
)
async def test_an_approval_that_the_rules_do_not_accept_goes_back(
    stage: Stage, rule: dict[str, Any], letters: str, words: str
) -> None:
    """In the same durable step as its outcome: reversing, reason 17, never to be acknowledged."""
    await rules(stage, **rule)
    stage.link.script.append(says("00", f38="A1B2C3", f44=letters))

    payment = await stage.take()

    (owed,) = await stage.advices()
    assert payment.state is State.REVERSING
    assert payment.acknowledge_by is None
    assert await stage.causes(payment) == ["requested", "screened"]
    assert (owed["kind"], owed["reason_code"], owed["state"]) == ("reversal", "17", "owed")
    answer = payment_answer(payment, "test", ())
    assert answer.charged is False
    assert answer.decline is not None
    assert answer.decline.merchant_message == f"Declined by the shop's rules. {words}"
    assert [each for each in answer.screening if each.result == "reversed"] == [
        Result("avs" if "avs_refused" in rule else "cvv", "reversed", words)
    ]


async def test_a_street_that_nobody_gave_does_not_fail(stage: Stage) -> None:
    """A payment page asks for the postal code only: so say the rules, and so does the API."""
    for code in ("00", "00"):
        stage.link.script.append(says(code, f38="A1B2C3", f44="ZM"))
    accepted = await stage.take(street=None)
    await rules(stage, avs_refused=("postal_only",))
    given_back = await stage.take(street=None)

    assert results_of(accepted)[0].words == (
        "The postal code fits; the street does not, or was not given."
    )
    assert results_of(given_back)[0].words == "The postal code fits. No street was given."


@pytest.mark.parametrize("code", ["00", "85"])
async def test_a_verification_that_the_rules_do_not_accept_is_declined(
    stage: Stage, code: str
) -> None:
    """It holds nothing, so nothing is owed; and it is no decline of the issuer's."""
    await rules(stage, cvv_refused=("no_match",), declines_max=1)
    stage.link.script.append(says(code, f44="YN"))

    payment = await stage.take(kind=Kind.VERIFICATION, amount_minor=0)

    assert payment.state is State.DECLINED
    assert await stage.causes(payment) == ["requested", "screened"]
    assert refusals(payment) == [("cvv", "refused")]
    assert await stage.advices() == []
    answer = payment_answer(payment, "test", ())
    assert answer.decline is not None
    assert answer.decline.merchant_message == (
        "Declined by the shop's rules. The security code does not fit."
    )
    assert (await stage.take()).state is State.APPROVED


async def test_what_went_back_is_reversed_like_any_other(stage: Stage) -> None:
    """The hold is given back in the books too."""
    await rules(stage, avs_refused=("no_match",))
    stage.link.script.append(says("00", f38="A1B2C3", f44="NM"))
    payment = await stage.take()

    await stage.forwarder().forward()

    assert (await stage.read(payment)).state is State.REVERSED
    assert await stage.transfers() == [("held", "issuer", 4200), ("released", "held", 4200)]


async def test_what_goes_back_is_owed_until_the_link_is_there_again(stage: Stage) -> None:
    """The link dies with the answer; nobody can claim the approval meanwhile."""
    await rules(stage, cvv_refused=("no_match",))

    def last_word(mti: str, fields: Fields) -> Outcome:
        stage.link.ready = False
        return answered(mti, fields, "00", f38="A1B2C3", f44="YN")

    stage.link.script.append(last_word)
    payment = await stage.take()
    await stage.forwarder().forward()
    with pytest.raises(NotChargedAnyMore):
        await stage.acknowledge(payment)
    while_down = (await stage.read(payment)).state
    stage.link.ready = True
    stage.clock.move(7200)
    await stage.forwarder().forward()

    assert while_down is State.REVERSING
    assert [each.mti for each in stage.link.asked] == ["0200", "0420"]
    assert (await stage.read(payment)).state is State.REVERSED


@pytest.mark.parametrize(
    "changes",
    [{"kind": Kind.FORCED, "voice_approval_code": "H7K2P9"}, {"kind": Kind.CREDIT}],
    ids=["forced", "credit"],
)
async def test_what_the_issuer_was_not_asked_for_has_no_result_to_refuse(
    stage: Stage, changes: dict[str, Any]
) -> None:
    """Neither address nor code is sent with it: `none` is no word against it."""
    await stage.settings(credits_allowed=True)
    await rules(stage, avs_refused=("none",), cvv_refused=("none",))
    stage.link.script.append(says("00", f38="A1B2C3"))

    assert (await stage.take(**changes)).state is State.APPROVED


async def test_a_part_that_the_rules_do_not_accept_goes_back_too(stage: Stage) -> None:
    """Code 10, and a merchant who takes parts: the rules have the last word."""
    await stage.settings(partial_approvals=PartialApprovals.ACCEPT)
    await rules(stage, avs_refused=("no_match",))
    stage.link.script.append(says("10", f38="A1B2C3", f4="000000002100", f44="NM"))

    payment = await stage.take()
    await stage.forwarder().forward()

    assert (payment.state, payment.authorized_minor) == (State.REVERSING, 2100)
    assert await stage.transfers() == [("held", "issuer", 2100), ("released", "held", 2100)]


async def test_a_sale_and_an_authorization_of_one_order_are_one_payment(stage: Stage) -> None:
    """Whatever the kind, the money would be taken twice; a verification takes none."""
    await rules(stage, duplicate_seconds=600)
    verified = await stage.take(kind=Kind.VERIFICATION, amount_minor=0)
    held = await stage.take(kind=Kind.AUTHORIZATION)

    for changes in ({}, {"kind": Kind.FORCED, "voice_approval_code": "H7K2P9"}):
        assert (await stage.take(**changes)).duplicate_of == held.payment_id
    assert (verified.duplicate_of, held.state) == (None, State.APPROVED)


async def test_results_are_shown_in_words_also_where_they_are_accepted(stage: Stage) -> None:
    """Letters are for machines."""
    payment = await stage.take()

    assert results_of(payment) == [
        Result("avs", "accepted", "Street and postal code fit."),
        Result("cvv", "accepted", "The security code fits."),
    ]


async def test_a_decline_with_a_bad_avs_stays_a_decline(stage: Stage) -> None:
    """There is nothing to give back."""
    await rules(stage, avs_refused=("no_match",), cvv_refused=("no_match",))
    stage.link.script.append(says("82", f44="NN"))

    payment = await stage.take()

    assert (payment.state, payment.response_code) == (State.DECLINED, "82")
    assert await stage.advices() == []


async def test_another_brands_letters_say_something_else(stage: Stage) -> None:
    """W: American Express means that nothing fits."""
    await rules(stage, avs_refused=("no_match",))
    amex = Card("378282246310005", 12, 2030, "9270")
    for _ in range(2):
        stage.link.script.append(says("00", f38="A1B2C3", f44="WM"))

    assert (await stage.take(card=amex)).state is State.REVERSING
    assert (await stage.take()).state is State.APPROVED


# Rules and their keeping


async def test_a_change_of_the_rules_is_a_new_version(stage: Stage) -> None:
    """Who wrote over what he had not read is refused."""
    store, merchant_id = stage.road.store.screening, stage.merchant.merchant_id
    first = Policy(declines_max=3)
    assert await store.set_policy(merchant_id, first, after_version=0, actor="cli:ada")
    assert not await store.set_policy(merchant_id, Policy(), after_version=0, actor="cli:bob")

    kept = await store.kept_policy(merchant_id)

    assert (kept.version, kept.policy, kept.actor) == (1, first, "cli:ada")


async def test_what_no_window_reaches_is_forgotten(stage: Stage) -> None:
    """And nothing else."""
    await rules(stage, card=Velocity(seconds=60, payments_max=9), duplicate_seconds=60)
    await stage.take()
    await stage.road.store.screening.forget()
    assert (await stage.count("screening_marks"), await stage.count("duplicate_guards")) == (1, 1)

    stage.clock.move(40 * 86_400)
    await stage.road.store.screening.forget()

    assert (await stage.count("screening_marks"), await stage.count("duplicate_guards")) == (0, 0)


async def test_f07_running_the_intent_twice_changes_nothing(stage: Stage) -> None:
    """A COMMIT in doubt is run again: the guard is still its own, the try counts once."""
    await rules(stage, card=Velocity(seconds=60, payments_max=9), duplicate_seconds=600)
    inner = stage.road.store.intend

    async def twice(intent: Any) -> Any:
        first = await inner(intent)
        assert await inner(intent) is None
        return first

    stage.road.store.intend = twice  # type: ignore[method-assign]

    payment = await stage.take()

    assert payment.state is State.APPROVED
    assert (await stage.count("screening_marks"), await stage.count("duplicate_guards")) == (1, 1)


async def test_f07_an_intent_in_doubt_that_was_refused_stays_refused(stage: Stage) -> None:
    """Its row is read again, and it is not asked for after all."""
    await rules(stage, duplicate_seconds=600)
    await stage.take()
    inner = stage.road.store.intend

    async def lost(intent: Any) -> None:
        await inner(intent)

    stage.road.store.intend = lost  # type: ignore[method-assign,assignment]

    payment = await stage.take()

    assert payment.state is State.DECLINED
    assert len(stage.link.asked) == 1
