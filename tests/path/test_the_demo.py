"""
`counterfoil demo`, as a person starts it: one command, a whole road, and nothing left behind.
"""

import asyncio
import json
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import msgspec
import pytest
from counterfoil_proof.demo.ports import LOOPBACK, USUAL

from .leftovers import Process, family, no_card_data_below, no_process_is_left
from .sandboxes import PATIENCE_SECONDS, Json, run

README = Path(__file__).resolve().parents[2] / "README.md"
TOLD = {
    *("order", "payment_id", "rrn", "confirmation_number"),
    *("states", "emails", "payment_seconds"),
}
DECLINED = "4000000000000002"
BOTH_MAILED = {"customer": 1, "merchant": 1}
NONE_MAILED = {"customer": 0, "merchant": 0}
DEEP = "/".join(["a folder whose name is long"] * 10)
CHOOSE = """
import sys, msgspec
from counterfoil_proof.demo import ports
print(*msgspec.structs.astuple(ports.choose()[0]), flush=True)
sys.stdin.read()
"""
BOUGHT = " is paid after "
PROGRAMS = 6

pytestmark = pytest.mark.timeout(480)  # Several whole demos, each with a day's end.


@pytest.fixture
def home(request: pytest.FixtureRequest) -> Iterator[Path]:
    """A private folder; what lies in it is removed unless a test failed."""
    folder = Path(tempfile.mkdtemp(prefix="counterfoil-path-"))
    yield folder
    if not request.session.testsfailed:
        shutil.rmtree(folder)


async def test_one_command_buys_and_later_ones_go_on(home: Path) -> None:
    """Deep below a private folder, with umask 077 and busy ports; on after an end, and a kill."""
    state = home / DEEP
    with _usual_ports_busy() as busy:
        declined, narrated, left = await _once(state, "--card", DECLINED)
    with _up(state) as demo:
        left |= (killed := family([demo.pid]))
        demo.kill()
    paid, _, left_later = await _once(state)
    no_process_is_left(left | left_later)

    for program, usual in busy.items():
        assert f"port {usual} is busy: {program} takes " in narrated
    assert (declined["order"], declined["emails"], declined["faults"]) == ("1001", NONE_MAILED, [])
    assert declined["confirmation_number"] is None
    assert [each["state"] for each in declined["states"]] == ["processing", "declined"]
    assert len(killed) > PROGRAMS
    assert paid.keys() >= TOLD
    assert (paid["order"], paid["emails"], paid["faults"]) == ("1003", BOTH_MAILED, [])
    assert re.fullmatch(r"[0-9]{12}", paid["confirmation_number"])
    told = [each["state"] for each in paid["states"]]
    assert told[:3] == ["processing", "approved", "captured"]

    await _books_lie_open(state, {"1001": declined, "1003": paid})
    no_card_data_below(state)
    assert _is_private(home)


async def test_the_readme_leads_to_a_first_payment_and_nothing_stays(home: Path) -> None:
    """The README's own lines against a demo that stays up; then Ctrl-C, and no process is left."""
    with _up(home / ".demo") as demo:
        serving = json.loads((home / ".demo/gateway/serving.json").read_text())
        script = README.read_text("utf-8").split("```python\n")[1].split("```")[0]
        script = script.replace("127.0.0.1:8443", f"{serving['host']}:{serving['port']}")
        mine = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", script), cwd=home, stdout=subprocess.PIPE
        )
        printed, _ = await asyncio.wait_for(mine.communicate(), PATIENCE_SECONDS)
        processes = family([demo.pid])
        demo.send_signal(signal.SIGINT)
        assert demo.wait(PATIENCE_SECONDS) == 0
    no_process_is_left(processes)

    assert re.fullmatch(r"captured [0-9]{12}\n", printed.decode())
    charges = await _listed("counterfoil-rail", "books", home / ".demo")
    assert [(each["state"], each["amount_minor"]) for each in charges][1:] == [("captured", 4200)]
    no_card_data_below(home / ".demo")


def test_two_demos_that_start_at_once_choose_different_ports() -> None:
    """A port is taken by whoever chose it, also while nobody listens there yet."""
    with ExitStack() as stack:
        chosen: list[str] = []
        for _ in range(2):
            demo = stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-c", CHOOSE], stdin=subprocess.PIPE, stdout=subprocess.PIPE
                )
            )
            assert demo.stdout is not None
            chosen += demo.stdout.readline().decode().split()

    assert len(chosen) == len(set(chosen)) == 2 * len(msgspec.structs.fields(USUAL))


async def _once(state: Path, *words: str) -> tuple[Json, str, set[Process]]:
    """
    Run the demo for one purchase: what it tells programs, what it tells people, what it started.
    """
    demo = await asyncio.create_subprocess_exec(
        *(*_COMMAND, "--once", "--json", "--state", str(state), *words),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        umask=0o077,
    )
    talking = asyncio.create_task(demo.communicate())
    started: set[Process] = set()
    while not talking.done():
        started |= family([demo.pid])
        await asyncio.wait({talking}, timeout=0.5)
    told, narrated = await talking
    assert demo.returncode == 0, narrated.decode()
    return json.loads(told), narrated.decode(), started


@contextmanager
def _up(state: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """Lend a demo that stays up, once it has bought something."""
    state.mkdir(parents=True, exist_ok=True)
    story = state / "story"
    with story.open("wb") as file:
        demo = subprocess.Popen(
            [*_COMMAND, "--state", str(state)], stdout=file, stderr=file, umask=0o077
        )
    try:
        until = time.monotonic() + PATIENCE_SECONDS
        while BOUGHT not in story.read_text() and demo.poll() is None:
            assert time.monotonic() < until, story.read_text()
            time.sleep(0.05)
        assert demo.poll() is None, story.read_text()
        yield demo
    finally:
        demo.kill()
        demo.wait()


_COMMAND = (
    str(Path(sys.executable).with_name("counterfoil")),
    *("demo", "--issuer-delay-ms", "0"),
)


@contextmanager
def _usual_ports_busy() -> Iterator[dict[str, int]]:
    """Listen where the demo would, unless somebody else does already; return where we do."""
    busy = {}
    with ExitStack() as stack:
        for program, port in msgspec.structs.asdict(USUAL).items():
            listener = stack.enter_context(socket.socket())
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                listener.bind((LOOPBACK, port))
                listener.listen()
            except OSError:
                continue
            busy[program] = port
        yield busy


async def _books_lie_open(state: Path, bought: dict[str, Json]) -> None:
    """The shop's and the rail's books are told when nothing runs, and say the same."""
    orders = await _listed("counterfoil-shop", "orders", state)
    charges = {each["rrn"]: each for each in await _listed("counterfoil-rail", "books", state)}

    assert [each["order"] for each in orders] == ["1001", "1002", "1003"]
    assert [each["status"] for each in orders] == ["not_paid", "paid", "paid"]
    assert len(charges) == len(orders)
    for order in orders:
        charge = charges[order["rrn"]]
        assert charge["state"] == {"paid": "captured", "not_paid": "declined"}[order["status"]]
        assert charge["amount_minor"] == order["amount_minor"]
        assert charge["currency"] == order["currency"]
        told = bought.get(order["order"], order)
        for name in ("payment_id", "rrn", "confirmation_number"):
            assert order[name] == told[name]


def _is_private(folder: Path) -> bool:
    return stat.S_IMODE(folder.stat().st_mode) == 0o700


async def _listed(program: str, noun: str, state: Path) -> list[Json]:
    code, said, complained = await run(program, noun, "--json", "--state", str(state))
    assert code == 0, complained
    listed: list[Json] = json.loads(said)
    return listed
