"""
Which passwords are refused.
"""

import pytest
from counterfoil.people.password_rules import COMMON, OWN, TOO_SHORT, fault_of

OWNS = ("ada.lovelace@corner-books.example", "Ada Lovelace", "Corner Books")


@pytest.mark.parametrize(
    "password",
    ["violet gravel moth 7 tundra", "four words nobody puts together", "kD8#vLq2!xTz9@Rb"],
)
def test_what_nobody_guesses_is_taken(password: str) -> None:
    """Long and unusual; no kind of character is asked for."""
    assert fault_of(password, OWNS) is None


@pytest.mark.parametrize(
    ("password", "fault"),
    [
        ("short but odd!", TOO_SHORT),
        ("x" * 129, TOO_SHORT),
        ("aaaaaaaaaaaaaaaaaaaa", COMMON),
        ("passwordpassword1", COMMON),
        ("P@ssw0rdP@ssw0rd2026!", COMMON),
        ("qwertyuiopasdfghjkl", COMMON),
        ("123456789012345678", COMMON),
        ("correct horse battery staple", COMMON),
        ("Summer2026Summer2026", COMMON),
        ("abcdefghijklmnopqrstuvwxyz", COMMON),
        ("Counterfoil-Payments-2026", COMMON),
        ("ada.lovelace and more words", OWN),
        ("AdaLovelace!!1815!!", OWN),
        ("best of corner books 99", OWN),
    ],
)
def test_what_is_tried_first_is_refused(password: str, fault: str) -> None:
    """Too short, well known, or of oneself."""
    assert fault_of(password, OWNS) == fault
