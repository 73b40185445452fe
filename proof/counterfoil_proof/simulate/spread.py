"""
Spread universes over several processes, each with a database server of its own.
"""

import multiprocessing
import os
from collections.abc import Iterator, Sequence
from multiprocessing.connection import Connection, wait

from counterfoil_proof.mutants import armed
from counterfoil_proof.simulate.run import Outcome, universes
from counterfoil_proof.world.server import serving, statements

PROCESSES_MAX = 64
END_SECONDS_MAX = 60.0


class WorkerEndedError(Exception):
    """
    A process of the run has ended before its universe had.
    """


def lived(seeds: Sequence[int], days: int, mutant: str | None, processes: int) -> Iterator[Outcome]:
    """
    Yield the outcome of each seed, as they end; with one process in the order of the seeds.

    Raises:
        WorkerEndedError: One of the processes has died.
    """
    if min(processes, len(seeds)) == 1:
        with serving(on_template=statements("changes.sql")) as server, armed(mutant):
            yield from universes(server, seeds, days)
        return
    yield from _lived_apart(seeds, days, mutant, min(processes, len(seeds)))


def _lived_apart(
    seeds: Sequence[int], days: int, mutant: str | None, processes: int
) -> Iterator[Outcome]:
    context = multiprocessing.get_context("spawn")
    waiting = iter(seeds)
    lines: list[Connection] = []
    workers = []
    try:
        for _ in range(processes):
            here, there = context.Pipe()
            worker = context.Process(target=_work, args=(there, days, mutant))
            worker.start()
            there.close()
            here.send(next(waiting))
            lines.append(here)
            workers.append(worker)
        while lines:
            for line in wait(lines):
                assert isinstance(line, Connection)
                yield _outcome_from(line)
                seed = next(waiting, None)
                line.send(seed)
                if seed is None:
                    lines.remove(line)
    finally:
        for line in lines:
            line.close()  # Then a worker that is still there ends by itself.
        for worker in workers:
            worker.join(END_SECONDS_MAX)


def _outcome_from(line: Connection) -> Outcome:
    try:
        outcome = line.recv()
    except EOFError:
        raise WorkerEndedError(
            "a process of the simulation has died; what it said is above: run the seeds with "
            "`--processes 1` to see which of them it was"
        ) from None
    assert isinstance(outcome, Outcome)
    return outcome


def _work(line: Connection, days: int, mutant: str | None) -> None:
    """
    Let universes live, seed after seed, for as long as somebody sends any.
    """
    os.umask(0o077)
    with serving(on_template=statements("changes.sql")) as server, armed(mutant):
        while (seed := _next(line)) is not None:
            for outcome in universes(server, [seed], days):
                line.send(outcome)


def _next(line: Connection) -> int | None:
    try:
        seed: int | None = line.recv()
    except (EOFError, KeyboardInterrupt):
        return None
    return seed
