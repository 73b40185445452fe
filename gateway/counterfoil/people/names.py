"""
When two names are one: however they are written, histories could not tell who bears them.
"""

import re
from collections.abc import Iterable

from counterfoil.letters import with_umlauts_only
from counterfoil.people.spellings import is_spelling

TAKEN = "Somebody of this business bears this name: write yours so that histories tell you apart."

# Whatever an umlaut may be written as, with what may be a part of it: never finer than `spellings`.
_ROUGHLY = (
    (re.compile("[aäå][aäåe]*"), "a"),
    (re.compile("[oöø]e*"), "o"),
    (re.compile("[uü]e*"), "u"),
)


def fault_of_name(name: str, others: Iterable[str]) -> str | None:
    """
    Return why *name* is refused, in words, if one of *others* is the same.
    """
    rough = roughly(name)
    is_taken = any(rough == roughly(each) and are_same(name, each) for each in others)
    return TAKEN if is_taken else None


def roughly(name: str) -> str:
    """
    Return what *name* and every name that is the same have in common: whoever compares many names
    compares only those.
    """
    said = squashed(with_umlauts_only(name))
    for letters, plain in _ROUGHLY:
        said = letters.sub(plain, said)
    return said


def are_same(one: str, other: str) -> bool:
    """
    Return whether two names differ by case, accents, blanks and signs only, or are none of letters.
    """
    left, right = (squashed(with_umlauts_only(each)) for each in (one, other))
    if not left or not right:
        return one.split() == other.split()
    return is_spelling(left, right) or is_spelling(right, left)


def squashed(text: str) -> str:
    """
    Return the letters and digits of *text*, without case.
    """
    return "".join(each for each in text.casefold() if each.isalnum())
