"""
What a crash left in flight is settled while the shop goes on selling: real processes, a real rail.
"""

from pathlib import Path

from counterfoil_proof.recovery.measure import measure

PAYMENTS = 1000
SECONDS_MAX = 120.0  # For a machine that is busy with other things: only a standstill fails.


async def test_a_thousand_payments_left_in_flight_are_settled_while_new_ones_go_on(
    tmp_path: Path,
) -> None:
    """Reversed here and at the host, every one; meanwhile the shop is not turned away."""
    figures = await measure(tmp_path / "sandbox", PAYMENTS, SECONDS_MAX, base_seconds=1.0)

    assert (figures.unanswered, figures.unclaimed) == (800, 200)
    assert (figures.left, figures.held_at_host) == (0, 0)
    assert figures.new_per_second_during > 0
