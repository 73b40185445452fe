"""
Batches: how each stands with the acquirer, what it holds, and closing one now.
"""

from datetime import timedelta
from typing import Any
from uuid import UUID

import asyncpg
from starlette.exceptions import HTTPException
from starlette.responses import Response

from counterfoil import ids
from counterfoil.people.roles import Right
from counterfoil.settlement.batch_names import read_name, written_name
from counterfoil.settlement.batches import reference_of, side
from counterfoil.settlement.close import begin
from counterfoil.settlement.report_page import batch_words
from counterfoil.settlement.report_table import as_csv
from counterfoil.settlement.reports import NothingToReport, Reporter
from counterfoil.store.batches import BatchKey, totals_of
from counterfoil.store.books import BookStore
from counterfoil.web.actors import by_whom
from counterfoil.web.downloads import csv_file
from counterfoil.web.just_done import lead_to
from counterfoil.web.live_parts import OVER, RESTING_SECONDS, live_part
from counterfoil.web.rendering import page
from counterfoil.web.visit import Page, Visit

PAGE_MAX = 25
ITEMS_PAGE_MAX = 100
MOVING = ("closing", "totalling", "uploading")
LIVE_SECONDS = 2
AT_REST = {"closed": OVER, "needs_a_person": RESTING_SECONDS}
NOT_FIXED = ("open", "closing")  # No items yet: what stands in it is counted anew each time.

SHOWN: dict[str, tuple[str, tuple[str, ...]]] = {
    "": ("All", ()),
    "open": ("Open", ("open",)),
    "under-way": ("Being closed", ("closing", "totalling", "uploading")),
    "closed": ("Closed", ("closed",)),
    "needs-a-person": ("Does not agree", ("needs_a_person",)),
}
WORDS = {
    "open": "Open",
    "closing": "Closing",
    "totalling": "Being compared",
    "uploading": "Being compared",
    "closed": "Closed",
    "needs_a_person": "Needs a person",
}
CAUSES = {
    "opened": "Opened",
    "merchant": "Closing began: you asked for it",
    "operator": "Closing began: the operator asked for it",
    "cutoff": "Closing began: it was the cutoff",
    "full": "Closing began: it was full",
    "nothing_in_flight": "Nothing was under way any more: items and totals were fixed",
    "totals_agree": "The acquirer has the same totals: closed",
    "out_of_balance": "The acquirer has other totals: every item is sent to it",
    "items_uploaded": "The acquirer has every item now, and the same totals: closed",
    "not_agreed": "It does not agree: a person is needed",
    "retried": "It goes on where it stopped",
    "begun_anew": "Its close was begun anew",
    "by_hand": "Closed by hand, as agreed with the acquirer",
    "host_batch_closed": "Closing began: the acquirer had closed its side",
}


async def list_batches(visit: Visit) -> Response:
    """
    The merchant's batches, newest first.
    """
    merchant_id, shown = visit.who.merchant.merchant_id, visit.asked("state")
    if shown not in SHOWN:
        shown = ""
    rows = await _books(visit).batches(
        merchant_id,
        states=SHOWN[shown][1],
        before=read_name(merchant_id, visit.asked("before")),
        limit=PAGE_MAX + 1,
    )
    found = [await _line(visit, row) for row in rows[:PAGE_MAX]]
    return page(
        visit,
        "batches.html",
        batches=found,
        older=found[-1]["name"] if len(rows) > PAGE_MAX else None,
        is_first=not visit.asked("before"),
        shown=shown,
        choices=[(name, words) for name, (words, _) in SHOWN.items()],
        closable=bool(await _closable(visit)) if visit.who.may(Right.CLOSE_BATCH) else False,
    )


async def show_batch(visit: Visit) -> Response:
    """
    One batch: both sides' totals, what it holds, its history.
    """
    key, row = await _one(visit)
    may_close = visit.who.may(Right.CLOSE_BATCH) and key in await _closable(visit)
    return page(visit, "batch.html", **await _facts(visit, key, row), may_close=may_close)


async def live(visit: Visit) -> Response:
    """
    Only what changes by itself while a batch is being closed.
    """
    return live_part(visit, "batch-live.html", **await _facts(visit, *await _one(visit)))


async def _facts(visit: Visit, key: BatchKey, row: asyncpg.Record) -> dict[str, Any]:
    books, is_fixed = _books(visit), row["state"] not in NOT_FIXED
    after = visit.asked("after")
    if is_fixed:
        number = int(after) if after.isascii() and after.isdigit() and len(after) < 6 else 0
        items = await books.items(key, after=number, limit=ITEMS_PAGE_MAX + 1)
    else:
        items = await books.pending(key, after=_movement(after), limit=ITEMS_PAGE_MAX + 1)
    more = None
    if len(items) > ITEMS_PAGE_MAX:
        last = items[ITEMS_PAGE_MAX - 1]
        more = last["item_number"] if is_fixed else last["movement_id"].hex
    is_asked = visit.done == "closing" and row["state"] == "open"
    is_moving = is_asked or row["state"] in MOVING
    return {
        "batch": await _line(visit, row),
        "ours": side(totals_of(row["our_totals"])),
        "host": side(totals_of(row["host_totals"])),
        "items": [_item(each) for each in items[:ITEMS_PAGE_MAX]],
        "more": more,
        "is_first": not after,
        "history": [_change(each) for each in await books.history(key)],
        "begun": is_moving,
        "is_moving": is_moving and not after,
        "every": AT_REST.get(row["state"], LIVE_SECONDS),
    }


async def batch_csv(visit: Visit) -> Response:
    """
    One batch with all its items, for a spreadsheet.
    """
    key, row = await _one(visit)
    desk = visit.desk
    reporter = Reporter(desk.database, desk.clock, mode=desk.configuration.mode)
    try:
        report = await reporter.batch(reference_of(row), key.merchant_id, key.acquirer)
    except NothingToReport:
        raise HTTPException(404) from None
    return csv_file(as_csv(report), f"batch-{key.reference}")


async def close_form(visit: Visit) -> Response:
    """
    What would be closed now: one batch, or all that hold anything.
    """
    chosen = await _chosen(visit)
    books = _books(visit)
    rows = [row for key in chosen if (row := await books.batch(key))]
    return page(
        visit,
        "batch-close.html",
        batches=[await _line(visit, row) for row in rows],
        back=_back(visit),
        action=visit.request.url.path,
    )


async def close_now(visit: Visit) -> Response:
    """
    Close to new traffic what was confirmed; the acquirer's word comes later, as at the cutoff.
    """
    chosen, desk = await _chosen(visit), visit.desk.desk
    await desk.money_task(
        begin(chosen, desk.batches, desk.road, cause="merchant", actor=visit.who.actor)
    )
    return lead_to(_back(visit), "closing")


def _back(visit: Visit) -> str:
    name = visit.request.path_params.get("batch_id")
    return f"/batches/{name}" if name else "/batches"


async def _chosen(visit: Visit) -> list[BatchKey]:
    """
    Return the batches to close: the one in the address, or all; none that cannot be closed.
    """
    closable = await _closable(visit)
    if "batch_id" not in visit.request.path_params:
        return closable
    key, _ = await _one(visit)
    return [key] if key in closable else []


async def _closable(visit: Visit) -> list[BatchKey]:
    before = visit.desk.clock.now() + timedelta(seconds=1)
    return await visit.desk.desk.batches.to_close(visit.who.merchant.merchant_id, before)


async def _one(visit: Visit) -> tuple[BatchKey, asyncpg.Record]:
    key = read_name(visit.who.merchant.merchant_id, visit.named("batch_id"))
    row = await _books(visit).batch(key) if key else None
    if key is None or row is None:
        raise HTTPException(404)
    return key, row


async def _line(visit: Visit, row: asyncpg.Record) -> dict[str, Any]:
    """
    Return a batch as a line of the list shows it.
    """
    tone, said = batch_words(row["state"], row["note"])
    ours, host = totals_of(row["our_totals"]), totals_of(row["host_totals"])
    number, net = (ours.count, ours.net_minor) if ours else (0, 0)
    if ours is None:
        held = await _books(visit).holds(_key(row))
        number = held["captures"] + held["refunds"]
        net = held["captures_minor"] - held["refunds_minor"]
    return {
        "name": written_name(
            row["acquirer"], row["terminal_id"], row["currency"], row["batch_number"]
        ),
        "reference": reference_of(row),
        "items": number,
        "net_minor": net,
        "differs_by": ours.net_minor - host.net_minor if ours and host else None,
        "tone": "wait" if tone == "wait" and row["state"] != "open" else tone,
        "words": WORDS[row["state"]],
        "said": said,
        **{name: row[name] for name in _SAME},
    }


_SAME = (
    *("acquirer", "terminal_id", "currency", "batch_number", "state", "note"),
    *("opened_at", "closing_at", "closed_at", "settlement_date"),
)


def _item(row: asyncpg.Record) -> dict[str, Any]:
    sign = -1 if row["kind"] == "refund" else 1
    return {
        "kind": row["kind"],
        "amount_minor": sign * row["amount_minor"],
        "brand": row["brand"],
        "last_four": row["card_last_four"],
        "payment": ids.written(ids.PAYMENT, row["payment_id"]),
        "order": row["order_number"],
        "confirmation_number": row["confirmation_number"],
        "rrn": row["rrn"],
        "at": row["created_at"],
    }


def _change(row: asyncpg.Record) -> dict[str, Any]:
    return {
        "at": row["at"],
        "words": CAUSES.get(row["cause"], row["cause"].replace("_", " ").capitalize()),
        "by": by_whom(row["actor"], row["user_name"]),
        "note": row["note"],
    }


def _movement(text: str) -> UUID | None:
    try:
        return ids.read(ids.MOVEMENT, f"{ids.MOVEMENT}_{text}") if text else None
    except ids.UnreadableId:
        return None


def _key(row: asyncpg.Record) -> BatchKey:
    return BatchKey(*(row[name] for name in _KEY))


_KEY = ("merchant_id", "acquirer", "terminal_id", "currency", "batch_number")


def _books(visit: Visit) -> BookStore:
    return BookStore(visit.desk.database)


PAGES = (
    Page(path="/batches", endpoint=list_batches, right=Right.READ_DEPOSITS),
    Page(path="/batches/close", endpoint=close_form, right=Right.CLOSE_BATCH),
    Page(path="/batches/close", endpoint=close_now, right=Right.CLOSE_BATCH, method="POST"),
    Page(path="/batches/{batch_id}.csv", endpoint=batch_csv, right=Right.EXPORT),
    Page(path="/batches/{batch_id}", endpoint=show_batch, right=Right.READ_DEPOSITS),
    Page(path="/batches/{batch_id}/live", endpoint=live, right=Right.READ_DEPOSITS, is_live=True),
    Page(path="/batches/{batch_id}/close", endpoint=close_form, right=Right.CLOSE_BATCH),
    Page(
        path="/batches/{batch_id}/close",
        endpoint=close_now,
        right=Right.CLOSE_BATCH,
        method="POST",
    ),
)
