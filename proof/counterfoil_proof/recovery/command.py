"""
`counterfoil recovery`: how fast what a crash left in flight is settled.
"""

import asyncio
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Annotated

import cyclopts
import msgspec
from counterfoil import logs
from cyclopts import validators

from counterfoil_proof.recovery.measure import Figures, measure

SECONDS_MAX = 300.0
PAYMENTS_MAX = 100_000


def recovery(
    *,
    payments: Annotated[
        int,
        cyclopts.Parameter(
            validator=validators.Number(gte=1, lte=PAYMENTS_MAX),
            help="How many are in flight at the crash.",
        ),
    ] = 10_000,
    base_seconds: Annotated[
        float, cyclopts.Parameter(help="How long the usual rate is measured.")
    ] = 10.0,
    state: Annotated[
        Path | None, cyclopts.Parameter(help="Keep everything below this new folder.")
    ] = None,
    json: Annotated[bool, cyclopts.Parameter(name="--json", negative="")] = False,
) -> None:
    """
    Crash with many payments in flight, restart while a shop sells, and say how long it takes.

    A fifth of the payments are approvals that nobody acknowledged, the others have no stored
    answer. Exit code 0: nothing is left and the host holds none of them, 10,000 took a minute at
    most, and new payments kept half of their rate.
    """
    os.umask(0o077)
    logs.set_up("recovery", "error")
    folder = state.absolute() if state else Path(tempfile.mkdtemp(prefix="counterfoil-recovery-"))
    figures = asyncio.run(measure(folder, payments, SECONDS_MAX, base_seconds))
    sys.stdout.write(_as_json(figures) if json else _as_text(figures))
    if state is None:
        shutil.rmtree(folder, ignore_errors=True)
    sys.exit(0 if figures.holds else 1)


def _as_json(figures: Figures) -> str:
    return msgspec.json.encode(figures).decode() + "\n"


def _as_text(figures: Figures) -> str:
    values = msgspec.structs.asdict(figures)
    return "".join(f"{name.replace('_', ' '):<24}{value}\n" for name, value in values.items())
