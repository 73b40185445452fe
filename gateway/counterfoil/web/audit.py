"""
The audit page: who changed what about people, keys and settings, newest first, never rewritten.
"""

import csv
import io
from collections.abc import Iterable
from typing import Any
from uuid import UUID

import asyncpg
from starlette.exceptions import HTTPException
from starlette.responses import Response

from counterfoil.people.changes import KINDS, sentence, title
from counterfoil.people.names import are_same, roughly
from counterfoil.people.roles import Right
from counterfoil.settlement.report_table import safe
from counterfoil.store.members import CHANGES_PAGE_MAX, MemberStore
from counterfoil.web.actors import by_whom
from counterfoil.web.downloads import csv_file
from counterfoil.web.rendering import page
from counterfoil.web.visit import Page, Visit

CSV_ROWS_MAX = 10_000
SAID = ("about", "before", "after")


async def audit(visit: Visit) -> Response:
    """
    A page of changes: of everybody or one person, of every kind or one.
    """
    store, merchant_id = _store(visit), visit.who.merchant.merchant_id
    by, what = visit.asked("by"), visit.asked("what")
    rows = await store.changes(
        merchant_id,
        before=_before(visit),
        actor=by or None,
        what=what or None,
        limit=CHANGES_PAGE_MAX + 1,
    )
    shown, members = rows[:CHANGES_PAGE_MAX], await store.members(merchant_id)
    shared = _shared([*((each["name"], each["email"]) for each in members), *map(_person, shown)])
    return page(
        visit,
        "audit.html",
        changes=[_change(row, shared) for row in shown],
        older=shown[-1]["event_id"].hex if len(rows) > CHANGES_PAGE_MAX else None,
        members=members,
        kinds=sorted(
            ((each[0], name) for name, each in KINDS.items()), key=lambda each: each[0].casefold()
        ),
        by=by,
        what=what,
    )


async def audit_csv(visit: Visit) -> Response:
    """
    The newest CSV_ROWS_MAX changes that the page shows, as a table.
    """
    rows = await _store(visit).changes(
        visit.who.merchant.merchant_id,
        actor=visit.asked("by") or None,
        what=visit.asked("what") or None,
        limit=CSV_ROWS_MAX,
    )
    out = io.StringIO()
    table = csv.writer(out)
    table.writerow(["at", "who", "email", "kind", *SAID])
    for row in rows:
        said = (_name(row), row["user_email"], row["what"], *(row[name] for name in SAID))
        table.writerow([row["at"].isoformat(), *(safe(text or "") for text in said)])
    return csv_file(out.getvalue(), "audit")


def _shared(people: Iterable[tuple[str | None, str | None]]) -> set[str]:
    """
    Return the addresses of people who bear a name that another one bears too.
    """
    alike: dict[str, set[tuple[str, str]]] = {}
    for name, email in people:
        if name and email:
            alike.setdefault(roughly(name), set()).add((name, email))
    return {
        email
        for known in alike.values()
        for name, email in known
        if any(email != other and are_same(name, his) for his, other in known)
    }


def _person(row: asyncpg.Record) -> tuple[str | None, str | None]:
    return row["user_name"], row["user_email"]


def _change(row: asyncpg.Record, shared: set[str]) -> dict[str, Any]:
    return {
        "at": row["at"],
        "who": _name(row),
        "email": row["user_email"],
        "is_shared": row["user_email"] in shared,
        "kind": title(row["what"]),
        "words": sentence(row["what"], row["about"], row["before"], row["after"]),
    }


def _name(row: asyncpg.Record) -> str:
    return by_whom(row["actor"], row["user_name"])


def _before(visit: Visit) -> UUID | None:
    text = visit.asked("before")
    try:
        return UUID(hex=text) if text else None
    except ValueError:
        raise HTTPException(404) from None


def _store(visit: Visit) -> MemberStore:
    return MemberStore(visit.desk.database, visit.desk.desk.road.ids)


PAGES = (
    Page(path="/audit", endpoint=audit, right=Right.LOGS),
    Page(path="/audit.csv", endpoint=audit_csv, right=Right.LOGS),
)
