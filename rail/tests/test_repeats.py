"""
The same message twice: one booking, one answer.
"""

import pytest

from .conftest import Fields, Gateway, Sandbox, Start, follow_up, payment, refund


def _without_mti(answer: Fields) -> Fields:
    return {number: value for number, value in answer.items() if number not in {"t", "p", "1"}}


@pytest.mark.parametrize("mti", ["0100", "0200"])
async def test_a_repeated_payment_is_booked_once(rail: Sandbox, gateway: Gateway, mti: str) -> None:
    """The second answer is the first, approval code and all."""
    asked = payment(mti, amount=900)

    answers = [await gateway.ask(asked), await gateway.ask(asked)]

    assert answers[0] == answers[1]
    assert len(rail.charges()) == 1
    assert sum(rail.account().values()) == 900


async def test_repeats_within_one_turn_are_booked_once(rail: Sandbox, gateway: Gateway) -> None:
    """Also when both arrive in one segment."""
    asked = payment(amount=900)
    gateway.send(asked, asked, asked)

    answers = [await gateway.answer() for _ in range(3)]

    assert answers[0] == answers[1] == answers[2]
    assert rail.totals()["debits_number"] == 1


async def test_repeats_at_a_slow_issuer_are_booked_once(rail: Sandbox, gateway: Gateway) -> None:
    """Whichever comes back first is booked; both get its answer."""
    rail.faults.set("issuer_delay_ms", "10-60")
    asked = payment(amount=900)
    gateway.send(asked, asked)

    answers = [await gateway.answer() for _ in range(2)]

    assert answers[0] == answers[1]
    assert rail.totals()["debits_number"] == 1


async def test_a_repeated_decline_is_the_same_decline(rail: Sandbox, gateway: Gateway) -> None:
    """A decline stays one."""
    asked = payment(card="4000000000000002")

    answers = [await gateway.ask(asked), await gateway.ask(asked)]

    assert answers[0] == answers[1]
    assert len(rail.charges()) == 1


async def test_advices_may_be_repeated(rail: Sandbox, gateway: Gateway) -> None:
    """0221 after 0220 captures and refunds once."""
    hold = payment("0100", amount=900)
    await gateway.ask(hold)
    taking, giving = follow_up(hold, "0220", amount=400), refund(hold, amount=100)

    for advice in (taking, giving):
        first = await gateway.ask(advice)
        second = await gateway.ask(advice | {"t": "0221"})
        assert first["t"] == second["t"] == "0230"
        assert _without_mti(first) == _without_mti(second)

    charge = rail.charge(hold)
    assert (charge["captured_minor"], charge["refunded_minor"]) == (400, 100)
    assert rail.account() == {"held_minor": 500, "spent_minor": 300}


@pytest.mark.parametrize(
    "changes", [{"4": "000000000001"}, {"2": "4242424242424242"}, {"3": "000010"}]
)
async def test_another_request_under_the_same_key_is_refused(
    rail: Sandbox, gateway: Gateway, changes: Fields
) -> None:
    """Same terminal, STAN and time but another card, act or amount: 94."""
    asked = payment()
    await gateway.ask(asked)

    answer = await gateway.ask(asked | changes)

    assert answer["39"] == "94"
    assert len(rail.charges()) == 1


async def test_the_same_stan_elsewhere_is_another_payment(rail: Sandbox, gateway: Gateway) -> None:
    """Another terminal, another time, or another class of message is another key."""
    asked = payment()
    others = [asked | {"41": "TERM0002"}, asked | {"7": "1123101501"}, asked | {"t": "0100"}]

    answers = [await gateway.ask(message) for message in (asked, *others)]

    assert [answer["39"] for answer in answers] == ["00"] * 4
    assert len(rail.charges()) == 4


async def test_answers_and_tombstones_outlive_a_restart(start: Start) -> None:
    """A new process on the same folder repeats answers and refuses what was reversed."""
    asked, declined, late = payment(), payment(card="4000000000000002"), payment()
    async with start() as rail, rail.link() as gateway:
        first = [await gateway.ask(message) for message in (asked, declined)]
        await gateway.ask(follow_up(late, "0420"))

    async with start() as rail, rail.link() as gateway:
        second = [await gateway.ask(message) for message in (asked, declined)]
        refused = await gateway.ask(late)
        fresh = payment(amount=100)
        await gateway.ask(fresh)

        assert first == second
        assert refused["39"] == "96"
        assert [charge["state"] for charge in rail.charges()] == [
            "captured",
            "declined",
            "captured",
        ]
        assert rail.totals()["debits_number"] == 2
        assert rail.charge(fresh)["batch"] == "000001"
