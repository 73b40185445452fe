"""
What every command of `counterfoil-rail` shares: its options, and how it writes and fails.
"""

import contextlib
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, NoReturn

from cyclopts import Parameter

from counterfoil_rail.store import StoreError, books_path, rail_folder

State = Annotated[Path, Parameter(help="The demo's folder; the rail lives in DIR/rail.")]
JsonList = Annotated[bool, Parameter("--json")]


def write(pieces: Iterable[str]) -> None:
    """
    Write *pieces* to standard output; end with one sentence when the books cannot be read.
    """
    try:
        for piece in pieces:
            sys.stdout.write(piece)
        sys.stdout.flush()
    except StoreError as error:
        fail(str(error))
    except BrokenPipeError:  # The reader has seen enough; nothing is left to flush at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def note_missing_books(state: Path) -> None:
    """
    Say on standard error that no rail has ever kept books below *state*: an empty list is no proof.
    """
    folder = rail_folder(state)
    with contextlib.suppress(OSError):  # Whoever reads the books says what is wrong with it.
        if not books_path(folder).exists():
            sys.stderr.write(
                f"counterfoil-rail: no books in {folder}: no rail has run with this --state\n"
            )


def fail(message: str) -> NoReturn:
    """
    End the command with *message*.
    """
    sys.stderr.write(f"counterfoil-rail: {message}\n")
    sys.exit(1)
