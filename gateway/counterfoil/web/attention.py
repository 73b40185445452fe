"""
Attention: approvals that nobody has claimed, and what needs a person, with what to do about it.

Each form does what the operator's command of the same name does, for this merchant only.
"""

from datetime import timedelta
from typing import Any
from urllib.parse import quote
from uuid import UUID

import asyncpg
from starlette.exceptions import HTTPException
from starlette.responses import Response

from counterfoil import ids
from counterfoil.lines import unseen_in
from counterfoil.people.roles import Right
from counterfoil.settlement.batch_names import read_name, written_name
from counterfoil.settlement.words import batch_name
from counterfoil.store.attention import AttentionStore
from counterfoil.store.batches import BatchKey
from counterfoil.store.deposits import DepositStore
from counterfoil.store.page_looks import PageLookStore
from counterfoil.store.page_reports import PageReportStore
from counterfoil.store.refused_refunds import Decision, RefusedRefundStore
from counterfoil.store.settlement import SettlementStore
from counterfoil.web import counts
from counterfoil.web.astray import holds_card
from counterfoil.web.attention_words import DONE, FILES, TITLES, WHAT_TO_DO, advice, stopped
from counterfoil.web.doing import is_too_much
from counterfoil.web.interrupted import to_step_up
from counterfoil.web.just_done import lead_to
from counterfoil.web.live_parts import live_part
from counterfoil.web.rendering import page
from counterfoil.web.visit import Page, Visit

NOTE_CHARACTERS_MAX = 500
LIVE_SECONDS = 4
LATELY = timedelta(days=7)
LATELY_MAX = 10
NAMED_MAX = 5  # Of what differs on the payment pages.
DIGEST_BYTES = 32
REFUSED_REFUND = "refund_refused"


async def show(visit: Visit) -> Response:
    """
    The whole page.
    """
    done = DONE.get(visit.done)
    kept = {name: visit.asked(name) for name in ("do", "about", "note")}
    return page(visit, "attention.html", **await _facts(visit), done=done, kept=kept)


async def live(visit: Visit) -> Response:
    """
    Only the lists, for the page that looks again by itself.
    """
    return live_part(visit, "attention-live.html", **await _facts(visit), kept={})


async def _facts(visit: Visit) -> dict[str, Any]:
    merchant, now = visit.who.merchant, visit.desk.clock.now()
    store = AttentionStore(visit.desk.database, merchant.merchant_id)
    waits = [
        *(_batch(row) for row in await store.batches()),
        *(_file(row) for row in await store.files()),
        *(_finding(row) for row in await store.findings()),
        *(_report(row) for row in await _reports(visit).open(merchant.merchant_id)),
        *_changed_pages(await _looks(visit).open()),
    ]
    seen = await visit.desk.desk.road.store.unclaimed_page(merchant, None, LATELY_MAX)
    return {
        "approvals": await store.approvals(),
        "waits": sorted(waits, key=lambda each: each["since"]),
        "lately": [each for each in seen if each.reversed_at and each.reversed_at > now - LATELY],
        "now": now,
        "every": LIVE_SECONDS,
    }


def _batch(row: asyncpg.Record) -> dict[str, Any]:
    parts = (row["terminal_id"], row["currency"], row["batch_number"])
    path = written_name(row["acquirer"], *parts)
    return {
        "kind": "batch",
        "title": TITLES["batch"],
        "about": f"Batch {batch_name(*parts)} at {row['acquirer']}",
        "link": f"/batches/{path}",
        "amount": None,
        "to_do": row["note"] or WHAT_TO_DO["batch"],
        "since": row["since"] or row["opened_at"],
        "path": f"/attention/batches/{path}",
        "ends": ("retry", "resolve") if row["frozen_at"] else ("retry",),
    }


def _file(row: asyncpg.Record) -> dict[str, Any]:
    return {
        "kind": "file",
        "title": TITLES["file"],
        "about": f"{FILES[row['kind']]}: {row['name']}",
        "link": None,
        "amount": None,
        "to_do": f"{row['reason']} {WHAT_TO_DO['file']}",
        "since": row["received_at"],
        "path": f"/attention/files/{row['digest'].hex()}",
        "ends": ("aside",),
    }


def _finding(row: asyncpg.Record) -> dict[str, Any]:
    is_refund = row["kind"] == REFUSED_REFUND
    reference = row["reference"]
    return {
        "kind": "refund" if is_refund else "finding",
        "title": TITLES.get(row["kind"], "Something does not agree"),
        "about": row["subject"],
        "link": f"/deposits/{quote(reference)}" if reference and row["movement_id"] else None,
        "amount": (row["amount_minor"], row["currency"]),
        "to_do": row["next_step"],
        "since": row["opened_at"],
        "path": f"/attention/findings/{_name(row['finding_id'])}",
        "ends": ("again", "returned") if is_refund else ("resolve",),
    }


def _report(row: asyncpg.Record) -> dict[str, Any]:
    what = (row["page"], row["directive"], row["refused"])
    return {
        "kind": "report",
        "title": TITLES["report"],
        "about": f"{stopped(*what)}, {_often(row['times'])}.",
        "link": None,
        "amount": None,
        "before": _before(row),
        "to_do": advice(*what),
        "for_operator": f"{row['directive']}: {row['refused']}",
        "since": row["first_at"],
        "path": f"/attention/reports/{ids.written(ids.PAGE_REPORT, row['report_id'])}",
        "ends": ("looked-into",),
    }


def _before(row: asyncpg.Record) -> dict[str, Any] | None:
    """
    Return what of the same was seen to before, if anything was.
    """
    if row["before_times"] is None:
        return None
    return {
        "often": _often(row["before_times"]),
        "at": row["before_seen_to_at"],
        "note": row["before_note"],
    }


def _often(times: int) -> str:
    return "once" if times == 1 else f"{times:,} times"


def _changed_pages(rows: list[asyncpg.Record]) -> list[dict[str, Any]]:
    """
    Return one thing that waits for all that differs; who runs the installation ends it.
    """
    if not rows:
        return []
    more = f", and {len(rows) - NAMED_MAX} more" if len(rows) > NAMED_MAX else ""
    return [
        {
            "kind": "pages",
            "title": TITLES["pages"],
            "about": ", ".join(row["what"] for row in rows[:NAMED_MAX]) + more,
            "link": None,
            "amount": None,
            "to_do": WHAT_TO_DO["pages"],
            "since": rows[0]["first_at"],
            "path": "",
            "ends": (),
        }
    ]


async def retry_batch(visit: Visit) -> Response:
    """
    Let a batch go on: the acquirer is asked again.
    """
    key, road = await _batch_of(visit), visit.desk.desk.road
    state = await visit.desk.desk.batches.retry(
        key,
        at=visit.desk.clock.now(),
        actor=visit.who.actor,
        event_id=road.ids.new(),
        note=_note(visit, may_be_empty=True) or None,
    )
    if state is None:
        raise HTTPException(409, "This batch needs nobody any more. Look at its page.")
    return _seen_to(visit, "retry")


async def resolve_batch(visit: Visit) -> Response:
    """
    End a batch that was settled with the acquirer by other means.
    """
    key, made, note = await _batch_of(visit), visit.desk.desk.road.ids, _note(visit)
    row = await visit.desk.desk.batches.row(key)
    if row is None or row["frozen_at"] is None or row["state"] != "needs_a_person":
        raise HTTPException(409, "This batch cannot be ended by hand now. Look at its page.")
    await visit.desk.desk.batches.closed(
        key,
        "needs_a_person",
        at=visit.desk.clock.now(),
        host=None,
        settlement_date=None,
        cause="by_hand",
        actor=visit.who.actor,
        ids=(made.new(), made.new(), made.new()),
        note=note,
    )
    return _seen_to(visit, "resolve-batch")


async def put_aside(visit: Visit) -> Response:
    """
    Take a held file off the list: nobody waits for it any more. Nothing is booked.
    """
    digest, note, now = _digest(visit), _note(visit), visit.desk.clock.now()
    theirs = await AttentionStore(visit.desk.database, _merchant(visit)).files()
    if digest not in {row["digest"] for row in theirs}:
        raise HTTPException(404)
    await SettlementStore(visit.desk.database).put_aside(digest, now, visit.who.actor, note)
    return _seen_to(visit, "aside")


async def resolve_finding(visit: Visit) -> Response:
    """
    Take a finding off the list: a person has cleared it up. Nothing is booked.
    """
    finding_id, note, now = await _finding_of(visit), _note(visit), visit.desk.clock.now()
    said = f"{note} ({visit.who.name})"
    store = SettlementStore(visit.desk.database)
    resolved = await store.resolve_finding(
        _merchant(visit),
        finding_id,
        now,
        said,
        actor=visit.who.actor,
        event_id=visit.desk.desk.road.ids.new(),
    )
    if not resolved:
        raise HTTPException(409, "This is not open any more, or the cardholder is owed the money.")
    return _seen_to(visit, "resolve")


async def look_into(visit: Visit) -> Response:
    """
    Take what a browser refused off the list: a person has looked into it.
    """
    try:
        report_id = ids.read(ids.PAGE_REPORT, visit.named("report_id"))
    except ids.UnreadableId:
        raise HTTPException(404) from None
    merchant_id, store, now = _merchant(visit), _reports(visit), visit.desk.clock.now()
    if report_id not in {row["report_id"] for row in await store.open(merchant_id)}:
        raise HTTPException(404)
    note = _note(visit)
    if not await store.see_to(merchant_id, report_id, now, note, actor=visit.who.actor):
        raise HTTPException(409, "This is not open any more.")
    return _seen_to(visit, "looked-into")


async def refund_again(visit: Visit) -> Response:
    """
    Ask the acquirer once more for a refund that it refused.
    """
    return await _end_refund(visit, outside=False)


async def returned(visit: Visit) -> Response:
    """
    Record that the money of a refused refund went back in another way.
    """
    return await _end_refund(visit, outside=True)


async def _end_refund(visit: Visit, *, outside: bool) -> Response:
    finding_id, note, now = await _finding_of(visit), _note(visit), visit.desk.clock.now()
    store = RefusedRefundStore(visit.desk.database, visit.desk.desk.road.ids.new)
    found = await store.read(_merchant(visit), finding_id)
    if found is None or found.kind != REFUSED_REFUND:
        raise HTTPException(404)
    name = _name(finding_id)
    if await is_too_much(visit, found.amount_minor, found.currency, name):
        kept = {"do": "returned" if outside else "again", "about": name, "note": note}
        return to_step_up("/attention", kept)
    decision = Decision(actor=visit.who.actor, note=note, outside=outside)
    if not await store.end(_merchant(visit), finding_id, now, decision):
        raise HTTPException(
            409,
            "Nothing was done: it was seen to already, you have refunded this payment yourself "
            "since, or a capture of it is still on its way. Look again in a moment.",
        )
    return _seen_to(visit, "returned" if outside else "again")


async def _batch_of(visit: Visit) -> BatchKey:
    """
    Return the batch that the path names, which is the merchant's by its key.
    """
    key = read_name(_merchant(visit), visit.named("batch_id"))
    if key is None or await visit.desk.desk.batches.row(key) is None:
        raise HTTPException(404)
    return key


async def _finding_of(visit: Visit) -> UUID:
    try:
        finding_id = ids.read(ids.FINDING, visit.named("finding_id"))
    except ids.UnreadableId:
        raise HTTPException(404) from None
    if await DepositStore(visit.desk.database).whose_finding(finding_id) != _merchant(visit):
        raise HTTPException(404)
    return finding_id


def _digest(visit: Visit) -> bytes:
    try:
        digest = bytes.fromhex(visit.named("digest"))
    except ValueError:
        raise HTTPException(404) from None
    if len(digest) != DIGEST_BYTES:
        raise HTTPException(404)
    return digest


def _looks(visit: Visit) -> PageLookStore:
    return PageLookStore(visit.desk.database, visit.desk.desk.road.ids)


def _reports(visit: Visit) -> PageReportStore:
    return PageReportStore(visit.desk.database, visit.desk.desk.road.ids)


def _note(visit: Visit, *, may_be_empty: bool = False) -> str:
    note = " ".join(visit.form.get("note", "").split())
    if len(note) > NOTE_CHARACTERS_MAX or not (note or may_be_empty):
        raise HTTPException(
            400, f"Write in a note what was agreed, up to {NOTE_CHARACTERS_MAX} characters."
        )
    if unseen := unseen_in(note):
        raise HTTPException(400, unseen)
    if holds_card(note):
        raise HTTPException(400, "A card's number stands in this note: leave it out.")
    return note


def _seen_to(visit: Visit, done: str) -> Response:
    counts.forget(_merchant(visit))
    return lead_to("/attention", done)


def _name(finding_id: UUID) -> str:
    return ids.written(ids.FINDING, finding_id)


def _merchant(visit: Visit) -> UUID:
    return visit.who.merchant.merchant_id


PAGES = (
    Page(path="/attention", endpoint=show, right=Right.READ_PAYMENTS),
    Page(path="/attention/live", endpoint=live, right=Right.READ_PAYMENTS, is_live=True),
    *(
        Page(path=f"/attention/{path}", endpoint=endpoint, right=right, method="POST")
        for path, endpoint, right in (
            ("batches/{batch_id}/retry", retry_batch, Right.CLOSE_BATCH),
            ("batches/{batch_id}/resolve", resolve_batch, Right.CLOSE_BATCH),
            ("files/{digest}/aside", put_aside, Right.CLOSE_BATCH),
            ("reports/{report_id}/looked-into", look_into, Right.KEYS),
            ("findings/{finding_id}/resolve", resolve_finding, Right.CLOSE_BATCH),
            ("findings/{finding_id}/again", refund_again, Right.REFUND),
            ("findings/{finding_id}/returned", returned, Right.REFUND),
        )
    ),
)
