"""
However a name may be written: its umlauts as such, as their plain letter, or as two letters.

Whoever names themselves and chooses a password chooses both sides of the comparison: so it takes
as long for all of a length. All ways of reading it go through a text side by side, as the bits
of a number.
"""

import re
from collections.abc import Iterator
from types import MappingProxyType

# The ways in which a letter of a name, or two that may be one, are written: letters for letters.
_WRITTEN = MappingProxyType(
    {
        "ä": (("aäå",), ("aäå", "e")),
        "å": (("aäå",), ("aäå", "a")),
        "ö": (("oöø",), ("oöø", "e")),
        "ø": (("oöø",), ("oöø", "e")),
        "ü": (("uü",), ("uü", "e")),
        "ae": (("aäå", "e"), ("ä",)),
        "aa": (("aäå", "aäå"), ("å",)),
        "oe": (("oöø", "e"), ("öø",)),
        "ue": (("uü", "e"), ("ü",)),
        "a": (("aäå",),),
        "o": (("oöø",),),
        "u": (("uü",),),
    }
)
_LETTER = re.compile("[aou]e|aa|.", re.DOTALL)


def is_spelling(text: str, name: str) -> bool:
    """
    Return whether *text* is *name*, in one of the ways to write it; both of letters and digits.
    """
    return bool(_ends(text, name, 1) >> len(text) & 1)


def has_spelling(text: str, name: str) -> bool:
    """
    Return whether *name* stands in *text*, in one of the ways to write it. Two letters that may be
    an umlaut are found as one by no other: Sauer is in no dinosaur.
    """
    return _ends(text, name, (1 << len(text) + 1) - 1) != 0


def _ends(text: str, name: str, begins: int) -> int:
    """
    Return where *name* ends in *text*, if it begins at one of the bits *begins*: a bit for each.
    """
    stands: dict[str, int] = {}
    for at, letter in enumerate(text):
        stands[letter] = stands.get(letter, 0) | 1 << at
    reached = begins
    for ways in _ways(name):
        onward = 0
        for way in ways:
            now = reached
            for letters in way:
                now = (now & sum(stands.get(each, 0) for each in letters)) << 1
            onward |= now
        reached = onward
    return reached


def _ways(name: str) -> Iterator[tuple[tuple[str, ...], ...]]:
    for found in _LETTER.finditer(name):
        yield _WRITTEN.get(found[0], ((found[0],),))
