"""
Letters with accents, and those of more than one, written in the plain letters of ASCII.

An acquirer's message carries no others, and people type a name without what their keyboard lacks.
"""

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

# Letters that people also write as two: Müller is Mueller.
UMLAUTS = "äöüåøÄÖÜÅØ"
_DOTS_AND_RING = "\u0308\u030a"


def without_accents(text: str) -> str:
    """
    Return *text* with each letter as its plain one, or as those that stand for it.
    """
    bare = (each for each in unicodedata.normalize("NFKD", text) if _is_no_mark(each))
    return "".join(LETTERS.get(each, each) for each in bare)


def with_umlauts_only(text: str) -> str:
    """
    Return *text* without accents but those of `UMLAUTS`, each as one letter.
    """
    apart = unicodedata.normalize("NFKD", text)
    kept = "".join(each for each in apart if each in _DOTS_AND_RING or _is_no_mark(each))
    together = unicodedata.normalize("NFC", kept)
    return "".join(each if each in UMLAUTS else without_accents(each) for each in together)


def _is_no_mark(letter: str) -> bool:
    return not unicodedata.category(letter).startswith("M")
