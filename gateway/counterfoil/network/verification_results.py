"""
What the letters of address verification (AVS) and security code (CVV) say: DE 44.

Networks differ; acquirers mostly translate to Visa's letters, American Express keeps its own.
Data with a date, as the response codes.
"""

from datetime import date
from enum import StrEnum

TABLE_AS_OF = date(2026, 11, 1)


class Avs(StrEnum):
    """
    What the issuer says about street and postal code.
    """

    MATCH = "match"
    STREET_ONLY = "street_only"
    POSTAL_ONLY = "postal_only"
    NO_MATCH = "no_match"
    UNAVAILABLE = "unavailable"
    NOT_SUPPORTED = "not_supported"
    NONE = "none"


class Cvv(StrEnum):
    """
    What the issuer says about the security code.
    """

    MATCH = "match"
    NO_MATCH = "no_match"
    NOT_PROCESSED = "not_processed"
    SHOULD_BE_THERE = "should_be_there"
    UNAVAILABLE = "unavailable"
    NONE = "none"


# The letters do not tell what fails from what was not asked: these words are true of both.
AVS_WORDS = {
    Avs.MATCH: "Street and postal code fit.",
    Avs.STREET_ONLY: "The street fits; the postal code does not, or was not given.",
    Avs.POSTAL_ONLY: "The postal code fits; the street does not, or was not given.",
    Avs.NO_MATCH: "The address does not fit.",
    Avs.UNAVAILABLE: "The issuer could not verify the address.",
    Avs.NOT_SUPPORTED: "The issuer does not verify addresses.",
    Avs.NONE: "There is no word about the address.",
}
CVV_WORDS = {
    Cvv.MATCH: "The security code fits.",
    Cvv.NO_MATCH: "The security code does not fit.",
    Cvv.NOT_PROCESSED: "The security code was not checked.",
    Cvv.SHOULD_BE_THERE: "The card has a security code, and none was sent.",
    Cvv.UNAVAILABLE: "The issuer does not check security codes.",
    Cvv.NONE: "There is no word about the security code.",
}


def avs(letter: str | None, brand: str) -> Avs:
    """
    Return what an AVS letter says for a card of *brand*; an unknown one says nothing.
    """
    if not letter:
        return Avs.NONE
    return _AVS_OF_BRAND.get(brand, {}).get(letter) or _AVS.get(letter, Avs.UNAVAILABLE)


def address_words(said: Avs, *, street: bool, postal_code: bool) -> str:
    """
    Return *said* in words where it is known whether a street and a postal code were asked about.
    """
    return _WORDS_WHEN_GIVEN.get((street, postal_code), {}).get(said, AVS_WORDS[said])


def cvv(letter: str | None) -> Cvv:
    """
    Return what a CVV letter says; an unknown one says nothing.
    """
    return _CVV.get(letter, Cvv.UNAVAILABLE) if letter else Cvv.NONE


_BOTH, _STREET, _POSTAL_CODE = (True, True), (True, False), (False, True)
_WORDS_WHEN_GIVEN = {
    _BOTH: {
        Avs.STREET_ONLY: "The street fits, the postal code does not.",
        Avs.POSTAL_ONLY: "The postal code fits, the street does not.",
        Avs.NO_MATCH: "Neither street nor postal code fits.",
    },
    _STREET: {
        Avs.MATCH: "The street fits. No postal code was given.",
        Avs.STREET_ONLY: "The street fits. No postal code was given.",
        Avs.NO_MATCH: "The street does not fit. No postal code was given.",
    },
    _POSTAL_CODE: {
        Avs.MATCH: "The postal code fits. No street was given.",
        Avs.POSTAL_ONLY: "The postal code fits. No street was given.",
        Avs.NO_MATCH: "The postal code does not fit. No street was given.",
    },
}


def _letters(rows: dict[Avs, str]) -> dict[str, Avs]:
    return {letter: said for said, letters in rows.items() for letter in letters}


_AVS = _letters(
    {
        Avs.MATCH: "YXDMF",
        Avs.STREET_ONLY: "AB",
        Avs.POSTAL_ONLY: "ZWP",
        Avs.NO_MATCH: "N",
        Avs.UNAVAILABLE: "UGICR",
        Avs.NOT_SUPPORTED: "SE",
    }
)

# American Express compares the name as well: what counts here is the address.
_AVS_OF_BRAND = {
    "amex": _letters(
        {
            Avs.MATCH: "YME",
            Avs.STREET_ONLY: "AOF",
            Avs.POSTAL_ONLY: "ZLD",
            Avs.NO_MATCH: "NKW",
            Avs.UNAVAILABLE: "UR",
            Avs.NOT_SUPPORTED: "S",
        }
    )
}

_CVV = {
    "M": Cvv.MATCH,
    "N": Cvv.NO_MATCH,
    "P": Cvv.NOT_PROCESSED,
    "S": Cvv.SHOULD_BE_THERE,
    "U": Cvv.UNAVAILABLE,
}
