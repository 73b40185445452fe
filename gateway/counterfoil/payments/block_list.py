"""
Who is not served: what of a card, BIN, e-mail address or domain is compared with an order's.

The command line and the pages add entries by these rules; a card is named by a payment with it.
"""

import re

from counterfoil.business import EMAIL
from counterfoil.cards import holds_card_number

BLOCK = "blk"  # Entries are named blk_...
REASON_CHARACTERS_MAX = 255

FORMS = {
    "bin": "4 to 6 digits",
    "email": "a bare address",
    "email_domain": "a name: spam.example",
}
_DOMAIN = re.compile(r"[a-z0-9-]+(\.[a-z0-9-]+)+")


class CardInEntry(Exception):
    """
    A card's number stands in an address or a domain: it would be kept and shown.
    """


def compared(kind: str, text: str) -> str | None:
    """
    Return what is compared for an entry of *kind* (all but a card); None when *text* is none.

    Raises:
        CardInEntry: It fits, but with a card's number in it. Block the card by a payment with it.
    """
    value = _fitting(kind, text)
    if value and holds_card_number(value):
        raise CardInEntry
    return value


def _fitting(kind: str, text: str) -> str | None:
    match kind:
        case "bin" if re.fullmatch(r"[0-9]{4,6}", text, re.ASCII):
            return text
        case "email" if re.fullmatch(EMAIL, text):
            return text.lower()
        case "email_domain" if _DOMAIN.fullmatch(text.lower()):
            return text.lower()
    return None
