"""
A payment's receipt: as a page, on paper (a roll of 80 mm or A4), as a PDF, and once more by e-mail.
"""

from typing import Any
from uuid import UUID

import msgspec
from starlette.exceptions import HTTPException
from starlette.responses import Response

from counterfoil import ids
from counterfoil.api.bodies import CustomerEmail
from counterfoil.payments.refusals import PaymentUnknown
from counterfoil.people.roles import Right
from counterfoil.receipts.receipt import Receipt, headline, receipt
from counterfoil.store.receipts import COPIES_LATELY_MAX, COPIES_MAX, UNDECIDED, ReceiptStore
from counterfoil.terminal.sale import SESSIONS
from counterfoil.web.astray import LEAVE_IT_OUT, cardless, holds_card
from counterfoil.web.just_done import lead_to
from counterfoil.web.pdf import as_file, pdf_of
from counterfoil.web.rendering import page, rendered
from counterfoil.web.visit import Page, Visit

WHO = (Right.READ_PAYMENTS, Right.TAKE_PAYMENTS)
ASKED_ONLY = (
    "The terminal asked whether to charge again, and nothing was charged under this number: there "
    "is no receipt of a question."
)
PAPERS = {"a4": "A4", "80mm": "80 mm roll"}
MAIL_STATES = {
    "owed": ("wait", "On its way"),
    "sent": ("good", "Sent"),
    "gave_up": ("bad", "Not delivered"),
}


async def show(visit: Visit) -> Response:
    """
    The receipt, how it is printed, and to whom it was sent.
    """
    return await _shown(visit, await _facts(visit))


async def as_pdf(visit: Visit) -> Response:
    """
    The same receipt as a file.
    """
    facts = await _facts(visit)
    shown = await _receipt(visit, facts)
    html = rendered(visit, "receipt-file.html", **_slip(shown), paper=_paper(visit))
    named = facts["confirmation_number"] or visit.named("payment_id")
    return as_file(await pdf_of(html), f"receipt-{named}")


async def send(visit: Visit) -> Response:
    """
    Owe the receipt to an address once more.
    """
    facts = await _facts(visit)
    recipient = visit.form.get("email", "").strip()
    try:
        msgspec.convert(recipient, CustomerEmail)
    except msgspec.ValidationError:
        return await _refused(visit, facts, "Write an address such as name@example.com.")
    if holds_card(recipient):
        return await _refused(visit, facts, LEAVE_IT_OUT)
    if facts["state"] in UNDECIDED:
        raise HTTPException(409, "This payment is not decided yet: there is no receipt to send.")
    merchant_id, payment_id = visit.who.merchant.merchant_id, facts["payment_id"]
    sent = await _store(visit).send_again(
        merchant_id, payment_id, recipient, by=visit.who.actor, now=visit.desk.clock.now()
    )
    if not sent:
        words = (
            f"A receipt is sent again {COPIES_LATELY_MAX} times an hour and {COPIES_MAX} times in "
            "all. Print it, or wait."
        )
        return await _refused(visit, facts, words, status=429)
    return lead_to(_address(payment_id), "sent")


async def _refused(
    visit: Visit, facts: dict[str, Any], words: str, *, status: int = 422
) -> Response:
    typed = str(cardless(visit.form.get("email", "").strip()))
    return await _shown(visit, facts, status=status, email=typed, faults={"email": words})


async def _shown(
    visit: Visit,
    facts: dict[str, Any],
    *,
    status: int = 200,
    email: str | None = None,
    faults: dict[str, str] | None = None,
) -> Response:
    payment_id: UUID = facts["payment_id"]
    shown = await _receipt(visit, facts)
    mails = await _store(visit).mails(visit.who.merchant.merchant_id, payment_id)
    return page(
        visit,
        "receipt.html",
        status=status,
        **_slip(shown),
        paper=_paper(visit),
        papers=PAPERS,
        address=_address(payment_id),
        payment=ids.written(ids.PAYMENT, payment_id),
        email=(facts["customer_email"] or "") if email is None else email,
        faults=faults or {},
        is_decided=facts["state"] not in UNDECIDED,
        is_sent=visit.done == "sent",
        is_printed_at_once=visit.asked("print") == "yes",
        mails=[(each, *MAIL_STATES[each["state"]]) for each in mails],
    )


async def _facts(visit: Visit) -> dict[str, Any]:
    """
    Return what the receipt is made of. Who may only take payments sees those of their own.
    """
    try:
        payment_id = ids.read(ids.PAYMENT, visit.named("payment_id"))
    except ids.UnreadableId:
        raise HTTPException(404) from None
    facts = await _store(visit).facts(visit.who.merchant.merchant_id, payment_id)
    sees_all = visit.who.may(Right.READ_PAYMENTS)
    if facts is None or not (sees_all or facts["taken_by"] == visit.who.actor):
        raise PaymentUnknown("this merchant has no payment with this id")
    if facts["duplicate_of"] and facts["session_id"].startswith(SESSIONS):
        raise HTTPException(409, ASKED_ONLY)
    return facts


async def _receipt(visit: Visit, facts: dict[str, Any]) -> Receipt:
    refunds: list[Any] = []
    if facts["refunded_minor"]:
        refunds = await _store(visit).refunds(facts["merchant_id"], facts["payment_id"])
    return receipt(facts, test=visit.desk.is_test, refunds=refunds)


def _slip(shown: Receipt) -> dict[str, Any]:
    return {
        "receipt": shown,
        "for_merchant": False,
        "headline": headline(shown, for_merchant=False),
    }


def _paper(visit: Visit) -> str:
    asked = visit.asked("paper", "a4")
    if asked not in PAPERS:
        raise HTTPException(400, f"There is no such paper: choose {' or '.join(PAPERS)}.")
    return asked


def _address(payment_id: UUID) -> str:
    return f"/payments/{ids.written(ids.PAYMENT, payment_id)}/receipt"


def _store(visit: Visit) -> ReceiptStore:
    return ReceiptStore(visit.desk.database, visit.desk.desk.road.ids)


PAGES = (
    Page(path="/payments/{payment_id}/receipt", endpoint=show, right=WHO),
    Page(path="/payments/{payment_id}/receipt.pdf", endpoint=as_pdf, right=WHO),
    Page(path="/payments/{payment_id}/receipt", endpoint=send, right=WHO, method="POST"),
)
