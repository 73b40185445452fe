"""
`counterfoil events`: read a merchant's feed.
"""

from typing import Annotated, Any
from uuid import UUID

import cyclopts
import msgspec

from counterfoil.cli.console import (
    CommandRefused,
    ConfigOption,
    JsonOption,
    configuration,
    run,
    say,
    say_json,
    table,
)
from counterfoil.cli.merchant import merchant_id_of, require_merchant
from counterfoil.config import Configuration
from counterfoil.events.shown import EventAnswer, event_answer
from counterfoil.opened import open_database
from counterfoil.store.feed import PAGE_MAX, FeedStore


def events(
    merchant: str,
    *,
    after: Annotated[int, cyclopts.Parameter(help="Events with a greater number.")] = 0,
    limit: Annotated[int, cyclopts.Parameter(help=f"How many, up to {PAGE_MAX}.")] = 100,
    json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """
    Show what happened to a merchant's payments, batches and deposits, oldest first.
    """
    if after < 0 or not 1 <= limit <= PAGE_MAX:
        raise CommandRefused(f"--after takes 0 or more, --limit 1 to {PAGE_MAX}")
    found = run(_read(configuration(config), merchant_id_of(merchant), after, limit))
    if json:
        say_json([msgspec.to_builtins(each) for each in found])
    elif found:
        rows = [_line(each) for each in found]
        table(["number", "at", "type", "about", "cause", "actor"], rows)
    else:
        say(f"No events after {after}.")


def _line(event: EventAnswer) -> list[str]:
    return [
        str(event.number),
        f"{event.at:%Y-%m-%d %H:%M:%S}",
        event.type,
        _about(event),
        event.cause,
        event.actor,
    ]


def _about(event: EventAnswer) -> str:
    about: Any = event.payment or event.endpoint
    if about:
        return str(about.id)
    if event.batch:
        return event.batch.batch
    return event.deposit.reference if event.deposit else ""


async def _read(
    settings: Configuration, merchant_id: UUID, after: int, limit: int
) -> list[EventAnswer]:
    async with open_database(settings) as database:
        await require_merchant(database, merchant_id)
        rows = await FeedStore(database).page(merchant_id, after, limit)
        return [event_answer(row, settings.mode) for row in rows]
