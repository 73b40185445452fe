"""
The texts that a clerk types beside card and amount: by the rules of the API's fields, in words for
who sits at the terminal. The page's script gets rules and words from here (`for_scripts`).
"""

import re
import unicodedata
from itertools import pairwise
from types import MappingProxyType
from typing import Any

import msgspec
from msgspec import inspect

from counterfoil.api.bodies import (
    Billing,
    CustomerEmail,
    Description,
    OrderNumber,
    PaymentRequest,
)
from counterfoil.letters import LETTERS, without_accents
from counterfoil.lines import TURNING, unseen_in

SEEN = r"^(?:[^\p{C}\p{Z}]| )+$"  # What `unseen_in` lets through, written for browsers.
POSTAL_CODE = r"^[A-Za-z0-9][A-Za-z0-9 -]*\Z"  # As on a payment page; the API takes other signs.
FOLDED = ("postal_code", "street")  # What only the issuer's address check reads.


class Text(msgspec.Struct, frozen=True):
    """
    A text of the form: its column, the pattern that it fits, how long it is at the most, and what
    is said of one that does not fit or, where there must be one, is missing.
    """

    column: str
    fits: str
    longest: int
    unfit: str
    missing: str = ""

    @property
    def too_long(self) -> str:
        """
        What is said of a text with more characters.
        """
        return f"This is too long: {self.longest} characters at the most."


def as_sent(name: str, text: str) -> str:
    """
    Return the text of a field as it is kept and sent: an address in ASCII, which is all that the
    acquirer's message can carry (decision 0039). A half or a raised digit after a number stays
    apart from it: 221½ is no number 2211.
    """
    if name not in FOLDED:
        return text
    pairs = pairwise(f" {text}")
    apart = "".join(f" {each}" if _goes_on(before, each) else each for before, each in pairs)
    return without_accents(apart).strip()


def fault_of(name: str, text: str) -> str:
    """
    Return what is wrong with the text of a field as it is sent; an empty one is fine, unless there
    must be one.
    """
    rule = TEXTS[name]
    if not text:
        return rule.missing
    if len(text) > rule.longest:
        return rule.too_long
    fits = not unseen_in(text) if rule.fits == SEEN else re.search(rule.fits, text)
    return "" if fits else rule.unfit


def for_scripts() -> dict[str, Any]:
    """
    Return what a page's script needs to check these texts in the same way, and to say the same.
    """
    texts = {
        name: {
            "fits": rule.fits.replace(r"\Z", "$"),
            "longest": rule.longest,
            "unfit": rule.unfit,
            "missing": rule.missing,
            "long": rule.too_long,
            "folded": name in FOLDED,
        }
        for name, rule in TEXTS.items()
    }
    return {"texts": texts, "letters": dict(LETTERS), "turning": TURNING}


def _goes_on(before: str, letter: str) -> bool:
    return (unicodedata.category(before), unicodedata.category(letter)) == ("Nd", "No")


def _like(column: str, kind: Any, unfit: str, missing: str = "") -> Text:
    """
    Return the rule of an API's field of this type.
    """
    found = inspect.type_info(kind)
    for part in found.types if isinstance(found, inspect.UnionType) else (found,):
        rule = part.type if isinstance(part, inspect.Metadata) else part
        if isinstance(rule, inspect.StrType):
            assert rule.pattern, "a text of the API has a pattern"
            assert rule.max_length, "and an end"
            return Text(column, rule.pattern, rule.max_length, unfit, missing)
    raise AssertionError(f"{column} is no text")


def _type_of(struct: type[msgspec.Struct], name: str) -> Any:
    (field,) = (each for each in msgspec.structs.fields(struct) if each.name == name)
    return field.type


TEXTS = MappingProxyType(
    {
        "voice_code": _like(
            "voice_approval_code",
            _type_of(PaymentRequest, "voice_approval_code"),
            "The issuer's code has letters and digits only.",
            "Type the code that the issuer said on the telephone.",
        ),
        "postal_code": msgspec.structs.replace(
            _like(
                "postal_code",
                _type_of(Billing, "postal_code"),
                "Type the postal code in digits and the letters A to Z, or leave it empty.",
            ),
            fits=POSTAL_CODE,
        ),
        "street": _like(
            "street",
            _type_of(Billing, "street"),
            "Type the street in the letters A to Z, or only its number: that is what is compared.",
        ),
        "email": _like(
            "customer_email", CustomerEmail, "Write an address such as ada@example.com."
        ),
        "order": _like(
            "order_number",
            OrderNumber,
            "An order number has the letters A to Z, digits and signs: type it without accents.",
        ),
        "note": msgspec.structs.replace(
            _like(
                "description",
                Description,
                "Write the description in one line, without signs that cannot be seen.",
            ),
            fits=SEEN,  # As on a payment link: a person does not see what else came along.
        ),
        "name": Text(
            "customer_name",
            SEEN,
            64,
            "A sign in this cannot be seen: type the name anew.",
        ),
    }
)
