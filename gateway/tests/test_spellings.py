"""
The ways to write a name are found as patterns find them, and in a time that nobody can stretch.
"""

import re

import pytest
from counterfoil.people.names import are_same
from counterfoil.people.spellings import has_spelling, is_spelling
from hypothesis import example, given
from hypothesis import strategies as st

# What the same ways are as patterns, which take for ever where many of them stand in a row.
PATTERNS = {
    "ä": "[aäå]e?",
    "å": "[aäå]a?",
    "ö": "[oöø]e?",
    "ø": "[oöø]e?",
    "ü": "[uü]e?",
    "ae": "(?:[aäå]e|ä)",
    "aa": "(?:[aäå]{2}|å)",
    "oe": "(?:[oöø]e|[öø])",
    "ue": "(?:[uü]e|ü)",
    "a": "[aäå]",
    "o": "[oöø]",
    "u": "[uü]",
}
TEXTS = st.text("aeouäöüåørw1", max_size=7)


@given(text=TEXTS, name=TEXTS)
@example(text="dinosaurier", name="sauer")
@example(text="xaaey", name="åe")
def test_what_is_found_is_what_patterns_find(text: str, name: str) -> None:
    """Wherever it stands, and of the whole."""
    pattern = re.compile(
        re.sub("[aou]e|aa|[aouäöüåø]", lambda found: PATTERNS[found[0]], name), re.DOTALL
    )
    assert is_spelling(text, name) == (pattern.fullmatch(text) is not None)
    assert has_spelling(text, name) == (pattern.search(text) is not None)


@given(before=TEXTS, name=TEXTS, after=TEXTS)
def test_a_name_is_found_in_its_own_letters(before: str, name: str, after: str) -> None:
    """Between any others."""
    assert has_spelling(before + name + after, name)


@pytest.mark.timeout(20)
@pytest.mark.parametrize("letter", ["å", "ä", "aa", "ae", "ue"])
def test_no_name_makes_a_comparison_last(letter: str) -> None:
    """Each letter may be read in two ways, and a last one does not fit: 64 of them, or 10,000."""
    for number in (64, 10_000):
        name = letter * number + "b"
        assert not has_spelling("ae" * number + "aa" * number, name)
        assert not is_spelling("a" * (2 * number + 1), name)
    assert not are_same("å" * 31 + "b", "a" * 62)
    assert are_same("å" * 31, "a" * 62)
