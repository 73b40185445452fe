"""
A sale of the terminal in words: how it stands, what the customer is told, what may be done next.
"""

from datetime import datetime, timedelta
from types import MappingProxyType

import asyncpg

from counterfoil.api.answers import payment_answer
from counterfoil.api.bodies import Decline
from counterfoil.money import currency, decimal_text
from counterfoil.network.verification_results import CVV_WORDS, Avs, Cvv, avs, cvv
from counterfoil.payments import lifecycle
from counterfoil.payments.payment import Payment
from counterfoil.terminal.sale import Sale, SaleKind, State
from counterfoil.web import words
from counterfoil.web.given import NO_ADDRESS, NO_CODE, Given

KINDS = MappingProxyType(
    {
        SaleKind.SALE: "Sale",
        SaleKind.AUTHORIZATION: "Authorization",
        SaleKind.FORCED: "Voice code",
        SaleKind.VERIFICATION: "Card check",
        SaleKind.CREDIT: "Credit",
        SaleKind.REFUND: "Refund",
    }
)
ABOUT = MappingProxyType(
    {
        SaleKind.SALE: "Takes the money now.",
        SaleKind.AUTHORIZATION: "Holds the money. Capture it later, from the payment's page.",
        SaleKind.FORCED: "Takes what the issuer approved on the telephone, with its code.",
        SaleKind.VERIFICATION: "Asks whether a card is good. Nothing is held or taken.",
        SaleKind.CREDIT: "Gives money to a card, without a payment of yours to refund.",
        SaleKind.REFUND: "Gives back what was taken.",
    }
)
ACTS = MappingProxyType(
    {
        SaleKind.SALE: "Charge",
        SaleKind.AUTHORIZATION: "Hold",
        SaleKind.FORCED: "Charge",
        SaleKind.VERIFICATION: "Check the card",
        SaleKind.CREDIT: "Give",
        SaleKind.REFUND: "Refund",
    }
)
# Where there is no payment, and of a refund, which has none of its own. The words are those of the
# payment's state that it comes to.
_STATES = MappingProxyType(
    {
        State.ASKED: ("wait", words.STATES[lifecycle.State.PROCESSING]),
        State.APPROVED: ("wait", words.STATES[lifecycle.State.APPROVED]),
        State.DONE: ("", "Refunded"),
        State.DECLINED: ("bad", words.STATES[lifecycle.State.DECLINED]),
        State.REVERSED: ("", words.STATES[lifecycle.State.REVERSED]),
        State.NOT_SENT: ("bad", words.STATES[lifecycle.State.NOT_SENT]),
        State.UNANSWERED: ("bad", words.STATES[lifecycle.State.UNANSWERED]),
    }
)


def standing(sale: Sale, payment: Payment | None) -> tuple[str, str]:
    """
    Return how *sale* stands: how good that is, and in words. It is its payment that stands somehow:
    every page says of it what this one says.
    """
    if payment is None or sale.kind is SaleKind.REFUND:
        return _STATES[sale.state]
    return words.tone(payment), words.state_words(payment)


def row_standing(row: asyncpg.Record) -> tuple[str, str]:
    """
    Return how a sale in a row of the list stands, as `standing` does.
    """
    if row["payment_state"] is None or row["kind"] == SaleKind.REFUND:
        return _STATES[State(row["state"])]
    return words.standing(
        lifecycle.State(row["payment_state"]),
        lifecycle.Kind(row["payment_kind"]),
        captured_minor=row["captured_minor"],
        refunded_minor=row["refunded_minor"],
        is_asked_only=row["is_question"],
    )


def decline_of(payment: Payment | None) -> Decline | None:
    """
    Return why not, as the API says it.
    """
    return payment_answer(payment, "test", ()).decline if payment else None


def address_words(payment: Payment, given: Given) -> tuple[str, str] | None:
    """
    Return what the issuer says of the address, and how good that is; None when it says nothing.
    """
    if given.lacks_address(payment):
        return "", NO_ADDRESS
    said = avs(payment.avs_result, payment.card_brand)
    if said is Avs.NONE:
        return None
    if given.all_given_fits(payment):
        return "good", given.words(payment)
    return "bad" if said is Avs.NO_MATCH else "wait", given.words(payment)


def code_words(payment: Payment, given: Given) -> tuple[str, str] | None:
    """
    Return what the issuer says of the security code, and how good that is.
    """
    if given.lacks_code(payment):
        return "", NO_CODE
    said = cvv(payment.cvv_result)
    if said is Cvv.NONE:
        return None
    tone = {Cvv.MATCH: "good", Cvv.NO_MATCH: "bad"}.get(said, "wait")
    return tone, CVV_WORDS[said]


def is_claimable(payment: Payment | None, now: datetime, left_alone: timedelta) -> bool:
    """
    Whether nobody but the clerk who looks can claim it: its process has died with the approval.
    """
    return (
        payment is not None
        and payment.state is lifecycle.State.APPROVED
        and payment.acknowledge_by is not None
        and payment.updated_at + left_alone < now < payment.acknowledge_by
    )


def sentence(said: str) -> str:
    """
    Return *said* as a sentence of its own.
    """
    return f"{said[:1].upper()}{said[1:].rstrip('.')}."


def ago(then: datetime, now: datetime) -> str:
    """
    Return how long ago something was: `2 minutes ago`.
    """
    minutes = int((now - then).total_seconds()) // 60
    if minutes < 1:
        return "less than a minute ago"
    return f"{minutes} minute{'' if minutes == 1 else 's'} ago"


def typed_again(sale: Sale) -> dict[str, str]:
    """
    Return what was typed for *sale*, for another try: everything but the card.
    """
    unit = currency(sale.currency)

    def amount(minor: int) -> str:
        return decimal_text(minor, unit) if minor else ""

    return {
        "amount": amount(sale.amount_minor),
        "currency": sale.currency,
        "tax": amount(sale.tax_minor),
        "tip": amount(sale.tip_minor),
        "order": sale.order_number or "",
        "note": sale.description or "",
        "email": sale.customer_email or "",
        "name": sale.customer_name or "",
        "postal_code": sale.postal_code or "",
        "street": sale.street or "",
        "keep": "on" if sale.keep_card else "",
    }
