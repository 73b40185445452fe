"""
Identifiers: UUIDv7 by its bits, in order whatever the clock does, and read strictly.
"""

import pickle
from datetime import UTC, datetime, timedelta
from uuid import RFC_4122, UUID

import pytest
from counterfoil import ids
from counterfoil.ids import Ids, UnreadableId
from hypothesis import given
from hypothesis import strategies as st

NOON = datetime(2026, 11, 23, 12, 0, 0, 123_000, tzinfo=UTC)


class SteppingClock:
    """A clock that shows the next of *times*, and then stays."""

    def __init__(self, *times: datetime) -> None:
        self._times = list(times)

    def now(self) -> datetime:
        return self._times.pop(0) if len(self._times) > 1 else self._times[0]

    def monotonic(self) -> float:
        return 0.0


def test_an_id_is_a_uuid_of_version_seven() -> None:
    """RFC 9562, 5.7: version and variant where every reader looks for them."""
    made = Ids(SteppingClock(NOON)).new()

    assert made.version == 7
    assert made.variant == RFC_4122


def test_the_first_48_bits_are_the_milliseconds_of_the_clock() -> None:
    """Any tool that knows UUIDv7 can tell when a payment was made."""
    made = Ids(SteppingClock(NOON)).new()

    assert made.int >> 80 == round(NOON.timestamp() * 1000)


def test_the_last_62_bits_are_random() -> None:
    """Nobody who has one id knows the next."""
    made = Ids(SteppingClock(NOON), random=lambda size: b"\xff" * size).new()
    other = Ids(SteppingClock(NOON), random=lambda size: b"\x00" * size).new()

    assert made.int & ((1 << 62) - 1) == (1 << 62) - 1
    assert other.int & ((1 << 62) - 1) == 0


@given(st.lists(st.integers(-5000, 5000), min_size=2, max_size=300))
def test_ids_of_one_process_rise_even_when_the_clock_steps_back(steps: list[int]) -> None:
    """Order of ids is order of making: pages and histories rely on it."""
    clock = SteppingClock(*(NOON + timedelta(milliseconds=step) for step in steps))
    made = Ids(clock, random=lambda size: b"\x00" * size)

    found = [made.new() for _ in steps]

    assert found == sorted(set(found))


def test_more_ids_in_a_millisecond_than_twelve_bits_count_still_rise() -> None:
    """The 4097th of a millisecond borrows from the next one."""
    made = Ids(SteppingClock(NOON))

    found = [made.new() for _ in range(10_000)]

    assert found == sorted(set(found))
    assert {each.version for each in found} == {7}


def test_several_ids_are_made_as_one_after_the_other_of_one_moment() -> None:
    """Whoever needs five asks once; they rise, and the next one rises after them."""
    clock = SteppingClock(NOON, NOON - timedelta(seconds=1))
    made = Ids(clock)

    found = [*made.several(5), made.new()]

    assert found == sorted(set(found))
    assert {each.int >> 80 for each in found} == {round(NOON.timestamp() * 1000)}


@given(st.lists(st.integers(1, ids.SEVERAL_MAX), min_size=1, max_size=20))
def test_any_number_of_several_have_chance_of_their_own(counts: list[int]) -> None:
    """However the portions of randomness fall."""
    made = Ids(SteppingClock(NOON))

    found = [each.int & ((1 << 62) - 1) for count in counts for each in made.several(count)]

    assert len(set(found)) == len(found) == sum(counts)


@given(st.integers(0, 2**128 - 1))
def test_a_uuid_made_the_short_way_is_one_like_any_other(number: int) -> None:
    """Equal, of one hash, copied, written and read as the library's own."""
    made, usual = ids.uuid_of(number), UUID(int=number)

    assert (made, hash(made), str(made), made.bytes) == (
        usual,
        hash(usual),
        str(usual),
        usual.bytes,
    )
    assert (made.is_safe, pickle.loads(pickle.dumps(made))) == (usual.is_safe, usual)


@given(st.uuids())
def test_a_written_id_is_read_back(identifier: UUID) -> None:
    """`pay_` and 32 hex digits, nothing else."""
    text = ids.written(ids.PAYMENT, identifier)

    assert text == f"pay_{identifier.hex}"
    assert ids.read(ids.PAYMENT, text) == identifier


@given(
    st.one_of(
        st.text(max_size=40),
        st.from_regex(r"(pay|mov)_[0-9a-fA-F_+\- {}]{32}", fullmatch=True),
        st.from_regex(r"pay_\d{32}", fullmatch=True),
    )
)
def test_an_id_has_one_spelling(text: str) -> None:
    """Whatever is read is written the same way: no signs, blanks, capitals or foreign digits."""
    try:
        identifier = ids.read(ids.PAYMENT, text)
    except UnreadableId:
        return

    assert ids.written(ids.PAYMENT, identifier) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "pay",
        "pay_",
        "mov_" + "0" * 32,
        "pay_" + "0" * 31,
        "pay_" + "0" * 33,
        "pay_" + "g" * 32,
        "pay_" + "A" * 32,
        "pay_+" + "0" * 31,
        "pay_0_" + "0" * 30,
        "PAY_" + "0" * 32,
        "pay_" + "٣" * 32,
    ],
)
def test_a_text_that_is_no_such_id_is_unreadable(text: str) -> None:
    """Another kind's prefix, a wrong length, anything but lower-case hex."""
    with pytest.raises(UnreadableId, match="pay_ and 32 hex digits"):
        ids.read(ids.PAYMENT, text)
