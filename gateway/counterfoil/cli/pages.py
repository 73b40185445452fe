"""
`counterfoil pages`: what payment pages may load, whether they are as they should be, and what
browsers refused on them.
"""

import sys
from datetime import datetime
from functools import partial
from typing import Annotated, Any

import asyncpg
import cyclopts

from counterfoil.checkouts.comparing import Difference
from counterfoil.checkouts.inventory import inventory, not_as_listed
from counterfoil.cli.console import (
    CommandRefused,
    ConfigOption,
    JsonOption,
    actor_of,
    configuration,
    note_of,
    run,
    say,
    say_json,
    table,
)
from counterfoil.clock import SystemClock
from counterfoil.config import Configuration
from counterfoil.ids import MERCHANT, PAGE_REPORT, Ids, written
from counterfoil.opened import open_database, open_vault
from counterfoil.outside.page_look import Look, fetch_over_https
from counterfoil.store.page_looks import PageLookStore
from counterfoil.store.page_reports import PageReportStore

app = cyclopts.App(
    name="pages", help="What payment pages may load, and whether they are as they should be."
)


@app.command(name="inventory")
def inventory_(
    *,
    every: Annotated[
        bool,
        cyclopts.Parameter(name="--every", negative="", help="Those of the merchants' pages too."),
    ] = False,
    json: JsonOption = False,
) -> None:
    """
    List scripts and styles with hash and reason, and say which here are not as listed.
    """
    listed = [each for each in inventory().values() if every or each.on_payment_pages]
    changed = set(not_as_listed())
    if json:
        say_json(
            [
                {
                    "path": each.path,
                    "integrity": each.integrity,
                    "loaded_by": each.loaded_by,
                    "why": each.why,
                    "as_listed": each.file not in changed,
                }
                for each in listed
            ]
        )
        return
    table(
        ["file", "why", "SHA-384"],
        [[each.file, each.why, each.integrity.removeprefix("sha384-")] for each in listed],
    )
    for name in sorted(changed):
        say(f"NOT AS LISTED: {name}")


@app.command
def look(*, json: JsonOption = False, config: ConfigOption = None) -> None:
    """
    Fetch the payment pages as a browser gets them, and say what differs; exit 1 if anything does.
    """
    settings = configuration(config)
    differences = run(_look(settings))
    if json:
        say_json([each._asdict() for each in differences])
    elif differences:
        table(["what", "expected", "found"], [list(each) for each in differences])
    else:
        say(f"The payment pages at {settings.checkout_origin} are as they should be.")
    sys.exit(1 if differences else 0)


@app.command(name="seen-to")
def seen_to(
    *,
    note: Annotated[str, cyclopts.Parameter(help="What it was, and what was done.")],
    by: Annotated[
        str | None, cyclopts.Parameter(help="Who has seen to it; else the login name.")
    ] = None,
    config: ConfigOption = None,
) -> None:
    """
    Note that somebody has seen to all that differed; what still differs comes back with the next.
    """
    done = run(_see_to(configuration(config), note_of(note), actor_of(by)))
    for what in done:
        say(f"seen to: {what}")
    say(f"{len(done)} difference(s) were open.")


@app.command
def reports(*, json: JsonOption = False, config: ConfigOption = None) -> None:
    """
    List what browsers refused on pages and nobody has looked into, newest first; and how often the
    same was seen before, when that was last looked into and with which note.
    """
    rows = run(_reports(configuration(config)))
    if json:
        say_json(rows)
        return
    headers = ["merchant", "page", "directive", "refused", "times", "first", "last"]
    table(
        [*headers, "seen before", "looked into", "note"],
        [
            [row["merchant"], row["page"], row["directive"], row["refused"], str(row["times"]),
             _minute(row["first_at"]), _minute(row["last_at"]), *_told(row["before"])]
            for row in rows
        ],
    )  # fmt: skip


async def _look(settings: Configuration) -> list[Difference]:
    clock = SystemClock()
    async with open_database(settings) as database:
        store, vault = (
            PageLookStore(database, Ids(clock)),
            await open_vault(database, settings),
        )
        fetch = partial(fetch_over_https, settings)
        looking = Look(store, vault, clock, origin=settings.checkout_origin, fetch=fetch)
        found = await looking.look()
        if found is None:
            last = await store.last()
            why = last.failure if last else "no worker has looked yet"
            raise CommandRefused(f"nobody could look at {settings.checkout_origin}: {why}")
        return found


async def _see_to(settings: Configuration, note: str, by: str) -> list[str]:
    clock = SystemClock()
    async with open_database(settings) as database:
        return await PageLookStore(database, Ids(clock)).see_to(clock.now(), note, by=by)


async def _reports(settings: Configuration) -> list[dict[str, Any]]:
    async with open_database(settings) as database:
        rows = await PageReportStore(database, Ids(SystemClock())).of_all()
    return [
        {
            "report": written(PAGE_REPORT, row["report_id"]),
            "merchant_id": written(MERCHANT, row["merchant_id"]),
            "merchant": row["name"],
            "page": row["page"],
            "directive": row["directive"],
            "refused": row["refused"],
            "times": row["times"],
            "first_at": row["first_at"],
            "last_at": row["last_at"],
            "before": _before(row),
        }
        for row in rows
    ]


def _before(row: asyncpg.Record) -> dict[str, Any] | None:
    """
    Return what of the same was seen to before, if anything was.
    """
    if row["before_times"] is None:
        return None
    return {name: row[f"before_{name}"] for name in ("times", "seen_to_at", "note")}


def _told(before: dict[str, Any] | None) -> tuple[str, str, str]:
    if before is None:
        return "", "", ""
    return str(before["times"]), _minute(before["seen_to_at"]), before["note"]


def _minute(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M}"
