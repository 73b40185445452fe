"""
A benchmark's figures as the tables and pictures of the page about performance.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from counterfoil_proof.bench.figures import grown

BEGIN = "<!-- The figures of a run begin here: bench.plots writes them. -->"
END = "<!-- The figures of a run end here. -->"
PICTURES = {
    "bench-rates": "Payments a second of pgbench and of the gateway.",
    "bench-costs": "CPU microseconds of a whole payment, by party.",
    "bench-steps": "The gateway's own time, step by step.",
    "bench-growth": "What the client waits, with much stored and with many merchants.",
}

Rows = Iterator[tuple[str, str]]


def put(page: Path, figures: dict[str, Any], pictures: str) -> None:
    """
    Write the figures into *page*, between its two marks; *pictures*: the folder as it names it.

    Raises:
        ValueError: The page has not both marks.
    """
    before, begin, rest = page.read_text("utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"{page.name} has not both marks of the figures: put them there again")
    text = "\n\n".join([begin, *_sections(figures, pictures), end])
    page.write_text(f"{before}{text}{after}", "utf-8")


def _sections(figures: dict[str, Any], pictures: str) -> Iterator[str]:
    yield f"{_machine(figures)}"
    yield _table(("figure", "value"), list(_rows(figures)))
    for name, said in PICTURES.items():
        yield f"![{said}]({pictures}/{name}.svg)"
    shares = figures["one_process"]["runs"]
    best = max(shares, key=lambda each: each["payments_per_second"])
    parties = [
        (party, f"{share:.1%}", f"{best['cpu_us_per_payment'][party]:,.0f}")
        for party, share in best["share_of_the_machine"].items()
    ]
    yield f"Who had the machine at {best['connections']} connections:"
    yield _table(("party", "of the machine", "CPU microseconds a payment"), parties)
    if "memory" in figures:
        each = figures["memory"]
        many = each["mib_with_many_connections"]
        yield f"Memory in MiB, with one connection and with {each['connections']:,}:"
        few = each["mib_per_process"].items()
        weighed = [(party, f"{mib:.1f}", f"{many[party]:.1f}") for party, mib in few]
        yield _table(("party", "one", "many"), weighed)


def _machine(figures: dict[str, Any]) -> str:
    each = figures["machine"]
    return (
        f"One run on {each['cores']} cores ({each['processor']}), {each['memory_gib']:.0f} GiB, "
        f"Linux {each['kernel']}, Python {each['python']}, PostgreSQL {each['postgresql']}, "
        f"{each['fsyncs_per_second']:,.0f} syncs a second; load {each['load_before']} before and "
        f"{each['load_after']} after."
    )


def _rows(figures: dict[str, Any]) -> Rows:
    own = figures["own_latency"]["steps"]["own"]
    yield "pgbench, the same rows", f"{figures['pgbench_payments_per_second']:,.0f} payments/s"
    yield "gateway, one process", f"{figures['gateway_payments_per_second']:,.0f} payments/s"
    if "two_processes" in figures:
        yield "gateway, two processes", f"{figures['two_processes']['best']:,.0f} payments/s"
    yield "`ratio`", f"{figures['ratio']:.2f}"
    at = " / ".join(f"{own[each]:.1f}" for each in ("p50", "p99", "p99_9"))
    yield "own time at half of the best rate: median / p99 / p99.9", f"{at} ms"
    yield "codec beside pyiso8583", f"{figures['codec_ratio']:.1f} times"
    yield from _growth(figures)
    if "pages" in figures:
        each = figures["pages"]
        name = f"{len(each['pages'])} pages, {each['stored_payments']:,} payments stored"
        slowest = f"{each['slowest_median_ms']:.0f} / {each['slowest_first_ms']:.0f} ms"
        yield f"{name}: slowest median / first call", slowest
    if "settled" in figures:
        each = figures["settled"]
        seconds = f"{each['close_seconds']:.1f} + {each['reconcile_seconds']:.1f} s"
        what = f"close {each['payments']:,} payments, reconcile {each['reconciled']:,}"
        yield what, seconds
    if "memory" in figures:
        mib = figures["memory"]["gateway_mib_per_thousand_connections"]
        yield "gateway, a thousand connections", f"{mib:.0f} MiB"


def _growth(figures: dict[str, Any]) -> Rows:
    for label, run in grown(figures):
        spent, waits = sum(run["cpu_us_per_payment"].values()), run["latency_ms"]
        yield (
            f"{label}: CPU, median / p99 at the client",
            f"{spent:,.0f} us, {waits['p50']:,.0f} / {waits['p99']:,.0f} ms",
        )


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(each)} |" for each in lines)
