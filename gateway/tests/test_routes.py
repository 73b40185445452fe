"""
The way to the acquirer: which terminal, over which link, and why none.
"""

from uuid import uuid4

import pytest
from counterfoil.config import Acquirer
from counterfoil.routing.routes import REMEMBER_SECONDS, LinkDown, NoRoute, Routes
from counterfoil.store.merchants import Terminal
from payment_stage import Stage
from scripted_link import ScriptedLink


def acquirer(name: str) -> Acquirer:
    return Acquirer(name, "test", "127.0.0.1", 1, "123456", "987654")


class Map:
    """Two acquirers, and a merchant with a terminal at each."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.clock = stage.clock
        self.north, self.south = stage.acquirer, f"south-{uuid4().hex[:8]}"
        self.links = {self.north: ScriptedLink(), self.south: ScriptedLink()}
        self.routes = Routes(
            stage.merchants, {name: acquirer(name) for name in self.links}, self.links, stage.clock
        )

    async def add(self, name: str, terminal_id: str) -> None:
        terminal = Terminal(name, terminal_id, "SHOP")
        await self.stage.merchants.add_terminal(self.stage.merchant.merchant_id, terminal)

    async def chosen(self) -> str:
        return (await self.routes.choose(self.stage.merchant)).station.terminal_id


@pytest.fixture
async def map_(stage: Stage) -> Map:
    found = Map(stage)
    await found.add(found.south, "TERM000S")
    return found


async def test_terminals_take_turns(map_: Map) -> None:
    """Large merchants have several, so that none runs out of trace numbers."""
    found = [await map_.chosen() for _ in range(4)]

    assert sorted(found) == ["TERM0001"] * 2 + ["TERM000S"] * 2
    assert found[0] != found[1]


async def test_a_link_that_is_down_is_passed_by(map_: Map) -> None:
    """The other acquirer takes everything meanwhile."""
    map_.links[map_.north].ready = False

    assert {await map_.chosen() for _ in range(4)} == {"TERM000S"}


async def test_without_any_link_nothing_is_sent(map_: Map) -> None:
    """Which is not the merchant's fault, and will pass."""
    for link in map_.links.values():
        link.ready = False

    with pytest.raises(LinkDown, match="no link to the acquirer is signed on"):
        await map_.chosen()


async def test_a_merchant_without_a_terminal_is_told_what_to_add(map_: Map) -> None:
    """He has one, but not at an acquirer that is configured here."""
    elsewhere = Routes(
        map_.stage.merchants, {"elsewhere": acquirer("elsewhere")}, {"elsewhere": ScriptedLink()},
        map_.clock,
    )  # fmt: skip

    with pytest.raises(NoRoute, match="counterfoil merchant terminal"):
        await elsewhere.choose(map_.stage.merchant)


async def test_a_station_carries_what_the_acquirer_knows_the_merchant_by(map_: Map) -> None:
    """Terminal, acceptor, category, name and place, and both institutions."""
    station = await map_.routes.station(map_.stage.merchant, map_.north, "TERM0001")

    assert station.card_acceptor_id == "MERCHANT0000001"
    assert (station.institution_id, station.forwarding_id) == ("123456", "987654")
    assert station.name_and_place == "The Book Shop          Springfield  ILUS"
    assert station.category_code == "5942"


async def test_a_station_that_is_gone_is_said(map_: Map) -> None:
    """A reversal cannot be sent as another terminal's."""
    for name, terminal in ((map_.north, "TERM000S"), ("elsewhere", "TERM0001")):
        with pytest.raises(NoRoute, match="not configured any more"):
            await map_.routes.station(map_.stage.merchant, name, terminal)
    with pytest.raises(NoRoute, match="acquirer elsewhere is not configured"):
        map_.routes.link("elsewhere")


async def test_terminals_are_asked_for_once_a_minute(map_: Map) -> None:
    """Not for every payment; and a new one is found without a restart."""
    for _ in range(3):
        await map_.chosen()
    await map_.add(map_.north, "TERM000M")
    before = {await map_.chosen() for _ in range(6)}
    map_.clock.move(REMEMBER_SECONDS + 1)
    after = {await map_.chosen() for _ in range(6)}

    assert "TERM000M" not in before
    assert "TERM000M" in after
