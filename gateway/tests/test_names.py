"""
When two names are one, and how many names are compared without comparing each with each.
"""

import pytest
from counterfoil.people.names import TAKEN, are_same, fault_of_name, roughly
from hypothesis import given
from hypothesis import strategies as st

NAMES = st.text("aeouäöüåøÄ é-'rW", max_size=8)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Jörg Müller", "joerg mueller"),
        ("Åse", "Aase"),
        ("O'Neil", "ONEIL"),
        ("Léa Roy", "lea-roy"),
    ],
)
def test_a_name_is_the_same_however_it_is_written(one: str, other: str) -> None:
    """By case, accents, blanks, signs, and as an umlaut may be."""
    assert are_same(one, other)
    assert fault_of_name(one, ["Mara Leaf", other]) == TAKEN


@pytest.mark.parametrize("other", ["Mara Lea", "Mara Leaff", "", "Lara Meaf"])
def test_another_name_is_free(other: str) -> None:
    """As is that of nobody."""
    assert fault_of_name("Mara Leaf", [other]) is None


@given(NAMES, NAMES)
def test_names_that_are_the_same_are_so_roughly(one: str, other: str) -> None:
    """So that none is missed where only those are compared."""
    assert roughly(one) == roughly(other) or not are_same(one, other)


@given(NAMES)
def test_an_umlaut_in_two_letters_is_roughly_the_same(name: str) -> None:
    """As one who has no key for it writes it."""
    written = name.lower().translate({ord("ä"): "ae", ord("ö"): "oe", ord("ü"): "ue"})
    assert roughly(written) == roughly(name)
