"""
The way to the acquirer: a merchant's terminals and the link of their acquirer.

The rules of the configuration say which acquirers a payment may go to; of those, one whose
link is signed on and whose answers do not speak against it is taken first. Terminals are
read once and remembered for a minute, so that a new one is found without a restart.
"""

from collections import OrderedDict
from collections.abc import Collection, Mapping, Sequence
from typing import Protocol
from uuid import UUID

import msgspec

from counterfoil.clock import Clock
from counterfoil.config import Acquirer, RouteRule, Routing
from counterfoil.money import CURRENCIES
from counterfoil.network.message import Fields
from counterfoil.network.outcome import NotSent, Outcome
from counterfoil.network.requests import Station, name_and_place
from counterfoil.payments.payment import Merchant
from counterfoil.routing.health import Ask, Breaker
from counterfoil.routing.pace import OwedPace, Pace, Share
from counterfoil.routing.rules import Wanted, acquirers_for, leads_somewhere
from counterfoil.store.merchants import MerchantStore

REMEMBER_SECONDS = 60.0
MERCHANTS_KEPT_MAX = 20_000


class Link(Protocol):
    """
    A line to an acquirer's host.
    """

    @property
    def ready(self) -> bool:
        """
        Whether it is signed on.
        """
        ...

    async def request(
        self, mti: str, fields: Fields, *, send_before: float, answer_within: float
    ) -> Outcome:
        """
        Send a message and return what became of it.
        """
        ...


class NoRoute(Exception):
    """
    The merchant has no terminal at a configured acquirer; the message says what to add.
    """


class LinkDown(Exception):
    """
    No link to the acquirer is signed on: nothing was sent.
    """


class Route(msgspec.Struct, frozen=True):
    """
    The chosen way: which station, over which link; and how long an authorization holds there.

    `ask` is what the acquirer's health is told about by, once for each request.
    """

    station: Station
    link: Link
    ask: Ask
    hold_days: int = 7


class Known:
    """
    A merchant's terminals, until when they are remembered, and whose turn it is.
    """

    def __init__(self, stations: list[Station], until: float, turn: int) -> None:
        self.stations = stations
        self.until = until
        self.turn = turn


class Routes:
    """
    Chooses the way for a payment.
    """

    def __init__(
        self,
        merchants: MerchantStore,
        acquirers: Mapping[str, Acquirer],
        links: Mapping[str, Link],
        clock: Clock,
        *,
        rules: Sequence[RouteRule] = (),
        settings: Routing | None = None,
    ) -> None:
        self.settings = settings or Routing()
        self._merchants = merchants
        self._acquirers = acquirers
        self._links = links
        self._clock = clock
        self._rules = rules
        self._breakers = {name: Breaker() for name in links}
        known = {name: acquirers[name] for name in links if name in acquirers}
        self._paces = {name: Pace(each.payments_per_second_max) for name, each in known.items()}
        self._owed = {name: OwedPace(each.owed_per_second_max) for name, each in known.items()}
        self._stations: OrderedDict[UUID, Known] = OrderedDict()

    async def choose(
        self,
        merchant: Merchant,
        wanted: Wanted | None = None,
        passed_by: Collection[str] = (),
        used_up: Collection[tuple[str, str]] = (),
    ) -> Route:
        """
        Return a way for a new payment of *merchant*, not by the acquirers in *passed_by* nor
        through the terminals (acquirer, terminal) in *used_up*.

        Acquirers that are avoided come last, so that one is always asked if a link is up. What
        became of the request is to be `told`, or the route `abandoned`.

        Raises:
            NoRoute: There is none, or no rule leads to one.
            LinkDown: There is one, and its link is down, or has its fill.
        """
        usable = await self._usable(merchant, wanted)
        ready = [
            each
            for each in usable
            if self._links[each.acquirer].ready
            and each.acquirer not in passed_by
            and (each.acquirer, each.terminal_id) not in used_up
        ]
        if not ready:
            raise LinkDown("no link to the acquirer is signed on")
        now = self._clock.monotonic()
        ready = [each for each in ready if self._paces[each.acquirer].room(now)]
        if not ready:
            raise LinkDown("more payments come at once than the acquirer is sent")
        station = ready[0] if len(ready) == 1 else self._best(ready, now)
        ask = self._breakers[station.acquirer].chosen(now)
        self._paces[station.acquirer].take()
        link = self._links[station.acquirer]
        return Route(station, link, ask, self._acquirers[station.acquirer].hold_days)

    def _best(self, ready: list[Station], now: float) -> Station:
        takes = {each.acquirer: self._breakers[each.acquirer].takes(now) for each in ready}
        # False sorts first, and the sort keeps the order of rule and turn.
        return min(ready, key=lambda each: not takes[each.acquirer])

    def again(self, route: Route) -> Route:
        """
        Return *route* for one more request of a payment whose first one was answered.

        Raises:
            LinkDown: The link has its fill of new payments.
        """
        now, acquirer = self._clock.monotonic(), route.station.acquirer
        if not self._paces[acquirer].room(now):
            raise LinkDown("more payments come at once than the acquirer is sent")
        self._paces[acquirer].take()
        return msgspec.structs.replace(route, ask=self._breakers[acquirer].again(now))

    def owed_room(self, acquirer: str, share: Share) -> int:
        """
        Return how much of *share* of what is owed may be sent to *acquirer* now.
        """
        return self._owed[acquirer].room(share, self._clock.monotonic())

    def owed_sent(self, acquirer: str, share: Share) -> None:
        """
        Note that something that was owed is sent to *acquirer*.
        """
        self._owed[acquirer].take(share)

    def told(self, route: Route, outcome: Outcome) -> None:
        """
        Learn from what became of the request that went by *route*; only the first word counts.
        """
        self._ended(route, outcome)

    def abandoned(self, route: Route) -> None:
        """
        Note that nobody will tell any more what became of the request, if nobody has told yet.
        """
        self._ended(route, None)

    def _ended(self, route: Route, outcome: Outcome | None) -> None:
        acquirer = route.station.acquirer
        if not route.ask.is_told and (outcome is None or isinstance(outcome, NotSent)):
            self._paces[acquirer].give_back()
        self._breakers[acquirer].told(route.ask, outcome, self._clock.monotonic())

    def health(self) -> dict[str, str]:
        """
        Return for each acquirer `ok`, or that its link is down, or how long it is avoided and why.
        """
        now = self._clock.monotonic()
        return {
            name: breaker.words(now) if self._links[name].ready else "not signed on"
            for name, breaker in self._breakers.items()
        }

    async def _usable(self, merchant: Merchant, wanted: Wanted | None) -> list[Station]:
        """
        Return the terminals that may take the payment, those to be tried first in front.
        """
        known = await self._known(merchant)
        usable = [each for each in known.stations if each.acquirer in self._links]
        if not usable:
            raise NoRoute(
                "this merchant has no terminal at a configured acquirer: add one with "
                "`counterfoil merchant terminal`"
            )
        known.turn += 1
        start = known.turn % len(usable)
        in_turn = usable[start:] + usable[:start]
        named = acquirers_for(self._rules, merchant.merchant_id, wanted) if wanted else None
        if named is None:
            return in_turn
        ruled = [each for name in named for each in in_turn if each.acquirer == name]
        if not ruled:
            raise NoRoute(
                f"a [[route]] leads this payment to {', '.join(named)}, where this merchant has "
                "no terminal: add one with `counterfoil merchant terminal`, or correct the route"
            )
        return ruled

    async def currencies(self, merchant: Merchant) -> frozenset[str]:
        """
        Return the currencies in which some card can be charged for *merchant*: all, unless a rule
        leads where it has no terminal.
        """
        stations = (await self._known(merchant)).stations
        acquirers = {each.acquirer for each in stations} & self._links.keys()
        return frozenset(
            code
            for code in CURRENCIES
            if leads_somewhere(self._rules, merchant.merchant_id, code, acquirers)
        )

    async def station(self, merchant: Merchant, acquirer: str, terminal_id: str) -> Station:
        """
        Return the station at which a payment was made.

        Raises:
            NoRoute: The terminal or its acquirer is no longer there.
        """
        for each in (await self._known(merchant)).stations:
            if each.acquirer == acquirer and each.terminal_id == terminal_id:
                return each
        raise NoRoute(f"terminal {terminal_id} of acquirer {acquirer} is not configured any more")

    def link(self, acquirer: str) -> Link:
        """
        Return the link to *acquirer*.

        Raises:
            NoRoute: It is not configured in this process.
        """
        try:
            return self._links[acquirer]
        except KeyError:
            raise NoRoute(f"acquirer {acquirer} is not configured") from None

    async def _known(self, merchant: Merchant) -> Known:
        now = self._clock.monotonic()
        kept = self._stations.get(merchant.merchant_id)
        if kept and kept.until > now:
            return kept
        place = name_and_place(merchant.name, merchant.city, merchant.region, merchant.country)
        stations = [
            Station(
                acquirer=terminal.acquirer,
                institution_id=settings.institution_id,
                forwarding_id=settings.forwarding_id,
                terminal_id=terminal.terminal_id,
                card_acceptor_id=terminal.card_acceptor_id,
                name_and_place=place,
                category_code=merchant.category_code,
            )
            for terminal in await self._merchants.terminals(merchant.merchant_id)
            if (settings := self._acquirers.get(terminal.acquirer))
        ]
        known = Known(stations, now + REMEMBER_SECONDS, kept.turn if kept else 0)
        self._stations[merchant.merchant_id] = known
        self._stations.move_to_end(merchant.merchant_id)
        if len(self._stations) > MERCHANTS_KEPT_MAX:
            self._stations.popitem(last=False)
        return known
