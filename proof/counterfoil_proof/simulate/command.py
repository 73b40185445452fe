"""
`counterfoil simulate`: days of payments on virtual time, with everything that can go wrong.
"""

import os
import sys
import time
from collections.abc import Iterator
from typing import Annotated

import cyclopts
import msgspec
from counterfoil.cli.console import CommandRefused

from counterfoil_proof.mutants import BY_NAME, MUTANTS
from counterfoil_proof.simulate.proving import proved_apart
from counterfoil_proof.simulate.run import Outcome, Summary, summary
from counterfoil_proof.simulate.spread import PROCESSES_MAX, lived
from counterfoil_proof.world.story import Violation

DAYS_MAX = 60
SEEDS_MAX = 100_000
FAILURES_TOLD_MAX = 5


def simulate(
    *,
    seed: Annotated[int, cyclopts.Parameter(help="Which universe.")] = 1,
    seeds: Annotated[str | None, cyclopts.Parameter(help="Several, FIRST-LAST.")] = None,
    days: Annotated[int, cyclopts.Parameter(help="How many business days each.")] = 1,
    processes: Annotated[
        int | None,
        cyclopts.Parameter(help="How many at once, each with its own database; else one a core."),
    ] = None,
    mutant: Annotated[
        str | None, cyclopts.Parameter(help="A deliberate fault that must be found.")
    ] = None,
    list_mutants: Annotated[
        bool, cyclopts.Parameter(help="Print the names of all of them.", negative="")
    ] = False,
    json: Annotated[bool, cyclopts.Parameter(name="--json", negative="")] = False,
) -> None:
    """
    Let gateways, workers, shops and acquirer live through days of faults; look at every step.

    One seed is one universe, and always the same one. Exit code 0: everything held, and enough
    was seen to say so. 1: something did not hold (its story and the command that tells it again
    are on the standard error), or too little was seen.
    """
    if list_mutants:
        sys.stdout.write("".join(f"{each.name}\n" for each in MUTANTS))
        return
    if mutant is not None and mutant not in BY_NAME:
        raise CommandRefused(f"there is no mutant {mutant!r}: see --list-mutants")
    if not 1 <= days <= DAYS_MAX:
        raise CommandRefused(f"--days is 1 to {DAYS_MAX}: {days}")
    many = processes if processes is not None else os.cpu_count() or 1
    if not 1 <= many <= PROCESSES_MAX:
        raise CommandRefused(f"--processes is 1 to {PROCESSES_MAX}: {many}")
    chosen = _range(seeds) if seeds is not None else range(seed, seed + 1)
    os.umask(0o077)
    began = time.monotonic()
    outcomes = list(_watched(lived(chosen, days, mutant, many), mutant, json=json))
    apart = proved_apart(mutant)
    sys.stderr.write("".join(_told_apart(each) for each in apart))
    found = summary(
        sorted(outcomes, key=lambda each: each.seed),
        days,
        mutant,
        wall_seconds=time.monotonic() - began,
        cpu_seconds=sum(os.times()[:4]),
        apart=apart,
    )
    sys.stdout.write(_as_json(found) if json else _as_text(found))
    sys.exit(0 if found.holds else 1)


def _watched(outcomes: Iterator[Outcome], mutant: str | None, *, json: bool) -> Iterator[Outcome]:
    """
    Tell of each universe when it has ended: a line, or its whole story if something is wrong.
    """
    failed = 0
    for outcome in outcomes:
        if outcome.violations:
            failed += 1
            if failed <= FAILURES_TOLD_MAX:
                sys.stderr.write(_story(outcome, mutant))
        elif not json:
            sys.stderr.write(_line(outcome))
        yield outcome


def _line(outcome: Outcome) -> str:
    return (
        f"seed {outcome.seed}: {outcome.payments} payments, {outcome.crashes} crashes, "
        f"{outcome.wall_seconds:.1f} s\n"
    )


def _story(outcome: Outcome, mutant: str | None) -> str:
    lines = [f"seed {outcome.seed} violates:"]
    for violation in outcome.violations[:FAILURES_TOLD_MAX]:
        about = " ".join(violation.subjects)
        lines.append(f"  {violation.invariant}: {violation.what} {about}".rstrip())
    lines.append("its story (virtual seconds):")
    lines += [f"  {each}" for each in outcome.story]
    fault = f" --mutant {mutant}" if mutant else ""
    lines.append(
        f"again: counterfoil simulate --seed {outcome.seed} --days {outcome.days}{fault}\n"
    )
    return "\n".join(lines)


def _told_apart(violation: Violation) -> str:
    return f"its own proof violates:\n  {violation.invariant}: {violation.what}\n"


def _as_json(found: Summary) -> str:
    return msgspec.json.encode(found).decode() + "\n"


def _as_text(found: Summary) -> str:
    states = ", ".join(f"{name} {number}" for name, number in found.states.items())
    lines = [
        f"seeds {found.seeds}, {found.days} day(s) each: {found.payments} payments, "
        f"{found.crashes} crashes, {found.wall_seconds:.0f} s "
        f"({found.payments_per_second:.0f} payments a second, "
        f"{found.cpu_seconds:.0f} s of processor time)",
        f"states reached: {states}",
        f"violations: {len(found.violations)}",
    ]
    lines += [f"  {_where(each['seed'])}: {each['invariant']}" for each in found.violations]
    lines += [f"too little seen: {each}" for each in found.lacking]
    return "\n".join(lines) + "\n"


def _where(seed: int | None) -> str:
    return f"seed {seed}" if seed is not None else "its own proof"


def _range(text: str) -> range:
    first, _, last = text.partition("-")
    if not (first.isdecimal() and last.isdecimal() and int(first) <= int(last)):
        raise CommandRefused(f"--seeds is FIRST-LAST, such as 1-1000: {text!r}")
    if int(last) - int(first) >= SEEDS_MAX:
        raise CommandRefused(f"--seeds holds at most {SEEDS_MAX} seeds: {text!r}")
    return range(int(first), int(last) + 1)
