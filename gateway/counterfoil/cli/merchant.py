"""
`counterfoil merchant`: add, list and show merchants and their terminals.
"""

from datetime import time
from typing import Annotated, Any
from uuid import UUID

import asyncpg
import cyclopts

from counterfoil import ids
from counterfoil.business import (
    ACKNOWLEDGE_SECONDS,
    FORMS,
    fault_of_region,
    fits,
    is_timezone,
    read_cutoff,
)
from counterfoil.checkouts.returning import ORIGINS_MAX, ReturnRefused, checked_origin
from counterfoil.cli.console import (
    CommandRefused,
    ConfigOption,
    JsonOption,
    actor_of,
    configuration,
    run,
    say,
    say_json,
    seen,
    table,
)
from counterfoil.clock import SystemClock
from counterfoil.config import Configuration
from counterfoil.opened import open_database
from counterfoil.payments.payment import PartialApprovals
from counterfoil.store.checkouts import CheckoutStore
from counterfoil.store.database import Database
from counterfoil.store.merchants import By, MerchantStore, NewMerchant, Terminal

LISTED_MAX = 10_000
PAGE = 100
EVENTS_MAX = 2  # Changes that one command may make.
# Numbers of the acquirer's own: fifteen digits may look like a card's.
GIVEN_BY_ACQUIRERS = frozenset({"terminal_id", "card_acceptor_id"})

app = cyclopts.App(name="merchant", help="Merchants and their terminals.")


@app.command
def add(
    name: str,
    *,
    email: str,
    city: str,
    country: str,
    region: str = "",
    category_code: Annotated[str, cyclopts.Parameter(help="MCC, four digits.")] = "5999",
    timezone: Annotated[str, cyclopts.Parameter(help="Such as America/New_York.")] = "UTC",
    cutoff: Annotated[str, cyclopts.Parameter(help="When the day closes, HH:MM.")] = "23:00",
    acknowledge_seconds: Annotated[
        int, cyclopts.Parameter(help="How long an approval waits to be claimed, 5 to 3600.")
    ] = 180,
    acquirer: Annotated[
        str | None, cyclopts.Parameter(help="Without it the first one configured.")
    ] = None,
    terminal_id: Annotated[
        str | None, cyclopts.Parameter(help="DE 41, eight characters; given by the acquirer.")
    ] = None,
    card_acceptor_id: Annotated[
        str | None, cyclopts.Parameter(help="DE 42, the acquirer's merchant id.")
    ] = None,
    json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """
    Add a merchant with a terminal at an acquirer.
    """
    settings = configuration(config)
    clock = SystemClock()
    _check(name=name, city=city, region=region, country=country.upper(), email=email)
    if fault := fault_of_region(region, country.upper()):
        raise CommandRefused(f"--region: {fault[:1].lower()}{fault[1:].rstrip('.')}")
    _check(category_code=category_code, terminal_id=terminal_id, card_acceptor_id=card_acceptor_id)
    if acknowledge_seconds not in ACKNOWLEDGE_SECONDS:
        raise CommandRefused("--acknowledge-seconds takes 5 to 3600")
    merchant = NewMerchant(
        merchant_id=ids.Ids(clock).new(),
        name=name,
        city=city,
        region=region,
        country=country.upper(),
        category_code=category_code,
        timezone=_timezone(timezone),
        cutoff=_time(cutoff),
        email=email,
        acknowledge_seconds=acknowledge_seconds,
    )
    chosen = _acquirer(settings, acquirer)
    added = run(_add(settings, merchant, chosen, terminal_id, card_acceptor_id))
    written = ids.written(ids.MERCHANT, merchant.merchant_id)
    if json:
        say_json({"id": written, "terminal_id": added.terminal_id, "acquirer": chosen})
        return
    say(f"Added {written} with terminal {added.terminal_id} at {chosen}.")
    say(f"Next: counterfoil key create {written}")


@app.command(name="list")
def list_(*, json: JsonOption = False, config: ConfigOption = None) -> None:
    """
    List all merchants.
    """
    rows = run(_list(configuration(config)))
    found = [
        {
            "id": ids.written(ids.MERCHANT, row["merchant_id"]),
            "name": row["name"],
            "city": row["city"],
            "country": row["country"],
            "timezone": row["timezone"],
        }
        for row in rows
    ]
    if json:
        say_json(found)
    elif found:
        table(list(found[0]), [list(each.values()) for each in found])
    else:
        say("No merchants yet: counterfoil merchant add --help")


@app.command
def show(merchant: str, *, json: JsonOption = False, config: ConfigOption = None) -> None:
    """
    Show a merchant with terminals, keys and batches.
    """
    content = run(_show(configuration(config), merchant_id_of(merchant)))
    if json:
        say_json(content)
        return
    for name, value in content.items():
        if isinstance(value, list):
            say(f"{name}:")
            for each in value:
                say("  " + "  ".join(f"{key} {text}" for key, text in each.items()))
        else:
            say(f"{name}: {_word(value)}")


@app.command
def terminal(
    merchant: str,
    terminal_id: str,
    *,
    card_acceptor_id: str,
    acquirer: str | None = None,
    config: ConfigOption = None,
) -> None:
    """
    Give a merchant one more terminal (DE 41 and DE 42, both from the acquirer).
    """
    settings = configuration(config)
    _check(terminal_id=terminal_id, card_acceptor_id=card_acceptor_id)
    added = Terminal(_acquirer(settings, acquirer), terminal_id, card_acceptor_id)
    run(_add_terminal(settings, merchant_id_of(merchant), added))
    say(f"Added terminal {terminal_id} at {added.acquirer}.")


@app.command(name="set")
def set_(
    merchant: str,
    *,
    credits_allowed: Annotated[
        bool | None,
        cyclopts.Parameter(help="Whether money may be given without a payment to refund."),
    ] = None,
    partial_approvals: Annotated[
        PartialApprovals | None,
        cyclopts.Parameter(help="Whether a part that the issuer approves is taken or given back."),
    ] = None,
    return_origin: Annotated[
        tuple[str, ...] | None,
        cyclopts.Parameter(
            help="Where payment pages may lead back to: https://shop.example, several if given "
            "again, none for nowhere."
        ),
    ] = None,
    json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """
    Change a merchant's settings; gateways know at once.
    """
    changes = {"credits_allowed": credits_allowed, "partial_approvals": partial_approvals}
    if return_origin is None and not any(value is not None for value in changes.values()):
        raise CommandRefused(
            "say what to change: --credits-allowed, --partial-approvals accept, --return-origin"
        )
    settings, merchant_id = configuration(config), merchant_id_of(merchant)
    if return_origin is not None:
        run(_set_return_origins(settings, merchant_id, _origins(return_origin, settings)))
    now = run(_set(settings, merchant_id, credits_allowed, partial_approvals))
    shown = {name: now[name] for name in (*changes, "return_origins")}
    if json:
        say_json({"id": merchant, **shown})
        return
    for name, value in shown.items():
        say(f"{name}: {_word(value)}")


def _origins(given: tuple[str, ...], settings: Configuration) -> list[str]:
    wanted = [] if given == ("none",) else list(dict.fromkeys(given))
    if len(wanted) > ORIGINS_MAX:
        raise CommandRefused(f"a merchant has up to {ORIGINS_MAX} return origins")
    try:
        return [checked_origin(each, is_test=settings.mode == "test") for each in wanted]
    except ReturnRefused as error:
        raise CommandRefused(f"--return-origin: {error}") from error


def _word(value: object) -> str:
    if isinstance(value, list):
        return " ".join(map(str, value)) or "none"
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


async def require_merchant(database: Database, merchant_id: UUID | None) -> None:
    """
    Do nothing if there is such a merchant, or if none is named.

    Raises:
        CommandRefused: There is none: a list of nothing would say that all is well.
    """
    if merchant_id and await MerchantStore(database, SystemClock()).row(merchant_id) is None:
        raise CommandRefused("there is no such merchant: counterfoil merchant list")


def operator() -> By:
    """
    Return whoever types this command, for a merchant's list of changes.
    """
    return By(actor_of(None), tuple(ids.Ids(SystemClock()).several(EVENTS_MAX)))


def merchant_id_of(text: str) -> UUID:
    """
    Return the merchant's id.

    Raises:
        CommandRefused: It does not read mer_ and 32 hex digits.
    """
    try:
        return ids.read(ids.MERCHANT, text)
    except ids.UnreadableId as error:
        raise CommandRefused(f"{text!r} is no merchant id: {error}") from error


async def _add(
    settings: Configuration,
    merchant: NewMerchant,
    acquirer: str,
    terminal_id: str | None,
    card_acceptor_id: str | None,
) -> Terminal:
    async with open_database(settings) as database:
        store = MerchantStore(database, SystemClock())
        number = await store.next_terminal_number(acquirer)
        terminal = Terminal(
            acquirer,
            terminal_id or f"TERM{number:04d}",
            card_acceptor_id or f"MERCHANT{number:07d}",
        )
        try:
            await store.add(merchant, [terminal], operator())
        except asyncpg.UniqueViolationError as error:
            raise CommandRefused(
                f"terminal {terminal.terminal_id} of {acquirer} belongs to another merchant: "
                "choose another --terminal-id"
            ) from error
        return terminal


async def _add_terminal(settings: Configuration, merchant_id: UUID, terminal: Terminal) -> None:
    async with open_database(settings) as database:
        store = MerchantStore(database, SystemClock())
        try:
            await store.add_terminal(merchant_id, terminal, operator())
        except asyncpg.UniqueViolationError as error:
            raise CommandRefused("that terminal is taken at this acquirer") from error
        except asyncpg.ForeignKeyViolationError as error:
            raise CommandRefused("there is no such merchant") from error


async def _set(
    settings: Configuration,
    merchant_id: UUID,
    credits_allowed: bool | None,
    partial_approvals: PartialApprovals | None,
) -> asyncpg.Record:
    async with open_database(settings) as database:
        store = MerchantStore(database, SystemClock())
        found = await store.set(
            merchant_id,
            credits_allowed=credits_allowed,
            partial_approvals=partial_approvals,
            by=operator(),
        )
        row = await store.row(merchant_id) if found else None
        if row is None:
            raise CommandRefused("there is no such merchant: counterfoil merchant list")
        return row


async def _set_return_origins(
    settings: Configuration, merchant_id: UUID, origins: list[str]
) -> None:
    clock = SystemClock()
    async with open_database(settings) as database:
        store = CheckoutStore(database, ids.Ids(clock))
        if not await store.set_return_origins(
            merchant_id, origins, at=clock.now(), actor=actor_of(None)
        ):
            raise CommandRefused("there is no such merchant: counterfoil merchant list")


async def _list(settings: Configuration) -> list[asyncpg.Record]:
    async with open_database(settings) as database:
        store = MerchantStore(database, SystemClock())
        found: list[asyncpg.Record] = []
        while len(found) < LISTED_MAX:
            page = await store.page(found[-1]["merchant_id"] if found else None, PAGE)
            found += page
            if len(page) < PAGE:
                break
        return found


async def _show(settings: Configuration, merchant_id: UUID) -> dict[str, Any]:
    async with open_database(settings) as database:
        store = MerchantStore(database, SystemClock())
        row = await store.row(merchant_id)
        if row is None:
            raise CommandRefused("there is no such merchant: counterfoil merchant list")
        content = dict(row)
        content["merchant_id"] = ids.written(ids.MERCHANT, merchant_id)
        content["terminals"] = [
            {"acquirer": each.acquirer, "terminal_id": each.terminal_id}
            for each in await store.terminals(merchant_id)
        ]
        content["keys"] = [
            {"id": ids.written(ids.KEY, key["key_id"]), "hint": key["hint"], "name": key["name"]}
            for key in await store.keys(merchant_id)
        ]
        content["batches"] = [dict(each) for each in await store.batches(merchant_id)]
        return content


def _acquirer(settings: Configuration, name: str | None) -> str:
    known = [each.name for each in settings.acquirer]
    if not known:
        raise CommandRefused("no acquirer is configured: add an [[acquirer]] to the configuration")
    if name is not None and name not in known:
        raise CommandRefused(f"no acquirer is named {name!r}; there is {', '.join(known)}")
    return name or known[0]


def _timezone(name: str) -> str:
    if not is_timezone(name):
        raise CommandRefused(f"{name!r} is no time zone; use a name such as America/New_York")
    return name


def _time(text: str) -> time:
    found = read_cutoff(text)
    if found is None:
        raise CommandRefused(f"{text!r} is no time of day; write HH:MM")
    return found


def _check(**values: str | None) -> None:
    """
    Refuse a value that the database, the acquirer's message or a receipt could not carry, or may
    not: a card's number.
    """
    for name, value in values.items():
        if value is None:
            continue
        option = "NAME" if name == "name" else f"--{name.replace('_', '-')}"
        if name not in GIVEN_BY_ACQUIRERS or not fits(name, value):
            seen(value, option)
        if not fits(name, value):
            raise CommandRefused(f"{option} takes {FORMS[name][1]}")
