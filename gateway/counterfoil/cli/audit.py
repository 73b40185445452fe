"""
`counterfoil audit`: prove the books, or name what does not agree.
"""

import asyncio
import re
from importlib.metadata import entry_points
from pathlib import Path
from typing import Annotated
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
from counterfoil.clock import SystemClock
from counterfoil.config import Configuration
from counterfoil.ledger import audit as ledger
from counterfoil.ledger.audit import Audit, Difference
from counterfoil.ledger.books import Sums
from counterfoil.ledger.head_file import read_lines
from counterfoil.ledger.heads import load_signing_key
from counterfoil.ledger.listing import GROUP, Comparison, TooManyToList, our_books
from counterfoil.ledger.witness import Witness
from counterfoil.money import currency, decimal_text
from counterfoil.opened import open_database

SHOWN_MAX = 100
_COLUMNS = (
    "authorized",
    "captured",
    "released",
    "held",
    "refunded",
    "outside",
    "open",
    "batched",
    "in_transit",
    "deposited",
    "fees",
    "adjustments",
    "unexplained",
)


def audit(
    *,
    merchant: Annotated[
        str | None, cyclopts.Parameter(name="--merchant", help="Without it all merchants.")
    ] = None,
    sandbox: Annotated[
        Path | None,
        cyclopts.Parameter(help="A demo's folder: compare with the rail's and the shop's books."),
    ] = None,
    public_key: Annotated[
        tuple[str, ...],
        cyclopts.Parameter(
            name="--public-key",
            negative="",
            help="Believe the signed heads of this key (64 hex digits) instead of this machine's.",
        ),
    ] = (),
    json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """
    Prove that payments, batches, the acquirer's reports and the bank agree to the cent.

    Exit code 0: everything agrees. 1: it does not, and each difference is named with its amount.
    """
    chosen = merchant_id_of(merchant) if merchant else None
    folder = sandbox.expanduser().absolute() if sandbox else None
    settings = configuration(config)
    found = run(_audit(settings, chosen, folder, witness_of(settings, public_key)))
    if json:
        say_json(msgspec.to_builtins(found))
    else:
        _print(found)
    if not found.agrees:
        raise SystemExit(1)


def witness_of(settings: Configuration, given: tuple[str, ...] = ()) -> Witness:
    """
    Return what this machine knows of signed heads, read before the database is.

    Raises:
        CommandRefused: A key that is none, or a file that cannot be read.
        KeyFileRefused: The signing key is there and must not be used.
    """
    try:
        lines = read_lines(settings.heads_path)
    except OSError as error:
        raise CommandRefused(f"{settings.heads_path} cannot be read ({error.strerror})") from error
    if given:
        return Witness(public_keys=tuple(map(_public_key, given)), lines=lines)
    keys = settings.former_public_keys
    if settings.signing_key_path.exists():
        keys = (*keys, load_signing_key(settings.signing_key_path).public)
    return Witness(public_keys=keys, lines=lines)


def _public_key(text: str) -> bytes:
    if not re.fullmatch(r"[0-9a-f]{64}", text):
        raise CommandRefused(
            "--public-key takes 64 hexadecimal digits, as `counterfoil keys public` prints them"
        )
    return bytes.fromhex(text)


async def _audit(
    settings: Configuration, merchant_id: UUID | None, folder: Path | None, witness: Witness
) -> Audit:
    async with open_database(settings) as database:
        await require_merchant(database, merchant_id)
        now = SystemClock().now()
        found = await ledger.audit(database, merchant_id, now=now, witness=witness)
        if folder is None:
            return found
        comparisons = _comparisons()
        try:
            ours = await our_books(database, merchant_id)
            for compare in comparisons:
                more = await asyncio.to_thread(compare, folder, ours)
                found = ledger.with_more(found, more)
        except (TooManyToList, OSError) as error:
            raise CommandRefused(str(error)) from error
        return found


def _comparisons() -> list[Comparison]:
    found = list(entry_points(group=GROUP))
    if not found:
        raise CommandRefused("--sandbox needs the package counterfoil-proof: install it first")
    return [each.load() for each in found]


def _print(found: Audit) -> None:
    for sums in found.merchants:
        say(f"{sums.merchant} {sums.currency}")
        table(list(_COLUMNS), [_amounts(sums)])
    for chain in found.chains:
        say(f"{chain.merchant}: {chain.transfers} transfers sealed, last hash {chain.hash}")
    for each in found.heads:
        say(f"{each.merchant}: {each.heads} signed head(s), the newest of {each.day}")
    for note in found.notes:
        say(f"note: {note}")
    for difference in found.differences[:SHOWN_MAX]:
        _tell(difference)
    if len(found.differences) > SHOWN_MAX:
        say(f"\nThese are the first {SHOWN_MAX}; --json lists them all.")
    number = len(found.differences)
    say("Everything agrees." if found.agrees else f"\nDifferences: {number}.")


def _amounts(sums: Sums) -> list[str]:
    money = currency(sums.currency)
    return [decimal_text(getattr(sums, f"{name}_minor"), money) for name in _COLUMNS]


def _tell(difference: Difference) -> None:
    say(f"\n{difference.merchant or 'nobody yet'}: {difference.what}")
    say(f"  {difference.subject}")
    say(f"  expected {difference.expected}, found {difference.found}")
    if difference.difference_minor is not None and difference.currency:
        amount = decimal_text(difference.difference_minor, currency(difference.currency))
        say(f"  difference {amount} {difference.currency}")
    say(f"  next: {difference.next_step}")
