"""
The checkout form: what it asks, and what is wrong with what was typed.

The card leaves this module in one piece, as the client's own type, and nowhere else:
what may be shown to the shopper again (`Typed`) has no place for it.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from secrets import token_urlsafe

from counterfoil_client import Card

from counterfoil_shop import catalog
from counterfoil_shop.books import Purchase
from counterfoil_shop.log import luhn_holds, mask_cards

NAME_LENGTH_MAX = 100
EMAIL_LENGTH_MAX = 254  # RFC 5321, 4.5.3.1.3: a path of 256 with its angle brackets.
POSTAL_CODE_LENGTH_MAX = 10
EXPIRY_YEARS_MAX = 20

_EMAIL = re.compile(r"[^@\s,;<>()\[\]\"\\]{1,64}@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+")
_EXPIRY = re.compile(r"(\d{1,2})\s*[/-]\s*(?:20)?(\d{2})|(\d{2})(\d{2})")
_FORM_TOKEN = re.compile(r"[A-Za-z0-9_-]{32}")
_AMEX = re.compile(r"3[47]")

TEST_CARDS = (
    ("Visa", "4242 4242 4242 4242", "is approved"),
    ("Mastercard", "5555 5555 5555 4444", "is approved"),
    ("American Express", "3782 822463 10005", "is approved"),
    ("Visa", "4000 0000 0000 9995", "has too little money"),
    ("Visa", "4000 0000 0000 0002", "is declined"),
)


@dataclass(frozen=True)
class Typed:
    """
    The part of a form that may be shown again. Card details are typed anew each time.
    """

    form_token: str
    quantity: int = 1
    name: str = ""
    email: str = ""
    postal_code: str = ""


@dataclass(frozen=True)
class Accepted:
    """
    A form without faults: what to write into the books, and the card for the client.
    """

    purchase: Purchase
    card: Card | None  # None: it is typed on the gateway's payment page.


def new_form_token() -> str:
    """
    A token that makes every submission of one form the same order.
    """
    return token_urlsafe(24)


def typed(fields: Mapping[str, str]) -> Typed:
    """
    What of *fields* may be shown again; a token or a quantity nobody issued is replaced.
    """
    token = fields.get("form_token", "")
    return Typed(
        form_token=token if _FORM_TOKEN.fullmatch(token) else new_form_token(),
        quantity=quantity(fields.get("quantity", "")) or 1,
        name=_line(fields, "name"),
        email=_line(fields, "email"),
        postal_code=_line(fields, "postal_code").upper(),
    )


def check(
    fields: Mapping[str, str], product: catalog.Product, today: date
) -> Accepted | dict[str, str]:
    """
    The accepted form, or for each field that cannot stand what to do about it.
    """
    if fields.get("way") == "page":
        return _check_for_page(fields, product)
    known = typed(fields)
    number = _digits(fields.get("card_number", ""))
    expiry = _expiry(fields.get("card_expiry", ""), today)
    cvv = fields.get("card_cvv", "").strip()
    faults = {
        "form_token": _fault_of_token(fields.get("form_token", "")),
        "quantity": _fault_of_quantity(fields.get("quantity", "")),
        "name": _fault_of_name(known.name),
        "email": _fault_of_email(known.email),
        "postal_code": _fault_of_postal_code(known.postal_code),
        "card_number": _fault_of_number(number),
        "card_expiry": expiry if isinstance(expiry, str) else "",
        "card_cvv": _fault_of_cvv(cvv, amex=bool(_AMEX.match(number))),
    }
    found = {field: fault for field, fault in faults.items() if fault}
    if found or isinstance(expiry, str):
        return found
    card = Card(number=number, expiry_month=expiry[0], expiry_year=expiry[1], cvv=cvv)
    return Accepted(purchase=_purchase(known, product, card), card=card)


def _check_for_page(
    fields: Mapping[str, str], product: catalog.Product
) -> Accepted | dict[str, str]:
    """
    Check what the shop itself needs; a card that was typed all the same is looked at by nobody.
    """
    known = typed(fields)
    faults = {
        "form_token": _fault_of_token(fields.get("form_token", "")),
        "quantity": _fault_of_quantity(fields.get("quantity", "")),
        "name": _fault_of_name(known.name),
        "email": _fault_of_email(known.email),
    }
    found = {field: fault for field, fault in faults.items() if fault}
    return found or Accepted(purchase=_purchase(known, product, None), card=None)


def _purchase(known: Typed, product: catalog.Product, card: Card | None) -> Purchase:
    return Purchase(
        form_token=known.form_token,
        product=product.slug,
        quantity=known.quantity,
        amount_minor=product.amount_minor * known.quantity,
        currency=catalog.CURRENCY,
        customer_name=known.name,
        customer_email=known.email,
        postal_code=known.postal_code,
        card_brand=card.brand if card else None,
        card_last4=card.last4 if card else None,
    )


def quantity(text: str) -> int | None:
    """
    The quantity that *text* names, or None when the shop does not sell that many.
    """
    text = text.strip()
    if not re.fullmatch(r"[0-9]{1,3}", text) or not 1 <= int(text) <= catalog.QUANTITY_MAX:
        return None
    return int(text)


def _line(fields: Mapping[str, str], name: str) -> str:
    """
    A field as one line: no control characters, no doubled spaces, no padding.

    A card number that slipped into the wrong field is dropped, not kept and not shown.
    """
    printable = "".join(c if c.isprintable() else " " for c in fields.get(name, ""))
    line = " ".join(printable.split())
    return line if mask_cards(line) == line else ""


def _digits(text: str) -> str:
    return re.sub(r"[\s-]", "", text)


def _expiry(text: str, today: date) -> tuple[int, int] | str:
    match = _EXPIRY.fullmatch(text.strip())
    if not text.strip():
        return "Enter the month and year printed on the card."
    if not match:
        return "Enter the date as on the card, like 12/30."
    month = int(match[1] or match[3])
    year = 2000 + int(match[2] or match[4])
    if not 1 <= month <= 12:
        return "Enter a month from 01 to 12, then the year, like 12/30."
    if (year, month) < (today.year, today.month):
        return "This card has expired. Use another card."
    if year > today.year + EXPIRY_YEARS_MAX:
        return "Check the year; this date is too far away."
    return month, year


def _fault_of_token(token: str) -> str:
    return (
        "" if _FORM_TOKEN.fullmatch(token) else "This form was out of date. Please send it again."
    )


def _fault_of_quantity(text: str) -> str:
    if quantity(text) is None:
        return f"Choose a quantity from 1 to {catalog.QUANTITY_MAX}."
    return ""


def _fault_of_name(name: str) -> str:
    if not name:
        return "Enter your name."
    return f"Use at most {NAME_LENGTH_MAX} characters." if len(name) > NAME_LENGTH_MAX else ""


def _fault_of_email(email: str) -> str:
    if not email:
        return "Enter your e-mail address; your receipt goes there."
    if len(email) > EMAIL_LENGTH_MAX or not _EMAIL.fullmatch(email):
        return "Enter an e-mail address like ada@example.com."
    return ""


def _fault_of_postal_code(code: str) -> str:
    if not code or re.fullmatch(rf"[A-Z0-9 -]{{2,{POSTAL_CODE_LENGTH_MAX}}}", code):
        return ""
    return "Use letters and digits only, or leave this empty."


def _fault_of_number(number: str) -> str:
    if not number:
        return "Enter the number on the front of the card."
    if not re.fullmatch(r"[0-9]{13,19}", number) or not luhn_holds(number):
        return "Check the card number; it has a mistake in it."
    return ""


def _fault_of_cvv(cvv: str, *, amex: bool) -> str:
    if re.fullmatch(r"[0-9]{4}" if amex else r"[0-9]{3}", cvv):
        return ""
    if amex:
        return "Enter the 4 digits on the front of the card."
    return "Enter the 3 digits on the back of the card."
