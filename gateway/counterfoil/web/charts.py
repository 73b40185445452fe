"""
Bars for a page: numbers in, places on a plane out. The template draws them as SVG.
"""

from collections.abc import Sequence

import msgspec

SLOT = 24  # The width of a day on the plane.
HEIGHT = 200
WIDE = 13
NARROW = 5
GAP = 1
LEAST = 2  # What is not nothing is seen.


class Bar(msgspec.Struct, frozen=True):
    """
    A bar that stands on the ground: its left edge, its upper edge, its size.
    """

    x: int
    y: int
    width: int
    height: int


class Chart(msgspec.Struct, frozen=True):
    """
    Two bars for each day, and what the top of the plane stands for, in minor units.
    """

    width: int
    height: int
    top_minor: int
    gross: tuple[Bar, ...]
    refunds: tuple[Bar, ...]


def chart_of(days: Sequence[tuple[int, int]]) -> Chart:
    """
    Return the bars of *days*, each gross and refunds. Nothing stands below the ground: a day of
    which more was voided than taken is told by its table.
    """
    top = nice(max((max(pair) for pair in days), default=0))
    gross = tuple(_bar(at, 2, WIDE, pair[0], top) for at, pair in enumerate(days))
    refunds = tuple(_bar(at, 2 + WIDE + GAP, NARROW, pair[1], top) for at, pair in enumerate(days))
    return Chart(SLOT * len(days), HEIGHT, top, gross, refunds)


def nice(minor: int) -> int:
    """
    Return the next number above that people like on an axis: 1, 2 or 5 with zeros.
    """
    step = 100
    while step < minor:
        for factor in (2, 5, 10):
            if step * factor >= minor:
                return step * factor
        step *= 10
    return step


def _bar(at: int, x: int, width: int, minor: int, top: int) -> Bar:
    height = max(round(minor * HEIGHT / top), LEAST) if minor > 0 else 0
    return Bar(at * SLOT + x, HEIGHT - height, width, height)
