"""
An amount as people type it, read exactly: `42`, `42.5`, `42,50`, `1,234.56`.
"""

import re

from counterfoil.money import AMOUNT_MINOR_MAX, Currency

AMOUNT_CHARACTERS_MAX = 24

_AMOUNT = re.compile(r"([0-9]{1,3}(?:,[0-9]{3})+|[0-9]+)(?:[.,]([0-9]+))?", re.ASCII)


def read_amount(text: str, currency: Currency) -> int | None:
    """
    Return the minor units of *currency* that *text* says; None when it says no amount of it.

    A comma before three digits separates thousands, before fewer decimals; where a currency has
    three decimals it may mean both, and is refused.
    """
    said = text.strip()
    found = _AMOUNT.fullmatch(said)
    if found is None or len(said) > AMOUNT_CHARACTERS_MAX:  # Cut, it would be another amount.
        return None
    whole, part = found[1], found[2] or ""
    is_unclear = "," in whole and not part and currency.exponent == 3
    if len(part) > currency.exponent or is_unclear:
        return None
    minor = int(whole.replace(",", "") + part.ljust(currency.exponent, "0"))
    return minor if minor <= AMOUNT_MINOR_MAX else None
