"""
The codec beside pyiso8583: encode and decode a typical 0200 and 0210, in one process.
"""

import time
from collections.abc import Callable

import iso8583
import msgspec
from counterfoil.network.dialect import load_dialect
from counterfoil_rail.dialects import GW87

ROUNDS = 200  # Between two looks at the clock.
TURNS = 5

REQUEST: dict[int, str] = {
    2: "4539578763621486",
    3: "000000",
    4: "000000004200",
    7: "1127114500",
    11: "000123",
    12: "064500",
    13: "1127",
    14: "3012",
    18: "5943",
    22: "812",
    25: "59",
    32: "123456",
    33: "987654",
    37: "633111000123",
    41: "TERM0001",
    42: "MERCHANT0000001",
    49: "840",
}
ANSWER: dict[int, str] = {
    number: REQUEST[number] for number in (2, 3, 4, 7, 11, 32, 33, 37, 41, 42, 49)
} | {15: "1128", 38: "123456", 39: "00", 44: "YM"}
MESSAGES = (("0200", REQUEST), ("0210", ANSWER))


class CodecFigures(msgspec.Struct, frozen=True):
    """
    Round trips (one encode and one decode) of a 0200 and a 0210 a second; best of several turns.
    """

    ours_per_second: float
    pyiso8583_per_second: float
    ratio: float


def measure(seconds: float) -> CodecFigures:
    """
    Measure both for *seconds* in all, in turns, so that a busy moment hits both.
    """
    ours, theirs = _ours(), _theirs()
    best = {ours: 0.0, theirs: 0.0}
    for _ in range(TURNS):
        for each in best:
            best[each] = max(best[each], _rate(each, seconds / TURNS / 2))
    return CodecFigures(
        ours_per_second=round(best[ours]),
        pyiso8583_per_second=round(best[theirs]),
        ratio=round(best[ours] / best[theirs], 2),
    )


def _rate(once: Callable[[], None], seconds: float) -> float:
    done, began = 0, time.perf_counter()
    while (taken := time.perf_counter() - began) < seconds:
        for _ in range(ROUNDS):
            once()
        done += ROUNDS
    return done * len(MESSAGES) / taken


def _ours() -> Callable[[], None]:
    codec = load_dialect("gw87").codec

    def once() -> None:
        for mti, fields in MESSAGES:
            codec.decode(codec.encode(mti, fields))

    return once


def _theirs() -> Callable[[], None]:
    messages = [
        {"t": mti, **{str(number): value for number, value in fields.items()}}
        for mti, fields in MESSAGES
    ]

    def once() -> None:
        for message in messages:
            raw, _ = iso8583.encode(message, GW87.spec)
            iso8583.decode(raw, GW87.spec)

    return once
