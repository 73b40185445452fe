"""
`counterfoil quarantine`: after a restore nothing moves until it was compared with the host.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

import cyclopts

from counterfoil import ids
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
)
from counterfoil.cli.deposit_text import amount_text
from counterfoil.clock import SystemClock
from counterfoil.config import Configuration
from counterfoil.ids import Ids
from counterfoil.opened import open_database, open_vault
from counterfoil.outside import quarantine
from counterfoil.outside.host_journal import Journal, JournalRefused
from counterfoil.outside.quarantine import Compared, NotKept, NotLifted
from counterfoil.payments.payment import Payment
from counterfoil.store.backups import begin_quarantine
from counterfoil.store.database import Database
from counterfoil.store.merchants import MerchantStore
from counterfoil.store.numbers import ConfirmationLeases
from counterfoil.store.payments import PaymentStore
from counterfoil.store.quarantine import QuarantineStore

COMPARISON = ("acquirer", "compared_at", "charges", "differences", "waived_by", "waived_reason")

app = cyclopts.App(name="quarantine", help="After a restore: compare with the host, then go on.")


@app.command
def show(*, json: JsonOption = False, config: ConfigOption = None) -> None:
    """
    Say whether the installation is in quarantine, what was compared, and what is open.
    """
    said = run(_show(configuration(config)))
    if json:
        say_json(said)
        return
    if said["since"] is None:
        say("Not in quarantine.")
        return
    say(f"In quarantine since {said['since']:%Y-%m-%d %H:%M} UTC: {said['reason']}")
    for each in said["acquirers"]:
        at = each["compared_at"]
        done = (
            f"compared {at:%Y-%m-%d %H:%M} UTC, {each['charges']} charges" if at else "not compared"
        )
        if each["waived_by"]:
            done = f"left out by {each['waived_by']}: {each['waived_reason']}"
        gone = "" if each["configured"] else " (not in the configuration)"
        say(f"  {each['acquirer']}{gone}: {done}")
    say(f"  {said['open']} difference(s) open: `counterfoil settlement findings`")


@app.command
def begin(
    *,
    reason: Annotated[str, cyclopts.Parameter(help="Why: which backup, restored by what means.")],
    config: ConfigOption = None,
) -> None:
    """
    Put the installation into quarantine, after a restore by other means than `restore`.
    """
    if not run(_begin(configuration(config), note_of(reason, "--reason"))):
        raise CommandRefused("it is in quarantine already: `counterfoil quarantine show`")
    say("In quarantine: nothing moves until it was compared and lifted.")


@app.command
def compare(
    *,
    host_journal: Annotated[Path, cyclopts.Parameter(help="What the acquirer knows (JSON lines).")],
    acquirer: Annotated[
        str | None, cyclopts.Parameter(help="Whose journal; not needed if there is one acquirer.")
    ] = None,
    json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """
    Compare with the host's journal, payment by payment; exit 1 if anything differs.
    """
    settings = configuration(config)
    found = run(_compare(settings, host_journal, acquirer))
    if json:
        say_json(_told(found))
    else:
        for each in found.differences:
            amount = amount_text(each.amount_minor, each.currency)
            say(f"{each.kind}  {each.subject}  {amount} {each.currency}: {each.words}")
        strangers = f", {found.strangers} at terminals that are nobody's here"
        say(
            f"{found.charges} charges compared{strangers if found.strangers else ''}; "
            f"{len(found.differences)} difference(s)."
        )
    if found.differences:
        raise SystemExit(1)


@app.command
def keep(
    payment: Annotated[str, cyclopts.Parameter(help="Such as pay_0198...")],
    *,
    note: Annotated[str, cyclopts.Parameter(help="Who said that the order is paid.")],
    confirmation_number: Annotated[
        str | None, cyclopts.Parameter(help="The one that the shopper has; else a new one.")
    ] = None,
    config: ConfigOption = None,
) -> None:
    """
    Claim an approval that the merchant acknowledged after the backup was made.
    """
    kept = run(_keep(configuration(config), payment, note_of(note), confirmation_number))
    say(f"{payment} is {kept.state}, confirmation number {kept.confirmation_number}.")


@app.command
def lift(
    *,
    without_acquirer: Annotated[
        str | None,
        cyclopts.Parameter(help="Leave this one out: it is gone, and no journal can be had."),
    ] = None,
    reason: Annotated[
        str | None, cyclopts.Parameter(help="Why it is left out; who has agreed to it.")
    ] = None,
    by: Annotated[
        str | None, cyclopts.Parameter(name="--by", help="Who you are; else your login name.")
    ] = None,
    config: ConfigOption = None,
) -> None:
    """
    Let everything move again, with all numbers beyond what the host has seen.
    """
    if (without_acquirer is None) != (reason is None):
        raise CommandRefused("--without-acquirer NAME and --reason WHY belong together: give both")
    left_out = (without_acquirer, note_of(reason or "", "--reason")) if without_acquirer else None
    run(_lift(configuration(config), left_out, actor_of(by)))
    say(
        "The quarantine is lifted. Batches that the host knew are closed: `counterfoil batch list`."
    )


async def _show(settings: Configuration) -> dict[str, Any]:
    async with _opened(settings) as (_, store):
        standing = await store.standing()
        comparisons, history = await store.comparisons(), await store.history()
    names = {each.name for each in settings.acquirer}
    return {
        "since": standing["quarantined_at"],
        "reason": standing["quarantine_reason"],
        "open": standing["open"],
        "acquirers": [
            {name: each[name] for name in COMPARISON} | {"configured": each["acquirer"] in names}
            for each in comparisons
        ],
        "history": [dict(each) for each in history],
    }


async def _begin(settings: Configuration, reason: str) -> bool:
    async with open_database(settings) as database:
        return await begin_quarantine(database, SystemClock(), reason)


async def _compare(settings: Configuration, path: Path, chosen: str | None) -> Compared:
    async with _opened(settings) as (_, store):
        if (await store.standing())["quarantined_at"] is None:
            raise CommandRefused("not in quarantine: there is nothing to compare")
        acquirer = await _acquirer(settings, store, chosen)
        try:
            return await quarantine.compare(Journal(path), acquirer, store, SystemClock().now())
        except JournalRefused as error:
            raise CommandRefused(str(error)) from error


async def _keep(settings: Configuration, payment: str, note: str, number: str | None) -> Payment:
    clock = SystemClock()
    made = Ids(clock)
    try:
        payment_id = ids.read(ids.PAYMENT, payment)
        async with _opened(settings) as (database, store):
            vault = await open_vault(database, settings)
            return await quarantine.keep(
                payment_id,
                note=note,
                actor=actor_of(None),
                number=number,
                store=store,
                payments=PaymentStore(database, clock),
                merchants=MerchantStore(database, clock),
                confirmations=ConfirmationLeases(database, vault.confirmation_key, size=1),
                clock=clock,
                ids=made,
            )
    except (NotKept, ids.UnreadableId) as error:
        raise CommandRefused(str(error)) from error


async def _lift(settings: Configuration, left_out: tuple[str, str] | None, actor: str) -> None:
    clock, configured = SystemClock(), {each.name for each in settings.acquirer}
    async with _opened(settings) as (_, store):
        try:
            if left_out is not None:
                acquirer, reason = left_out
                await quarantine.waive(
                    store, acquirer, configured, actor=actor, reason=reason, at=clock.now()
                )
                say(f"Going on without {acquirer}: noted, with the reason.")
            await quarantine.lift(store, clock, configured=configured, actor=actor)
        except NotLifted as error:
            raise CommandRefused(str(error)) from error


@asynccontextmanager
async def _opened(settings: Configuration) -> AsyncIterator[tuple[Database, QuarantineStore]]:
    async with open_database(settings) as database:
        yield database, QuarantineStore(database, Ids(SystemClock()))


async def _acquirer(settings: Configuration, store: QuarantineStore, chosen: str | None) -> str:
    """
    Return whose journal it is: one of the configured, or one that the backup still has.
    """
    names = [each.name for each in settings.acquirer]
    if chosen is None and len(names) == 1:
        return names[0]
    known = sorted({*names, *(each["acquirer"] for each in await store.comparisons())})
    if chosen is None or chosen not in known:
        raise CommandRefused(f"say whose journal it is with --acquirer: {', '.join(known)}")
    return chosen


def _told(found: Compared) -> dict[str, Any]:
    return {
        "charges": found.charges,
        "strangers": found.strangers,
        "differences": [
            {
                "kind": each.kind,
                "terminal_id": each.terminal_id,
                "rrn": each.rrn,
                "amount_minor": each.amount_minor,
                "currency": each.currency,
                "words": each.words,
            }
            for each in found.differences
        ],
    }
