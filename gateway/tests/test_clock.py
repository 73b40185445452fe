"""
The machine's clock, as everything else sees it.
"""

import time
from datetime import UTC

import pytest
from counterfoil.clock import SystemClock


def test_wall_time_is_aware_and_in_utc() -> None:
    """Rows, deadlines and messages never meet a naive time."""
    now = SystemClock().now()

    assert now.tzinfo is UTC


def test_f23_waits_are_not_moved_by_the_wall_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """F23: somebody sets the clock back a day; a wait goes on as if nothing had happened."""
    clock = SystemClock()
    before = clock.monotonic()
    monkeypatch.setattr(time, "time", lambda: 0.0)

    assert 0 <= clock.monotonic() - before < 5


def test_f23_waits_count_the_time_a_machine_was_asleep() -> None:
    """CLOCK_BOOTTIME: a laptop that was closed does not send what was due before."""
    assert abs(SystemClock().monotonic() - time.clock_gettime(time.CLOCK_BOOTTIME)) < 5
