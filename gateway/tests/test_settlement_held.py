"""
What the sentence about a held file may quote.
"""

import pytest
from counterfoil.settlement.held import FileHeld, has_card_number, shown, without_card_numbers
from hypothesis import given, settings
from hypothesis import strategies as st


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("", "nothing"),
        (4200, "4200"),
        ("CF261120000001", "CF261120000001"),
        ("4111111111111111", "************1111"),
        ("4111 1111-1111.1111", "**** ****-****.1111"),
        (4111111111111111, "************1111"),
        ("abc\n", "4 characters that are not shown"),
        ("grüße", "5 characters that are not shown"),
        ("x" * 61, "61 characters that are not shown"),
        ("501800000009", "********0009"),  # Twelve digits with the right check digit.
    ],
)
def test_a_sentence_quotes_what_cannot_be_a_card_number(value: object, text: str):
    """The rest keeps its last four digits or is only counted."""
    assert shown(value) == text


@settings(max_examples=200, deadline=None)
@given(st.text("0123456789 -.xa", max_size=70))
def test_no_sentence_shows_more_than_twelve_digits(value: str):
    """However they are strewn."""
    fault = FileHeld("this is wrong", expected=value, found=value)

    assert sum(c.isdigit() for c in str(fault)) <= 24


def test_the_sentence_names_record_expected_and_found():
    """In this order; what is not known is left out."""
    assert str(FileHeld("the net", expected=1, found=2, record=3)) == (
        "Record 3: the net: expected 1, found 2."
    )
    assert str(FileHeld("the file is not ASCII")) == "the file is not ASCII."


@pytest.mark.parametrize("card", ["4111111111111111", "3782 822463 10005", "5555-5555-5555-4444"])
def test_a_card_number_in_a_text_is_found_and_hidden(card: str):
    """With blanks and hyphens or without."""
    assert has_card_number(f"case {card} of May")
    assert without_card_numbers(f"case {card}, CF261120000001").endswith(
        f"{card[-4:]}, CF261120000001"
    )
    assert card[:4] not in without_card_numbers(card)


@pytest.mark.parametrize(
    "text", ["CF261120000001", "021000021234567", "4111111111111112", "1" * 20]
)
def test_other_numbers_stay_as_they_are(text: str):
    """References, traces, and numbers with a wrong check digit."""
    assert not has_card_number(text)
    assert without_card_numbers(text) == text
