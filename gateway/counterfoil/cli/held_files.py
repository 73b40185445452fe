"""
A held file for which nobody waits any more: a person takes it off the list, and says why.
"""

import re
from typing import Annotated

import cyclopts

from counterfoil.cli.console import (
    CommandRefused,
    ConfigOption,
    actor_of,
    configuration,
    note_of,
    run,
    say,
)
from counterfoil.clock import SystemClock
from counterfoil.config import Configuration
from counterfoil.opened import open_database
from counterfoil.store.settlement import SettlementStore

_FILE = re.compile(r"[0-9a-f]{8,64}")
_SHOWN = "`counterfoil settlement held` shows it in the column `file`"


def put_aside(
    file: Annotated[str, cyclopts.Parameter(help="As `settlement held` names it.")],
    *,
    note: Annotated[str, cyclopts.Parameter(help="Why nobody waits for it any more.")],
    by: Annotated[
        str | None, cyclopts.Parameter(help="Who you are; without it your login name.")
    ] = None,
    config: ConfigOption = None,
) -> None:
    """
    Take a held file off the list: it was sent anew, or is none of ours. Nothing is booked.

    Its bytes, who put it aside and why are kept. `settlement read` of the same file takes it back.
    """
    note = note_of(note)
    if not _FILE.fullmatch(file):
        raise CommandRefused(f"{file!r} names no file: expected 8 to 64 hex digits; {_SHOWN}")
    name = run(_put_aside(configuration(config), file, actor_of(by), note))
    say(f"{name} is put aside: it is kept, and counts as held no more.")


async def _put_aside(settings: Configuration, file: str, actor: str, note: str) -> str:
    async with open_database(settings) as database:
        store = SettlementStore(database)
        found = await store.held_by_prefix(file)
        if len(found) > 1:
            raise CommandRefused(f"several held files begin with {file}: give more of its digits")
        name = await store.put_aside(found[0], SystemClock().now(), actor, note) if found else None
        if name is None:
            raise CommandRefused(f"no file {file} is held (any more); {_SHOWN}")
        return name
