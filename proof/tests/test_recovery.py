"""
What a crash left in flight is settled while the shop goes on selling: real processes, a real rail.
"""

from pathlib import Path

from counterfoil_proof.recovery.measure import measure

PAYMENTS = 600
SECONDS_MAX = 90.0  # For a machine that is busy with other things: only a standstill fails.
SHARE_MIN = 0.5


async def test_what_was_left_in_flight_is_settled_while_new_payments_keep_their_share(
    tmp_path: Path,
) -> None:
    """Reversed here and at the host, every one; meanwhile the shop is neither slow nor refused."""
    figures = await measure(tmp_path / "sandbox", PAYMENTS, SECONDS_MAX, base_seconds=2.0)

    assert (figures.unanswered, figures.unclaimed) == (480, 120)
    assert (figures.left, figures.held_at_host) == (0, 0)
    assert figures.new_refused_during == 0
    assert figures.new_per_second_during >= SHARE_MIN * figures.new_per_second_before
