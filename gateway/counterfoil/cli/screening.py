"""
`counterfoil screening`: a merchant's rules, and who is not served.
"""

import re
from typing import Annotated, Any
from uuid import UUID

import asyncpg
import cyclopts
import msgspec

from counterfoil import ids
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
from counterfoil.cli.merchant import merchant_id_of, require_merchant
from counterfoil.clock import SystemClock
from counterfoil.config import Configuration
from counterfoil.network.verification_results import Avs, Cvv
from counterfoil.opened import open_database
from counterfoil.payments.block_list import BLOCK, FORMS, REASON_CHARACTERS_MAX, compared
from counterfoil.payments.policy import (
    AMOUNT_MAX,
    COUNT_MAX,
    DUPLICATE_SECONDS_MAX,
    VOLUME_MAX,
    WINDOW_SECONDS_MAX,
    WINDOW_SECONDS_MIN,
    Policy,
)
from counterfoil.store.screening import Block, KeptPolicy, ScreeningStore

OFF_WORD = "off"
VELOCITY_FORM = re.compile(
    r"(?P<payments>[0-9]{1,5}|any)/(?P<seconds>[0-9]{1,7})(/(?P<amount>[0-9]{1,12}))?"
)
COUNT_FORM = re.compile(r"(?P<count>[0-9]{1,4})/(?P<seconds>[0-9]{1,7})")

app = cyclopts.App(name="screening", help="A merchant's rules against fraud and mistakes.")

ByOption = Annotated[
    str | None, cyclopts.Parameter(name="--by", help="Who you are; without it your login name.")
]


@app.command
def show(merchant: str, *, json: JsonOption = False, config: ConfigOption = None) -> None:
    """
    Show the rules that hold for a merchant.
    """
    kept = run(_kept(configuration(config), merchant_id_of(merchant)))
    content = {
        "version": kept.version,
        "by": kept.actor,
        "at": kept.at,
        **msgspec.to_builtins(kept.policy),
    }
    if json:
        say_json(content)
        return
    say(f"version: {kept.version}" if kept.version else "version: 0, nobody has set rules yet")
    for name, value in content.items():
        if name not in ("version", "by", "at") or (kept.version and name != "version"):
            say(f"{name}: {_said(value)}")


@app.command(name="set")
def set_(
    merchant: str,
    *,
    avs: Annotated[
        str | None, cyclopts.Parameter(help="AVS results that give an approval back: no_match,...")
    ] = None,
    cvv: Annotated[
        str | None, cyclopts.Parameter(help="CVV results that give an approval back: no_match,...")
    ] = None,
    duplicates: Annotated[
        str | None, cyclopts.Parameter(help="Seconds in which the same order is not paid twice.")
    ] = None,
    card: Annotated[
        str | None,
        cyclopts.Parameter(help="Of one card: PAYMENTS/SECONDS or PAYMENTS/SECONDS/AMOUNT."),
    ] = None,
    email: Annotated[str | None, cyclopts.Parameter(help="Of one e-mail address, alike.")] = None,
    address: Annotated[
        str | None, cyclopts.Parameter(help="Of one network address, alike.")
    ] = None,
    volume: Annotated[str | None, cyclopts.Parameter(help="Of the whole merchant, alike.")] = None,
    declines: Annotated[
        str | None, cyclopts.Parameter(help="DECLINES/SECONDS of a card or address; then no more.")
    ] = None,
    by: ByOption = None,
    config: ConfigOption = None,
) -> None:
    """
    Change some of a merchant's rules; `off` turns one off, the others stay.
    """
    changes: dict[str, Any] = {}
    if avs is not None:
        changes["avs_refused"] = _results(avs, Avs, "--avs")
    if cvv is not None:
        changes["cvv_refused"] = _results(cvv, Cvv, "--cvv")
    if duplicates is not None:
        changes["duplicate_seconds"] = _seconds(duplicates)
    for name, text in {
        "card": card,
        "email": email,
        "address": address,
        "merchant": volume,
    }.items():
        if text is not None:
            changes[name] = _velocity(text, "--volume" if name == "merchant" else f"--{name}")
    if declines is not None:
        changes |= _declines(declines)
    if not changes:
        raise CommandRefused("nothing to change: name a rule, such as --duplicates 300")
    kept = run(_change(configuration(config), merchant_id_of(merchant), changes, actor_of(by)))
    say(f"Version {kept.version} of the rules holds within ten seconds on every gateway.")


@app.command
def block(
    merchant: str,
    *,
    reason: str,
    payment: Annotated[
        str | None, cyclopts.Parameter(help="The card of this payment (pay_...).")
    ] = None,
    bin_: Annotated[
        str | None, cyclopts.Parameter(name="--bin", help="Cards that begin so: 4 to 6 digits.")
    ] = None,
    email: str | None = None,
    email_domain: str | None = None,
    by: ByOption = None,
    config: ConfigOption = None,
) -> None:
    """
    Serve a card, BIN, e-mail address or e-mail domain no more.
    """
    given = {"card": payment, "bin": bin_, "email": email, "email_domain": email_domain}
    named = {kind: text for kind, text in given.items() if text is not None}
    if len(named) != 1:
        raise CommandRefused("name one of --payment, --bin, --email, --email-domain")
    if not 1 <= len(seen(reason, "--reason")) <= REASON_CHARACTERS_MAX:
        raise CommandRefused(f"--reason takes 1 to {REASON_CHARACTERS_MAX} characters of one line")
    ((kind, text),) = named.items()
    shown, block_id = run(
        _block(configuration(config), merchant_id_of(merchant), kind, text, reason, actor_of(by))
    )
    say(f"Blocked {shown} as {ids.written(BLOCK, block_id)}.")


@app.command
def unblock(merchant: str, entry: str, *, by: ByOption = None, config: ConfigOption = None) -> None:
    """
    Serve somebody again; the entry stays in the list of what was.
    """
    try:
        identifier = ids.read(BLOCK, entry)
    except ids.UnreadableId as error:
        raise CommandRefused(f"{entry!r} is no entry of a block list: {error}") from error
    run(_unblock(configuration(config), merchant_id_of(merchant), identifier, actor_of(by)))
    say("Ended.")


@app.command
def blocks(
    merchant: str,
    *,
    ended: Annotated[
        bool, cyclopts.Parameter(name="--ended", negative="", help="Also what was ended.")
    ] = False,
    json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """
    List who is not served: since when, why, and who said so.
    """
    rows = run(_blocks(configuration(config), merchant_id_of(merchant), ended))
    found = [{**row, "block_id": ids.written(BLOCK, row["block_id"])} for row in rows]
    if json:
        say_json(found)
    elif found:
        columns = ["block_id", "kind", "shown", "reason", "actor", "at", "ended_at"]
        table(columns, [[str(each[name] or "") for name in columns] for each in found])
    else:
        say("Nobody is blocked.")


def _said(value: object) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(value) or OFF_WORD
    if isinstance(value, dict):
        return "  ".join(f"{name} {each}" for name, each in value.items() if each is not None)
    return OFF_WORD if value is None or value == 0 else str(value)


def _results(text: str, kind: type[Avs] | type[Cvv], option: str) -> list[str]:
    if text == OFF_WORD:
        return []
    known = [each.value for each in kind]
    named = text.split(",")
    if unknown := [each for each in named if each not in known]:
        raise CommandRefused(f"{option}: {unknown[0]!r} is no result; there is {', '.join(known)}")
    return named


def _seconds(text: str) -> int:
    if text == OFF_WORD:
        return 0
    if not (text.isascii() and text.isdigit()):
        raise CommandRefused(f"--duplicates takes seconds, or off: {text!r}")
    return _within("--duplicates", "seconds", int(text), 0, DUPLICATE_SECONDS_MAX)


def _velocity(text: str, option: str) -> dict[str, Any] | None:
    if text == OFF_WORD:
        return None
    found = VELOCITY_FORM.fullmatch(text)
    if found is None or (found["payments"] == "any" and found["amount"] is None):
        raise CommandRefused(
            f"{option} takes PAYMENTS/SECONDS, or PAYMENTS/SECONDS/AMOUNT, or any/SECONDS/AMOUNT"
        )
    payments = None if found["payments"] == "any" else int(found["payments"])
    if payments is not None:
        _within(option, "PAYMENTS", payments, 1, VOLUME_MAX if option == "--volume" else COUNT_MAX)
    amount = int(found["amount"]) if found["amount"] else None
    if amount is not None:
        _within(option, "AMOUNT (in minor units)", amount, 1, AMOUNT_MAX)
    return {
        "seconds": _within_window(option, int(found["seconds"])),
        "payments_max": payments,
        "amount_minor_max": amount,
    }


def _declines(text: str) -> dict[str, int]:
    if text == OFF_WORD:
        return {"declines_max": 0}
    found = COUNT_FORM.fullmatch(text)
    if found is None:
        raise CommandRefused("--declines takes DECLINES/SECONDS: 5/3600")
    return {
        "declines_max": _within("--declines", "DECLINES", int(found["count"]), 1, COUNT_MAX),
        "declines_seconds": _within_window("--declines", int(found["seconds"])),
    }


def _within_window(option: str, seconds: int) -> int:
    return _within(option, "SECONDS", seconds, WINDOW_SECONDS_MIN, WINDOW_SECONDS_MAX)


def _within(option: str, word: str, number: int, low: int, high: int) -> int:
    """
    Return *number*, if a rule can have it.
    """
    if not low <= number <= high:
        raise CommandRefused(
            f"{option}: {word} is {number}, and must be from {low} to {high}. No rule was changed: "
            "correct it, or say off"
        )
    return number


async def _kept(settings: Configuration, merchant_id: UUID) -> KeptPolicy:
    async with open_database(settings) as database:
        await require_merchant(database, merchant_id)
        return await ScreeningStore(database, SystemClock()).kept_policy(merchant_id)


async def _change(
    settings: Configuration, merchant_id: UUID, changes: dict[str, Any], actor: str
) -> KeptPolicy:
    async with open_database(settings) as database:
        clock = SystemClock()
        store = ScreeningStore(database, clock)
        kept = await store.kept_policy(merchant_id)
        policy = msgspec.convert({**msgspec.to_builtins(kept.policy), **changes}, Policy)
        try:
            written = await store.set_policy(
                merchant_id,
                policy,
                after_version=kept.version,
                actor=actor,
                event_id=ids.Ids(clock).new(),
            )
        except asyncpg.ForeignKeyViolationError as error:
            raise CommandRefused("there is no such merchant: counterfoil merchant list") from error
        if not written:
            raise CommandRefused("somebody else has just changed these rules: look, and try again")
        return KeptPolicy(kept.version + 1, policy)


async def _block(
    settings: Configuration, merchant_id: UUID, kind: str, text: str, reason: str, actor: str
) -> tuple[str, UUID]:
    clock = SystemClock()
    async with open_database(settings) as database:
        store = ScreeningStore(database, clock)
        value, shown = await _value(store, merchant_id, kind, text)
        block_id = ids.Ids(clock).new()
        entry = Block(
            block_id=block_id, kind=kind, value=value, shown=shown, reason=reason, actor=actor
        )
        try:
            if not await store.add_block(merchant_id, entry, event_id=ids.Ids(clock).new()):
                raise CommandRefused(f"{shown} is blocked already: counterfoil screening blocks")
        except asyncpg.ForeignKeyViolationError as error:
            raise CommandRefused("there is no such merchant: counterfoil merchant list") from error
        return shown, block_id


async def _value(store: ScreeningStore, merchant_id: UUID, kind: str, text: str) -> tuple[str, str]:
    """
    Return what is compared, and what is shown of it.
    """
    if kind == "card":
        return await _card(store, merchant_id, text)
    option = f"--{kind.replace('_', '-')}"
    if value := compared(kind, seen(text, option)):
        return value, value
    raise CommandRefused(f"{option} takes {FORMS[kind]}")


async def _card(store: ScreeningStore, merchant_id: UUID, text: str) -> tuple[str, str]:
    try:
        payment_id = ids.read(ids.PAYMENT, text)
    except ids.UnreadableId as error:
        raise CommandRefused(f"--payment takes a payment's id: {error}") from error
    found = await store.card_of(merchant_id, payment_id)
    if found is None:
        raise CommandRefused("this merchant has no payment with this id")
    return found


async def _unblock(settings: Configuration, merchant_id: UUID, block_id: UUID, actor: str) -> None:
    clock = SystemClock()
    async with open_database(settings) as database:
        if not await ScreeningStore(database, clock).end_block(
            merchant_id, block_id, actor, event_id=ids.Ids(clock).new()
        ):
            raise CommandRefused("there is no such entry, or it was ended before")


async def _blocks(settings: Configuration, merchant_id: UUID, ended: bool) -> list[asyncpg.Record]:
    async with open_database(settings) as database:
        await require_merchant(database, merchant_id)
        return await ScreeningStore(database, SystemClock()).blocks(merchant_id, ended=ended)
