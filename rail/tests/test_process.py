"""
The rail as a real process: its command, its folder, its death.
"""

import asyncio
import contextlib
import io
import json
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from counterfoil_rail.clock import system_clock
from counterfoil_rail.log import Log, mask
from counterfoil_rail.server import Settings, running
from counterfoil_rail.store import StoreError

from .conftest import CARD, Gateway, Sandbox, Start, close, follow_up, item, network, payment

START_SECONDS_MAX = 10.0
COMMAND = [sys.executable, "-m", "counterfoil_rail"]


@contextlib.contextmanager
def _process(state: Path) -> Iterator[subprocess.Popen[bytes]]:
    command = [*COMMAND, "serve", "--state", str(state), "--port", "0"]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, umask=0o077)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def _serving(state: Path, process: subprocess.Popen[bytes]) -> dict[str, Any]:
    """Wait until this very process says that it serves."""
    until = time.monotonic() + START_SECONDS_MAX
    while time.monotonic() < until:
        with contextlib.suppress(FileNotFoundError):
            where: dict[str, Any] = json.loads((state / "rail" / "serving.json").read_text())
            if where["pid"] == process.pid:
                return where
        time.sleep(0.02)
    raise AssertionError("the rail did not start")


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, timeout=20)


async def _sign_on(port: int) -> Gateway:
    gateway = Gateway(*await asyncio.open_connection("127.0.0.1", port))
    assert (await gateway.ask(network("001")))["39"] == "00"
    return gateway


async def test_every_answer_outlives_a_kill(tmp_path: Path) -> None:
    """SIGKILL under load: what was answered is in the books, once, and is answered the same."""
    state = tmp_path / ("deep" * 30) / ("deeper" * 20)
    sales = [payment() for _ in range(2000)]
    answered = {}
    with _process(state) as process:
        gateway = await _sign_on(_serving(state, process)["port"])
        gateway.send(*sales)
        for _ in range(300):
            answer = await gateway.answer()
            answered[answer["37"]] = answer
        process.kill()
        process.wait()
        gateway.writer.close()
    listed = json.loads(run("books", "--json", "--state", str(state)).stdout)
    booked = {charge["rrn"]: charge for charge in listed}

    assert len(booked) == len(listed)
    assert answered.keys() <= booked.keys()
    with _process(state) as process:
        gateway = await _sign_on(_serving(state, process)["port"])
        for sale in sales[:300:30]:
            assert await gateway.ask(sale) == answered[sale["37"]]
        gateway.writer.close()
        process.send_signal(signal.SIGTERM)
        assert process.wait(START_SECONDS_MAX) == 0
    assert not (state / "rail" / "serving.json").exists()
    assert not (state / "rail" / "control.json").exists()


async def test_the_command_sets_faults_in_a_running_rail(tmp_path: Path) -> None:
    """`fault set` acts before it returns; `fault list` shows it; wrong ones say why."""
    state = str(tmp_path)
    with _process(tmp_path) as process:
        port = _serving(tmp_path, process)["port"]
        answer = run("fault", "set", "silent", "1:unbooked", "--state", state)
        listed = {fault["name"]: fault["value"] for fault in json.loads(answer.stdout)}
        wrong = run("fault", "set", "loud", "1", "--state", state)
        gateway = await _sign_on(port)
        gateway.send(payment())
        silent = await gateway.is_silent()
        await gateway.ask(payment())
        closed = run("fault", "set", "close_batch", "TERM0001/USD/000001", "--state", state)
        refused = await gateway.ask(payment())
        gateway.writer.close()
        second = run("serve", "--state", state, "--port", "0")

    assert listed["silent"] == "1:unbooked"
    assert silent
    assert closed.returncode == 0
    assert refused["39"] == "40"
    assert (wrong.returncode, second.returncode) == (1, 1)
    assert "there is no fault 'loud'" in wrong.stderr
    assert "another rail already works" in second.stderr
    assert run("fault", "list", "--state", state).returncode == 1


def test_books_of_nothing_are_an_empty_list(tmp_path: Path) -> None:
    """No folder, no rail: still a JSON list, and a table with a head only."""
    nowhere = str(tmp_path / "nowhere")

    as_json = run("books", "--json", "--state", nowhere)
    as_table = run("books", "--state", nowhere)

    assert (as_json.returncode, json.loads(as_json.stdout)) == (0, [])
    assert as_table.stdout.split()[:3] == ["at", "rrn", "terminal_id"]
    assert "no rail has run with this --state" in as_json.stderr
    assert not (tmp_path / "nowhere").exists()


async def test_books_are_read_while_the_rail_runs(rail: Sandbox, gateway: Gateway) -> None:
    """As a JSON list with the promised keys, and as a table."""
    sale, hold = payment(amount=4200), payment("0100", amount=900)
    await gateway.ask(sale)
    await gateway.ask(hold)

    read = await asyncio.to_thread(run, "books", "--json", "--state", str(rail.state))
    table = await asyncio.to_thread(run, "books", "--state", str(rail.state))

    listed = json.loads(read.stdout)
    keys = {"rrn", "terminal_id", "amount_minor", "currency", "state", "batch", "kind", "stan"}
    assert keys | {"brand", "bin", "last4", "response_code", "at"} <= listed[0].keys()
    assert [(row["rrn"], row["state"]) for row in listed] == [
        (sale["37"], "captured"),
        (hold["37"], "held"),
    ]
    assert len(table.stdout.splitlines()) == 3


async def test_no_card_number_is_written_anywhere(start: Start) -> None:
    """Neither number nor CVV nor expiry: not in books, files or log, while it runs."""
    canary_cvv = "7291"
    # Which have a port, a process and random letters: any four digits may be among them.
    of_the_process = {"serving.json", "control.json"}
    async with start(seed=7) as rail, rail.link() as gateway:
        hold = payment("0100", f48=f"0204{canary_cvv}", f14="4911")
        for message in (
            hold,
            follow_up(hold, "0220"),
            follow_up(hold, "0420"),
            follow_up(payment(), "0420"),
            payment(f60="x"),
            payment(card="4111111111111112"),
            sale := payment(f48=f"0204{canary_cvv}", f14="4911"),
            close(),
            item(sale),
            close("0520", debits=[4200]),
        ):
            await gateway.ask(message)
        rail.days.advance()
        assert "************1111" in rail.report()
        paths = [each for each in (rail.state / "rail").rglob("*") if each.is_file()]
        written = b"".join(each.read_bytes() for each in paths if each.name not in of_the_process)
        lines = rail.log.getvalue().splitlines(keepends=True)
        written += "".join(each for each in lines if '"listening"' not in each).encode()

    assert len(written) > 10_000
    assert b"************1111" in written
    for secret in (CARD[:15], CARD[:7], f"04{canary_cvv}", "4911"):
        assert secret.encode() not in written


async def test_the_folder_is_private(rail: Sandbox) -> None:
    """Whatever the umask: only the owner reads the books, the key and the token."""
    folder = rail.state / "rail"

    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    for name in ("books.sqlite", "account.key", "control.json"):
        assert stat.S_IMODE((folder / name).stat().st_mode) == 0o600


async def test_a_lost_key_is_not_silently_replaced(start: Start, tmp_path: Path) -> None:
    """Accounts without their key would be other people's: the rail does not start."""
    async with start() as rail, rail.link() as gateway:
        await gateway.ask(payment())
    (tmp_path / "rail" / "account.key").unlink()

    with pytest.raises(StoreError, match=r"account\.key is missing"):
        async with start():
            pass


async def test_a_path_too_long_for_sqlite_is_named(tmp_path: Path) -> None:
    """The message says how long it is and how long it may be."""
    state = tmp_path.joinpath(*["x" * 100] * 5)

    with pytest.raises(StoreError, match="at most 504"):
        async with running(Settings(state), Log(system_clock, stream=io.StringIO())):
            pass


async def test_a_control_port_wants_its_token(rail: Sandbox) -> None:
    """Without it nothing is told and nothing is set."""
    control = json.loads((rail.state / "rail" / "control.json").read_text())
    for line in (b'{"token": "guess", "set": ["silent", "1"]}\n', b"[]\n", b"nonsense\n"):
        reader, writer = await asyncio.open_connection("127.0.0.1", control["port"])
        writer.write(line)
        answer = await reader.read()
        writer.close()
        assert b"faults" not in answer

    assert rail.faults.armed()["silent"] == "0"


def test_a_port_in_use_is_said(tmp_path: Path) -> None:
    """The process ends with one sentence, not with a traceback."""
    with _process(tmp_path / "one") as process:
        port = str(_serving(tmp_path / "one", process)["port"])
        second = run("serve", "--state", str(tmp_path / "two"), "--port", port)

    assert second.returncode == 1
    assert "address already in use" in second.stderr
    assert "Traceback" not in second.stderr
    assert not os.path.exists(tmp_path / "two" / "rail" / "serving.json")


def test_masks_leave_the_last_four() -> None:
    """Also for a number that is no card number."""
    assert mask(CARD) == "************1111"
    assert mask("123") == "123"
