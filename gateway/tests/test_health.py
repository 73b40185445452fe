"""
The circuit breaker of an acquirer: a state machine, with the time told to it.
"""

from datetime import UTC, datetime

import pytest
from counterfoil.network.outcome import Answered, BadAnswer, NotSent, Outcome, OutcomeUnknown
from counterfoil.routing import health
from counterfoil.routing.health import Breaker, Standing, is_fault

SILENCE = OutcomeUnknown("no answer in 20 s")


def says(code: str) -> Answered:
    return Answered("0210", {39: code}, datetime.now(UTC))


def opened(now: float = 0.0) -> Breaker:
    """Return a breaker that has just opened."""
    breaker = Breaker()
    for _ in range(health.FAULTS_MIN):
        breaker.told(SILENCE, now)
    return breaker


@pytest.mark.parametrize(
    ("outcome", "fault"),
    [
        (says("91"), True),
        (says("96"), True),
        (says("06"), True),
        (SILENCE, True),
        (BadAnswer("field 4 is another", None), True),
        (says("00"), False),
        (says("51"), False),
        (NotSent("the link is down"), None),
    ],
)
def test_a_decline_is_no_fault_of_the_acquirer(outcome: Outcome, fault: bool | None) -> None:
    """The issuer said no, and the way to him works."""
    assert is_fault(outcome) is fault


def test_f37_faults_again_and_again_open_it() -> None:
    """One less is chance."""
    breaker = Breaker()
    for _ in range(health.FAULTS_MIN - 1):
        breaker.told(SILENCE, 0.0)
    assert breaker.takes(0.0)

    breaker.told(says("91"), 0.0)

    assert breaker.standing(0.0) is Standing.OPEN
    assert not breaker.takes(0.0)
    assert breaker.words(0.0).startswith("avoided for 15 s more")


def test_one_silent_issuer_among_many_does_not_open_it() -> None:
    """Less than half of what was asked in the window."""
    breaker = Breaker()
    for _ in range(4 * health.FAULTS_MIN):
        breaker.told(says("00"), 0.0)
        breaker.told(says("00"), 0.0)
        breaker.told(SILENCE, 0.0)

    assert breaker.standing(0.0) is Standing.CLOSED


def test_old_faults_are_forgotten() -> None:
    """The window slides."""
    breaker = Breaker()
    for second in range(3 * health.FAULTS_MIN):
        breaker.told(SILENCE, second * (health.WINDOW_SECONDS / (health.FAULTS_MIN - 1) + 0.1))

    assert breaker.standing(1e6) is Standing.CLOSED


def test_f37_one_payment_is_the_probe_and_the_others_stay_away() -> None:
    """Half open: a real payment finds out."""
    breaker = opened()
    later = health.AVOID_SECONDS_MIN
    assert breaker.takes(later)

    breaker.chosen(later)

    assert not breaker.takes(later)
    assert breaker.words(later) == "avoided until one payment has gone well there"


def test_a_probe_that_goes_well_closes_it() -> None:
    """A decline goes well too."""
    breaker = opened()
    breaker.chosen(health.AVOID_SECONDS_MIN)

    breaker.told(says("05"), health.AVOID_SECONDS_MIN + 1)

    assert breaker.words(health.AVOID_SECONDS_MIN + 1) == "ok"
    assert breaker.takes(health.AVOID_SECONDS_MIN + 1)


def test_a_probe_that_goes_wrong_doubles_the_time_up_to_the_maximum() -> None:
    """And the time is short again once it went well."""
    breaker = opened()
    now = 0.0
    avoided = [health.AVOID_SECONDS_MIN]
    for _ in range(6):
        now += avoided[-1]
        breaker.chosen(now)
        breaker.told(SILENCE, now)
        avoided.append(min(avoided[-1] * 2, health.AVOID_SECONDS_MAX))
        assert breaker.standing(now + avoided[-1] - 1) is Standing.OPEN
        assert breaker.standing(now + avoided[-1]) is Standing.HALF_OPEN

    assert avoided[-1] == health.AVOID_SECONDS_MAX


def test_what_was_sent_before_it_opened_is_no_probe() -> None:
    """A late silence of old does not keep it open, an old approval does not close it."""
    breaker = opened()
    half_open = health.AVOID_SECONDS_MIN + 1

    breaker.told(SILENCE, half_open)
    breaker.told(says("00"), half_open)

    assert breaker.standing(half_open) is Standing.HALF_OPEN


def test_a_probe_that_was_never_sent_leaves_the_place_to_another() -> None:
    """It says nothing; and a probe of which nobody hears is forgotten."""
    breaker = opened()
    now = health.AVOID_SECONDS_MIN
    breaker.chosen(now)
    breaker.told(NotSent("the send deadline passed"), now)
    assert breaker.takes(now)

    breaker.chosen(now)

    assert not breaker.takes(now + health.PROBE_SECONDS - 1)
    assert breaker.takes(now + health.PROBE_SECONDS)


def test_it_remembers_a_bounded_number_of_outcomes() -> None:
    """However many payments a second there are."""
    breaker = Breaker()
    for _ in range(10 * health.OUTCOMES_MAX):
        breaker.told(says("00"), 0.0)
    for _ in range(health.OUTCOMES_MAX // 2):
        breaker.told(SILENCE, 0.0)

    assert breaker.standing(0.0) is Standing.OPEN
