"""
`counterfoil pages`: what payment pages may load.
"""

from typing import Annotated

import cyclopts

from counterfoil.checkouts.inventory import inventory, not_as_listed
from counterfoil.cli.console import JsonOption, say, say_json, table

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
