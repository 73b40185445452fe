"""
What all commands share: configuration, output, and errors as one sentence.
"""

import asyncio
import json
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Annotated, Any, TypeVar

import cyclopts
import uvloop

from counterfoil.config import Configuration, load

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


class CommandRefused(Exception):
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
