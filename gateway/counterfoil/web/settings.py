"""
Settings: the business, when its day ends, and how its payments are taken.
"""

import zoneinfo
from datetime import datetime, time, timedelta
from typing import Any

import asyncpg
import msgspec
from starlette.responses import RedirectResponse, Response

from counterfoil import ids
from counterfoil.business import (
    ACKNOWLEDGE_SECONDS,
    STEP_UP_WHOLE_MAX,
    fault_of,
    fault_of_region,
    is_timezone,
    read_cutoff,
    timezones,
)
from counterfoil.countries import COUNTRIES, by_name
from counterfoil.payments.payment import PartialApprovals
from counterfoil.people.roles import Right
from counterfoil.settlement.cutoff import effect_of_change, next_cutoff
from counterfoil.store.settings import BusinessChange, SettingsStore
from counterfoil.web.astray import LEAVE_IT_OUT, holds_card
from counterfoil.web.interrupted import to_step_up
from counterfoil.web.just_done import lead_to
from counterfoil.web.rendering import page
from counterfoil.web.session import is_stepped_up
from counterfoil.web.visit import Page, Visit

LABELS = {
    "name": "Business name",
    "city": "City",
    "region": "Region",
    "country": "Country",
    "email": "E-mail address",
}
BUSINESS = ("name", "city", "region", "country", "email")
DIGITS_MAX = len(str(STEP_UP_WHOLE_MAX))
DONE = {
    "business": "The business data was changed.",
    "payments": "How payments are taken was changed.",
    "day": "The end of the day was changed.",
    "giving": "What is given back without a proof was changed.",
}


async def show_settings(visit: Visit) -> Response:
    """
    All settings of the business.
    """
    typed = visit.asked("step_up_whole")[:DIGITS_MAX]
    return await _page(visit, {"step_up_whole": typed} if typed else None)


async def change_business(visit: Visit) -> Response:
    """
    Change name, place or e-mail address.
    """
    values = {name: visit.form.get(name, "").strip() for name in BUSINESS}
    values["country"] = values["country"].upper()
    faults = {
        name: f"{LABELS[name]}: {fault[:1].lower()}{fault[1:]}"
        for name, text in values.items()
        if (fault := fault_of(name, text))
    }
    if not faults and (fault := fault_of_region(values["region"], values["country"])):
        faults["region"] = f"{LABELS['region']}: {fault[:1].lower()}{fault[1:]}"
    faults |= {name: LEAVE_IT_OUT for name, text in values.items() if holds_card(text)}
    if "country" in faults:
        faults["country"] = "Choose a country of the list."
    if faults:
        return await _page(visit, values, faults)
    return await _changed(visit, msgspec.convert(values, BusinessChange), "business")


async def change_payments(visit: Visit) -> Response:
    """
    Change how long an approval waits to be claimed, and what becomes of one for a part.
    """
    text, choice = (
        visit.form.get("acknowledge_seconds", ""),
        visit.form.get("partial_approvals", ""),
    )
    faults = {}
    seconds = int(text) if text.isascii() and text.isdigit() and len(text) < 6 else 0
    if seconds not in ACKNOWLEDGE_SECONDS:
        first, last = ACKNOWLEDGE_SECONDS[0], ACKNOWLEDGE_SECONDS[-1]
        faults["acknowledge_seconds"] = f"Write seconds, from {first} to {last}."
    if choice not in list(PartialApprovals):
        faults["partial_approvals"] = "Choose one of the two."
    if faults:
        values = {"acknowledge_seconds": text, "partial_approvals": choice}
        return await _page(visit, values, faults)
    change = BusinessChange(acknowledge_seconds=seconds, partial_approvals=PartialApprovals(choice))
    return await _changed(visit, change, "payments")


async def change_giving(visit: Visit) -> Response:
    """
    Change how much is given back without a proof of who gives it, after such a proof.
    """
    text = visit.form.get("step_up_whole", "").strip()
    whole = int(text) if text.isascii() and text.isdigit() and len(text) <= DIGITS_MAX else None
    if whole is None or whole > STEP_UP_WHOLE_MAX:
        faults = {"step_up_whole": f"Write a whole number, from 0 to {STEP_UP_WHOLE_MAX:,}."}
        return await _page(visit, {"step_up_whole": text}, faults)
    if not is_stepped_up(visit.who, visit.desk.clock.now()):
        return to_step_up("/settings", {"step_up_whole": text})
    return await _changed(visit, BusinessChange(step_up_whole=whole), "giving")


async def confirm_day(visit: Visit) -> Response:
    """
    What another cutoff or zone would do to the day that is open now; what is not asked stays.
    """
    row = await _row(visit)
    asked = {
        "timezone": visit.asked("timezone", row["timezone"]),
        "cutoff": visit.asked("cutoff", _clock(row["cutoff"])),
    }
    return await _day(visit, asked, row)


async def change_day(visit: Visit) -> Response:
    """
    Change cutoff and zone, after their effect was shown.
    """
    asked = {name: visit.form.get(name, "") for name in ("timezone", "cutoff")}
    faults = _day_faults(asked)
    if faults:
        return await _page(visit, asked, faults)
    change = BusinessChange(timezone=asked["timezone"], cutoff=read_cutoff(asked["cutoff"]))
    return await _changed(visit, change, "day")


async def _day(visit: Visit, asked: dict[str, str], row: asyncpg.Record) -> Response:
    faults = _day_faults(asked)
    if faults:  # Nobody sent anything yet: the form says what is wrong.
        return await _page(visit, asked, faults, status=200)
    cutoff = read_cutoff(asked["cutoff"])
    assert cutoff is not None, "what was read before"
    before, after = (row["cutoff"], row["timezone"]), (cutoff, asked["timezone"])
    if before == after:
        return RedirectResponse("/settings#day", 303)
    now = visit.desk.clock.now()
    effect = effect_of_change(row["last_cutoff_at"], now, before=before, after=after)
    return page(
        visit,
        "settings-day.html",
        before={"cutoff": _clock(row["cutoff"]), "timezone": row["timezone"]},
        asked=asked,
        effect=effect,
        lasts=_length(row["last_cutoff_at"], effect.after),
        zone_after=zoneinfo.ZoneInfo(asked["timezone"]),
    )


def _day_faults(asked: dict[str, str]) -> dict[str, str]:
    faults = {}
    if not is_timezone(asked["timezone"]):
        faults["timezone"] = "Choose a zone of the list, such as America/New_York."
    if read_cutoff(asked["cutoff"]) is None:
        faults["cutoff"] = "Write a time of day, such as 23:00."
    return faults


async def _changed(visit: Visit, change: BusinessChange, what: str) -> Response:
    who = visit.who
    changed = await _store(visit).change(
        who.merchant.merchant_id, change, actor=who.actor, now=visit.desk.clock.now()
    )
    return lead_to("/settings", what) if changed else RedirectResponse("/settings", 303)


async def _page(
    visit: Visit,
    values: dict[str, str] | None = None,
    faults: dict[str, str] | None = None,
    *,
    status: int = 422,
) -> Response:
    """
    Return the page: what stands, or what was typed and why it cannot be, then with *status*.
    """
    row = await _row(visit)
    merchant_id = visit.who.merchant.merchant_id
    stands = {name: str(row[name]) for name in (*BUSINESS, *_OTHER)}
    stands["cutoff"] = _clock(row["cutoff"])
    typed = {**stands, **(values or {})}
    if not is_timezone(typed["timezone"]):  # A list shows what it has.
        typed["timezone"] = stands["timezone"]
    if typed["country"] not in COUNTRIES:
        typed["country"] = stands["country"]
    policy = await visit.desk.desk.road.store.screening.kept_policy(merchant_id)
    return page(
        visit,
        "settings.html",
        status=status if faults else 200,
        values=typed,
        faults=faults or {},
        merchant=row,
        merchant_written=ids.written(ids.MERCHANT, merchant_id),
        terminals=await visit.desk.merchants.terminals(merchant_id),
        countries=_countries(typed["country"]),
        zones=[(each, each.replace("_", " ")) for each in _zones(typed["timezone"])],
        next_close=next_cutoff(row["last_cutoff_at"], row["cutoff"], row["timezone"]),
        acknowledge=(ACKNOWLEDGE_SECONDS[0], ACKNOWLEDGE_SECONDS[-1]),
        policy=policy,
        done=DONE.get(visit.done),
    )


_OTHER = ("timezone", "acknowledge_seconds", "partial_approvals", "step_up_whole")


async def _row(visit: Visit) -> asyncpg.Record:
    row = await visit.desk.merchants.row(visit.who.merchant.merchant_id)
    assert row is not None, "somebody of it is signed in"
    return row


def _countries(chosen: str) -> list[tuple[str, str]]:
    """
    Return the countries to choose from: those of ISO 3166, and the one that is set.
    """
    known = by_name()
    return known if chosen in COUNTRIES else [(chosen, chosen), *known]


def _zones(chosen: str) -> list[str]:
    """
    Return the zones to choose from: those of places, UTC, and the one that is set.
    """
    places = {each for each in timezones() if each.startswith(_CONTINENTS)}
    return sorted(places | {"UTC"} | ({chosen} if is_timezone(chosen) else set()))


_CONTINENTS = (
    *("Africa/", "America/", "Antarctica/", "Asia/", "Atlantic/", "Australia/"),
    *("Europe/", "Indian/", "Pacific/"),
)


def _clock(at: time) -> str:
    return f"{at:%H:%M}"


def _length(since: datetime, until: datetime) -> str:
    """
    Return how long a day lasts: `23 hours 30 minutes`.
    """
    minutes = max(until - since, timedelta()) // timedelta(minutes=1)
    hours, rest = divmod(minutes, 60)
    parts = [f"{hours} hour{'' if hours == 1 else 's'}"] if hours else []
    if rest or not hours:
        parts.append(f"{rest} minute{'' if rest == 1 else 's'}")
    return " ".join(parts)


def _store(visit: Visit) -> SettingsStore:
    return SettingsStore(visit.desk.database, visit.desk.desk.road.ids)


def _form(path: str, endpoint: Any) -> Page:
    return Page(path=path, endpoint=endpoint, right=Right.SETTINGS, method="POST")


PAGES = (
    Page(path="/settings", endpoint=show_settings, right=Right.SETTINGS),
    _form("/settings/business", change_business),
    _form("/settings/payments", change_payments),
    _form("/settings/giving", change_giving),
    Page(path="/settings/day", endpoint=confirm_day, right=Right.SETTINGS),
    _form("/settings/day", change_day),
)
