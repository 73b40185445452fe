"""
The receipt: one set of facts, shown as text and as HTML.

What stands on it follows the card schemes' minimum: business and place, date and
time with zone, amount, kind, brand and last four, approval code, and our
confirmation number. Never an expiry date, never more of the card number.
"""

from datetime import datetime
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
from jinja2 import Environment, PackageLoader, StrictUndefined, Template, select_autoescape

from counterfoil.money import currency, decimal_text

BRANDS = {
    "visa": "Visa",
    "mastercard": "Mastercard",
    "amex": "American Express",
    "discover": "Discover",
    "jcb": "JCB",
    "diners": "Diners Club",
    "unionpay": "UnionPay",
    "maestro": "Maestro",
    "other": "Card",
}
KINDS = {
    "sale": "Sale",
    "authorization": "Authorization (not yet captured)",
    "forced": "Sale (approved by voice)",
    "credit": "Credit",
}


class Receipt(msgspec.Struct, frozen=True, kw_only=True):
    """
    Everything that a receipt says, ready to be shown. `asked` is set when less was approved;
    `is_credit` when the money goes to the cardholder, `is_held` when none was taken yet.
    """

    business: str
    place: str
    business_email: str
    when: str
    kind: str
    amount: str
    currency: str
    card: str
    approval_code: str
    confirmation_number: str
    order: str | None
    description: str | None
    rrn: str
    test: bool
    asked: str | None = None
    is_credit: bool = False
    is_held: bool = False


def receipt(facts: dict[str, Any], *, test: bool) -> Receipt:
    """
    Return the receipt for a confirmed payment; *facts* are its columns and its merchant's.
    """
    confirmed_at: datetime = facts["acknowledged_at"]
    local = confirmed_at.astimezone(ZoneInfo(facts["timezone"]))
    money = currency(facts["currency"])
    is_credit = facts["kind"] == "credit"
    asked = facts["amount_minor"]
    approved = asked if is_credit else facts["authorized_minor"]
    return Receipt(
        business=facts["merchant_name"],
        place=", ".join(
            each for each in (facts["city"], facts["region"], facts["country"]) if each
        ),
        business_email=facts["merchant_email"],
        when=f"{local:%Y-%m-%d %H:%M:%S} {local.tzname()}",
        kind=KINDS[facts["kind"]],
        amount=decimal_text(approved, money),
        currency=money.code,
        card=f"{BRANDS[facts['card_brand']]} ending in {facts['card_last_four']}",
        approval_code=facts["approval_code"] or "-",
        confirmation_number=grouped(facts["confirmation_number"]),
        order=facts["order_number"],
        description=facts["description"],
        rrn=facts["rrn"],
        test=test,
        asked=decimal_text(asked, money) if approved != asked else None,
        is_credit=is_credit,
        is_held=facts["kind"] == "authorization",
    )


def grouped(number: str) -> str:
    """
    Return a confirmation number in groups of four, as people read it aloud.
    """
    return " ".join(number[at : at + 4] for at in range(0, len(number), 4))


def as_text(shown: Receipt, *, for_merchant: bool) -> str:
    """
    Return the receipt as plain text.
    """
    return _render("receipt.txt", shown, for_merchant)


def as_html(shown: Receipt, *, for_merchant: bool) -> str:
    """
    Return the receipt as HTML that needs nothing from anywhere else.
    """
    return _render("receipt.html", shown, for_merchant)


def _render(template: str, shown: Receipt, for_merchant: bool) -> str:
    return _template(template).render(receipt=shown, for_merchant=for_merchant)


@cache
def _template(name: str) -> Template:
    templates = Environment(
        loader=PackageLoader("counterfoil.receipts"),
        autoescape=select_autoescape(["html"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return templates.get_template(name)
