"""
A line that people write and others read: a name, a note, a description.

Letters that are written from right to left need no mark: browsers see by themselves which way a
text goes (UAX #9). A mark turns what stands beside it, so that a receipt says "teehs A" where "A
sheet" was written, or an amount reads backwards. So no text that is shown holds one. Forms lose
them without a word, because nobody sees what came along with a copied name; programs are told.
"""

import re

# Arabic letter mark; marks, embeddings, overrides and isolates: Unicode's Bidi_Control, each.
TURNING = r"\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"
TURNS = "A mark that turns the direction of text stands in it: take it out."
UNSEEN = "A character that cannot be seen stands in it: take it out, or write it anew."

_TURNING = re.compile(f"[{TURNING}]")


def without_turns(text: str) -> str:
    """
    Return *text* without marks that turn its direction.
    """
    return text if text.isascii() else _TURNING.sub("", text)


def fault_of_line(text: str, most: int, words: str, *, least: int = 1) -> str | None:
    """
    Return why *text* is no line of *least* to *most* characters, all of them to be seen; *words*
    say so of its length. None if it is one.
    """
    return unseen_in(text) or (None if least <= len(text) <= most else words)


def unseen_in(text: str) -> str | None:
    """
    Return what is wrong with a line in which something stands that nobody sees, in words.
    """
    if _TURNING.search(text):
        return TURNS
    return None if text.isprintable() else UNSEEN
