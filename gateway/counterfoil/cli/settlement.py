"""
`counterfoil settlement`: what the acquirer and the bank said, and the deposits explained.
"""

from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import asyncpg
import cyclopts
import msgspec

from counterfoil import logs
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
)
from counterfoil.cli.deposit_text import (
    DEPOSIT_COLUMNS,
    FILE_COLUMNS,
    HELD_COLUMNS,
    amount_text,
    explain,
    print_rows,
    told_deposit,
    told_file,
    told_finding,
)
from counterfoil.cli.held_files import put_aside
from counterfoil.cli.merchant import merchant_id_of, require_merchant
from counterfoil.cli.refused_refunds import (
    found_finding,
    refund_again,
    returned,
    why_not_resolved,
)
from counterfoil.clock import SystemClock
from counterfoil.config import Configuration
from counterfoil.ids import Ids
from counterfoil.money import CURRENCIES
from counterfoil.opened import open_database
from counterfoil.settlement.explained import (
    DepositAnswer,
    DepositState,
    FindingAnswer,
    FindingKind,
    explained,
    finding_answer,
    summary,
)
from counterfoil.settlement.incoming import FILE_BYTES_MAX, Intake, Taken
from counterfoil.store.database import Database
from counterfoil.store.deposits import LINES_PAGE_MAX, PAGE_MAX, DepositStore
from counterfoil.store.merchants import MerchantStore
from counterfoil.store.settlement import SettlementStore

LISTED_MAX = 10_000

app = cyclopts.App(name="settlement", help="Reports, bank statements and deposits.")
app.command(put_aside)
app.command(refund_again)
app.command(returned)

MerchantOption = Annotated[
    str | None, cyclopts.Parameter(name="--merchant", help="Without it all merchants.")
]


@app.command
def read(
    *files: Annotated[Path, cyclopts.Parameter(help="Reports, camt.053 or BAI2 statements.")],
    json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """
    Read files now. Each is booked whole, or held whole with the reason (exit code 1).

    What was read before is known, and booked once; a held one is looked at again.
    """
    if not files:
        raise CommandRefused("name at least one file")
    logs.set_up("settlement", "error")
    contents = [(path.name, _content(path)) for path in files]
    taken = run(_read(configuration(config), contents))
    if json:
        say_json([msgspec.structs.asdict(each) for each in taken])
    else:
        for each in taken:
            say(f"{each.name}: {each.state}" + (f": {each.reason}" if each.reason else ""))
    if any(each.state == "held" for each in taken):
        raise SystemExit(1)


@app.command
def files(
    *, merchant: MerchantOption = None, json: JsonOption = False, config: ConfigOption = None
) -> None:
    """
    List the files that came, newest first.
    """
    chosen = merchant_id_of(merchant) if merchant else None
    print_rows(run(_files(configuration(config), None, chosen)), FILE_COLUMNS, json=json)


@app.command
def held(*, json: JsonOption = False, config: ConfigOption = None) -> None:
    """
    List the files that are held, and why; `put-aside` takes one off the list.
    """
    print_rows(run(_files(configuration(config), "held", None)), HELD_COLUMNS, json=json)


@app.command
def findings(
    *,
    merchant: MerchantOption = None,
    kind: FindingKind | None = None,
    all_: Annotated[
        bool, cyclopts.Parameter(name="--all", negative="", help="Resolved ones too.")
    ] = False,
    json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """
    List what does not agree, with the next step.
    """
    found = run(_findings(configuration(config), merchant, None if all_ else "open", kind))
    if json:
        say_json([told_finding(each) for each in found])
        return
    for each in found:
        amount = amount_text(each.amount_minor, each.currency)
        say(f"{each.id}  {each.kind}  {amount} {each.currency}")
        say(f"    {each.subject}")
        say(f"    {each.resolution or each.next_step}")
    if not found:
        say("Everything agrees.")


@app.command
def resolve(
    finding: Annotated[str, cyclopts.Parameter(help="Such as fnd_0198...")],
    *,
    note: Annotated[str, cyclopts.Parameter(help="What was agreed, and with whom.")],
    config: ConfigOption = None,
) -> None:
    """
    Take a finding off the list after a person has cleared it up. Nothing is booked.

    Not one of kind refund_refused, unless the merchant has given that much back since.
    """
    run(_resolve(configuration(config), finding, note_of(note)))
    say(f"{finding} is resolved.")


@app.command
def deposits(
    *,
    merchant: MerchantOption = None,
    state: DepositState | None = None,
    json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """
    List deposits, newest first.
    """
    found = run(_deposits(configuration(config), merchant, state))
    print_rows([told_deposit(each) for each in found], DEPOSIT_COLUMNS, json=json)


@app.command
def deposit(
    reference: str,
    *,
    merchant: MerchantOption = None,
    json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """
    Explain a deposit: these payments, these refunds, these fees, this net, on that day.
    """
    found = run(_deposit(configuration(config), reference, merchant))
    if json:
        say_json(told_deposit(found))
    else:
        explain(told_deposit(found))


@app.command
def account(
    merchant: str,
    account: Annotated[str, cyclopts.Parameter(help="As the bank's statements name it.")],
    *,
    currency: str,
    config: ConfigOption = None,
) -> None:
    """
    Say whose a bank account is: its statements count as that merchant's from now on.
    """
    if currency.upper() not in CURRENCIES:
        raise CommandRefused(f"{currency!r} is no currency of ISO 4217, such as USD")
    run(_add_account(configuration(config), merchant_id_of(merchant), account, currency.upper()))
    say(f"Statements of {account} in {currency.upper()} are {merchant}'s.")


async def _read(settings: Configuration, contents: list[tuple[str, bytes]]) -> list[Taken]:
    async with open_database(settings) as database:
        await refuse_in_quarantine(database)
        clock = SystemClock()
        intake = Intake(SettlementStore(database), settings.acquirer, clock, Ids(clock))
        return [await intake.take_file(content, name) for name, content in contents]


async def _files(
    settings: Configuration, state: str | None, merchant_id: UUID | None
) -> list[dict[str, Any]]:
    async with open_database(settings) as database:
        await require_merchant(database, merchant_id)
        rows = await DepositStore(database).files(
            state=state, merchant_id=merchant_id, limit=LISTED_MAX
        )
    return [told_file(row) for row in rows]


async def _findings(
    settings: Configuration, merchant: str | None, state: str | None, kind: str | None
) -> list[FindingAnswer]:
    async with open_database(settings) as database:
        store = DepositStore(database)
        found: list[FindingAnswer] = []
        for each in await _merchants(database, merchant):
            rows = await store.findings(each, state=state, kind=kind, limit=LISTED_MAX)
            found += [finding_answer(row) for row in rows]
        return found


async def _resolve(settings: Configuration, finding: str, note: str) -> None:
    async with open_database(settings) as database:
        merchant_id, finding_id = await found_finding(database, finding)
        clock = SystemClock()
        if not await SettlementStore(database).resolve_finding(
            merchant_id,
            finding_id,
            clock.now(),
            note,
            actor=actor_of(None),
            event_id=Ids(clock).new(),
        ):
            raise CommandRefused(await why_not_resolved(database, merchant_id, finding_id))


async def _deposits(
    settings: Configuration, merchant: str | None, state: str | None
) -> list[DepositAnswer]:
    async with open_database(settings) as database:
        store = DepositStore(database)
        return [
            summary(row)
            for each in await _merchants(database, merchant)
            for row in await store.page(each, state=state, limit=LISTED_MAX)
        ]


async def _deposit(settings: Configuration, reference: str, merchant: str | None) -> DepositAnswer:
    async with open_database(settings) as database:
        store = DepositStore(database)
        owners = [merchant_id_of(merchant)] if merchant else await store.merchants_of(reference)
        if len(owners) > 1:
            raise CommandRefused(f"several merchants have a deposit {reference}: use --merchant")
        row = await store.deposit(owners[0], reference) if owners else None
        if row is None:
            raise CommandRefused(
                f"there is no deposit {reference}: counterfoil settlement deposits"
            )
        whole = await explained(row, store, limit=LINES_PAGE_MAX)
        lines = list(whole.lines or [])
        while whole.next_line is not None:
            assert isinstance(whole.next_line, int)
            whole = await explained(row, store, after_line=whole.next_line, limit=LINES_PAGE_MAX)
            lines += whole.lines or []
        return msgspec.structs.replace(whole, lines=lines)


async def _add_account(settings: Configuration, merchant_id: UUID, account: str, code: str) -> None:
    clock = SystemClock()
    async with open_database(settings) as database:
        try:
            await SettlementStore(database).add_account(
                merchant_id,
                account,
                code,
                clock.now(),
                actor=actor_of(None),
                event_id=Ids(clock).new(),
            )
        except asyncpg.UniqueViolationError as error:
            raise CommandRefused("that account is another merchant's") from error
        except asyncpg.ForeignKeyViolationError as error:
            raise CommandRefused("there is no such merchant: counterfoil merchant list") from error
        except asyncpg.CheckViolationError as error:
            raise CommandRefused("an account has 1 to 64 characters") from error


async def _merchants(database: Database, merchant: str | None) -> list[UUID]:
    if merchant:
        await require_merchant(database, merchant_id_of(merchant))
        return [merchant_id_of(merchant)]
    store = MerchantStore(database, SystemClock())
    found: list[UUID] = []
    while page := await store.page(found[-1] if found else None, PAGE_MAX):
        found += [row["merchant_id"] for row in page]
    return found


def _content(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        raise CommandRefused(f"cannot read {path}: {error.strerror}") from error
    if len(content) > FILE_BYTES_MAX:
        raise CommandRefused(f"{path} has more than {FILE_BYTES_MAX} bytes")
    return content
