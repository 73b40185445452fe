"""
How what was measured becomes figures: steps, shares of the machine, seconds of each part.
"""

import itertools
import time
from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from counterfoil_proof.bench import machine
from counterfoil_proof.bench.load import Measured, quantiles
from counterfoil_proof.bench.pgbench import PgbenchRun
from counterfoil_proof.bench.spans import STEPS

Tell = Callable[[str], None]
Figures = dict[str, Any]


class Parts:
    """
    Tells what is done, and how long each part of the run took.
    """

    def __init__(self, tell: Tell) -> None:
        self._tell = tell
        self._began: dict[str, float] = {}

    def __call__(self, part: str) -> None:
        """
        Begin a part; the one before has ended.
        """
        self._began[part] = time.perf_counter()
        self._tell(part)

    def took_seconds(self) -> dict[str, float]:
        """
        Return the seconds of each part, the last one until now.
        """
        moments = [*self._began.values(), time.perf_counter()]
        spans = zip(self._began, itertools.pairwise(moments), strict=True)
        return {part: round(end - begin, 1) for part, (begin, end) in spans}


def split(whole: list[dict[str, float]]) -> Figures:
    """
    Return the quantiles of each step; each has its own worst payments, so they do not add up.
    """
    steps: dict[str, list[float]] = {}
    for each in whole:
        for name, seconds in _steps(each).items():
            steps.setdefault(name, []).append(seconds)
    return {name: quantiles(values) for name, values in steps.items()}


def _steps(spans: dict[str, float]) -> dict[str, float]:
    rail, link = spans.get("rail", 0.0), spans.get("link", 0.0)
    stored = {name: spans.get(name, 0.0) for name in STEPS}
    before_answer = link + sum(stored.values()) - stored["acknowledge"]
    return {
        "own": spans["payment"] + spans["acknowledgment"] - rail,
        **stored,
        "link": link - rail,
        "rest of the payment": spans["payment"] - before_answer,
        "rest of the acknowledgment": spans["acknowledgment"] - stored["acknowledge"],
        "wait for the rail": rail,
    }


def summary(runs: list[Measured]) -> Figures:
    """
    Return all runs and the best rate.
    """
    best = max(runs, key=lambda each: each.payments_per_second)
    return {"best": best.payments_per_second, "runs": [one(each) for each in runs]}


def one(run: Measured | PgbenchRun) -> Figures:
    """
    Return a run with what each party took of the machine.
    """
    capacity = run.seconds * machine.cores()
    return {
        **msgspec.to_builtins(run),
        "share_of_the_machine": {
            name: round(seconds / capacity, 3) for name, seconds in run.cpu_seconds.items()
        },
        "cpu_us_per_payment": {
            name: round(seconds / run.payments * 1e6, 1)
            for name, seconds in run.cpu_seconds.items()
        },
    }


def grown(figures: Figures) -> Iterator[tuple[str, Figures]]:
    """
    Return each run with much stored or with many merchants, and how it is called.
    """
    for kind, name in (("by_stored_payments", "payment"), ("by_merchants", "merchant")):
        stored = " stored" if name == "payment" else ""
        for number, run in figures.get(kind, {}).items():
            yield f"{int(number):,} {name}{'' if number == '1' else 's'}{stored}", run
