"""
`counterfoil batch`: close the day, look at batches, end one by hand.
"""

import asyncio
import time
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any
from uuid import UUID

import asyncpg
import cyclopts

from counterfoil.cli.console import (
    CommandRefused,
    ConfigOption,
    JsonOption,
    actor_of,
    configuration,
    note_of,
    refuse_in_quarantine,
    run,
    say,
    say_json,
    table,
)
from counterfoil.cli.merchant import merchant_id_of, require_merchant
from counterfoil.clock import SystemClock
from counterfoil.config import Configuration
from counterfoil.ids import Ids
from counterfoil.opened import open_database
from counterfoil.settlement.batches import shown_batch, shown_item
from counterfoil.store.batches import BatchKey, BatchStore
from counterfoil.store.database import Database
from counterfoil.store.merchants import MerchantStore

WAIT_SECONDS_MAX = 3600.0
POLL_SECONDS = 0.2
MERCHANTS_AT_ONCE_MAX = 100
ENDED = ("closed", "needs_a_person")

app = cyclopts.App(name="batch", help="Batches: what is sent to the acquirer at the end of a day.")

MerchantOption = Annotated[
    str | None, cyclopts.Parameter(name="--merchant", help="Without it all merchants.")
]


@app.command
def close(
    *,
    merchant: MerchantOption = None,
    wait_seconds: Annotated[
        float, cyclopts.Parameter(help="How long to wait for the acquirer's word; 0: not at all.")
    ] = 120.0,
    json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """
    Close every open batch that holds anything; the worker compares it with the acquirer.

    Batches that needed a person before are listed too, until somebody has seen to them. Exit
    code 1 when a batch needs a person, or is not closed when the time is up.
    """
    if not 0 <= wait_seconds <= WAIT_SECONDS_MAX:
        raise CommandRefused(f"--wait-seconds takes 0 to {WAIT_SECONDS_MAX:g}")
    chosen = merchant_id_of(merchant) if merchant else None
    found = run(_close(configuration(config), chosen, wait_seconds))
    _print(found, json=json, none="Nothing to close: every open batch is empty.")
    if wait_seconds and any(each["state"] != "closed" for each in found):
        raise SystemExit(1)


@app.command(name="list")
def list_(
    *,
    merchant: MerchantOption = None,
    state: str | None = None,
    json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """
    List batches, newest first.
    """
    chosen = merchant_id_of(merchant) if merchant else None
    found = run(_list(configuration(config), chosen, state))
    _print(found, json=json, none="No batches yet: the first payment opens one.")


@app.command
def show(
    batch: Annotated[str, cyclopts.Parameter(help="Such as TERM0001/USD/000001.")],
    *,
    merchant: MerchantOption = None,
    json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """
    Show a batch with its items, and where it differs from the acquirer's.
    """
    content = run(_show(configuration(config), batch, merchant))
    if json:
        say_json(content)
        return
    items = content.pop("items_listed")
    for name, value in content.items():
        say(f"{name}: {value}")
    if items:
        table(list(items[0]), [[str(value) for value in each.values()] for each in items])


@app.command
def retry(
    batch: str,
    *,
    note: Annotated[str | None, cyclopts.Parameter(help="Why, for the batch's history.")] = None,
    merchant: MerchantOption = None,
    config: ConfigOption = None,
) -> None:
    """
    Let a batch that needs a person go on; the worker asks the acquirer again.

    If the acquirer had refused its totals, the close is begun anew: totals and items are sent
    under new trace numbers. If it was silent, or has closed the batch, it goes on where it
    stopped, under the same ones.
    """
    why = note_of(note) if note else None
    state = run(_retry(configuration(config), batch, merchant, why))
    say(f"{batch} is {state} again.")


@app.command
def resolve(
    batch: str,
    *,
    note: Annotated[str, cyclopts.Parameter(help="What was agreed with the acquirer.")],
    merchant: MerchantOption = None,
    config: ConfigOption = None,
) -> None:
    """
    End a batch that needs a person, after it was settled with the acquirer by other means.

    Its items count as batched; its number is never sent again.
    """
    run(_resolve(configuration(config), batch, merchant, note_of(note)))
    say(f"{batch} is closed by hand.")


async def _close(
    settings: Configuration, merchant_id: UUID | None, wait_seconds: float
) -> list[dict[str, Any]]:
    async with open_database(settings) as database:
        await refuse_in_quarantine(database)
        clock = SystemClock()
        made = Ids(clock)
        batches = BatchStore(database, made.new())
        opened_before = clock.now() + timedelta(seconds=1)
        keys = [
            key
            for each in await _merchants(database, merchant_id)
            for key in await batches.to_close(each, opened_before)
        ]
        begun = [
            key
            for key in keys
            if await batches.begin_close(
                key, clock.now(), cause="operator", actor=actor_of(None), event_id=made.new()
            )
        ]
        closed = await _wait(begun, batches, wait_seconds)
        names = {each["batch"] for each in closed}
        waiting = [
            shown_batch(row)
            for each in await _merchants(database, merchant_id)
            for row in await batches.page(each, "needs_a_person")
        ]
        return closed + [each for each in waiting if each["batch"] not in names]


async def _wait(
    keys: list[BatchKey], batches: BatchStore, wait_seconds: float
) -> list[dict[str, Any]]:
    deadline = time.monotonic() + wait_seconds
    while True:
        rows = [row for key in keys if (row := await batches.row(key))]
        waiting = any(row["state"] not in ENDED for row in rows)
        if not waiting or time.monotonic() >= deadline:
            return [shown_batch(row) for row in rows]
        await asyncio.sleep(POLL_SECONDS)


async def _list(
    settings: Configuration, merchant_id: UUID | None, state: str | None
) -> list[dict[str, Any]]:
    async with open_database(settings) as database:
        batches = BatchStore(database, Ids(SystemClock()).new())
        return [
            shown_batch(row)
            for each in await _merchants(database, merchant_id)
            for row in await batches.page(each, state)
        ]


async def _show(settings: Configuration, batch: str, merchant: str | None) -> dict[str, Any]:
    async with open_database(settings) as database:
        key, row = await _one(database, batch, merchant)
        batches = BatchStore(database, Ids(SystemClock()).new())
        listed = [shown_item(each) for each in await batches.items(key)]
        return {**shown_batch(row), "items_listed": listed}


async def _retry(
    settings: Configuration, batch: str, merchant: str | None, note: str | None
) -> str:
    async with open_database(settings) as database:
        await refuse_in_quarantine(database)
        key, row = await _one(database, batch, merchant)
        made = Ids(SystemClock())
        state = await BatchStore(database, made.new()).retry(
            key,
            at=datetime.now(UTC),
            actor=actor_of(None),
            event_id=made.new(),
            note=note,
        )
        if state is None:
            raise CommandRefused(f"{batch} is {row['state']}: only one that needs a person goes on")
        return state


async def _resolve(settings: Configuration, batch: str, merchant: str | None, note: str) -> None:
    async with open_database(settings) as database:
        await refuse_in_quarantine(database)
        key, row = await _one(database, batch, merchant)
        if row["state"] != "needs_a_person":
            raise CommandRefused(f"{batch} is {row['state']}: only one that needs a person ends so")
        if row["frozen_at"] is None:
            raise CommandRefused(f"{batch} holds too many items to be closed as one; nothing done")
        made = Ids(SystemClock())
        await BatchStore(database, made.new()).closed(
            key,
            "needs_a_person",
            at=datetime.now(UTC),
            host=None,
            settlement_date=None,
            cause="by_hand",
            actor=actor_of(None),
            ids=(made.new(), made.new(), made.new()),
            note=note,
        )


async def _one(
    database: Database, batch: str, merchant: str | None
) -> tuple[BatchKey, asyncpg.Record]:
    """
    Return the batch that *batch* names, of *merchant* if several have such a one.
    """
    chosen = merchant_id_of(merchant) if merchant else None
    batches = BatchStore(database, Ids(SystemClock()).new())
    found = []
    for each in await _merchants(database, chosen):
        for terminal in await MerchantStore(database, SystemClock()).terminals(each):
            key = _key(each, terminal.acquirer, batch)
            if key.terminal_id == terminal.terminal_id and (row := await batches.row(key)):
                found.append((key, row))
    if not found:
        raise CommandRefused(f"there is no batch {batch}: counterfoil batch list")
    if len(found) > 1:
        raise CommandRefused(f"several acquirers have a batch {batch}: choose with --merchant")
    return found[0]


def _key(merchant_id: UUID, acquirer: str, batch: str) -> BatchKey:
    parts = batch.split("/")
    if len(parts) != len(("terminal", "currency", "number")) or not parts[2].isdigit():
        raise CommandRefused(f"{batch!r} is no batch: write TERMINAL/CURRENCY/NUMBER")
    return BatchKey(merchant_id, acquirer, parts[0], parts[1].upper(), int(parts[2]))


async def _merchants(database: Database, merchant_id: UUID | None) -> list[UUID]:
    if merchant_id:
        await require_merchant(database, merchant_id)
        return [merchant_id]
    store = MerchantStore(database, SystemClock())
    found: list[UUID] = []
    while page := await store.page(found[-1] if found else None, MERCHANTS_AT_ONCE_MAX):
        found += [row["merchant_id"] for row in page]
    return found


def _print(found: list[dict[str, Any]], *, json: bool, none: str) -> None:
    if json:
        say_json(found)
    elif found:
        rows = [[_text(each[name]) for name in _COLUMNS] for each in found]
        table(list(_COLUMNS), rows)
    else:
        say(none)


def _text(value: object) -> str:
    """
    Return a cell; a batch that is not closed has no totals and no time of it yet.
    """
    return "-" if value is None else str(value)


_COLUMNS = ("merchant", "batch", "state", "items", "net", "opened_at", "closed_at")
