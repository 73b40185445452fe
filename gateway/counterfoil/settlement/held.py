"""
A file from outside that is held: nothing of it is booked, and a person reads why.

Every reader of the end of the day (the acquirer's report, the bank's statement) raises
`FileHeld` for the whole file; there is no partial result. The sentence may be logged,
mailed and shown, so it never quotes what might be a card number.
"""

import re

from counterfoil.cards import PAN_DIGITS_MIN, brand, luhn_holds

SHOWN_CHARACTERS_MAX = 60
LAST_FOUR = 4
CARD_NUMBER_DIGITS_MIN = 13  # In free text; twelve digits are an RRN or a counter.
CARD_NUMBER_DIGITS_MAX = 19

_DIGIT_RUN = re.compile(r"(?<![0-9])[0-9](?:[ -]?[0-9]){12,18}(?![0-9])")


class FileHeld(Exception):
    """
    A file that is not booked, whole, until a person has looked at it.

    Attributes:
        what: What is wrong, as the beginning of a sentence.
        expected: What should stand there, as it may be shown, or None.
        found: What stands there, as it may be shown, or None.
        record: Which record of the file (the line, for XML), counted from 1, or None if it
            is the file as a whole.
    """

    def __init__(
        self,
        what: str,
        *,
        expected: object = None,
        found: object = None,
        record: int | None = None,
    ) -> None:
        self.what = what
        self.expected = None if expected is None else shown(expected)
        self.found = None if found is None else shown(found)
        self.record = record
        super().__init__(self._sentence())

    def _sentence(self) -> str:
        where = "" if self.record is None else f"Record {self.record}: "
        facts = [
            f"{label} {value}"
            for label, value in (("expected", self.expected), ("found", self.found))
            if value is not None
        ]
        return f"{where}{self.what}" + (f": {', '.join(facts)}." if facts else ".")


def shown(value: object) -> str:
    """
    Return *value* as a sentence may quote it: short, printable, and never a card number.

    Anything with more digits than a card number may have keeps its last four.
    """
    text = str(value)
    if not text:
        return "nothing"
    if len(text) > SHOWN_CHARACTERS_MAX or not (text.isascii() and text.isprintable()):
        return f"{len(text)} characters that are not shown"
    digits = "".join(filter(str.isdigit, text))
    if len(digits) < PAN_DIGITS_MIN:
        return text
    if len(digits) == PAN_DIGITS_MIN and not luhn_holds(digits):
        return text
    return _stars(text)


def has_card_number(text: str) -> bool:
    """
    Say whether *text* holds what is very likely a card number in the clear.
    """
    return any(_is_card_number(run[0]) for run in _DIGIT_RUN.finditer(text))


def without_card_numbers(text: str) -> str:
    """
    Return *text* with all but the last four digits of every likely card number as `*`.
    """
    return _DIGIT_RUN.sub(lambda run: _stars(run[0]) if _is_card_number(run[0]) else run[0], text)


def _is_card_number(run: str) -> bool:
    """
    Say whether a run of digits has a known brand's first digits and the right check digit.
    """
    digits = "".join(filter(str.isdigit, run))
    return brand(digits) != "other" and luhn_holds(digits)


def _stars(text: str) -> str:
    """
    Return *text* with all but its last four digits as `*`.
    """
    kept = sum(map(str.isdigit, text)) - LAST_FOUR
    characters = []
    for character in text:
        hidden = character.isdigit() and kept > 0
        kept -= character.isdigit()
        characters.append("*" if hidden else character)
    return "".join(characters)
