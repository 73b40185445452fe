"""
The receipt: one set of facts and one slip, shown as page, print, PDF and e-mail.

What stands on it follows the card schemes' minimum: business and place, date and
time with zone, amount, kind, brand and last four, approval code, and our
confirmation number. Never an expiry date, never more of the card number.
"""

from collections.abc import Callable, Iterable
from datetime import datetime
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
from jinja2 import Environment, PackageLoader, StrictUndefined, Template, select_autoescape

from counterfoil import ids
from counterfoil.money import Currency, currency, grouped_text
from counterfoil.receipts.outcome import Outcome, outcome

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
    "verification": "Card check",
}
TAKEN_LATER = "Sale (authorized first)"
# Parts of the amount, where the merchant has named them: a payment's column, and its word.
PARTS = (("tax_minor", "Tax"), ("tip_minor", "Tip"))
BEFORE = "Subtotal"
INCLUDED = '{% include "slip.html" %}\n'


class Line(msgspec.Struct, frozen=True):
    """
    A name and a value.
    """

    name: str
    value: str


class Receipt(msgspec.Struct, frozen=True, kw_only=True):
    """
    Everything that a receipt says, ready to be shown. `asked` is set when less was approved;
    `is_credit` when the money goes to the cardholder, `is_held` when none was taken yet.

    `outcome`: None where all went the ordinary way. Without a confirmation number there is
    `reference`, the payment's own id. `parts`: what the amount is made of. `refunds`: each that was
    given since, if they were looked up; `refunded` is their sum, `left` what stays paid.
    """

    business: str
    place: str
    business_email: str
    when: str
    kind: str
    amount: str
    currency: str
    card: str
    approval_code: str | None
    confirmation_number: str | None
    order: str | None
    description: str | None
    rrn: str
    test: bool
    asked: str | None = None
    is_credit: bool = False
    is_held: bool = False
    outcome: Outcome | None = None
    reference: str | None = None
    parts: tuple[Line, ...] = ()
    refunded: str | None = None
    left: str | None = None
    refunds: tuple[Line, ...] = ()


def receipt(
    facts: dict[str, Any], *, test: bool, refunds: Iterable[tuple[datetime, int]] = ()
) -> Receipt:
    """
    Return the receipt of a payment; *facts* are its columns and its merchant's, *refunds* when and
    how much was given back.
    """
    zone = ZoneInfo(facts["timezone"])
    money = currency(facts["currency"])
    kind, state, number = facts["kind"], facts["state"], facts["confirmation_number"]
    is_credit = kind == "credit"
    asked, shown = facts["amount_minor"], _shown_minor(facts)
    refunded = 0 if is_credit else facts["refunded_minor"]
    return Receipt(
        business=facts["merchant_name"],
        place=", ".join(
            each for each in (facts["city"], facts["region"], facts["country"]) if each
        ),
        business_email=facts["merchant_email"],
        when=_when(facts["acknowledged_at"] or facts["created_at"], zone),
        kind=TAKEN_LATER if kind == "authorization" and state == "captured" else KINDS[kind],
        amount=grouped_text(shown, money),
        currency=money.code,
        card=f"{BRANDS[facts['card_brand']]} ending in {facts['card_last_four']}",
        approval_code=facts["approval_code"],
        confirmation_number=grouped(number) if number else None,
        order=facts["order_number"],
        description=facts["description"],
        rrn=facts["rrn"],
        test=test,
        asked=grouped_text(asked, money) if shown != asked else None,
        is_credit=is_credit,
        is_held=kind == "authorization" and state == "authorized",
        outcome=outcome(facts),
        reference=None if number else ids.written("pay", facts["payment_id"]),
        parts=_parts(facts, money) if shown == asked else (),
        refunded=grouped_text(refunded, money) if refunded else None,
        left=grouped_text(shown - refunded, money) if refunded else None,
        refunds=tuple(Line(_when(at, zone), grouped_text(each, money)) for at, each in refunds),
    )


def _shown_minor(facts: dict[str, Any]) -> int:
    """
    Return what is paid or held now; what was asked, where nothing is.
    """
    state, kind = facts["state"], facts["kind"]
    if kind != "credit":
        if state == "captured":
            return int(facts["captured_minor"])
        if state == "authorized":
            taken = facts["captured_minor"] + facts["released_minor"]
            return int(facts["authorized_minor"] - taken)
        if facts["authorized_minor"]:
            return int(facts["authorized_minor"])
    return int(facts["amount_minor"])


def _parts(facts: dict[str, Any], money: Currency) -> tuple[Line, ...]:
    """
    Return what the amount is made of, if the merchant has said so.
    """
    named = [(word, facts[column]) for column, word in PARTS if facts.get(column)]
    if not named:
        return ()
    before = facts["amount_minor"] - sum(minor for _, minor in named)
    return tuple(
        Line(word, grouped_text(minor, money)) for word, minor in [(BEFORE, before), *named]
    )


def _when(moment: datetime, zone: ZoneInfo) -> str:
    local = moment.astimezone(zone)
    return f"{local.isoformat(' ', 'seconds')[:19]} {local.tzname()}"


def grouped(number: str) -> str:
    """
    Return a confirmation number in groups of four, as people read it aloud.
    """
    return " ".join(number[at : at + 4] for at in range(0, len(number), 4))


def headline(shown: Receipt, *, for_merchant: bool) -> str:
    """
    Return what stands over the receipt, for the customer or for the merchant.
    """
    if shown.outcome:
        return shown.outcome.title
    if shown.is_credit:
        return "You have given a credit" if for_merchant else f"{shown.business} gives you money"
    if for_merchant:
        held = "An amount is held for you: capture it to be paid"
        return held if shown.is_held else "You have been paid"
    return "Thank you for your order"


def as_text(shown: Receipt, *, for_merchant: bool) -> str:
    """
    Return the receipt as plain text.
    """
    return _render("receipt.txt", shown, for_merchant)


def as_html(shown: Receipt, *, for_merchant: bool) -> str:
    """
    Return the receipt as an HTML document that needs nothing from anywhere else: an e-mail.
    """
    return _render("receipt.html", shown, for_merchant)


def _render(template: str, shown: Receipt, for_merchant: bool) -> str:
    said = headline(shown, for_merchant=for_merchant)
    return _template(template).render(receipt=shown, for_merchant=for_merchant, headline=said)


class _Joined(PackageLoader):
    """
    Puts the slip into the e-mail when it is read: an include would look it up for each letter.
    """

    def get_source(
        self, environment: Environment, template: str
    ) -> tuple[str, str, Callable[[], bool] | None]:
        """
        Return the source of a template.
        """
        source, file, is_fresh = super().get_source(environment, template)
        if INCLUDED in source:
            slip_source, _, _ = super().get_source(environment, "slip.html")
            source = source.replace(INCLUDED, slip_source)
        return source, file, is_fresh


@cache
def _template(name: str) -> Template:
    templates = Environment(
        loader=_Joined("counterfoil.receipts"),
        autoescape=select_autoescape(["html"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,  # Of a mail server's worth of letters, none looks at the files again.
    )
    return templates.get_template(name)
