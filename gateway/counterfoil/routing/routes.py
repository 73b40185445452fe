"""
The way to the acquirer: a merchant's terminals and the link of their acquirer.

Terminals are read once and remembered for a minute, so that a new one is found
without a restart.
"""

from collections import OrderedDict
from collections.abc import Mapping
from typing import Protocol
from uuid import UUID

import msgspec

from counterfoil.clock import Clock
from counterfoil.config import Acquirer
from counterfoil.network.message import Fields
from counterfoil.network.outcome import Outcome
from counterfoil.network.requests import Station, name_and_place
from counterfoil.payments.payment import Merchant
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
    The chosen way: which station, over which link.
    """

    station: Station
    link: Link


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
    ) -> None:
        self._merchants = merchants
        self._acquirers = acquirers
        self._links = links
        self._clock = clock
        self._stations: OrderedDict[UUID, tuple[float, list[Station]]] = OrderedDict()
        self._turn = 0

    async def choose(self, merchant: Merchant) -> Route:
        """
        Return a way for a new payment of *merchant*: its terminals take turns.

        Raises:
            NoRoute: There is none.
            LinkDown: There is one, and its link is down.
        """
        stations = await self._stations_of(merchant)
        usable = [each for each in stations if each.acquirer in self._links]
        if not usable:
            raise NoRoute(
                "this merchant has no terminal at a configured acquirer: add one with "
                "`counterfoil merchant terminal`"
            )
        self._turn += 1
        for step in range(len(usable)):
            station = usable[(self._turn + step) % len(usable)]
            link = self._links[station.acquirer]
            if link.ready:
                return Route(station, link)
        raise LinkDown("no link to the acquirer is signed on")

    async def station(self, merchant: Merchant, acquirer: str, terminal_id: str) -> Station:
        """
        Return the station at which a payment was made.

        Raises:
            NoRoute: The terminal or its acquirer is no longer there.
        """
        for each in await self._stations_of(merchant):
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

    async def _stations_of(self, merchant: Merchant) -> list[Station]:
        now = self._clock.monotonic()
        kept = self._stations.get(merchant.merchant_id)
        if kept and kept[0] > now:
            return kept[1]
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
        self._stations[merchant.merchant_id] = (now + REMEMBER_SECONDS, stations)
        if len(self._stations) > MERCHANTS_KEPT_MAX:
            self._stations.popitem(last=False)
        return stations
