"""
`counterfoil pages`: what payment pages may load, and what browsers refused on them.
"""

from typing import Annotated, Any

import cyclopts

from counterfoil import app as counterfoil_app
from counterfoil.checkouts.inventory import inventory, not_as_listed
from counterfoil.cli.console import (
    ConfigOption,
    JsonOption,
    configuration,
    run,
    say,
    say_json,
    table,
)
from counterfoil.clock import SystemClock
from counterfoil.config import Configuration
from counterfoil.ids import MERCHANT, PAGE_REPORT, Ids, written
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
def reports(*, json: JsonOption = False, config: ConfigOption = None) -> None:
    """
    List what browsers refused on payment pages and nobody has looked into, newest first.
    """
    rows = run(_reports(configuration(config)))
    if json:
        say_json(rows)
        return
    table(
        ["merchant", "page", "directive", "refused", "times", "first", "last"],
        [
            [row["merchant"], row["page"], row["directive"], row["refused"], str(row["times"]),
             f"{row['first_at']:%Y-%m-%d %H:%M}", f"{row['last_at']:%Y-%m-%d %H:%M}"]
            for row in rows
        ],
    )  # fmt: skip


async def _reports(settings: Configuration) -> list[dict[str, Any]]:
    async with counterfoil_app.open_database(settings) as database:
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
        }
        for row in rows
    ]
