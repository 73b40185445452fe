"""
For developers: API keys, webhook endpoints, where payment pages lead back to, what happened last.
"""

import secrets
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse, Response

from counterfoil import ids
from counterfoil.api.authenticate import PREFIXES
from counterfoil.checkouts.returning import ORIGINS_MAX, ReturnRefused, checked_origin
from counterfoil.events.shown import BatchSnapshot, EventAnswer, event_answer
from counterfoil.lines import fault_of_line
from counterfoil.people.roles import Right
from counterfoil.settlement.batch_names import written_name
from counterfoil.store.feed import FeedStore
from counterfoil.store.settings import NewKey, SettingsStore
from counterfoil.store.timeline import TimelineStore
from counterfoil.web.actors import by_whom
from counterfoil.web.astray import LEAVE_IT_OUT, holds_card
from counterfoil.web.just_done import lead_to
from counterfoil.web.rendering import page
from counterfoil.web.visit import Page, Visit

SECRET_BYTES = 32
NAME_CHARACTERS_MAX = 64
EVENTS_PAGE_MAX = 50
EVENTS_SHOWN = 8
NUMBER_DIGITS_MAX = 17

# How long a key lives, as the form offers it: days, words.
LIVES = {"0": "Until it is revoked", "30": "30 days", "90": "90 days", "365": "One year"}
DONE = {
    "revoked": "The key is revoked: no gateway takes it any more.",
    "returns": "The addresses to which payment pages lead back were changed.",
    "deleted": "The endpoint is deleted. What it was owed is given up; the feed keeps every event.",
}


async def show_developers(visit: Visit) -> Response:
    """
    Keys, endpoints and the last events.
    """
    merchant_id, now = visit.who.merchant.merchant_id, visit.desk.clock.now()
    may_hook = visit.who.may(Right.WEBHOOKS)
    endpoints = await visit.desk.desk.endpoints.store.all(merchant_id) if may_hook else []
    return page(
        visit,
        "developers.html",
        keys=[_key(row, now) for row in await _store(visit).keys(merchant_id)],
        endpoints=[
            {**row, "written": ids.written(ids.ENDPOINT, row["endpoint_id"])} for row in endpoints
        ],
        events=(await _events(visit, None))[:EVENTS_SHOWN],
        origins=await visit.desk.desk.checkouts.store.return_origins(merchant_id),
        mode=visit.desk.configuration.mode,
        done=DONE.get(visit.done),
    )


async def key_form(visit: Visit) -> Response:
    """
    The form of a new key. It names the key already, so that sent twice it makes one.
    """
    days = visit.asked("days")
    typed = {"name": visit.asked("name"), "days": days if days in LIVES else "0"}
    return _key_page(visit, typed, {})


async def make_key(visit: Visit) -> Response:
    """
    Make a key and show its secret, this once: the answer to the form, which nothing keeps.
    """
    name, days = visit.form.get("name", "").strip(), visit.form.get("days", "")
    faults = {}
    most = f"Say what it is for, in up to {NAME_CHARACTERS_MAX} characters."
    if fault := fault_of_line(name, NAME_CHARACTERS_MAX, most):
        faults["name"] = fault
    elif holds_card(name):
        faults["name"] = LEAVE_IT_OUT
    if days not in LIVES:
        faults["days"] = "Choose how long it lives."
    if faults:
        return _key_page(visit, {"name": name, "days": days}, faults)
    desk, who, now = visit.desk, visit.who, visit.desk.clock.now()
    made = NewKey(
        key_id=_id(ids.KEY, visit.form.get("key_id", "")),
        secret=PREFIXES[desk.configuration.mode] + secrets.token_urlsafe(SECRET_BYTES),
        name=name,
        expires_at=now + timedelta(days=int(days)) if int(days) else None,
    )
    is_new = await _store(visit).add_key(who.merchant.merchant_id, made, actor=who.actor, now=now)
    if not is_new:
        return page(visit, "made-before.html", status=409, what="key", again="/developers/keys/new")
    return page(visit, "key-made.html", status=201, made=made, at=now)


async def revoke_form(visit: Visit) -> Response:
    """
    Ask once more: a key that was revoked does not come back.
    """
    row = await _one(visit)
    if row["revoked_at"]:
        return RedirectResponse("/developers", 303)
    return page(visit, "key-revoke.html", key=_key(row, visit.desk.clock.now()))


async def revoke_key(visit: Visit) -> Response:
    """
    End a key at once, on every gateway.
    """
    row, who = await _one(visit), visit.who
    await _store(visit).revoke_key(
        who.merchant.merchant_id, row["key_id"], actor=who.actor, now=visit.desk.clock.now()
    )
    return lead_to("/developers", "revoked")


async def returns_form(visit: Visit) -> Response:
    """
    To which sites payment pages may lead back, as a form: one in a line.
    """
    store = visit.desk.desk.checkouts.store
    origins = await store.return_origins(visit.who.merchant.merchant_id)
    typed = visit.asked("origins") or "\n".join(origins)
    return page(visit, "return-addresses.html", typed=typed, faults={})


async def change_returns(visit: Visit) -> Response:
    """
    Change them: for pages that are opened from now on.
    """
    desk, who, typed = visit.desk, visit.who, visit.form.get("origins", "")
    wanted = list(dict.fromkeys(each for line in typed.splitlines() if (each := line.strip())))
    fault = _fault_of_returns(wanted, is_test=desk.configuration.mode == "test")
    if fault:
        faults = {"origins": fault}
        return page(visit, "return-addresses.html", status=422, typed=typed, faults=faults)
    await desk.desk.checkouts.store.set_return_origins(
        who.merchant.merchant_id, wanted, at=desk.clock.now(), actor=who.actor
    )
    return lead_to("/developers", "returns")


def _fault_of_returns(origins: list[str], *, is_test: bool) -> str:
    if len(origins) > ORIGINS_MAX:
        return f"Write up to {ORIGINS_MAX} addresses."
    said = []
    for each in origins:
        if holds_card(each):
            said.append(LEAVE_IT_OUT)
            continue
        try:
            checked_origin(each, is_test=is_test)
        except ReturnRefused as error:
            said.append(f"{each[:60]}: {error}.")
    return " ".join(said)


async def list_events(visit: Visit) -> Response:
    """
    The feed, newest first: what webhooks tell, and what a shop reads by itself.
    """
    asked = visit.asked("before")
    plain = asked.isascii() and asked.isdigit() and len(asked) <= NUMBER_DIGITS_MAX
    found = await _events(visit, int(asked) if plain else None)
    return page(
        visit,
        "events.html",
        events=found,
        older=found[-1]["event"].number if found and found[-1]["event"].number > 1 else None,
        is_first=not plain,
    )


async def _events(visit: Visit, before: int | None) -> list[dict[str, Any]]:
    """
    Return up to EVENTS_PAGE_MAX events before the number *before*, newest first.
    """
    merchant_id, feed = visit.who.merchant.merchant_id, FeedStore(visit.desk.database)
    head = await feed.head(merchant_id)
    until = min(before, head + 1) if before is not None else head + 1
    after = max(until - 1 - EVENTS_PAGE_MAX, 0)
    rows = await feed.page(merchant_id, after, EVENTS_PAGE_MAX)
    mode = visit.desk.configuration.mode
    found = [event_answer(row, mode) for row in rows if row["number"] < until]
    people = TimelineStore(visit.desk.database, merchant_id)
    names = await people.names({each.actor for each in found})
    return [
        {"event": each, **_about(each), "by": by_whom(each.actor, names.get(each.actor))}
        for each in reversed(found)
    ]


def _about(event: EventAnswer) -> dict[str, str | None]:
    if event.payment:
        return {"about": event.payment.order or "Payment", "path": f"/payments/{event.payment.id}"}
    if event.deposit:
        reference = event.deposit.reference
        return {"about": f"Deposit {reference}", "path": f"/deposits/{reference}"}
    if event.batch:
        return {"about": f"Batch {event.batch.batch}", "path": _batch_path(event.batch)}
    if event.endpoint:
        return {"about": event.endpoint.url, "path": f"/developers/webhooks/{event.endpoint.id}"}
    if event.checkout:
        payment = event.checkout.payment
        path = f"/payments/{payment}" if payment else None
        return {"about": event.checkout.order or "Payment page", "path": path}
    return {"about": "", "path": None}


def _batch_path(batch: BatchSnapshot) -> str:
    terminal_id, currency, number = batch.batch.rsplit("/", 2)
    return f"/batches/{written_name(batch.acquirer, terminal_id, currency, int(number))}"


def _key_page(visit: Visit, values: dict[str, str], faults: dict[str, str]) -> Response:
    made = visit.form.get("key_id") or ids.written(ids.KEY, visit.desk.desk.road.ids.new())
    return page(
        visit,
        "key-new.html",
        status=422 if faults else 200,
        key_id=made,
        values=values,
        faults=faults,
        lives=LIVES.items(),
        mode=visit.desk.configuration.mode,
        prefix=PREFIXES[visit.desk.configuration.mode],
    )


def _key(row: asyncpg.Record, now: datetime) -> dict[str, Any]:
    expired = row["expires_at"] is not None and row["expires_at"] <= now
    ended = row["revoked_at"] is not None or expired
    words = "Revoked" if row["revoked_at"] else "Expired" if expired else "Active"
    return {
        "id": ids.written(ids.KEY, row["key_id"]),
        "tone": "" if ended else "good",
        "words": words,
        "ended": ended,
        **{name: row[name] for name in ("hint", "name", "created_at", "expires_at", "revoked_at")},
    }


async def _one(visit: Visit) -> asyncpg.Record:
    key_id = _id(ids.KEY, visit.named("key_id"))
    row = await _store(visit).key(visit.who.merchant.merchant_id, key_id)
    if row is None:
        raise HTTPException(404)
    return row


def _id(prefix: str, text: str) -> UUID:
    try:
        return ids.read(prefix, text)
    except ids.UnreadableId:
        raise HTTPException(404) from None


def _store(visit: Visit) -> SettingsStore:
    return SettingsStore(visit.desk.database, visit.desk.desk.road.ids)


def _guarded(path: str, endpoint: Any, method: str = "GET", *, keeps: tuple[str, ...] = ()) -> Page:
    return Page(
        path=path,
        endpoint=endpoint,
        right=Right.KEYS,
        method=method,
        after_step_up=True,
        keeps=keeps,
    )


PAGES = (
    Page(path="/developers", endpoint=show_developers, right=Right.KEYS),
    Page(path="/developers/events", endpoint=list_events, right=Right.KEYS),
    _guarded("/developers/keys/new", key_form),
    _guarded("/developers/keys/new", make_key, "POST", keeps=("name", "days")),
    _guarded("/developers/keys/{key_id}/revoke", revoke_form),
    _guarded("/developers/keys/{key_id}/revoke", revoke_key, "POST"),
    _guarded("/developers/return-addresses", returns_form),
    _guarded("/developers/return-addresses", change_returns, "POST", keeps=("origins",)),
)
