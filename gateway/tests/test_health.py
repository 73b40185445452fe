"""
The circuit breaker of an acquirer: a state machine, with the time told to it.
"""

from datetime import UTC, datetime

import msgspec
import pytest
from counterfoil.config import Timers
from counterfoil.network.outcome import Answered, BadAnswer, NotSent, Outcome, OutcomeUnknown
from counterfoil.routing import health
from counterfoil.routing.health import Ask, Breaker, Standing, is_fault
from hypothesis import given, settings
from hypothesis import strategies as st

SILENCE = OutcomeUnknown("no answer in 20 s")


def says(code: str) -> Answered:
    return Answered("0210", {39: code}, datetime.now(UTC))


def asked(breaker: Breaker, outcome: Outcome | None, now: float) -> None:
    """Let a payment go there, and end at once."""
    breaker.told(breaker.chosen(now), outcome, now)


def opened(now: float = 0.0) -> Breaker:
    """Return a breaker that has just opened."""
    breaker = Breaker()
    for _ in range(health.FAULTS_MIN):
        asked(breaker, SILENCE, now)
    return breaker


@pytest.mark.parametrize(
    ("outcome", "fault"),
    [
        (says("91"), True),
        (says("96"), True),
        (says("22"), True),
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
        asked(breaker, SILENCE, 0.0)
    assert breaker.takes(0.0)

    asked(breaker, says("91"), 0.0)

    assert breaker.standing(0.0) is Standing.OPEN
    assert not breaker.takes(0.0)
    assert breaker.words(0.0).startswith("avoided for 15 s more")


def test_one_silent_issuer_among_many_does_not_open_it() -> None:
    """Less than half of what was asked in the window."""
    breaker = Breaker()
    for _ in range(4 * health.FAULTS_MIN):
        asked(breaker, says("00"), 0.0)
        asked(breaker, says("00"), 0.0)
        asked(breaker, SILENCE, 0.0)

    assert breaker.standing(0.0) is Standing.CLOSED


def test_old_faults_are_forgotten() -> None:
    """The window slides."""
    breaker = Breaker()
    for second in range(3 * health.FAULTS_MIN):
        asked(breaker, SILENCE, second * (health.WINDOW_SECONDS / (health.FAULTS_MIN - 1) + 0.1))

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
    probe = breaker.chosen(health.AVOID_SECONDS_MIN)

    breaker.told(probe, says("05"), health.AVOID_SECONDS_MIN + 1)

    assert breaker.words(health.AVOID_SECONDS_MIN + 1) == "ok"
    assert breaker.takes(health.AVOID_SECONDS_MIN + 1)


def test_a_probe_that_goes_wrong_doubles_the_time_up_to_the_maximum() -> None:
    """And the time is short again once it went well."""
    breaker = opened()
    now = 0.0
    avoided = [health.AVOID_SECONDS_MIN]
    for _ in range(6):
        now += avoided[-1]
        asked(breaker, SILENCE, now)
        avoided.append(min(avoided[-1] * 2, health.AVOID_SECONDS_MAX))
        assert breaker.standing(now + avoided[-1] - 1) is Standing.OPEN
        assert breaker.standing(now + avoided[-1]) is Standing.HALF_OPEN

    assert avoided[-1] == health.AVOID_SECONDS_MAX

    now += avoided[-1]
    asked(breaker, says("00"), now)
    for _ in range(health.FAULTS_MIN):
        asked(breaker, SILENCE, now)

    assert breaker.standing(now + health.AVOID_SECONDS_MIN) is Standing.HALF_OPEN


@pytest.mark.parametrize("outcome", [SILENCE, says("00"), says("91"), NotSent("too late"), None])
def test_what_was_sent_before_it_opened_is_not_taken_for_the_probe(outcome: Outcome | None) -> None:
    """An answer takes longer than an acquirer is avoided: 20 seconds, and 15."""
    breaker = Breaker()
    before = [breaker.chosen(0.0) for _ in range(20)]
    for _ in range(health.FAULTS_MIN):
        asked(breaker, SILENCE, 0.0)
    half_open = health.AVOID_SECONDS_MIN + 1
    probe = breaker.chosen(half_open)

    for each in before:
        breaker.told(each, outcome, half_open)

    assert breaker.standing(half_open) is Standing.HALF_OPEN
    assert not breaker.takes(half_open)
    breaker.told(probe, says("00"), half_open)
    assert breaker.words(half_open) == "ok"


def test_silence_about_what_was_sent_before_does_not_open_it_again() -> None:
    """The host is well again, as the probe has shown; what it swallowed before is no news."""
    breaker = Breaker()
    before = [breaker.chosen(0.0) for _ in range(20)]
    for _ in range(health.FAULTS_MIN):
        asked(breaker, SILENCE, 0.0)
    half_open = health.AVOID_SECONDS_MIN
    asked(breaker, says("00"), half_open)

    for each in before:
        breaker.told(each, SILENCE, half_open + 1)

    assert breaker.words(half_open + 1) == "ok"


def test_who_has_no_other_way_than_one_that_is_avoided_does_not_become_the_probe() -> None:
    """Those go there all the same, and their ends leave the probe alone."""
    breaker = opened()
    while_open = breaker.chosen(1.0)
    half_open = health.AVOID_SECONDS_MIN
    probe = breaker.chosen(half_open)
    beside = breaker.chosen(half_open + 1)

    for each in (while_open, beside, breaker.again(half_open + 1)):
        breaker.told(each, SILENCE, half_open + 2)

    assert not breaker.takes(half_open + 2)
    assert breaker.standing(half_open + 2) is Standing.HALF_OPEN
    breaker.told(probe, says("51"), half_open + 3)
    assert breaker.words(half_open + 3) == "ok"


@pytest.mark.parametrize("outcome", [NotSent("the send deadline passed"), None])
def test_a_probe_that_was_never_sent_leaves_the_place_to_another(outcome: Outcome | None) -> None:
    """It says nothing, nor does one that was abandoned."""
    breaker = opened()
    now = health.AVOID_SECONDS_MIN

    asked(breaker, outcome, now)

    assert breaker.takes(now)
    assert breaker.standing(now) is Standing.HALF_OPEN


@pytest.mark.parametrize("outcome", [SILENCE, says("00")])
def test_a_probe_that_is_lost_is_given_up(outcome: Outcome) -> None:
    """And what is told of it after all counts for nothing; others do not put it off."""
    breaker = opened()
    now = health.AVOID_SECONDS_MIN
    alone = opened()
    lost, lost_alone = breaker.chosen(now), alone.chosen(now)
    breaker.chosen(now + health.PROBE_SECONDS_MAX - 1)
    assert not breaker.takes(now + health.PROBE_SECONDS_MAX - 1)
    assert breaker.takes(now + health.PROBE_SECONDS_MAX)
    second = breaker.chosen(now + health.PROBE_SECONDS_MAX)

    breaker.told(lost, outcome, now + health.PROBE_SECONDS_MAX + 1)
    alone.told(lost_alone, outcome, now + health.PROBE_SECONDS_MAX + 1)

    assert alone.takes(now + health.PROBE_SECONDS_MAX + 1)
    assert alone.standing(now + health.PROBE_SECONDS_MAX + 1) is Standing.HALF_OPEN
    assert not breaker.takes(now + health.PROBE_SECONDS_MAX + 1)
    breaker.told(second, says("00"), now + health.PROBE_SECONDS_MAX + 2)
    assert breaker.words(now + health.PROBE_SECONDS_MAX + 2) == "ok"


def test_a_probe_is_not_given_up_while_its_answer_may_still_come() -> None:
    """However long the timers are set."""
    said = {each.name: each for each in msgspec.structs.fields(Timers)}
    longest = sum(said[name].type.__metadata__[0].le for name in ("send_seconds", "answer_seconds"))

    assert longest < health.PROBE_SECONDS_MAX


def test_only_the_first_word_of_an_ask_counts() -> None:
    """Told, and then abandoned by whoever cleans up."""
    breaker = Breaker()
    ask = breaker.chosen(0.0)
    for _ in range(3 * health.FAULTS_MIN):
        breaker.told(ask, SILENCE, 0.0)

    assert breaker.words(0.0) == "ok"


def test_it_remembers_a_bounded_number_of_outcomes() -> None:
    """However many payments a second there are."""
    breaker = Breaker()
    for _ in range(10 * health.OUTCOMES_MAX):
        asked(breaker, says("00"), 0.0)
    for _ in range(health.OUTCOMES_MAX // 2):
        asked(breaker, SILENCE, 0.0)

    assert breaker.standing(0.0) is Standing.OPEN


OUTCOMES = [SILENCE, says("91"), says("00"), says("05"), NotSent("the link is down"), None]
STEPS = st.one_of(
    st.tuples(st.just("goes"), st.just(0)),
    st.tuples(st.just("waits"), st.sampled_from([1, 7, 15, 40, 100, 300])),
    st.tuples(st.just("ends"), st.integers(-5, 40)),
)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(STEPS, st.sampled_from(OUTCOMES)), max_size=120))
def test_in_whatever_order_it_is_told_one_probe_is_out_and_only_it_moves_it(
    steps: list[tuple[tuple[str, int], Outcome | None]],
) -> None:
    """Payments go where it takes them or have no other way, and end late, twice or never."""
    breaker, now = Breaker(), 0.0
    asks = [breaker.chosen(now) for _ in range(10)]
    for ask in asks[: health.FAULTS_MIN]:
        breaker.told(ask, SILENCE, now)
    probe: tuple[Ask, float] | None = None
    for (step, number), outcome in steps:
        before = breaker.standing(now)
        may = breaker.takes(now)
        if step == "waits":
            now += number
        elif step == "goes":
            asks.append(breaker.chosen(now))
            if before is Standing.HALF_OPEN and may:
                assert probe is None or now - probe[1] >= health.PROBE_SECONDS_MAX
                probe = asks[-1], now
                assert not breaker.takes(now)
            else:
                assert breaker.takes(now) is may
        elif asks:
            ask = asks[number % len(asks)]
            is_first = not ask.is_told
            breaker.told(ask, outcome, now)
            after = breaker.standing(now)
            is_probe = probe is not None and ask is probe[0]
            if is_probe and is_first:
                assert probe is not None
                is_heard = now - probe[1] < health.PROBE_SECONDS_MAX
                fault = is_fault(outcome) if outcome is not None and is_heard else None
                ends = {None: before, True: Standing.OPEN, False: Standing.CLOSED}
                assert after is ends[fault]
                probe = None
            elif before is not Standing.CLOSED or not is_first:
                assert (after, breaker.takes(now)) == (before, may)
        waits = max(health.AVOID_SECONDS_MAX, health.PROBE_SECONDS_MAX)
        assert breaker.takes(now + waits)  # Whatever is never told: it does not stay shut.


@settings(max_examples=100, deadline=None)
@given(st.lists(st.sampled_from(OUTCOMES), max_size=60), st.lists(st.sampled_from(OUTCOMES)))
def test_late_ends_of_an_earlier_era_change_nothing_at_all(
    late: list[Outcome | None], after: list[Outcome | None]
) -> None:
    """One breaker hears them and the other does not: both say the same for ever."""
    heard, spared = Breaker(), Breaker()
    earlier = [heard.chosen(0.0) for _ in late]
    for breaker in (heard, spared):
        for _ in range(health.FAULTS_MIN):
            asked(breaker, SILENCE, 0.0)
        asked(breaker, says("00"), health.AVOID_SECONDS_MIN)
    now = health.AVOID_SECONDS_MIN + 1

    for ask, outcome in zip(earlier, late, strict=True):
        heard.told(ask, outcome, now)

    for outcome in after:
        for breaker in (heard, spared):
            asked(breaker, outcome, now)
        assert heard.words(now) == spared.words(now)
        assert heard.takes(now) == spared.takes(now)
