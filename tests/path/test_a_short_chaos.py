"""
`counterfoil chaos` as an operator runs it: everything is broken, everybody agrees, nothing is left.
"""

import asyncio
import json
import os
import signal
import sys
from pathlib import Path

import pytest

from .leftovers import family, no_process_is_left

SECONDS = 8
FIGURES = {
    *("attempted", "approved", "confirmed", "declined", "reversed", "kills", "unknown"),
    *("charged_without_order", "orders_without_charge", "recovery_seconds", "audit"),
}


async def begun(folder: Path, seconds: int) -> asyncio.subprocess.Process:
    """Start a chaos that hears Ctrl-C, also when whoever started us does not (a job behind `&`)."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return await _started(folder, seconds)
    finally:
        signal.signal(signal.SIGINT, before)


async def _started(folder: Path, seconds: int) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        str(Path(sys.executable).with_name("counterfoil")),
        *("chaos", "--seconds", str(seconds), "--seed", "5", "--json", "--state", str(folder)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )


async def heard(chaos: asyncio.subprocess.Process, word: bytes) -> None:
    """Wait until it says *word*."""
    assert chaos.stderr is not None
    while word not in (line := await chaos.stderr.readline()):
        assert line, "it ended before it said so"


@pytest.mark.timeout(400)
async def test_everything_is_broken_and_everybody_agrees_afterwards(tmp_path: Path) -> None:
    """Exit code 0, the promised figures, and books that their own commands read afterwards."""
    state = tmp_path / "chaos"
    chaos = await begun(state, SECONDS)
    said, complained = await chaos.communicate()

    assert chaos.returncode == 0, complained.decode()
    told = json.loads(said)
    assert told.keys() >= FIGURES
    assert (told["unknown"], told["charged_without_order"], told["orders_without_charge"]) == (
        0,
        0,
        0,
    )
    assert told["audit"]["agrees"]
    assert told["attempted"] >= told["confirmed"] > 0
    for program, word in (("counterfoil-shop", "orders"), ("counterfoil-rail", "books")):
        listing = await asyncio.create_subprocess_exec(
            str(Path(sys.executable).with_name(program)),
            *(word, "--state", str(state), "--json"),
            stdout=asyncio.subprocess.PIPE,
        )
        listed, _ = await listing.communicate()
        assert len(json.loads(listed)) >= told["confirmed"]


@pytest.mark.timeout(200)
async def test_ctrl_c_leaves_nothing_behind(tmp_path: Path) -> None:
    """In the middle of the blows, also what is frozen just then."""
    chaos = await begun(tmp_path / "chaos", 600)
    await heard(chaos, b"kill ")
    left = family([chaos.pid])
    os.kill(chaos.pid, signal.SIGINT)
    await chaos.communicate()

    assert len(left) > 5
    assert chaos.returncode == 2
    no_process_is_left(left)
