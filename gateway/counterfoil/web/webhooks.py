"""
Webhook endpoints: added, changed, ended; what each was owed, with every try; telling it again.
"""

from typing import Any
from uuid import UUID

import asyncpg
from starlette.exceptions import HTTPException
from starlette.responses import Response

from counterfoil import ids
from counterfoil.events.addresses import AddressRefused, card_stands_in
from counterfoil.events.endpoints import (
    DESCRIPTION_CHARACTERS_MAX,
    EndpointDisabled,
    EndpointMade,
    EndpointsFull,
    EndpointUnknown,
)
from counterfoil.events.types import ALL_TYPES
from counterfoil.lines import fault_of_line
from counterfoil.people.roles import Right
from counterfoil.store.webhooks import ENDPOINTS_MAX, REPLAYED_AT_ONCE_MAX, Endpoint
from counterfoil.web.astray import LEAVE_IT_OUT, TRACK, cardless, holds_card
from counterfoil.web.just_done import lead_to
from counterfoil.web.rendering import page
from counterfoil.web.visit import Page, Visit

DELIVERIES_PAGE_MAX = 25
NUMBER_DIGITS_MAX = 17
STATES = {
    "owed": ("wait", "Waiting"),
    "delivered": ("good", "Delivered"),
    "gave_up": ("bad", "Given up"),
}
# How long the secret before signs too, as the form offers it: seconds, words.
OVERLAPS = {
    "86400": "24 hours",
    "604800": "7 days",
    "3600": "One hour",
    "0": "Not at all: it was stolen",
}
USUAL_OVERLAP = "86400"
TYPED = ("url", "description", *(f"type_{each}" for each in ALL_TYPES))
DONE = {
    "changed": "The endpoint was changed.",
    "enabled": "The endpoint is enabled: what it is owed is sent to it again.",
    "disabled": "The endpoint is disabled: nothing more is sent to it.",
    "replayed": "It is owed again, and sent within seconds.",
    "range": "What ended of these events is owed again, and sent in their order within seconds.",
    "nothing": "None of these events was owed and ended: nothing is sent.",
}
DISABLED = "Nothing is sent to an endpoint that is disabled. Enable it first, then send again."


async def endpoint_form(visit: Visit) -> Response:
    """
    The form of a new endpoint.
    """
    asked = {name: text for name in TYPED if (text := visit.asked(name))}
    return _form(visit, _shown_again(asked, {}), {})


async def add_endpoint(visit: Visit) -> Response:
    """
    Add an endpoint and show its secret, this once: the answer to the form, which nothing keeps.
    """
    made, faults = _typed(visit)
    if faults:
        return _form(visit, _shown_again(visit.form, faults), faults)
    endpoint_id = _id(ids.ENDPOINT, visit.form.get("endpoint_id", ""))
    merchant_id, who = visit.who.merchant.merchant_id, visit.who
    try:
        row, secret = await visit.desk.desk.endpoints.add(merchant_id, made, who.actor, endpoint_id)
    except EndpointMade:
        return page(
            visit,
            "made-before.html",
            status=409,
            what="endpoint",
            again=f"/developers/webhooks/{ids.written(ids.ENDPOINT, endpoint_id)}",
        )
    except EndpointsFull:
        words = f"There are {ENDPOINTS_MAX} endpoints already, and more there cannot be."
        faults = {"url": words}
        return _form(visit, _shown_again(visit.form, faults), faults)
    return _secret(visit, row, secret, is_new=True)


async def show_endpoint(visit: Visit) -> Response:
    """
    One endpoint, with what it was owed.
    """
    return await _endpoint_page(visit, await _one(visit))


async def edit_form(visit: Visit) -> Response:
    """
    The form that changes address, description and filter.
    """
    row = await _one(visit)
    values = {"url": row["url"], "description": row["description"] or ""}
    values |= {f"type_{each}": "on" for each in row["types"] or ()}
    return _form(visit, values, {}, row)


async def edit_endpoint(visit: Visit) -> Response:
    """
    Change address, description or filter.
    """
    row = await _one(visit)
    made, faults = _typed(visit, row)
    if faults:
        return _form(visit, _shown_again(visit.form, faults, row), faults, row)
    await _change(visit, row, url=made.url, description=made.description, types=made.types)
    return _back(row, "changed")


async def set_state(visit: Visit) -> Response:
    """
    Enable an endpoint, or disable it.
    """
    row, state = await _one(visit), visit.form.get("state", "")
    if state not in ("enabled", "disabled"):
        raise HTTPException(400, "An endpoint is enabled or disabled.")
    if state != row["state"]:
        await _change(visit, row, state=state)
    return _back(row, state)


async def rotate_form(visit: Visit) -> Response:
    """
    Ask how long the secret before signs too.
    """
    row = await _one(visit)
    asked = visit.asked("overlap")
    return page(
        visit,
        "webhook-rotate.html",
        endpoint=_shown(row),
        overlaps=OVERLAPS.items(),
        chosen=asked if asked in OVERLAPS else USUAL_OVERLAP,
    )


async def rotate_secret(visit: Visit) -> Response:
    """
    Give an endpoint a new secret and show it, this once; a form that is sent twice rotates once.
    """
    row, overlap = await _one(visit), visit.form.get("overlap", "")
    if overlap not in OVERLAPS:
        raise HTTPException(400, "Choose how long the secret before signs too.")
    if visit.form.get("seen") != row["updated_at"].isoformat():
        back = f"/developers/webhooks/{ids.written(ids.ENDPOINT, row['endpoint_id'])}"
        return page(visit, "made-before.html", status=409, what="secret", again=back)
    changed, secret = await visit.desk.desk.endpoints.rotate(
        row["merchant_id"], row["endpoint_id"], visit.who.actor, int(overlap)
    )
    return _secret(visit, changed, secret, is_new=False)


async def delete_form(visit: Visit) -> Response:
    """
    Ask once more: an endpoint that was deleted does not come back.
    """
    return page(visit, "webhook-delete.html", endpoint=_shown(await _one(visit)))


async def delete_endpoint(visit: Visit) -> Response:
    """
    End an endpoint for good.
    """
    row = await _one(visit)
    await _change(visit, row, state="deleted")
    return lead_to("/developers", "deleted")


async def replay_one(visit: Visit) -> Response:
    """
    Owe one delivery again, from now on.
    """
    row, delivery_id = await _one(visit), _id(ids.DELIVERY, visit.named("delivery_id"))
    try:
        await visit.desk.desk.endpoints.replay(
            row["merchant_id"], row["endpoint_id"], delivery_id, visit.who.actor
        )
    except EndpointDisabled:
        return await _endpoint_page(visit, row, wrong=DISABLED)
    except EndpointUnknown:
        raise HTTPException(404) from None
    return _back(row, "replayed")


async def replay_range(visit: Visit) -> Response:
    """
    Owe again what ended of a range of events.
    """
    row, faults = await _one(visit), {}
    first, last = (_number(visit.form.get(name, "")) for name in ("first", "last"))
    state = visit.form.get("replay-state", "")
    if first is None:
        faults["first"] = "Write the number of the first event."
    if last is None or (first is not None and last < first):
        faults["last"] = "Write the number of the last event, not before the first."
    if state not in ("", "delivered", "gave_up"):
        faults["replay-state"] = "Choose which."
    if first is None or last is None or faults:
        return await _endpoint_page(visit, row, faults=faults)
    try:
        number = await visit.desk.desk.endpoints.replay_range(
            row["merchant_id"],
            row["endpoint_id"],
            visit.who.actor,
            first=first,
            last=last,
            state=state or None,
        )
    except EndpointDisabled:
        return await _endpoint_page(visit, row, wrong=DISABLED)
    return _back(row, "range" if number else "nothing")


async def _endpoint_page(
    visit: Visit,
    row: asyncpg.Record,
    *,
    faults: dict[str, str] | None = None,
    wrong: str | None = None,
) -> Response:
    store, state = visit.desk.desk.endpoints.store, visit.asked("state")
    before = _number(visit.asked("before"))
    found = await store.deliveries(
        row["merchant_id"],
        row["endpoint_id"],
        before=before,
        state=state if state in STATES else None,
        limit=DELIVERIES_PAGE_MAX + 1,
    )
    shown = found[:DELIVERIES_PAGE_MAX]
    tries = await store.attempts(row["merchant_id"], [each["delivery_id"] for each in shown])
    typed = visit.form if faults else {}
    return page(
        visit,
        "webhook.html",
        status=422 if faults else 409 if wrong else 200,
        endpoint=_shown(row),
        deliveries=[_delivery(each, tries.get(each["delivery_id"], [])) for each in shown],
        older=shown[-1]["number"] if len(found) > len(shown) else None,
        is_first=before is None,
        shown=state if state in STATES else "",
        choices=[("", "All"), *((name, words) for name, (_, words) in STATES.items())],
        typed=typed,
        faults=faults or {},
        wrong=wrong,
        at_once=REPLAYED_AT_ONCE_MAX,
        done=DONE.get(visit.done),
        now=visit.desk.clock.now(),
    )


def _shown_again(
    typed: dict[str, str], faults: dict[str, str], row: asyncpg.Record | None = None
) -> dict[str, Any]:
    """
    Return what was typed, without a card's number; an address that stands or may stand is whole.
    """
    url = typed.get("url", "").strip()
    stands = row is not None and url == row["url"]
    is_track = "url" in faults and TRACK.search(url) is not None
    is_shown = stands or not (card_stands_in(url) or is_track)
    return {
        **{name: cardless(text) for name, text in typed.items()},
        "url": url if is_shown else "",
    }


def _form(
    visit: Visit,
    values: dict[str, Any],
    faults: dict[str, str],
    row: asyncpg.Record | None = None,
) -> Response:
    made = values.get("endpoint_id") or ids.written(ids.ENDPOINT, visit.desk.desk.road.ids.new())
    return page(
        visit,
        "webhook-form.html",
        status=422 if faults else 200,
        endpoint=_shown(row) if row else None,
        endpoint_id=made,
        values=values,
        faults=faults,
        groups=_GROUPS,
    )


def _groups() -> list[tuple[str, list[str]]]:
    """
    Return the types of events by what they are about.
    """
    found: dict[str, list[str]] = {}
    for each in ALL_TYPES:
        found.setdefault(each.partition(".")[0], []).append(each)
    return list(found.items())


_GROUPS = _groups()


def _typed(visit: Visit, row: asyncpg.Record | None = None) -> tuple[Endpoint, dict[str, str]]:
    """
    Return the endpoint that the form says, and every fault of it; an address that stands, stands.
    """
    form, faults = visit.form, {}
    url, description = form.get("url", "").strip(), form.get("description", "").strip()
    if not url:
        faults["url"] = "Write the address that is called: https://..."
    elif row is None or url != row["url"]:
        try:
            visit.desk.desk.endpoints.check(url)
        except AddressRefused as error:
            faults["url"] = str(error)
    most = f"One line of up to {DESCRIPTION_CHARACTERS_MAX} characters."
    if fault := fault_of_line(description, DESCRIPTION_CHARACTERS_MAX, most, least=0):
        faults["description"] = fault
    elif holds_card(description):
        faults["description"] = LEAVE_IT_OUT
    chosen = [each for each in ALL_TYPES if f"type_{each}" in form]
    types = None if not chosen or len(chosen) == len(ALL_TYPES) else chosen
    made = Endpoint(
        url=url,
        description=description or None,
        types=types,
        state=row["state"] if row else "enabled",
    )
    return made, faults


def _secret(visit: Visit, row: asyncpg.Record, secret: str, *, is_new: bool) -> Response:
    endpoint = _shown(row)
    return page(
        visit, "webhook-secret.html", status=201, endpoint=endpoint, secret=secret, is_new=is_new
    )


async def _change(visit: Visit, row: asyncpg.Record, **changes: Any) -> None:
    try:
        await visit.desk.desk.endpoints.change(
            row["merchant_id"], row["endpoint_id"], visit.who.actor, **changes
        )
    except EndpointUnknown:
        raise HTTPException(404) from None


async def _one(visit: Visit) -> asyncpg.Record:
    endpoint_id = _id(ids.ENDPOINT, visit.named("endpoint_id"))
    try:
        return await visit.desk.desk.endpoints.one(visit.who.merchant.merchant_id, endpoint_id)
    except EndpointUnknown:
        raise HTTPException(404) from None


def _back(row: asyncpg.Record, done: str) -> Response:
    name = ids.written(ids.ENDPOINT, row["endpoint_id"])
    return lead_to(f"/developers/webhooks/{name}", done)


def _shown(row: asyncpg.Record) -> dict[str, Any]:
    return {
        "id": ids.written(ids.ENDPOINT, row["endpoint_id"]),
        "seen": row["updated_at"].isoformat(),
        **{name: row[name] for name in _SAME},
    }


_SAME = (
    *("url", "description", "types", "state", "failing_since", "previous_until"),
    *("created_at", "updated_at"),
)


def _delivery(row: asyncpg.Record, tries: list[asyncpg.Record]) -> dict[str, Any]:
    tone, words = STATES[row["state"]]
    return {
        "id": ids.written(ids.DELIVERY, row["delivery_id"]),
        "tone": tone,
        "words": words,
        "tries": tries,
        "last": tries[-1] if tries else None,
        **{name: row[name] for name in ("number", "type", "state", "next_try_at", "created_at")},
    }


def _number(text: str) -> int | None:
    text = text.strip()
    plain = text.isascii() and text.isdigit() and len(text) <= NUMBER_DIGITS_MAX
    return int(text) if plain else None


def _id(prefix: str, text: str) -> UUID:
    try:
        return ids.read(prefix, text)
    except ids.UnreadableId:
        raise HTTPException(404) from None


def _page(
    path: str,
    endpoint: Any,
    method: str = "GET",
    *,
    after_step_up: bool = False,
    keeps: tuple[str, ...] = (),
) -> Page:
    return Page(
        path=f"/developers/webhooks{path}",
        endpoint=endpoint,
        right=Right.WEBHOOKS,
        method=method,
        after_step_up=after_step_up,
        keeps=keeps,
    )


PAGES = (
    _page("/new", endpoint_form, after_step_up=True),
    _page("/new", add_endpoint, "POST", after_step_up=True, keeps=TYPED),
    _page("/{endpoint_id}", show_endpoint),
    _page("/{endpoint_id}/edit", edit_form),
    _page("/{endpoint_id}/edit", edit_endpoint, "POST"),
    _page("/{endpoint_id}/state", set_state, "POST"),
    _page("/{endpoint_id}/rotate", rotate_form, after_step_up=True),
    _page("/{endpoint_id}/rotate", rotate_secret, "POST", after_step_up=True, keeps=("overlap",)),
    _page("/{endpoint_id}/delete", delete_form),
    _page("/{endpoint_id}/delete", delete_endpoint, "POST"),
    _page("/{endpoint_id}/replay", replay_range, "POST"),
    _page("/{endpoint_id}/deliveries/{delivery_id}/replay", replay_one, "POST"),
)
