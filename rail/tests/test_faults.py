"""
The switches that make the host misbehave do what their description says.
"""

import asyncio

import pytest
from counterfoil_rail.faults import FaultError, Faults

from .conftest import Gateway, Sandbox, Start, follow_up, network, payment


async def test_silent_books_and_does_not_answer(rail: Sandbox, gateway: Gateway) -> None:
    """The next N stay unanswered but booked; then all is well again."""
    rail.faults.set("silent", "2")
    unheard = payment()
    gateway.send(unheard, unheard)

    assert await gateway.is_silent()
    assert (await gateway.ask(unheard))["39"] == "00"
    assert len(rail.charges()) == 1


async def test_silent_unbooked_loses_the_message(rail: Sandbox, gateway: Gateway) -> None:
    """As if it had never arrived; its reversal leaves a tombstone."""
    rail.faults.set("silent", "1:unbooked")
    lost = payment()
    gateway.send(lost)

    assert await gateway.is_silent()
    assert rail.charges() == []
    assert (await gateway.ask(follow_up(lost, "0420")))["39"] == "00"
    assert (await gateway.ask(lost))["39"] == "96"


async def test_a_late_answer_is_booked_at_once(rail: Sandbox, gateway: Gateway) -> None:
    """Booked now, answered later; only the next N if a number is given."""
    rail.faults.set("late_answer_seconds", "0.15:1")
    late, prompt = payment(), payment()
    gateway.send(late, prompt)

    assert (await gateway.answer())["11"] == prompt["11"]
    assert len(rail.charges()) == 2
    assert (await gateway.answer())["11"] == late["11"]


async def test_the_link_drops_after_booking(rail: Sandbox, gateway: Gateway) -> None:
    """Booked, no answer, the link is gone; a new one gets the stored answer."""
    rail.faults.set("drop_link_after_booking", "1")
    unheard = payment()
    gateway.send(unheard)

    assert await gateway.is_closed()
    async with rail.link() as again:
        assert (await again.ask(unheard))["39"] == "00"
    assert len(rail.charges()) == 1


async def test_an_answer_comes_twice(rail: Sandbox, gateway: Gateway) -> None:
    """The same bytes again."""
    rail.faults.set("duplicate_answer", "1")
    gateway.send(payment())

    assert await gateway.answer() == await gateway.answer()
    assert await gateway.is_silent()


async def test_an_answer_comes_under_another_stan(rail: Sandbox, gateway: Gateway) -> None:
    """Its own answer never comes."""
    rail.faults.set("wrong_stan_answer", "1")
    asked = payment()

    answer = await gateway.ask(asked)

    assert int(answer["11"]) == int(asked["11"]) + 1
    assert await gateway.is_silent()


async def test_reversals_are_declined(rail: Sandbox, gateway: Gateway) -> None:
    """Nothing happens to the charge, and the repeat of the reversal is acted on afterwards."""
    sale = payment()
    await gateway.ask(sale)
    rail.faults.set("decline_reversals", "1:91")
    reversal = follow_up(sale, "0420")

    first = await gateway.ask(reversal)
    assert rail.charge(sale)["state"] == "captured"
    second = await gateway.ask(reversal | {"t": "0421"})

    assert (first["39"], second["39"]) == ("91", "00")
    assert rail.charge(sale)["state"] == "reversed"


async def test_reversals_stay_unanswered(rail: Sandbox, gateway: Gateway) -> None:
    """Booked, and the repeat gets the stored answer."""
    sale = payment()
    await gateway.ask(sale)
    rail.faults.set("silent_to_reversals", "1")
    reversal = follow_up(sale, "0420")
    gateway.send(reversal)

    assert await gateway.is_silent()
    assert rail.charge(sale)["state"] == "reversed"
    assert (await gateway.ask(reversal | {"t": "0421"}))["39"] == "00"


async def test_echo_tests_stay_unanswered(rail: Sandbox, gateway: Gateway) -> None:
    """Only echo tests, only N of them."""
    rail.faults.set("no_echo", "1")
    gateway.send(network("301"))

    assert await gateway.is_silent()
    assert (await gateway.ask(network("301")))["39"] == "00"


async def test_faults_can_be_armed_from_the_start(start: Start) -> None:
    """Settings carry them; a wrong one is refused before anything listens."""
    async with start(faults={"silent": "1"}) as rail, rail.link() as gateway:
        gateway.send(payment())
        assert await gateway.is_silent()

    with pytest.raises(FaultError, match="there is no fault 'loud'"):
        async with start(faults={"loud": "1"}):
            pass


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("silent", "x"),
        ("silent", "1:maybe"),
        ("silent", "-1"),
        ("silent", "9999999"),
        ("late_answer_seconds", "601"),
        ("issuer_delay_ms", "800-300"),
        ("issuer_delay_ms", "60001"),
        ("decline_reversals", "1:x"),
        ("close_batch", "1"),
    ],
)
def test_a_value_that_a_fault_does_not_take_is_refused(name: str, value: str) -> None:
    """The message says what it takes, or which faults there are."""
    with pytest.raises(FaultError):
        Faults().set(name, value)


def test_armed_faults_are_listed_with_what_is_left() -> None:
    """What `fault list` shows."""
    faults = Faults()
    faults.set("silent", "2:unbooked")
    faults.set("decline_reversals", "1")
    faults.set("issuer_delay_ms", "300-800")
    faults.strikes_before_booking()

    armed = faults.armed()

    assert armed["silent"] == "1:unbooked"
    assert armed["decline_reversals"] == "1:96"
    assert armed["issuer_delay_ms"] == "300-800"
    assert armed["no_echo"] == "0"


async def test_faults_of_one_link_leave_no_trace_in_the_loop(
    rail: Sandbox, gateway: Gateway
) -> None:
    """A late answer to a link that has gone meanwhile is dropped quietly."""
    rail.faults.set("late_answer_seconds", "0.05:1")
    async with rail.link() as leaving:
        leaving.send(payment())
        await asyncio.sleep(0.02)
    await asyncio.sleep(0.06)

    assert (await gateway.ask(payment()))["39"] == "00"
