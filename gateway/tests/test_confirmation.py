"""
Confirmation numbers: no two alike, none to be guessed, no typing mistake unnoticed.
"""

from collections import Counter
from itertools import pairwise
from uuid import UUID, uuid4

import pytest
from counterfoil.receipts.confirmation import (
    COUNTER_MAX,
    ConfirmationNumbers,
    check_digit,
    is_valid,
)
from hypothesis import given
from hypothesis import strategies as st

KEY = bytes(range(32))
MERCHANT = UUID(int=7)
NUMBERS = ConfirmationNumbers(KEY, MERCHANT)
MANY = 200_000
DIGITS = st.from_regex(r"[0-9]{11}", fullmatch=True)


def test_two_hundred_thousand_counters_give_as_many_numbers() -> None:
    """A permutation: no merchant ever gives one number to two payments."""
    found = [NUMBERS.number(counter) for counter in range(MANY)]

    assert len(set(found)) == MANY
    assert all(map(is_valid, found))
    assert len({number[:11] for number in found}) == MANY


def test_numbers_look_like_chance() -> None:
    """In every place every digit comes about as often as any other: no counter shines through."""
    found = [NUMBERS.number(counter) for counter in range(20_000)]

    for place in range(12):
        seen = Counter(number[place] for number in found)
        assert set(seen) == set("0123456789")
        assert all(1_750 < count < 2_250 for count in seen.values())


def test_neighbours_are_far_apart() -> None:
    """Whoever has two receipts in a row cannot guess the third."""
    found = [int(NUMBERS.number(counter)[:11]) for counter in range(2_000)]
    steps = [(after - before) % COUNTER_MAX for before, after in pairwise(found)]

    assert len(set(steps)) > 1_990
    assert sum(step < COUNTER_MAX / 2 for step in steps) in range(850, 1_150)


@given(st.integers(0, COUNTER_MAX - 1))
def test_the_same_counter_gives_the_same_number(counter: int) -> None:
    """On every node, after every restart."""
    assert ConfirmationNumbers(KEY, MERCHANT).number(counter) == NUMBERS.number(counter)


def test_another_key_or_merchant_gives_other_numbers() -> None:
    """Without the key nobody can compute a number; merchants learn nothing of each other."""
    others = (
        ConfirmationNumbers(bytes(32), MERCHANT),
        ConfirmationNumbers(KEY, uuid4()),
    )

    for other in others:
        same = sum(other.number(counter) == NUMBERS.number(counter) for counter in range(1_000))
        assert same <= 1


@given(st.sets(st.integers(0, COUNTER_MAX - 1), min_size=2, max_size=50))
def test_no_two_counters_meet_anywhere(counters: set[int]) -> None:
    """Not only the first: any of the hundred thousand million."""
    assert len({NUMBERS.number(each) for each in counters}) == len(counters)


@pytest.mark.parametrize("counter", [0, 1, 999_999, 1_000_000, COUNTER_MAX - 1])
def test_both_ends_of_the_counter_have_numbers(counter: int) -> None:
    """Twelve digits, leading zeros kept."""
    assert is_valid(NUMBERS.number(counter))


@pytest.mark.parametrize("counter", [-1, COUNTER_MAX])
def test_a_counter_beyond_its_end_is_refused(counter: int) -> None:
    """Rather than come round to a number that was given away."""
    with pytest.raises(ValueError, match="the counter runs from 0 to 99999999999"):
        NUMBERS.number(counter)


@given(DIGITS)
def test_every_wrong_digit_is_found(digits: str) -> None:
    """Damm, 2004: all 108 ways to mistype one digit of a number."""
    number = digits + check_digit(digits)
    wrong = [
        number[:place] + other + number[place + 1 :]
        for place in range(12)
        for other in "0123456789"
        if other != number[place]
    ]

    assert len(wrong) == 108
    assert not any(map(is_valid, wrong))


@given(DIGITS)
def test_every_swap_of_neighbours_is_found(digits: str) -> None:
    """The commonest mistake of people who read digits to each other."""
    number = digits + check_digit(digits)
    swapped = [
        number[:place] + number[place + 1] + number[place] + number[place + 2 :]
        for place in range(11)
        if number[place] != number[place + 1]
    ]

    assert not any(map(is_valid, swapped))


@pytest.mark.parametrize(("digits", "check"), [("572", "4"), ("0", "0"), ("", "0")])
def test_the_check_digit_is_damms(digits: str, check: str) -> None:
    """His own example, so that others can check our numbers."""
    assert check_digit(digits) == check


@given(DIGITS)
def test_a_number_with_its_check_digit_checks_to_zero(digits: str) -> None:
    """How a till or a telephone system tests a number without knowing the table's use."""
    assert check_digit(digits + check_digit(digits)) == "0"


@pytest.mark.parametrize(
    "text", ["", "0", "00000000000", "0000000000000", "57240000000x", " 000000000000", "٣" * 12]
)
def test_what_is_not_twelve_digits_is_not_valid(text: str) -> None:
    """No error, just no."""
    assert not is_valid(text)
