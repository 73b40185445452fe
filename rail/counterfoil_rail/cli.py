"""
The command `counterfoil-rail`: run the rail, read its books, make it misbehave.
"""

import asyncio
import json
import sys
from pathlib import Path

import uvloop
from cyclopts import App

from counterfoil_rail.cards import TEST_CARDS
from counterfoil_rail.clock import system_clock
from counterfoil_rail.console import JsonList, State, fail, note_missing_books, write
from counterfoil_rail.control import ControlError, ask
from counterfoil_rail.dialects import GW87, Dialect, dialect_named
from counterfoil_rail.faults import FAULTS, FaultError
from counterfoil_rail.holds import HOLD_SECONDS, HOLD_SECONDS_MAX
from counterfoil_rail.issuer import DelayRange
from counterfoil_rail.journal import journal as host_journal
from counterfoil_rail.listing import as_json, as_table, charges
from counterfoil_rail.log import Log
from counterfoil_rail.server import Settings
from counterfoil_rail.server import serve as serve_rail
from counterfoil_rail.settlement import commands
from counterfoil_rail.store import StoreError, rail_folder

PORT = 8583
PORT_MAX = 65_535
DAY_SECONDS = 86_400.0

app = App(name="counterfoil-rail", help="An acquirer host with two issuers in a box.")
fault = App(name="fault", help="Make a running rail misbehave, for tests.")
app.command(fault)
app.command(commands.day)
app.command(commands.deposits)
app.command(commands.batches)

RULES = """
Any other number that satisfies Luhn is approved too: BINs 4 (issuer A), 5, 2221-2720, 34, 37,
6011, 65 (issuer B). Others: 15; a wrong check digit: 14; an expiry before this month: 54.

Amounts of 900000 to 909999 minor units get their last two digits as the response code when
that is a decline (900005 -> 05, 900091 -> 91); 900010: the half is approved (10); 900068: no
answer at all; others: 00.

Postal code ending in 9, street beginning with 9, CVV 999: do not match (AVS N, A or Z; CVV N).
Postal code ending in 88: AVS U; in 77: R. CVV 888: U; 777: P; 666: S; Amex with four digits.
"""


@app.command
def serve(
    *,
    state: State,
    host: str = "127.0.0.1",
    port: int = PORT,
    issuer_delay_ms: str = "0",
    seed: int | None = None,
    fault: list[str] | None = None,
    quiet: bool = False,
    statements: str | None = None,
    hold_days: float = HOLD_SECONDS / DAY_SECONDS,
    dialect: str = GW87.name,
    mac_key_file: Path | None = None,
) -> None:
    """
    Run the rail until it is told to stop; one JSON line per event on standard error.

    Parameters
    ----------
    host
        The address to listen on.
    port
        The port; 0 takes a free one and says which.
    issuer_delay_ms
        How long issuers take: milliseconds, or LOW-HIGH.
    seed
        Repeats random delays and approval codes.
    fault
        NAME=VALUE: a fault that is armed from the start; may be given several times.
    quiet
        Leave the line for each message out.
    statements
        What the bank writes from now on: camt053 (at first), bai2 or both.
    hold_days
        How long an authorization is held before it lapses.
    dialect
        What is spoken: gw87, gw87-bcd, gw87-ebcdic or gw87-hex.
    mac_key_file
        A file with the key of the dialect's MAC, in hex.
    """
    log = Log(system_clock, quiet=quiet)
    try:
        if not 0 <= port <= PORT_MAX:
            raise ValueError(f"a port is 0 to {PORT_MAX}: {port}")
        if not 0 < hold_days <= HOLD_SECONDS_MAX / DAY_SECONDS:
            raise ValueError(
                f"a hold lasts up to {HOLD_SECONDS_MAX / DAY_SECONDS:g} days: {hold_days}"
            )
        settings = Settings(
            state=state,
            host=host,
            port=port,
            issuer_delay=DelayRange.parse(issuer_delay_ms),
            seed=seed,
            faults=_named(fault or []),
            statements=statements,
            hold_seconds=hold_days * DAY_SECONDS,
            dialect=_spoken(dialect, mac_key_file),
        )
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(serve_rail(settings, log))
    except (StoreError, ValueError, OSError) as error:
        log.event("not_started", error=str(error))
        sys.exit(1)


@app.command
def books(*, state: State, as_json_list: JsonList = False) -> None:
    """
    List every charge in the rail's own books, also when no rail runs.

    Parameters
    ----------
    as_json_list
        As one JSON list instead of a table.
    """
    note_missing_books(state)
    write(as_json(charges(state)) if as_json_list else as_table(charges(state)))


@app.command
def journal(*, state: State) -> None:
    """
    Write the host's journal: every charge and the numbers used, one JSON object a line.

    It is what `counterfoil quarantine compare --host-journal` reads.
    """
    write(host_journal(state))


@app.command
def cards() -> None:
    """
    Print the well-known test cards and the rules for all others.
    """
    for card in TEST_CARDS:
        sys.stdout.write(f"{card.number:<18}{card.response_code}  {card.meaning}\n")
    sys.stdout.write(RULES)


@fault.command(name="set")
def set_fault(name: str, value: str, /, *, state: State) -> None:
    """
    Arm fault NAME with VALUE in the running rail; 0 disarms it.
    """
    _print_faults(state, {"set": [name, value]})


@fault.command(name="list")
def list_faults(*, state: State) -> None:
    """
    Print every fault of the running rail: its value and what it takes.
    """
    _print_faults(state, {})


def main() -> None:
    """
    Run the command line.
    """
    app()


def _print_faults(state: Path, request: dict[str, object]) -> None:
    try:
        armed = ask(rail_folder(state), request)["faults"]
    except ControlError as error:
        fail(str(error))
    listed = [
        {"name": name, "value": armed.get(name, ""), "takes": takes}
        for name, takes in FAULTS.items()
    ]
    sys.stdout.write(f"{json.dumps(listed, indent=1)}\n")


def _named(pairs: list[str]) -> dict[str, str]:
    named = {}
    for pair in pairs:
        name, separator, value = pair.partition("=")
        if not separator:
            raise FaultError(f"a fault is NAME=VALUE: {pair!r}")
        named[name] = value
    return named


def _spoken(name: str, mac_key_file: Path | None) -> Dialect:
    """
    Return the dialect *name*; behind the key its check value may stand in the file.
    """
    if mac_key_file is None:
        return dialect_named(name)
    words = mac_key_file.read_text("ascii", "replace").split()
    return dialect_named(name, words[0] if words else "")
