"""
An amount as people type it, read exactly: `42`, `42.5`, `42,50`, `1,234.56`.
"""

import re

from counterfoil.money import AMOUNT_MINOR_MAX, Currency, decimal_text, grouped_text

AMOUNT_CHARACTERS_MAX = 24
DIGITS_MAX = 300  # More are no amount, not even one that is too large.
EXAMPLE = 500  # In whole units.

_AMOUNT = re.compile(r"([0-9]{1,3}(?:,[0-9]{3})+|[0-9]+)(?:[.,]([0-9]+))?", re.ASCII)


def read_amount(text: str, currency: Currency) -> int | None:
    """
    Return the minor units of *currency* that *text* says; None when it says no amount of it.

    A comma before three digits separates thousands, before fewer decimals; where a currency has
    three decimals it may mean both, and is refused.
    """
    said = text.strip()
    if len(said) > AMOUNT_CHARACTERS_MAX:  # Cut, it would be another amount.
        return None
    minor = _minor(said, currency)
    return minor if minor is not None and minor <= AMOUNT_MINOR_MAX else None


def is_too_large(text: str, currency: Currency) -> bool:
    """
    Whether *text* says an amount of *currency*, and one that no message to an acquirer can carry.
    """
    minor = _minor(text.strip(), currency)
    return minor is not None and minor > AMOUNT_MINOR_MAX


def _minor(said: str, currency: Currency) -> int | None:
    found = _AMOUNT.fullmatch(said)
    if found is None or len(said) > DIGITS_MAX:
        return None
    whole, part = found[1], found[2] or ""
    is_unclear = "," in whole and not part and currency.exponent == 3
    if len(part) > currency.exponent or is_unclear:
        return None
    return int(whole.replace(",", "") + part.ljust(currency.exponent, "0"))


def amount_or_fault(text: str, currency: Currency) -> int | str:
    """
    Return the minor units that *text* says, one at least, or what is wrong with it in words.
    """
    if minor := read_amount(text, currency):
        return minor
    code, decimals = currency.code, currency.exponent
    found = _AMOUNT.fullmatch(text.strip())
    if found is None or minor == 0:
        example = decimal_text(EXAMPLE * 10**decimals, currency)
        return f"Write an amount in {code}, such as {example}."
    if len(found[2] or "") > decimals:
        return (
            f"Write up to {decimals} decimals: {code} has no more."
            if decimals
            else f"Write a whole amount: {code} has no decimals."
        )
    most = decimal_text(AMOUNT_MINOR_MAX, currency)
    if len(text.strip()) <= AMOUNT_CHARACTERS_MAX and int(found[1].replace(",", "")) < int(
        most.partition(".")[0]
    ):
        return "Write it without the comma: it could stand for thousands or for decimals."
    return f"This is too large: write at most {grouped_text(AMOUNT_MINOR_MAX, currency)} {code}."
