"""
A card's number that went astray: into a field of a page that keeps or shows what is typed.
"""

import re

from counterfoil.cards import holds_card_number

TRACK = re.compile(r"%?[A-Za-z][0-9 ]{12,24}\^|;[0-9]{12,19}=|[0-9]{12,19}[=^][0-9]{4}")
LEAVE_IT_OUT = "A card's number stands here: leave it out."


def holds_card(text: str) -> bool:
    """
    Return whether *text* has a track of a card in it, or what must be a card's number.
    """
    return bool(TRACK.search(text)) or holds_card_number(text)


def cardless(value: object) -> object:
    """
    Return what a field may show again of what was typed into it: nothing, if a card is in it.
    """
    return "" if isinstance(value, str) and holds_card(value) else value
