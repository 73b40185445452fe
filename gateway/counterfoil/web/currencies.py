"""
Which currencies a form offers: the merchant's own, those it takes, and the others.

Its own is that of its country, unless it takes another one far more often. What no `[[route]]`
leads to a terminal of the merchant is not offered.
"""

import msgspec

from counterfoil.home_currencies import currency_of
from counterfoil.money import CURRENCIES, Currency
from counterfoil.store.currencies import CurrencyStore
from counterfoil.web.visit import Visit

AHEAD_MIN = 5  # Of the latest payments: by so many another currency is ahead to be one's own.


class Offered(msgspec.Struct, frozen=True, kw_only=True):
    """
    `own` is chosen at first. `usual` begins with it; `others` are known and were never taken.
    """

    own: str
    usual: tuple[Currency, ...]
    others: tuple[Currency, ...]

    def fault(self, code: str) -> str:
        """
        Return what is wrong with this choice; nothing, if it is offered.
        """
        if any(code == each.code for each in (*self.usual, *self.others)):
            return ""
        if code in CURRENCIES:
            return f"No acquirer of yours takes {code}: choose a currency of the list."
        return "Choose a currency of the list."


async def offered(visit: Visit) -> Offered:
    """
    Return what is offered to the merchant who asks.
    """
    merchant = visit.who.merchant
    latest = await CurrencyStore(visit.desk.database).of_merchant(merchant.merchant_id)
    way = await visit.desk.desk.road.routes.currencies(merchant)
    known = {code: each for code, each in CURRENCIES.items() if code in way} or CURRENCIES
    own = own_of(merchant.country, {code: latest[code] for code in latest if code in known})
    if own not in known:
        own = min(known)
    usual = sorted({own, *latest} & known.keys(), key=lambda code: (code != own, code))
    others = sorted(known.keys() - set(usual))
    return Offered(
        own=own,
        usual=tuple(known[code] for code in usual),
        others=tuple(known[code] for code in others),
    )


def own_of(country: str, latest: dict[str, int]) -> str:
    """
    Return the currency of *country*, or that which is AHEAD_MIN ahead of it among the *latest*.
    """
    at_home = currency_of(country)
    most = max(latest, key=lambda code: (latest[code], code == at_home), default=at_home)
    is_ahead = latest.get(most, 0) - latest.get(at_home, 0) >= AHEAD_MIN
    return most if is_ahead else at_home
