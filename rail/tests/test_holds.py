"""
Holds lapse: the account is free again, and a capture that comes later finds nothing.
"""

import asyncio
from datetime import datetime, timedelta

import pytest
from counterfoil_rail.control import ControlError, ask
from counterfoil_rail.holds import HOLD_SECONDS
from counterfoil_rail.store import rail_folder

from .conftest import Gateway, Sandbox, Start, follow_up, monday, network, part, payment


class Watch:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = monday()

    def __call__(self) -> datetime:
        """Return the time."""
        return self.now

    def move(self, seconds: float) -> None:
        """Let time pass."""
        self.now += timedelta(seconds=seconds)


async def test_a_hold_lapses_after_seven_days(start: Start) -> None:
    """A second before it can be captured; then: 25, `expired`, and the account is free."""
    watch = Watch()
    async with start(clock=watch) as rail, rail.link() as gateway:
        early, late = payment("0100", amount=900), payment("0100", amount=500)
        for hold in (early, late):
            await gateway.ask(hold)

        watch.move(HOLD_SECONDS - 1)
        captured = await gateway.ask(follow_up(early, "0220"))
        watch.move(1)
        refused = await gateway.ask(follow_up(late, "0220"))

        assert (captured["39"], refused["39"]) == ("00", "25")
        charge = rail.charge(late)
        assert (charge["state"], charge["held_minor"], charge["expired_minor"]) == (
            "expired",
            0,
            500,
        )
        assert rail.charge(early)["state"] == "captured"
        assert rail.account() == {"held_minor": 0, "spent_minor": 900}


async def test_what_was_captured_of_a_lapsed_hold_stays(start: Start) -> None:
    """The rest lapses; a void of the capture then gives all back, and the hold stays lapsed."""
    watch = Watch()
    async with start(clock=watch, hold_seconds=60.0) as rail, rail.link() as gateway:
        hold = payment("0100", amount=900)
        await gateway.ask(hold)
        taking = follow_up(hold, "0220", amount=300)
        await gateway.ask(taking)

        watch.move(60)
        rest = await gateway.ask(follow_up(hold, "0220", amount=100))
        between = rail.charge(hold)
        undone = await gateway.ask(follow_up(taking, "0420"))

        assert (rest["39"], undone["39"]) == ("25", "00")
        assert (between["state"], between["captured_minor"], between["expired_minor"]) == (
            "captured",
            300,
            600,
        )
        charge = rail.charge(hold)
        assert (charge["state"], charge["expired_minor"], charge["batch"]) == (
            "expired",
            900,
            None,
        )
        assert rail.account() == {"held_minor": 0, "spent_minor": 0}


async def test_a_reversal_of_a_lapsed_hold_is_accepted(start: Start) -> None:
    """Nothing is left to be undone; a part of it cannot remain (13)."""
    watch = Watch()
    async with start(clock=watch, hold_seconds=60.0) as rail, rail.link() as gateway:
        hold = payment("0100", amount=900)
        await gateway.ask(hold)

        watch.move(61)
        lowered = await gateway.ask(part(hold, 300))
        reversed_ = await gateway.ask(follow_up(hold, "0420"))

        assert (lowered["39"], reversed_["39"]) == ("13", "00")
        assert rail.charge(hold)["state"] == "expired"


async def test_holds_lapse_without_payments(start: Start) -> None:
    """An echo, a start and an advance of the day book what has lapsed."""
    watch = Watch()
    holds = [payment("0100", amount=100 * n) for n in (1, 2, 3)]
    async with start(clock=watch, hold_seconds=60.0) as rail, rail.link() as gateway:
        await gateway.ask(holds[0])
        watch.move(61)
        await gateway.ask(network("301"))
        assert rail.charge(holds[0])["state"] == "expired"
        await gateway.ask(holds[1])
    watch.move(61)
    async with start(clock=watch, hold_seconds=60.0) as rail, rail.link() as gateway:
        assert rail.charge(holds[1])["state"] == "expired"
        await gateway.ask(holds[2])
        watch.move(61)
        rail.days.advance()
        assert rail.charge(holds[2])["state"] == "expired"
    assert rail.account() == {"held_minor": 0, "spent_minor": 0}


async def test_a_freed_account_pays_again(start: Start) -> None:
    """A small balance that a hold used up is there for the message that finds it lapsed."""
    watch, card = Watch(), "4000000000001000"
    async with start(clock=watch, hold_seconds=60.0) as rail, rail.link() as gateway:
        await gateway.ask(payment("0100", card=card, amount=10_000))
        assert (await gateway.ask(payment(card=card, amount=1)))["39"] == "51"

        watch.move(61)

        assert (await gateway.ask(payment(card=card, amount=10_000)))["39"] == "00"
        assert rail.account("1000") == {"held_minor": 0, "spent_minor": 10_000}


async def test_holds_are_shortened_by_a_fault(start: Start) -> None:
    """`hold_seconds` is for new authorizations; 0 brings the rail's own time back."""
    watch = Watch()
    async with start(clock=watch) as rail, rail.link() as gateway:
        long, short, again = (payment("0100") for _ in range(3))
        await gateway.ask(long)
        rail.faults.set("hold_seconds", "0.5")
        await gateway.ask(short)
        rail.faults.set("hold_seconds", "0")
        await gateway.ask(again)

        watch.move(1)
        codes = [
            (await gateway.ask(follow_up(hold, "0220")))["39"] for hold in (long, short, again)
        ]

        assert codes == ["00", "25", "00"]


async def test_the_control_port_ends_holds(rail: Sandbox, gateway: Gateway) -> None:
    """One by its RRN, or all; anything else is refused."""
    one, other = payment("0100"), payment("0100")
    for hold in (one, other):
        await gateway.ask(hold)
    folder = rail_folder(rail.state)

    async def say(value: str) -> None:
        await asyncio.to_thread(ask, folder, {"set": ["expire_holds", value]})

    await say(one["37"])
    states = [rail.charge(hold)["state"] for hold in (one, other)]
    await say("all")

    assert states == ["expired", "held"]
    assert rail.charge(other)["state"] == "expired"
    assert [line["count"] for line in rail.logged("holds_ended")] == [1, 1]
    with pytest.raises(ControlError, match="takes all, or the RRN"):
        await say("everything")
