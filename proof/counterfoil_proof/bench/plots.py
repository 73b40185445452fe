"""
Plots of a benchmark's figures as SVG, for the page about performance.

    python -m counterfoil_proof.bench.plots RESULT.json docs/pictures docs/internals/performance.md

The page, which may be left out, gets the tables between its two marks. The colours are those of
Okabe and Ito, which most colour-blind people can tell apart; a line of paper parts neighbours.
"""

import os
import sys
from html import escape
from pathlib import Path
from typing import Any

import msgspec

from counterfoil_proof.bench.figures import grown
from counterfoil_proof.bench.tables import put

WIDTH = 960
LEFT = 250  # Where bars begin; labels stand before.
RIGHT = 150  # Room for the figure behind a bar.
ROW = 26
BAR = 16
HEAD = 62
STYLE = """
    :root { --paper: #ffffff; --ink: #1b2733; --soft: #515d69; --line: #c6cac0; --a: #0072b2;
      --b: #d55e00; --c: #009e73; --d: #e69f00; --e: #cc79a7; --f: #7d8790; --g: #56b4e9; }
    @media (prefers-color-scheme: dark) {
      :root { --paper: #11161b; --ink: #ecebe4; --soft: #a9b2ba; --line: #47525d; --a: #4ba3dc;
        --b: #f08a4b; --c: #35c19b; --d: #f0bd55; --e: #dfa3c6; --f: #98a2ab; --g: #9ad2f5; }
    }
    text { font-family: system-ui, -apple-system, "Segoe UI", Roboto, Arial, sans-serif;
      font-size: 14px; fill: var(--ink); }
    .sheet { fill: var(--paper); stroke: var(--line); }
    .head { font-size: 17px; font-weight: 650; }
    .soft { font-size: 13px; fill: var(--soft); }
    .label { text-anchor: end; }
    .part { stroke: var(--paper); stroke-width: 1; }
    .a { fill: var(--a); } .b { fill: var(--b); } .c { fill: var(--c); } .d { fill: var(--d); }
    .e { fill: var(--e); } .f { fill: var(--f); } .g { fill: var(--g); }
"""
PARTIES = ("gateway", "postgres", "worker", "mailer", "rail", "mailbox", "load generator")
COLOURS = "abcdefg"
FORMS = {"own": "ours", "plain": "plain"}
WAITS = ("median", "", "", "99th percentile")


class Bar(msgspec.Struct, frozen=True):
    """
    One row: its label, and its parts as colour and value; the figure behind it.
    """

    label: str
    parts: list[tuple[str, float]]
    figure: str

    @property
    def length(self) -> float:
        """
        The sum of its parts.
        """
        return sum(value for _, value in self.parts)


def rates(figures: dict[str, Any]) -> str:
    """
    Draw payments a second: pgbench by form and clients, the gateway by connections.
    """
    bars = [
        _plain(f"pgbench, {FORMS[each['form']]}, {each['clients']} clients", "b", each)
        for each in figures["pgbench"]
    ]
    for kind, name in (("one_process", "gateway"), ("two_processes", "two gateways")):
        bars += [
            _plain(f"{name}, {_connections(each)}", "a", each)
            for each in figures.get(kind, {}).get("runs", [])
        ]
    subtitle = "pgbench writes the same rows, one payment at a time: our statements, and plain ones"
    return _chart("Payments a second", subtitle, bars)


def _connections(run: dict[str, Any]) -> str:
    count = run["connections"]
    return f"{count} connection{'s' * (count != 1)}"


def costs(figures: dict[str, Any]) -> str:
    """
    Draw CPU microseconds a payment, by party.
    """
    runs = [(_connections(each), each) for each in figures["one_process"]["runs"]]
    runs += grown(figures)
    bars = []
    for label, run in runs:
        spent = run["cpu_us_per_payment"]
        parts = [
            (colour, spent.get(party, 0.0)) for party, colour in zip(PARTIES, COLOURS, strict=True)
        ]
        bars.append(Bar(label, parts, f"{sum(value for _, value in parts):,.0f} us"))
    title = "CPU microseconds of a whole payment"
    subtitle = "closed loop by connections; stored and merchants at half of the best rate"
    return _chart(title, subtitle, bars, PARTIES)


def growth(figures: dict[str, Any]) -> str:
    """
    Draw what the client waits for a payment and its acknowledgment, by what is stored.
    """
    runs = [(label, run["latency_ms"]) for label, run in grown(figures)]
    title = "What the client waits for a payment and its acknowledgment, milliseconds"
    return _chart(title, "at half of the best rate", [_waits(*each) for each in runs], WAITS)


def steps(figures: dict[str, Any]) -> str:
    """
    Draw the gateway's own time by step: the median, and what lies between it and the 99th.
    """
    bars = [_waits(step, at) for step, at in figures["own_latency"]["steps"].items()]
    title = "The gateway's own time in a payment and its acknowledgment, milliseconds"
    subtitle = "at half of the best rate; each step has its own worst payments: they do not add up"
    return _chart(title, subtitle, bars, WAITS)


def _waits(label: str, at: dict[str, float]) -> Bar:
    """
    Return the median, and what lies between it and the 99th percentile.
    """
    parts = [("a", at["p50"]), ("d", at["p99"] - at["p50"])]
    return Bar(label, parts, f"{at['p50']:,.1f} / {at['p99']:,.1f}")


def _plain(label: str, colour: str, run: dict[str, Any]) -> Bar:
    rate = run["payments_per_second"]
    return Bar(label, [(colour, rate)], f"{rate:,.0f}")


def _chart(title: str, subtitle: str, bars: list[Bar], legend: tuple[str, ...] = ()) -> str:
    longest = max((each.length for each in bars), default=0.0) or 1.0
    scale = (WIDTH - LEFT - RIGHT) / longest
    height = HEAD + ROW * (len(bars) + bool(legend)) + 18
    said = "; ".join(f"{each.label}: {each.figure}" for each in bars)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" '
        'aria-labelledby="title desc">',
        f'  <title id="title">{escape(title)}</title>',
        f'  <desc id="desc">{escape(said)}</desc>',
        f"  <style>{STYLE}  </style>",
        f'  <rect class="sheet" x="0.5" y="0.5" width="{WIDTH - 1}" height="{height - 1}" rx="6"/>',
        f'  <text class="head" x="20" y="28">{escape(title)}</text>',
        f'  <text class="soft" x="20" y="48">{escape(subtitle)}</text>',
    ]
    for number, bar in enumerate(bars):
        lines += _bar(bar, HEAD + ROW * number, scale)
    lines += _legend(legend, HEAD + ROW * len(bars) + 6)
    return "\n".join([*lines, "</svg>", ""])


def _bar(bar: Bar, top: int, scale: float) -> list[str]:
    base = top + BAR - 3
    lines = [f'  <text class="label" x="{LEFT - 10}" y="{base}">{escape(bar.label)}</text>']
    at = float(LEFT)
    for colour, value in bar.parts:
        width = max(0.0, value * scale)
        lines.append(
            f'  <rect class="part {colour}" x="{at:.1f}" y="{top}" width="{width:.1f}" '
            f'height="{BAR}"/>'
        )
        at += width
    lines.append(f'  <text class="soft" x="{at + 8:.1f}" y="{base}">{escape(bar.figure)}</text>')
    return lines


def _legend(legend: tuple[str, ...], top: int) -> list[str]:
    lines = []
    at = LEFT
    for name, colour in zip(legend, COLOURS, strict=False):
        if name:
            lines.append(
                f'  <rect class="{colour}" x="{at}" y="{top}" width="12" height="12"/>'
                f'<text class="soft" x="{at + 17}" y="{top + 11}">{escape(name)}</text>'
            )
            at += 34 + 8 * len(name)
    return lines


CHARTS = {"bench-rates": rates, "bench-costs": costs, "bench-steps": steps, "bench-growth": growth}


def main(words: list[str]) -> None:
    """
    Draw every chart of a result into a folder, and write its tables into a page.
    """
    if len(words) not in (2, 3):
        sys.stderr.write("usage: plots RESULT.json FOLDER [PAGE.md]\n")
        sys.exit(2)
    figures = msgspec.json.decode(Path(words[0]).read_bytes())
    folder = Path(words[1])
    for name, draw in CHARTS.items():
        (folder / f"{name}.svg").write_text(draw(figures), "utf-8")
    for page in map(Path, words[2:]):
        put(page, figures, os.path.relpath(folder, page.parent))


if __name__ == "__main__":
    main(sys.argv[1:])
