"""
`counterfoil bench`: whole payments a second beside pgbench, and what each costs.
"""

import asyncio
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Annotated, Any, NoReturn

import cyclopts
import msgspec
from counterfoil import logs
from counterfoil.supervisor import STOP_SIGNALS, ProgramError
from cyclopts import validators

from counterfoil_proof.bench.installation import BenchFailed
from counterfoil_proof.bench.run import QUICK, WHOLE, run, run_pages
from counterfoil_proof.bench.stored import STORED_MAX
from counterfoil_proof.demo import ports, sandbox

EXIT_NOT_AS_IT_SHOULD = 1
EXIT_REFUSED = 2
SETTLED_MAX = 500_000


def bench(
    *,
    quick: Annotated[
        bool, cyclopts.Parameter(negative="", help="Under a minute: the first figures only.")
    ] = False,
    state: Annotated[
        Path | None, cyclopts.Parameter(help="Keep everything below this new folder.")
    ] = None,
    stored: Annotated[
        int,
        cyclopts.Parameter(
            validator=validators.Number(gte=20_000, lte=STORED_MAX),
            help="The most payments that are laid in store (not with --quick).",
        ),
    ] = WHOLE.stored[-1],
    settled: Annotated[
        int,
        cyclopts.Parameter(
            validator=validators.Number(gte=1, lte=SETTLED_MAX),
            help="How many payments are closed and reconciled (not with --quick).",
        ),
    ] = WHOLE.settled,
    pages: Annotated[
        bool, cyclopts.Parameter(negative="", help="Only how fast the merchant's pages are.")
    ] = False,
    keep: Annotated[
        Path | None, cyclopts.Parameter(help="Write the figures as JSON into this folder, too.")
    ] = None,
    json: Annotated[
        bool, cyclopts.Parameter(name="--json", negative="", help="Print JSON for programs.")
    ] = False,
) -> None:
    """
    Measure whole payments a second, beside pgbench writing the same rows, in one run.

    Exit code 0: the rows are equal and the audit agrees, whatever the rates are. 1: not so.
    2: it could not be measured.
    """
    sizes = (*(each for each in WHOLE.stored if each < stored), stored)
    whole = msgspec.structs.replace(WHOLE, stored=sizes, settled=settled)
    size = QUICK if quick else whole
    if pages and quick:
        _refuse("--pages and --quick exclude each other: choose one")
    os.umask(0o077)
    logs.set_up("bench", "error")
    folder = state.absolute() if state else Path(tempfile.mkdtemp(prefix="counterfoil-bench-"))
    if (folder / "gateway").exists():
        _refuse(f"{folder} holds an earlier run: remove it, or choose another folder with --state")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        with sandbox.alone(folder):
            work = run_pages(folder, stored, settled, _tell) if pages else run(folder, size, _tell)
            figures = asyncio.run(_until_stopped(work))
    except (BenchFailed, ProgramError, ports.NoPortFree, sandbox.FolderInUse, OSError) as fault:
        _refuse(f"{fault}")
    except (KeyboardInterrupt, asyncio.CancelledError):
        _refuse("stopped; everything that was started has ended")
    finally:
        if state is None:
            shutil.rmtree(folder, ignore_errors=True)
    if keep is not None:
        _keep(keep, figures, "pages" if pages else "bench")
    if json:
        sys.stdout.write(_written(figures))
    elif pages:
        _show_pages(figures["pages"])
    else:
        _show(figures)
    if pages:
        return
    holds = figures["audit"]["agrees"] and figures["rows_per_payment"]["equal"]
    sys.exit(0 if holds else EXIT_NOT_AS_IT_SHOULD)


async def _until_stopped(work: Coroutine[Any, Any, dict[str, Any]]) -> dict[str, Any]:
    """
    Let SIGTERM and SIGHUP end everything as Ctrl-C does.
    """
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None
    for number in STOP_SIGNALS:
        loop.add_signal_handler(number, task.cancel)
    return await work


def _written(figures: dict[str, Any]) -> str:
    return msgspec.json.format(msgspec.json.encode(figures), indent=2).decode() + "\n"


def _keep(folder: Path, figures: dict[str, Any], name: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    moment = time.strftime("%Y-%m-%dT%H-%M-%SZ", time.gmtime())
    (folder / f"{name}-{moment}.json").write_text(_written(figures), "utf-8")


def _show(figures: dict[str, Any]) -> None:
    own = figures["own_latency"]["steps"]["own"]
    best = max(figures["one_process"]["runs"], key=lambda each: each["payments_per_second"])
    rows = figures["rows_per_payment"]
    audit = figures["audit"]
    lines = {
        "pgbench, same rows": f"{figures['pgbench_payments_per_second']:.0f} payments/s",
        "gateway, whole payments": f"{figures['gateway_payments_per_second']:.0f} payments/s",
        "ratio": f"{figures['ratio']:.2f}",
        "gateway's own time": f"{own['p50']:.2f} ms median, {own['p99']:.2f} ms p99, "
        f"{own['p99_9']:.2f} ms p99.9",
        "codec beside pyiso8583": f"{figures['codec_ratio']:.2f}",
        "rows of a payment": f"{'equal' if rows['equal'] else 'NOT EQUAL'}: gateway "
        f"{_sum(rows['gateway'])}, pgbench {_sum(rows['pgbench']['plain'])}",
        "audit": f"{'agrees' if audit['agrees'] else 'DOES NOT AGREE'} "
        f"({audit['payments']} payments)",
    }
    if "two_processes" in figures:
        lines["gateway, two processes"] = f"{figures['two_processes']['best']:.0f} payments/s"
    if "settled" in figures:
        each = figures["settled"]
        lines["close and reconcile"] = (
            f"{each['close_and_reconcile_seconds']:.1f} s for {each['payments']} payments"
        )
    if "memory" in figures:
        each = figures["memory"]["gateway_mib_per_thousand_connections"]
        lines["memory, gateway"] = f"{each:.1f} MiB per thousand connections"
    for what, value in lines.items():
        sys.stdout.write(f"{what:<26}{value}\n")
    sys.stdout.write(f"\nAt {best['connections']} connections, of the machine and of a payment:\n")
    for party, share in best["share_of_the_machine"].items():
        microseconds = best["cpu_us_per_payment"][party]
        sys.stdout.write(f"  {party:<24}{share:6.1%}  {microseconds:8.0f} us\n")
    for kind in ("by_stored_payments", "by_merchants"):
        for number, run_ in figures.get(kind, {}).items():
            sys.stdout.write(
                f"{kind.replace('_', ' ')} {number:>10}: {run_['payments_per_second']:.0f} "
                f"payments/s, {sum(run_['cpu_us_per_payment'].values()):.0f} us\n"
            )
    if "pages" in figures:
        sys.stdout.write("\n")
        _show_pages(figures["pages"])
    sys.stdout.write("\nSteps, milliseconds (median, p99, p99.9):\n")
    for step, at in figures["own_latency"]["steps"].items():
        sys.stdout.write(f"  {step:<28}{at['p50']:8.2f}{at['p99']:8.2f}{at['p99_9']:8.2f}\n")


def _show_pages(found: dict[str, Any]) -> None:
    """
    Print every page, the slowest first, and which are over the bar.
    """
    sys.stdout.write(f"{len(found['pages'])} pages, {found['stored_payments']} payments stored\n\n")
    sys.stdout.write(f"{'median':>8}{'first':>8}{'slowest':>9}  milliseconds\n")
    for each in found["pages"]:
        times = f"{each['median_ms']:8.1f}{each['first_ms']:8.1f}{each['slowest_ms']:9.1f}"
        sys.stdout.write(f"{times}  {each['path']}\n")
    slow = ", ".join(found["slow"]) or "none"
    sys.stdout.write(f"\nover 100 ms: {slow}\n")


def _sum(tables: dict[str, dict[str, float]]) -> str:
    inserted = sum(each["inserted"] for each in tables.values())
    updated = sum(each["updated"] for each in tables.values())
    return f"{inserted:g} inserted, {updated:g} updated"


def _tell(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def _refuse(sentence: str) -> NoReturn:
    sys.stderr.write(f"counterfoil: {sentence}\n")
    sys.exit(EXIT_REFUSED)
