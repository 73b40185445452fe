"""
`counterfoil crash-points`: kill at every point in turn, and compare everybody's books.
"""

import asyncio
import json as jsons
import os
import statistics
import sys
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal, NoReturn

import cyclopts
import msgspec

from counterfoil_proof.matrix.fates import Result, Target
from counterfoil_proof.matrix.lane import KINDS
from counterfoil_proof.matrix.matrix import LANES_MAX, Matrix, Report
from counterfoil_proof.matrix.scenarios import SCENARIOS
from counterfoil_proof.matrix.targets import all_points, left_out, points_without_death
from counterfoil_proof.points import catalogue

EXIT_NOT_AS_IT_SHOULD = 1
EXIT_REFUSED = 2
HEADS = ("scenario", "process", "points", "killed", "recovered s (median, worst)", "verdict")

Kind = Literal["gateway", "worker", "shop"]
Action = Literal["kill", "freeze"]


def crash_points(
    *,
    scenario: Annotated[
        list[str] | None,
        cyclopts.Parameter(negative="", help="Only this one; may be given several times."),
    ] = None,
    process: Annotated[
        list[Kind] | None, cyclopts.Parameter(negative="", help="Only this kind of process.")
    ] = None,
    action: Annotated[
        Action, cyclopts.Parameter(help="SIGKILL, or stand still for twice a lease.")
    ] = "kill",
    lanes: Annotated[int, cyclopts.Parameter(help="Installations side by side, 1 to 8.")] = 4,
    every: Annotated[
        int, cyclopts.Parameter(help="Only every so manieth death: for a first look.")
    ] = 1,
    state: Annotated[
        Path | None,
        cyclopts.Parameter(help="Where to work; what disagrees is left there. Without: a new one."),
    ] = None,
    json: Annotated[
        bool, cyclopts.Parameter(name="--json", negative="", help="Print JSON for programs.")
    ] = False,
) -> None:
    """
    Kill gateway, worker and shop at every point of every scenario, and compare everybody's books.

    Exit code 0: every step has its points and its deaths, every death was recovered from, and
    shop, gateway and rail tell the same story each time. 1: they do not. 2: it could not be tried.
    """
    unknown = [each for each in scenario or [] if each not in SCENARIOS]
    if unknown or not 1 <= lanes <= LANES_MAX or every < 1:
        _refuse(f"--scenario takes one of: {', '.join(SCENARIOS)}; --lanes 1 to {LANES_MAX}")
    os.umask(0o077)
    try:
        folder = state or Path(tempfile.mkdtemp(prefix="counterfoil-points-"))
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        _refuse(f"--state: {error}; choose another folder")
    chosen = scenario or list(SCENARIOS)
    matrix = Matrix(folder.expanduser().absolute(), lanes=lanes, tell=_tell)
    work = matrix.run(
        chosen,
        kinds=process or KINDS,
        action=action,
        choose=lambda found: _some(found, every),
    )
    try:
        report = asyncio.run(work)
    except KeyboardInterrupt:
        _refuse("stopped by Ctrl-C; everything that was started has ended")
    is_whole = not scenario and not process and every == 1
    missing = _missing(report, is_whole=is_whole, is_recorded=not scenario)
    (folder / "results.json").write_bytes(msgspec.json.encode(report))
    if json:
        sys.stdout.write(jsons.dumps(_summary(report, missing, folder), indent=2) + "\n")
    else:
        _show(report, missing, folder)
    if report.wrong or any(missing.values()):
        sys.exit(EXIT_NOT_AS_IT_SHOULD)


def rows(report: Report) -> list[tuple[str, ...]]:
    """
    Return the table: a row for each scenario and process.
    """
    by_row: dict[tuple[str, str], list[Result]] = defaultdict(list)
    for each in report.results:
        assert each.target is not None
        by_row[each.scenario, each.target.kind].append(each)
    return [
        (scenario, kind, *_row(results)) for (scenario, kind), results in sorted(by_row.items())
    ]


def _row(results: Sequence[Result]) -> tuple[str, ...]:
    reached = [each for each in results if each.is_reached]
    seconds = [each.recovered_seconds for each in reached]
    wrong = sum(bool(each.wrong) for each in results)
    took = f"{statistics.median(seconds):.1f}, {max(seconds):.1f}" if seconds else "-"
    verdict = f"{wrong} DISAGREE" if wrong else "agreed"
    return str(len(results)), str(len(reached)), took, verdict


def _missing(report: Report, *, is_whole: bool, is_recorded: bool) -> dict[str, list[str]]:
    """
    Return the points that no scenario passes, and those at which nobody died in a whole matrix.
    """
    nameless = catalogue.not_passed(all_points(report.recorded)) if is_recorded else set()
    undied = points_without_death(report.results) - nameless if is_whole else set()
    return {
        "steps_without_point": sorted(nameless),
        "points_without_death": sorted(undied),
    }


def _summary(report: Report, missing: dict[str, list[str]], folder: Path) -> dict[str, object]:
    return {
        "scenarios": len(report.recorded),
        "points": len(all_points(report.recorded)),
        "deaths": sum(each.is_reached for each in report.results),
        "not_reached": len(report.not_reached),
        "passes_not_reached": not_reached(report),
        "lanes_lost": msgspec.to_builtins(report.lost),
        "disagreements": sum(bool(each.wrong) for each in (*report.recorded, *report.results)),
        **missing,
        "left_out": dict(left_out(report.recorded)),
        "excused": catalogue.EXCUSED,
        "seconds": round(report.seconds, 1),
        "rows": [dict(zip(HEADS, each, strict=True)) for each in rows(report)],
        "state": str(folder),
    }


def not_reached(report: Report) -> list[str]:
    """
    Return each armed pass that did not come, with the scenarios in which it did not.
    """
    scenarios: dict[str, list[str]] = defaultdict(list)
    for each in report.not_reached:
        assert each.target is not None
        scenarios[f"{each.target.kind}, {each.target.where}"].append(each.scenario)
    return [f"{where}: {', '.join(names)}" for where, names in sorted(scenarios.items())]


def _show(report: Report, missing: dict[str, list[str]], folder: Path) -> None:
    shown = [HEADS, *rows(report)]
    widths = [max(len(row[at]) for row in shown) for at in range(len(HEADS))]
    for row in shown:
        line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        sys.stdout.write(f"{line.rstrip()}\n")
    summary = _summary(report, missing, folder)
    sys.stdout.write(
        f"\n{summary['deaths']} deaths at {summary['points']} points in "
        f"{summary['scenarios']} scenarios, {summary['disagreements']} disagreements, "
        f"{summary['not_reached']} passes that did not come again; {summary['seconds']} s\n"
    )
    for lost in report.lost:
        sys.stdout.write(f"lane given up at {lost.scenario}: {lost.why} ({lost.folder})\n")
    for where in not_reached(report):
        sys.stdout.write(f"did not come again: {where}\n")
    for rule, count in left_out(report.recorded).items():
        sys.stdout.write(f"left out: {count} passes: {rule}\n")
    for reason, names in catalogue.excuses().items():
        sys.stdout.write(f"in no scenario: {', '.join(names)}: {reason}\n")
    for name in missing["steps_without_point"]:
        sys.stdout.write(f"no scenario passes, and nothing excuses: {name}\n")
    for name in missing["points_without_death"]:
        sys.stdout.write(f"nobody died at: {name}\n")
    sys.stdout.write(f"All results: {folder / 'results.json'}\n")


def _some(found: list[Target], every: int) -> list[Target]:
    return found[::every]


def _tell(text: str) -> None:
    sys.stderr.write(f"{text}\n")


def _refuse(sentence: str) -> NoReturn:
    sys.stderr.write(f"counterfoil: {sentence}\n")
    sys.exit(EXIT_REFUSED)
