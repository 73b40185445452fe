"""
Refunds on the terminal: find the payment, say how much, give it back.

    GET  /terminal/refund              by confirmation or order number, or out of the last ones
    POST /terminal/refund              the search form; 303 to the page of what it found
    GET  /terminal/refund/{payment}    how much
    POST /terminal/refund/{payment}    give it back; 303 to the sale's page
"""

from urllib.parse import quote

from starlette.exceptions import HTTPException
from starlette.responses import Response

from counterfoil import ids
from counterfoil.amounts import amount_or_fault
from counterfoil.money import amount_text, currency, decimal_text
from counterfoil.payments import lifecycle
from counterfoil.payments.payment import Payment
from counterfoil.payments.refusals import PaymentUnknown
from counterfoil.people.roles import Right
from counterfoil.terminal import selling
from counterfoil.terminal.sale import Entry, Sale, SaleKind, Wanted
from counterfoil.web import lost, terminal_words
from counterfoil.web.astray import holds_card
from counterfoil.web.doing import must_step_up
from counterfoil.web.interrupted import way_back
from counterfoil.web.rendering import page
from counterfoil.web.terminal import begun, kept_sale, kinds_of, store_of, to, to_sale, worked
from counterfoil.web.visit import Page, Visit

ASKED_CHARACTERS_MAX = 64
CONFIRMATION_DIGITS = 12


async def search(visit: Visit) -> Response:
    """
    Lead from the form to an address that can be kept: a card number never stands in it.
    """
    return to(visit, _found_at(visit.form.get("q", "").strip()[:ASKED_CHARACTERS_MAX]))


async def find(visit: Visit) -> Response:
    """
    The payments that may be meant.
    """
    text = visit.asked("q").strip()[:ASKED_CHARACTERS_MAX]
    if holds_card(text):
        return to(visit, _found_at(text))
    merchant_id, store = visit.who.merchant.merchant_id, store_of(visit)
    digits = text.replace(" ", "").replace("-", "")
    is_number = digits.isascii() and digits.isdigit() and len(digits) == CONFIRMATION_DIGITS
    found = (
        await store.payments_named(merchant_id, digits if is_number else None, text)
        if text
        else await store.refundable(merchant_id)
    )
    return page(
        visit,
        "terminal-refund.html",
        text=text,
        found=found,
        kinds=kinds_of(visit),
        words=terminal_words,
        was_card=visit.asked("card-number") == "yes",
        lost=lost.words_of(visit),
    )


async def show(visit: Visit) -> Response:
    """
    How much is given back: what is left, unless something else is typed, or was before a step-up.
    """
    sale = await kept_sale(visit)
    if isinstance(sale, Sale):
        return to_sale(visit, sale)
    payment, asked = await _payment(visit), visit.asked("amount")
    is_amount = isinstance(amount_or_fault(asked, currency(payment.currency)), int)
    return _form(visit, payment, asked if is_amount else _left_text(payment), sale=sale)


async def submit(visit: Visit) -> Response:
    """
    Give it back, once for each form: one that is sent again leads to what came of it.
    """
    payment, text = await _payment(visit), visit.form.get("amount", "")
    minor = amount_or_fault(text, currency(payment.currency))
    try:
        sale_id = ids.read(ids.SALE, visit.form.get("sale", ""))
    except ids.UnreadableId:
        raise HTTPException(400, "This form could not be read. Open the terminal again.") from None
    done = await store_of(visit).one(visit.who.merchant.merchant_id, sale_id)
    if done and (done.refunded_payment_id, done.amount_minor) == (payment.payment_id, minor):
        return to_sale(visit, done)
    if isinstance(minor, int) and minor > _left(payment):
        most = amount_text(_left(payment), payment.currency)
        minor = f"That is more than is left: write at most {most}."
    if isinstance(minor, str):
        return _form(visit, payment, "" if holds_card(text) else text, minor, status=422)
    if await must_step_up(visit, payment, minor, ids.written(ids.SALE, sale_id)):
        form = f"/terminal/refund/{visit.named('payment')}"
        back = way_back(form, {"amount": text}, sale=ids.written(ids.SALE, sale_id))
        return to(visit, f"/step-up?next={quote(back)}")
    wanted = Wanted(
        kind=SaleKind.REFUND,
        entry=Entry.PAYMENT,
        amount_minor=minor,
        currency=payment.currency,
        order_number=payment.order_number,
        refunded_payment_id=payment.payment_id,
    )
    sale, is_new = await begun(visit, sale_id, wanted, None)
    if sale is None:
        words = "This form was used for another refund already. Look at your last sales first."
        return _form(visit, payment, text, words, status=422)
    if not is_new:
        return to_sale(visit, sale)
    road = visit.desk.desk.road
    work = selling.give_back(sale, visit.who.merchant, road=road, store=store_of(visit))
    return await worked(visit, sale, work)


def _found_at(text: str) -> str:
    if holds_card(text):
        return "/terminal/refund?card-number=yes"
    return f"/terminal/refund?q={quote(text)}" if text else "/terminal/refund"


async def _payment(visit: Visit) -> Payment:
    try:
        payment_id = ids.read(ids.PAYMENT, visit.named("payment"))
    except ids.UnreadableId:
        raise HTTPException(404) from None
    merchant_id = visit.who.merchant.merchant_id
    payment = await visit.desk.desk.road.store.payment(merchant_id, payment_id)
    if payment is None:
        raise PaymentUnknown("this merchant has no payment with this id")
    return payment


def _left(payment: Payment) -> int:
    is_taken = payment.state is lifecycle.State.CAPTURED
    is_credit = payment.kind is lifecycle.Kind.CREDIT
    return payment.captured_minor - payment.refunded_minor if is_taken and not is_credit else 0


def _left_text(payment: Payment) -> str:
    return decimal_text(_left(payment), currency(payment.currency))


def _form(
    visit: Visit,
    payment: Payment,
    amount: str,
    fault: str | None = None,
    *,
    status: int = 200,
    sale: str = "",
) -> Response:
    return page(
        visit,
        "terminal-refund-one.html",
        status=status,
        payment=payment,
        left=_left(payment),
        amount=amount,
        fault=fault,
        sale=sale or ids.written(ids.SALE, visit.desk.desk.road.ids.new()),
    )


PAGES = (
    Page(path="/terminal/refund", endpoint=find, right=Right.REFUND),
    Page(
        path="/terminal/refund",
        endpoint=search,
        right=Right.REFUND,
        method="POST",
        only_asks=True,
    ),
    Page(path="/terminal/refund/{payment}", endpoint=show, right=Right.REFUND),
    Page(
        path="/terminal/refund/{payment}",
        endpoint=submit,
        right=Right.REFUND,
        method="POST",
        when_lost=lost.refund_lost,
    ),
)
