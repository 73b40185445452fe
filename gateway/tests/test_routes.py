"""
The way to the acquirer: which terminal, over which link, and why none.
"""

from uuid import uuid4

import pytest
from counterfoil import ids
from counterfoil.config import Acquirer, RouteRule
from counterfoil.network.outcome import NotSent, OutcomeUnknown
from counterfoil.routing.health import AVOID_SECONDS_MIN, FAULTS_MIN
from counterfoil.routing.routes import REMEMBER_SECONDS, LinkDown, NoRoute, Route, Routes
from counterfoil.routing.rules import Wanted
from counterfoil.store.database import Database
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

    def ruled(self, *rules: RouteRule) -> None:
        """Let *rules* hold from now on."""
        acquirers = {name: acquirer(name) for name in self.links}
        self.routes = Routes(
            self.stage.merchants, acquirers, self.links, self.clock, rules=rules
        )  # fmt: skip

    async def add(self, name: str, terminal_id: str) -> None:
        terminal = Terminal(name, terminal_id, "SHOP")
        await self.stage.merchants.add_terminal(self.stage.merchant.merchant_id, terminal)

    async def chosen(self) -> str:
        return (await self.routes.choose(self.stage.merchant)).station.terminal_id

    async def way(self, *, passed_by: tuple[str, ...] = (), **changes: str) -> str:
        """Return the acquirer chosen for a card of 411111 and dollars, or for something else."""
        wanted = Wanted(**{"brand": "visa", "bin": "411111", "currency": "USD", **changes})
        return (await self.routes.choose(self.stage.merchant, wanted, passed_by)).station.acquirer

    async def route(self, *, passed_by: tuple[str, ...] = ()) -> Route:
        """Return the way chosen for a payment."""
        return await self.routes.choose(self.stage.merchant, passed_by=passed_by)

    async def faults(self, name: str) -> None:
        """Let *name* answer with faults until it is avoided."""
        (other,) = {self.north, self.south} - {name}
        for _ in range(FAULTS_MIN):
            self.routes.told(await self.route(passed_by=(other,)), OutcomeUnknown("no answer"))


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


async def test_each_merchants_terminals_take_turns_whoever_pays_between(
    map_: Map, database: Database
) -> None:
    """Two shops that alternate do not each find the same terminal every time."""
    other = await Stage.set_up(database, clock=map_.clock)
    for name, terminal_id in ((map_.north, "TERM0008"), (map_.south, "TERM0009")):
        await map_.stage.merchants.add_terminal(
            other.merchant.merchant_id, Terminal(name, terminal_id, "OTHER")
        )
    found = []
    for _ in range(4):
        found.append(await map_.chosen())
        await map_.routes.choose(other.merchant)

    assert sorted(found) == ["TERM0001"] * 2 + ["TERM000S"] * 2


async def test_what_is_not_sent_after_all_leaves_its_place_in_the_pace(map_: Map) -> None:
    """Refused by screening, known already, or proof that no byte left: the acquirer saw nothing."""
    acquirers = {
        name: Acquirer(name, "test", "127.0.0.1", 1, "1", "2", payments_per_second_max=1.0)
        for name in map_.links
    }
    map_.routes = Routes(map_.stage.merchants, acquirers, map_.links, map_.clock)
    first = await map_.route(passed_by=(map_.south,))
    with pytest.raises(LinkDown, match="more payments come at once"):
        await map_.route(passed_by=(map_.south,))

    map_.routes.abandoned(first)
    second = await map_.route(passed_by=(map_.south,))
    map_.routes.told(second, NotSent("the link is down"))
    map_.routes.abandoned(second)
    third = await map_.route(passed_by=(map_.south,))
    map_.routes.told(third, OutcomeUnknown("no answer"))
    map_.routes.abandoned(third)

    with pytest.raises(LinkDown, match="more payments come at once"):
        await map_.route(passed_by=(map_.south,))


async def test_what_an_acquirer_has_no_room_for_goes_to_the_next(map_: Map) -> None:
    """Each has its own pace; only when both have their fill is it refused."""
    acquirers = {
        name: Acquirer(name, "test", "127.0.0.1", 1, "1", "2", payments_per_second_max=1.0)
        for name in map_.links
    }
    map_.routes = Routes(
        map_.stage.merchants, acquirers, map_.links, map_.clock,
        rules=[RouteRule((map_.south, map_.north))],
    )  # fmt: skip

    found = [await map_.way() for _ in range(2)]
    with pytest.raises(LinkDown, match="more payments come at once"):
        await map_.way()
    map_.clock.move(1)

    assert found == [map_.south, map_.north]
    assert await map_.way() == map_.south


async def test_a_terminal_that_is_used_up_is_passed_by_and_its_acquirer_is_not(map_: Map) -> None:
    """Another of the same acquirer takes its place; with none left it is refused."""
    await map_.add(map_.north, "TERM000M")
    used_up = [(map_.north, "TERM0001"), (map_.south, "TERM000S")]

    found = {
        (await map_.routes.choose(map_.stage.merchant, None, (), used_up)).station.terminal_id
        for _ in range(6)
    }
    with pytest.raises(LinkDown):
        await map_.routes.choose(map_.stage.merchant, None, (map_.north,), used_up)

    assert found == {"TERM000M"}


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


@pytest.mark.parametrize(
    ("rule", "fits", "does_not"),
    [
        ({"brands": ("visa",)}, {}, {"brand": "amex"}),
        ({"currencies": ("USD", "EUR")}, {"currency": "EUR"}, {"currency": "JPY"}),
        ({"bins": ("41",)}, {}, {"bin": "421111"}),
        ({"bins": ("400000-419999",)}, {"bin": "419999"}, {"bin": "420000"}),
        ({"bins": ("41111122",)}, {"bin": "41111122"}, {"bin": "41111121"}),
        ({"bins": ("41111100-41111149",)}, {"bin": "41111149"}, {"bin": "41111150"}),
        ({"bins": ("510-519", "4")}, {"bin": "519999"}, {"bin": "520000"}),
        ({"brands": ("visa",), "currencies": ("USD",)}, {}, {"currency": "EUR"}),
    ],
)
async def test_a_rule_looks_at_brand_bin_and_currency(
    map_: Map, rule: dict[str, tuple[str, ...]], fits: dict[str, str], does_not: dict[str, str]
) -> None:
    """What fits goes where the rule leads, everything else takes turns."""
    map_.ruled(RouteRule((map_.south,), **rule))  # type: ignore[arg-type]

    assert {await map_.way(**fits) for _ in range(4)} == {map_.south}
    assert {await map_.way(**does_not) for _ in range(4)} == {map_.south, map_.north}


async def test_a_rule_may_be_one_merchants(map_: Map) -> None:
    """The same card goes another way for somebody else."""
    own = ids.written(ids.MERCHANT, map_.stage.merchant.merchant_id)
    map_.ruled(
        RouteRule((map_.south,), merchants=("mer_" + 32 * "0",)),
        RouteRule((map_.north,), merchants=(own,)),
    )

    assert {await map_.way() for _ in range(4)} == {map_.north}


async def test_the_first_rule_that_fits_decides(map_: Map) -> None:
    """They stand in the order of their priority."""
    map_.ruled(RouteRule((map_.north,), brands=("visa",)), RouteRule((map_.south,)))

    assert await map_.way() == map_.north
    assert await map_.way(brand="amex") == map_.south


async def test_a_rules_acquirers_are_tried_in_its_order_and_no_others(map_: Map) -> None:
    """The second only while the first is down; and never one that it does not name."""
    map_.ruled(RouteRule((map_.south, map_.north)))
    assert {await map_.way() for _ in range(4)} == {map_.south}

    map_.links[map_.south].ready = False
    assert {await map_.way() for _ in range(4)} == {map_.north}

    map_.ruled(RouteRule((map_.south,)))
    with pytest.raises(LinkDown):
        await map_.way()


async def test_a_rule_that_leads_nowhere_says_what_to_add(map_: Map) -> None:
    """A configuration mistake, not the shopper's."""
    map_.ruled(RouteRule(("east",)))

    with pytest.raises(NoRoute, match="leads this payment to east"):
        await map_.way()


async def test_an_acquirer_that_was_tried_is_not_tried_again(map_: Map) -> None:
    """The next one, until there is none."""
    assert await map_.way(passed_by=(map_.north,)) == map_.south
    with pytest.raises(LinkDown):
        await map_.way(passed_by=(map_.north, map_.south))


async def test_an_acquirer_that_answers_with_faults_is_avoided_for_a_while(map_: Map) -> None:
    """Then one payment tries it again, and shows that it is well."""
    await map_.faults(map_.north)
    assert {await map_.way() for _ in range(4)} == {map_.south}
    assert map_.routes.health()[map_.north].startswith("avoided")

    map_.clock.move(AVOID_SECONDS_MIN)
    probes = [await map_.way() for _ in range(4)]

    assert probes.count(map_.north) == 1
    assert map_.routes.health()[map_.south] == "ok"


async def test_a_currency_is_known_that_no_rule_leads_to_a_terminal(map_: Map) -> None:
    """One that some cards can be charged in is none of these."""
    everything = await map_.routes.currencies(map_.stage.merchant)
    map_.ruled(
        RouteRule((map_.south,), currencies=("USD",)),
        RouteRule(("elsewhere",), currencies=("EUR",), brands=("visa",)),
        RouteRule(("elsewhere",), currencies=("JPY",)),
        RouteRule(("elsewhere",), currencies=("GBP",), merchants=("mer_" + 32 * "0",)),
    )

    assert everything - await map_.routes.currencies(map_.stage.merchant) == {"JPY"}


async def test_the_only_acquirer_is_asked_even_if_it_is_avoided(map_: Map) -> None:
    """A breaker chooses between acquirers; it refuses no payment."""
    await map_.faults(map_.north)
    map_.links[map_.south].ready = False

    assert await map_.way() == map_.north


async def test_a_way_that_is_abandoned_frees_the_place_of_the_probe_and_no_others(
    map_: Map,
) -> None:
    """Whoever gives up later, or had another way, takes nobody's place."""
    await map_.faults(map_.north)
    map_.clock.move(AVOID_SECONDS_MIN)
    probe = await map_.route(passed_by=(map_.south,))
    beside = await map_.route(passed_by=(map_.south,))

    map_.routes.abandoned(beside)
    while_probed = {await map_.way() for _ in range(4)}
    map_.routes.abandoned(probe)
    after = [await map_.way() for _ in range(4)]

    assert while_probed == {map_.south}
    assert after.count(map_.north) == 1
