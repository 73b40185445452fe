"""
An amount as people type it, read exactly: `42`, `42.5`, `42,50`, `1,234.56`; and what is wrong with
any other text. The terminal's script reads by the same patterns and speaks in the same words
(`for_scripts`).
"""

import re
from types import MappingProxyType
from typing import Any

from counterfoil.money import AMOUNT_MINOR_MAX, Currency, amount_text, decimal_text

AMOUNT_CHARACTERS_MAX = 24
EXAMPLE, PLAIN_EXAMPLE = 500, 1000  # In whole units.

# A comma is one thing in an amount: behind commas for thousands only a point leads to decimals.
WHOLE = r"[0-9]{1,3}(?:,[0-9]{3})+(?!,)|[0-9]+"
AMOUNT = rf"({WHOLE})(?:[.,]([0-9]+))?"

# What a text is that is no amount: the first pattern that it fits. Browsers read them too.
OTHERS = (
    (r"", "missing"),
    (r"[-\u2212\u2013(].*|.*[-\u2212\u2013]", "negative"),
    (r"[0-9][0-9 .,'\u2019\u00a0\u202f]*[0-9]", "separated"),
    (r"[0-9 .,]*", "missing"),
    (r".*", "strange"),
)
WORDS = MappingProxyType(
    {
        "missing": "Write an amount in {code}, such as {example}.",
        "negative": "Write the amount without a minus sign, such as {example}.",
        "separated": "Write thousands without a separator, like {plain}.",
        "strange": "Write the amount without currency sign or letters, such as {example}.",
        "decimals": "Write up to {decimals} decimals: {code} has no more.",
        "whole": "Write a whole amount: {code} has no decimals.",
        "comma": "Write it without the comma: it could stand for thousands or for decimals.",
        "large": "This is too large: write at most {most}.",
        "zero": "Write more than zero: {least} or more.",
    }
)

_AMOUNT = re.compile(AMOUNT)
_OTHERS = tuple((re.compile(pattern, re.DOTALL), name) for pattern, name in OTHERS)


def read_amount(text: str, currency: Currency) -> int | None:
    """
    Return the minor units of *currency* that *text* says; None when it says no amount of it.
    """
    found = amount_or_fault(text, currency, may_be_zero=True)
    return found if isinstance(found, int) else None


def amount_or_fault(
    text: str, currency: Currency, *, may_be_zero: bool = False, most_minor: int | None = None
) -> int | str:
    """
    Return the minor units that *text* says, or what is wrong with it and what to write. Examples
    are no more than *most_minor*.

    A comma before three digits separates thousands, before fewer decimals; where a currency has
    three decimals it may mean both, and is refused.
    """
    said = text.strip()
    found = _AMOUNT.fullmatch(said)
    if found is None:
        return _words(
            next(name for pattern, name in _OTHERS if pattern.fullmatch(said)), currency, most_minor
        )
    whole, part = found[1], found[2] or ""
    if len(part) > currency.exponent:
        return _words("decimals" if currency.exponent else "whole", currency)
    if "," in whole and not part and currency.exponent == 3:
        return _words("comma", currency)
    if len(said) > AMOUNT_CHARACTERS_MAX:  # Cut, it would be another amount.
        return _words("large", currency)
    minor = int(whole.replace(",", "") + part.ljust(currency.exponent, "0"))
    if minor > AMOUNT_MINOR_MAX:
        return _words("large", currency)
    return minor if minor or may_be_zero else _words("zero", currency)


def for_scripts() -> dict[str, Any]:
    """
    Return what a page's script needs to read amounts in the same way, and to say the same.
    """
    return {
        "amount": AMOUNT,
        "others": OTHERS,
        "words": dict(WORDS),
        "minor_max": AMOUNT_MINOR_MAX,
        "characters_max": AMOUNT_CHARACTERS_MAX,
        "example": EXAMPLE,
        "plain": PLAIN_EXAMPLE,
    }


def _words(name: str, currency: Currency, most_minor: int | None = None) -> str:
    unit = 10**currency.exponent
    example = min(EXAMPLE * unit, most_minor or AMOUNT_MINOR_MAX)
    return WORDS[name].format(
        code=currency.code,
        decimals=currency.exponent,
        example=decimal_text(example, currency),
        plain=decimal_text(PLAIN_EXAMPLE * unit, currency),
        least=f"{decimal_text(1, currency)} {currency.code}",
        most=amount_text(AMOUNT_MINOR_MAX, currency.code),
    )
