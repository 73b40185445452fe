"""
What can go wrong, and how often: the faults of a universe as data.

`calm()` has none; `storm(chance)` draws a universe's own mixture. The world changes its weather
while it runs: every universe ends in calm, so that what is owed can be done.
"""

from random import Random

import msgspec


class Weather(msgspec.Struct, kw_only=True):
    """
    Probabilities are per event; spans are seconds, low and high.

    Attributes:
        database_span: How long a call takes, before and after it is done.
        database_lost: A call's connection breaks: before it, after it, or it is done late.
        database_late_span: How much later, then.
        wire_span: How long a message to or from the acquirer travels.
        wire_slow: A message takes `wire_slow_span` instead.
        wire_lost: A message vanishes.
        wire_doubled: A message arrives twice.
        wire_garbled: A message arrives as no message.
        wire_mixed: Messages may overtake each other.
        wire_cut: The connection is reset when a message leaves.
        wire_deaf: The connection falls silent one way, and nobody is told (half-open).
        web_span: How long a request or a reply travels between client and gateway.
        web_lost: The connection breaks under a request, on its way there or back.
        web_doubled: Something between repeats the request, at once or much later.
        web_doubled_span: How much later.
        issuer_span: How long an issuer thinks, in seconds.
        hook_faulty: A webhook endpoint answers 500 or not at all, or its answer is lost.
        mail_lost: The mail server refuses, or takes the message and the word of it is lost.
    """

    database_span: tuple[float, float] = (0.001, 0.004)
    database_lost: float = 0.0
    database_late_span: tuple[float, float] = (0.5, 15.0)
    wire_span: tuple[float, float] = (0.005, 0.02)
    wire_slow: float = 0.0
    wire_slow_span: tuple[float, float] = (1.0, 40.0)
    wire_lost: float = 0.0
    wire_doubled: float = 0.0
    wire_garbled: float = 0.0
    wire_mixed: bool = False
    wire_cut: float = 0.0
    wire_deaf: float = 0.0
    web_span: tuple[float, float] = (0.002, 0.02)
    web_lost: float = 0.0
    web_doubled: float = 0.0
    web_doubled_span: tuple[float, float] = (0.0, 120.0)
    issuer_span: tuple[float, float] = (0.0, 0.1)
    mail_lost: float = 0.0
    hook_faulty: float = 0.0


def calm() -> Weather:
    """
    Return a weather without faults.
    """
    return Weather()


def storm(chance: Random) -> Weather:
    """
    Draw a weather: some faults are frequent, some rare, some absent.
    """

    def odds(most: float) -> float:
        return chance.choice((0.0, most / 10, most / 3, most))

    return Weather(
        database_span=(0.0005, chance.choice((0.004, 0.02, 0.2))),
        database_lost=odds(0.04),
        wire_span=(0.002, chance.choice((0.02, 0.2, 1.5))),
        wire_slow=odds(0.12),
        wire_lost=odds(0.12),
        wire_doubled=odds(0.15),
        wire_garbled=odds(0.01),
        wire_mixed=chance.random() < 0.5,
        wire_cut=odds(0.02),
        wire_deaf=odds(0.01),
        web_span=(0.001, chance.choice((0.02, 0.3, 1.0))),
        web_lost=odds(0.10),
        web_doubled=odds(0.10),
        issuer_span=(0.0, chance.choice((0.05, 1.0, 6.0))),
        mail_lost=odds(0.2),
        hook_faulty=odds(0.5),
    )
