"""
Letters with accents, and those of more than one, written in the plain letters of ASCII.

An acquirer's message carries no others, and people type a name without what their keyboard lacks.
"""

import re
import unicodedata
from types import MappingProxyType

# What Unicode's decomposition leaves whole, written as its transform Latin-ASCII (CLDR) does.
LETTERS = MappingProxyType(
    {
        "ß": "ss",
        "ẞ": "SS",
        "æ": "ae",
        "Æ": "AE",
        "œ": "oe",
        "Œ": "OE",
        "ø": "o",
        "Ø": "O",
        "ł": "l",
        "Ł": "L",
        "đ": "d",
        "Đ": "D",
        "ð": "d",
        "Ð": "D",
        "þ": "th",
        "Þ": "TH",
        "ı": "i",
        "ħ": "h",
        "Ħ": "H",
        "‘": "'",
        "’": "'",
        "“": '"',
        "”": '"',
        "‐": "-",
        "–": "-",
        "—": "-",
        "⁄": "/",
    }
)

# The second letter of an umlaut that is written as two: Müller is Mueller.
_SECOND = re.compile(r"(?<=[aou])e", re.IGNORECASE)


def without_accents(text: str) -> str:
    """
    Return *text* with each letter as its plain one, or as those that stand for it.
    """
    bare = (each for each in unicodedata.normalize("NFKD", text) if _is_no_mark(each))
    return "".join(LETTERS.get(each, each) for each in bare)


def without_umlauts(text: str) -> str:
    """
    Return *text* without accents, and the same whether an umlaut was written as such, as its plain
    letter, or as two. To compare with: Blue becomes Blu.
    """
    return _SECOND.sub("", without_accents(text))


def _is_no_mark(letter: str) -> bool:
    return not unicodedata.category(letter).startswith("M")
