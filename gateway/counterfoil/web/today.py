"""
Today: what came in and went back, until when the batch is open, thirty days, the last payments.

A day is one of the merchant's own, by the clock on its wall. The figures are counted off the road
of a payment (`store/totals.py`), with what happened a moment ago beside them.
"""

from datetime import date, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
from starlette.responses import Response

from counterfoil.people.roles import Right
from counterfoil.settlement.cutoff import next_cutoff
from counterfoil.store.payments import Filters
from counterfoil.store.search import SearchStore
from counterfoil.store.totals import Day, TotalsStore
from counterfoil.web.charts import Chart, chart_of
from counterfoil.web.filters import address
from counterfoil.web.live_parts import live_part
from counterfoil.web.rendering import page
from counterfoil.web.visit import Page, Visit

DAYS = 30
LAST_MAX = 8
LIVE_SECONDS = 4


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """
    One currency: today, and the days before it, oldest first, none left out.
    """

    today: Day
    days: tuple[Day, ...]
    chart: Chart

    @property
    def code(self) -> str:
        """
        The currency.
        """
        return self.today.currency

    @property
    def rate(self) -> str:
        """
        How many of a hundred were approved, of those that an issuer answered.
        """
        asked = self.today.approved + self.today.declined
        return f"{self.today.approved * 100 / asked:.1f} %" if asked else "\N{EN DASH}"


async def show(visit: Visit) -> Response:
    """
    The whole page.
    """
    return page(visit, "today.html", **await _facts(visit))


async def live(visit: Visit) -> Response:
    """
    Only what changes, for the page that looks again by itself.
    """
    return live_part(visit, "today-live.html", **await _facts(visit))


async def _facts(visit: Visit) -> dict[str, Any]:
    merchant, now = visit.who.merchant, visit.desk.clock.now()
    today = now.astimezone(ZoneInfo(merchant.timezone)).date()
    since = today - timedelta(days=DAYS - 1)
    found = await TotalsStore(visit.desk.database).days(merchant.merchant_id, since)
    search = SearchStore(visit.desk.database, merchant.merchant_id)
    figures = figures_of(found, today)
    charted = _charted(figures, visit.asked("currency"))
    return {
        "today": today,
        "figures": figures,
        "charted": charted,
        "live": address("/today/live", {"currency": charted.code if charted else ""}),
        "behind": max((each.behind for each in found), default=0),
        "cutoff": next_cutoff(now, visit.who.cutoff, merchant.timezone),
        "now": now,
        "last": (await search.page(Filters(), LAST_MAX)).payments,
        "every": LIVE_SECONDS,
    }


def _charted(figures: list[Figures], code: str) -> Figures | None:
    """
    Return the figures that are drawn: of the currency that was chosen, or with most payments.
    """
    chosen = [each for each in figures if each.code == code] or figures
    return chosen[0] if chosen else None


def figures_of(found: list[Day], today: date) -> list[Figures]:
    """
    Return the figures of each currency, that with most payments first; days without any are zero.
    """
    currencies: dict[str, dict[date, Day]] = {}
    for each in found:
        currencies.setdefault(each.currency, {})[each.day] = each
    figures = [_of_currency(code, days, today) for code, days in currencies.items()]
    return sorted(figures, key=_how_often, reverse=True)


def _of_currency(code: str, known: dict[date, Day], today: date) -> Figures:
    first = today - timedelta(days=DAYS - 1)
    days = tuple(
        known.get(day) or _nothing(day, code)
        for day in (first + timedelta(days=number) for number in range(DAYS))
    )
    chart = chart_of([(each.gross_minor, each.refunds_minor) for each in days])
    return Figures(today=days[-1], days=days, chart=chart)


def _nothing(day: date, code: str) -> Day:
    return Day(
        day=day,
        currency=code,
        gross_minor=0,
        refunds_minor=0,
        approved=0,
        declined=0,
        stopped=0,
    )


def _how_often(figures: Figures) -> int:
    return sum(each.approved for each in figures.days)


PAGES = (
    Page(path="/today", endpoint=show, right=Right.READ_PAYMENTS),
    Page(path="/today/live", endpoint=live, right=Right.READ_PAYMENTS, is_live=True),
)
