"""
What all commands share: configuration, output, and errors as one sentence.
"""

import asyncio
import getpass
import json
import os
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Annotated, Any, TypeVar

import cyclopts
import uvloop

from counterfoil.cards import holds_card_number
from counterfoil.config import Configuration, load
from counterfoil.lines import unseen_in
from counterfoil.plainly import SaidPlainly
from counterfoil.store.database import Database

ConfigOption = Annotated[
    Path | None,
    cyclopts.Parameter(
        name="--config", help="The TOML file; without it $COUNTERFOIL_CONFIG, else defaults."
    ),
]
JsonOption = Annotated[
    bool, cyclopts.Parameter(name="--json", negative="", help="Print JSON for programs.")
]

T = TypeVar("T")

NAME_CHARACTERS_MAX = 64
NOTE_CHARACTERS_MAX = 500


class CommandRefused(SaidPlainly):
    """
    A command that cannot do what was asked; its sentence says why and what to do.
    """


def configuration(path: Path | None) -> Configuration:
    """
    Return the checked configuration.
    """
    return load(path)


def run(work: Coroutine[Any, Any, T]) -> T:
    """
    Run *work* on an event loop made for many connections.
    """
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work)


async def refuse_in_quarantine(database: Database) -> None:
    """
    Let a command that moves money or books it go on, unless a restored backup waits to be compared.

    Raises:
        CommandRefused: The installation is in quarantine.
    """
    row = await database.row("look_around")
    if row is not None and row["quarantined_at"] is not None:
        raise CommandRefused(
            f"the installation is in quarantine ({row['quarantine_reason']}): nothing is closed or "
            "booked until it was compared and lifted, see `counterfoil quarantine show`"
        )


def actor_of(by: str | None) -> str:
    """
    Return who acts, as histories name them: *by*, else the login name, or a user's bare number.
    """
    if by is not None and not 1 <= len(by) <= NAME_CHARACTERS_MAX:
        raise CommandRefused(f"--by takes 1 to {NAME_CHARACTERS_MAX} characters of one line")
    return f"cli:{seen(by, '--by') if by else _login_name()}"


def note_of(text: str, option: str = "--note") -> str:
    """
    Return what an *option* says for a history, in one line.

    Raises:
        CommandRefused: It is empty or too long, or something stands in it that nobody sees or may
            keep.
    """
    note = seen(" ".join(text.split()), option)
    if not 0 < len(note) <= NOTE_CHARACTERS_MAX:
        raise CommandRefused(
            f"{option} says why, and who decided it, in 1 to {NOTE_CHARACTERS_MAX} characters"
        )
    return note


def _login_name() -> str:
    """
    Return the login name, as far as histories can name somebody by it; else the user's number.

    It is read from the environment, in which anything may stand.
    """
    nameless = f"uid {os.getuid()}"
    try:
        name = getpass.getuser()
    except (KeyError, OSError):  # A bare number, as in some containers.
        return nameless
    is_name = name.strip() and not unseen_in(name) and not holds_card_number(name)
    return name[:NAME_CHARACTERS_MAX] if is_name else nameless


def seen(text: str, option: str) -> str:
    """
    Return *text* of an *option*, if all of it can be seen by whoever reads it, and may be kept.

    Raises:
        CommandRefused: A mark that turns the direction of text, another unseen character, or a
            card's number.
    """
    if unseen := unseen_in(text):
        raise CommandRefused(f"{option}: {unseen[:1].lower()}{unseen[1:]}")
    if holds_card_number(text):
        raise CommandRefused(f"{option}: a card's number stands in it: leave it out")
    return text


def say(text: str) -> None:
    """
    Print a line for people.
    """
    sys.stdout.write(f"{text}\n")


def say_json(content: Any) -> None:
    """
    Print one JSON document.
    """
    sys.stdout.write(json.dumps(content, indent=2, default=str) + "\n")


def table(headers: list[str], rows: list[list[str]]) -> None:
    """
    Print *rows* under *headers*, columns aligned.
    """
    widths = [max(len(row[at]) for row in [headers, *rows]) for at in range(len(headers))]
    for row in [headers, *rows]:
        say("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
