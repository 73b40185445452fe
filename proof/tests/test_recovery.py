"""
What a crash left in flight is settled while the shop goes on selling: real processes, a real rail.
"""

from pathlib import Path

import msgspec
import pytest
from counterfoil_proof.recovery.measure import Figures, measure

PAYMENTS = 600
SECONDS_MAX = 90.0  # For a machine that is busy with other things: only a standstill fails.


async def test_what_was_left_in_flight_is_settled_while_new_payments_keep_their_share(
    tmp_path: Path,
) -> None:
    """
    Reversed here and at the host, every one; meanwhile the shop sells, and is never refused. How
    much it sells is a rate, which `counterfoil recovery` judges on a machine that has nothing else
    to do.
    """
    figures = await measure(tmp_path / "sandbox", PAYMENTS, SECONDS_MAX, base_seconds=2.0)

    assert (figures.unanswered, figures.unclaimed) == (480, 120)
    assert (figures.left, figures.held_at_host) == (0, 0)
    assert figures.new_refused_during == 0
    assert figures.new_per_second_during > 0


KEPT = Figures(
    payments=10_000,
    unanswered=8_000,
    unclaimed=2_000,
    recovery_seconds=60.0,
    reversals_per_second=166.7,
    new_per_second_before=40.0,
    new_per_second_during=20.0,
    new_refused_during=0,
    left=0,
    held_at_host=0,
)


@pytest.mark.parametrize(
    "broken",
    [
        {"recovery_seconds": 60.1},
        {"new_per_second_during": 19.9},
        {"left": 1},
        {"held_at_host": 1},
        {"new_per_second_before": 0.0, "new_per_second_during": 0.0},
    ],
    ids=lambda each: next(iter(each)),
)
def test_a_recovery_holds_only_if_it_is_as_fast_as_promised(broken: dict[str, float]) -> None:
    """Ten thousand within a minute, beside half of the usual rate; nothing sold proves nothing."""
    assert KEPT.holds
    assert not msgspec.structs.replace(KEPT, **broken).holds
