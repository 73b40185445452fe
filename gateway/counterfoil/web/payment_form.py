"""
What a shopper types on a payment page, and what is wrong with it.

A card leaves this module in one piece and nowhere else: what may be shown again (`Shown`) has no
place for it.
"""

import re
import unicodedata
from collections.abc import Mapping
from datetime import datetime

import msgspec

from counterfoil.api.bodies import EMAIL
from counterfoil.cards import (
    EXPIRY_YEARS_MAX,
    PAN_DIGITS_MIN,
    Card,
    brand,
    expired,
    length_fits,
    luhn_holds,
    says_number,
)
from counterfoil.web.astray import LEAVE_IT_OUT, holds_card

EMAIL_CHARACTERS_MAX = 254
NAME_CHARACTERS_MAX = 64
POSTAL_CODE_CHARACTERS_MAX = 10

CARD_CHARACTERS_MAX = 64  # Of a field of the card: one character may be eighteen plain ones.

_EXPIRY = re.compile(r"([0-9]{1,2})\s*[/.\-\u2010-\u2015]?\s*(?:20)?([0-9]{2})")
_POSTAL_CODE = re.compile(r"[A-Z0-9][A-Z0-9 -]{0,9}", re.ASCII)
_EMAIL = re.compile(EMAIL)
_SEPARATORS = re.compile(r"[\s\-\u2010-\u2015]")


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """
    What of a form may be shown again. A card number that slipped into it is dropped.
    """

    card_name: str = ""
    postal_code: str = ""
    email: str = ""


class Checked(msgspec.Struct, frozen=True, kw_only=True):
    """
    A form without faults.
    """

    card: Card
    email: str | None
    postal_code: str | None


def shown(form: Mapping[str, str]) -> Shown:
    """
    Return what of *form* may be shown again.
    """
    email = _line(form, "email")
    is_address = not _fault_of_astray(form, "email", _number(form)) and not fault_of_email(email)
    return Shown(
        card_name=_harmless(_line(form, "card_name"))[:NAME_CHARACTERS_MAX],
        postal_code=_harmless(_line(form, "postal_code")).upper()[:POSTAL_CODE_CHARACTERS_MAX],
        email=email if is_address else _harmless(email)[:EMAIL_CHARACTERS_MAX],
    )


def check(form: Mapping[str, str], now: datetime) -> Checked | dict[str, str]:
    """
    Return the form, or what is wrong with each of its fields and what to do about it.
    """
    number = _number(form)
    email, fault_in_email = email_or_fault(form, number)
    postal_code = _line(form, "postal_code").upper()
    expiry = read_expiry(form.get("card_expiry", ""), now)
    code = code_in(form.get("card_code", ""))
    faults = {
        "card_number": fault_of_number(number),
        "card_expiry": expiry if isinstance(expiry, str) else "",
        "card_code": fault_of_code(code, number),
        "card_name": _fault_of_astray(form, "card_name", number),
        "postal_code": _fault_of_astray(form, "postal_code", number)
        or _fault_of_postal_code(postal_code),
        "email": fault_in_email,
    }
    found = {name: fault for name, fault in faults.items() if fault}
    if found or isinstance(expiry, str):
        return found
    return Checked(
        card=Card(number, *expiry, code),
        email=email,
        postal_code=postal_code or None,
    )


def email_or_fault(form: Mapping[str, str], number: str) -> tuple[str | None, str]:
    """
    Return the e-mail address of *form*, if it has one, and what is wrong with it.

    It may not say the *number* of the card that pays, whatever stands between its digits.
    """
    email = _line(form, "email")
    return email or None, _fault_of_astray(form, "email", number) or fault_of_email(email)


def fault_of_email(email: str) -> str:
    """
    Return what is wrong with an e-mail address; none is fine.
    """
    fine = not email or (len(email) <= EMAIL_CHARACTERS_MAX and _EMAIL.match(email))
    return "" if fine else "Write an address like ada@example.com, or leave this empty."


def _number(form: Mapping[str, str]) -> str:
    return number_in(form.get("card_number", ""))


def _fault_of_astray(form: Mapping[str, str], name: str, number: str) -> str:
    typed = form.get(name, "")
    is_said = len(number) >= PAN_DIGITS_MIN and says_number(typed, number)
    return LEAVE_IT_OUT if is_said or holds_card(typed) else ""


def _line(form: Mapping[str, str], name: str) -> str:
    typed = form.get(name, "")
    return " ".join("".join(c if c.isprintable() else " " for c in typed).split())


def _harmless(line: str) -> str:
    """
    Return *line*; nothing, if it has as many digits as a card: one of them may be mistyped.
    """
    return "" if len(re.sub(r"\D", "", line)) >= PAN_DIGITS_MIN else line


def read_expiry(text: str, now: datetime) -> tuple[int, int] | str:
    """
    Return month and year of an expiry date, or what is wrong with it.
    """
    text = _plain(text).strip()
    if not text:
        return "Enter the month and year printed on the card."
    found = _EXPIRY.fullmatch(text)
    if not found:
        return "Enter the date as on the card, like 12/30."
    month, year = int(found[1]), 2000 + int(found[2])
    if not 1 <= month <= 12:
        return "Enter a month from 01 to 12, then the year, like 12/30."
    if expired(month, year, now):
        return "This card has expired. Use another card."
    if year > now.year + EXPIRY_YEARS_MAX:
        return "Check the year: it is too far away."
    return month, year


def number_in(text: str) -> str:
    """
    Return a card number as it was typed, without its separators; wide digits are digits.
    """
    return _SEPARATORS.sub("", _plain(text))


def code_in(text: str) -> str:
    """
    Return a security code as it was typed; wide digits are digits.
    """
    return _plain(text).strip()


def _plain(text: str) -> str:
    return unicodedata.normalize("NFKC", text) if len(text) <= CARD_CHARACTERS_MAX else text


def fault_of_number(number: str) -> str:
    """
    Return what is wrong with a card number, its separators removed.
    """
    if not number:
        return "Enter the number on the front of the card."
    plausible = number.isascii() and number.isdecimal()
    if not plausible or not length_fits(number):
        return "Check the card number: it has too few or too many digits."
    if not luhn_holds(number):
        return "Check the card number: a digit is wrong, or two are swapped."
    return ""


def fault_of_code(code: str, number: str) -> str:
    """
    Return what is wrong with the security code of a card with this number.
    """
    amex = number.isascii() and number.isdecimal() and brand(number) == "amex"
    if re.fullmatch(r"[0-9]{4}" if amex else r"[0-9]{3}", code):
        return ""
    if amex:
        return "Enter the 4 digits on the front of the card."
    return "Enter the 3 digits on the back of the card."


def _fault_of_postal_code(code: str) -> str:
    if not code or _POSTAL_CODE.fullmatch(code):
        return ""
    return "Use letters and digits, or leave this empty."
