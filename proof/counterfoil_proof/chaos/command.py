"""
`counterfoil chaos`: break everything for a while, let it recover, and compare all books.
"""

import asyncio
import contextlib
import json as jsons
import os
import signal
import ssl
import sys
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator
from datetime import date
from pathlib import Path
from typing import Annotated, Any, NoReturn

import asyncpg
import cyclopts
import httpx2
import msgspec
from counterfoil.opened import open_database
from counterfoil.store.database import DatabaseAway
from counterfoil.supervisor import ProgramError
from counterfoil_rail.control import ADVANCE_SECONDS_MAX, ask
from counterfoil_rail.settlement import listing
from counterfoil_rail.store import rail_folder

from counterfoil_proof.chaos import verdict
from counterfoil_proof.chaos.blows import Fists
from counterfoil_proof.chaos.installation import Installation
from counterfoil_proof.chaos.verdict import Verdict
from counterfoil_proof.demo import ports, sandbox

EXIT_NOT_AS_IT_SHOULD = 1
EXIT_REFUSED = 2
SECONDS_MAX = 24 * 3600
CALM_SECONDS = 2.0  # Of selling before the first blow.
PATIENCE_SECONDS = 900.0  # For all that is owed: a reversal's pauses grow to five minutes.
DAYS_MAX = 9
LOOK_SECONDS = 0.25
OWED = """
SELECT 'payment ' || state AS what, count(*) AS number FROM payments
 WHERE state IN ('processing', 'approved', 'reversing', 'voiding') GROUP BY state
UNION ALL SELECT 'advice ' || kind, count(*) FROM advices WHERE state = 'owed' GROUP BY kind
UNION ALL SELECT 'mail ' || kind, count(*) FROM outbox WHERE state = 'owed' GROUP BY kind
UNION ALL SELECT 'event ' || source, count(*) FROM feed_pending GROUP BY source
UNION ALL SELECT 'batch ' || state, count(*) FROM batches
 WHERE state NOT IN ('open', 'closed') GROUP BY state
"""
READ = "SELECT count(*) FROM deposits WHERE state IN ('funded', 'without_report', 'overpaid')"

Tell = Callable[[str], None]


def chaos(
    *,
    seconds: Annotated[float, cyclopts.Parameter(help="How long things are broken.")] = 60.0,
    seed: Annotated[int, cyclopts.Parameter(help="Which blows, in which order.")] = 1,
    state: Annotated[
        Path, cyclopts.Parameter(help="Everything lives below this folder, and stays there.")
    ] = Path(".chaos"),
    json: Annotated[
        bool, cyclopts.Parameter(name="--json", negative="", help="Print JSON for programs.")
    ] = False,
) -> None:
    """
    Kill, freeze and cut off real processes under load; then recover, close the day, compare books.

    Exit code 0: nothing is unknown to the shop, nobody is charged without an order and no order is
    without its charge, and the audit agrees. 1: not so. 2: it could not be tried.
    """
    if not 1 <= seconds <= SECONDS_MAX:
        _refuse(f"--seconds takes 1 to {SECONDS_MAX}")
    folder = state.expanduser().absolute()
    if (folder / "gateway").exists():
        _refuse(f"{folder} holds an earlier run: remove it, or choose another folder with --state")
    os.umask(0o077)
    tell = _teller()
    try:
        with sandbox.alone(folder):
            found = asyncio.run(_run(folder, seconds, seed, tell))
    except (ProgramError, ports.NoPortFree, sandbox.FolderInUse) as fault:
        _refuse(f"{fault}")
    except OSError as fault:
        _refuse(_not_here(fault, folder))
    except KeyboardInterrupt:
        _refuse("stopped by Ctrl-C; everything that was started has ended")
    if json:
        sys.stdout.write(jsons.dumps({**_figures(found), **_where(folder)}, indent=2) + "\n")
    else:
        _show(found, folder)
    sys.exit(0 if found.holds else EXIT_NOT_AS_IT_SHOULD)


async def _run(folder: Path, seconds: float, seed: int, tell: Tell) -> Verdict:
    show = _Show(Installation(folder, seed), tell)
    with _stopped_by_signals():
        try:
            return await show.run(seconds, seed)
        finally:
            await asyncio.shield(show.installation.close())


class _Show:
    """
    One chaos from the first program started to the verdict.
    """

    def __init__(self, installation: Installation, tell: Tell) -> None:
        self.installation = installation
        self._tell = tell
        self._fists = Fists(installation, tell)

    async def run(self, seconds: float, seed: int) -> Verdict:
        """
        Start, break, recover, close the day, judge.
        """
        installation = self.installation
        self._tell(f"Starting everything below {installation.folder}")
        await installation.open()
        await installation.begin_to_sell()
        await asyncio.sleep(CALM_SECONDS)
        self._tell(f"Breaking things for {seconds:g} s, seed {seed}:")
        await self._fists.deal(seed, seconds)
        self._keep(installation.folder)
        self._tell("Quiet. What is open is recovered now.")
        began = time.monotonic()
        await self._eventually(installation.all_ready, "every program is back")
        await installation.end_selling()
        owed = await self._is_quiet()
        recovery_seconds = time.monotonic() - began
        self._tell(f"Nothing is open any more after {recovery_seconds:.1f} s. Closing the day.")
        await self._close_the_day()
        owed += await self._is_quiet()
        return await self._judge(recovery_seconds, owed)

    async def _judge(self, recovery_seconds: float, owed: list[str]) -> Verdict:
        folder = self.installation.folder
        attempted, unknown, without_order, without_charge = await asyncio.to_thread(
            verdict.laid_beside, folder
        )
        dealt = Counter(each.blow.kind for each in self._fists.dealt)
        return Verdict(
            attempted=attempted,
            **await verdict.counted(self.installation.configuration),
            kills=self._fists.kills,
            freezes=dealt["freeze"],
            cuts=dealt["cut"],
            unknown=unknown,
            charged_without_order=without_order,
            orders_without_charge=without_charge,
            recovery_seconds=round(recovery_seconds, 1),
            still_owed=owed,
            audit=await verdict.audited(folder, self.installation.plan.configuration_path),
        )

    async def _is_quiet(self) -> list[str]:
        """
        Wait until nothing is owed any more; return what still is when patience ends.
        """
        owed: list[str] = []

        async def quiet() -> bool:
            owed[:] = [f"{row['number']} x {row['what']}" for row in await self._rows(OWED)]
            return not owed

        with contextlib.suppress(TimeoutError):
            await self._eventually(quiet, "nothing is owed any more")
        return owed

    async def _close_the_day(self) -> None:
        """
        Close the batches, let the acquirer settle and the bank pay, and read both.
        """
        plan = self.installation.plan
        key = plan.key_path.read_text("utf-8").strip()
        trust = ssl.create_default_context(cafile=plan.authority_path)
        async with httpx2.AsyncClient(
            base_url=plan.gateway_url, verify=trust, headers={"Authorization": f"Bearer {key}"}
        ) as api:
            (await api.post("/v1/batches/close", json={})).raise_for_status()
        await self._is_quiet()
        for _ in range(DAYS_MAX):
            today = await asyncio.to_thread(_end_day, plan.folder)
            due = await asyncio.to_thread(_due, plan.folder)
            if due and all(each < today for each in due):
                break

        async def read() -> bool:
            [row] = await self._rows(READ)
            return bool(row["count"] >= len(due))

        await self._eventually(read, "report and statement are read")

    async def _rows(self, text: str) -> list[Any]:
        try:
            async with (
                open_database(self.installation.configuration) as database,
                database.acquire() as connection,
            ):
                return list(await connection.fetch(text))
        except (DatabaseAway, OSError, asyncpg.PostgresError):
            return [{"what": "database away", "number": 1, "count": -1}]

    async def _eventually(self, holds: Callable[[], Coroutine[Any, Any, bool]], what: str) -> None:
        """
        Wait until something holds.

        Raises:
            TimeoutError: Not within PATIENCE_SECONDS.
        """
        until = time.monotonic() + PATIENCE_SECONDS
        while not await holds():
            if time.monotonic() > until:
                raise TimeoutError(f"not within {PATIENCE_SECONDS:g} s: {what}")
            await asyncio.sleep(LOOK_SECONDS)

    def _keep(self, folder: Path) -> None:
        """
        Write down what was done to whom.
        """
        lines = [msgspec.json.encode(each) for each in self._fists.dealt]
        (folder / "blows.jsonl").write_bytes(b"\n".join(lines) + b"\n")


def _end_day(state: Path) -> date:
    answer = ask(rail_folder(state), {"advance": 1}, seconds=ADVANCE_SECONDS_MAX)
    return date.fromisoformat(answer["days"][-1][0])


def _due(state: Path) -> list[date]:
    return [date.fromisoformat(str(each["value_date"])) for each in listing.deposits(state)]


@contextlib.contextmanager
def _stopped_by_signals() -> Iterator[None]:
    """
    Let SIGTERM and SIGHUP end everything as Ctrl-C does.
    """
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None
    for number in (signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, task.cancel)
    yield


def _figures(found: Verdict) -> dict[str, Any]:
    figures: dict[str, Any] = msgspec.to_builtins(found)
    return figures


def _where(folder: Path) -> dict[str, Any]:
    """
    Return where to look, as commands to type.
    """
    config = folder / "gateway" / "counterfoil.toml"
    return {
        "state": str(folder),
        "look": {
            "what was done": f"{folder / 'blows.jsonl'}",
            "logs": f"{folder / 'gateway' / 'logs'}",
            "the shop's orders": f"counterfoil-shop orders --state {folder}",
            "the rail's charges": f"counterfoil-rail books --state {folder}",
            "the gateway's books": f"counterfoil database --config {config}, and beside it "
            f"counterfoil audit --config {config} --sandbox {folder}",
        },
    }


def _show(found: Verdict, folder: Path) -> None:
    figures = _figures(found)
    differences = figures.pop("audit")["differences"]
    for name, value in figures.items():
        sys.stdout.write(f"{name.replace('_', ' '):24}{value if value != [] else 'nothing'}\n")
    sys.stdout.write(f"{'audit':24}{'agrees' if found.audit.agrees else 'DOES NOT AGREE'}\n")
    for each in differences[:20]:
        sys.stdout.write(f"  {each}\n")
    sys.stdout.write(f"\n{'It holds.' if found.holds else 'IT DOES NOT HOLD.'} Look:\n")
    for what, how in _where(folder)["look"].items():
        sys.stdout.write(f"  {what:20}{how}\n")


def _teller() -> Tell:
    def tell(text: str) -> None:
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()

    return tell


def _not_here(fault: OSError, folder: Path) -> str:
    """
    Return what to do when something cannot be written, or not begun.
    """
    if fault.filename is None:
        return f"{fault}"
    return (
        f"{fault.filename}: {fault.strerror}. Everything of a run is written below {folder}: make "
        "that possible, or choose a folder of your own with --state"
    )


def _refuse(sentence: str) -> NoReturn:
    sys.stderr.write(f"counterfoil: {sentence}\n")
    sys.exit(EXIT_REFUSED)
