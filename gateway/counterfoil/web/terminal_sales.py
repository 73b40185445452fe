"""
A sale's page: what happened, and what the clerk can do about it.

    GET  /terminal/sales/{sale}          what happened; under way: it looks again by itself
    GET  /terminal/sales/{sale}.json     whether it is over, for the page's script
    POST /terminal/sales/{sale}/again    it is no duplicate: charge again
    POST /terminal/sales/{sale}/no       it is one: do not charge
    POST /terminal/sales/{sale}/claim    take an approval whose process has died
    POST /terminal/sales/{sale}/refuse   give it back

Who began a sale finishes it; others do with a right of its own, and that stands in the audit.
"""

import contextlib
from datetime import datetime, timedelta

from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, RedirectResponse, Response

from counterfoil import ids
from counterfoil.cards import Card
from counterfoil.payments import acknowledge, lifecycle
from counterfoil.payments.payment import Payment
from counterfoil.payments.refusals import NotNow
from counterfoil.people.roles import Right
from counterfoil.terminal import selling
from counterfoil.terminal.minding import LEFT_ALONE
from counterfoil.terminal.sale import Answer, Sale, SaleKind, State, Wanted, is_question
from counterfoil.web import terminal_words
from counterfoil.web.doing import note_finishing
from counterfoil.web.given import given_with
from counterfoil.web.lost import answer_lost
from counterfoil.web.payment_form import fault_of_code
from counterfoil.web.rendering import page
from counterfoil.web.terminal import begun, sale_named, sold, store_of, to_sale
from counterfoil.web.terminal_form import FIELDS_OF
from counterfoil.web.visit import Page, Visit

LOOK_AGAIN_SECONDS = 2


async def show(visit: Visit) -> Response:
    """
    What happened.
    """
    sale = await _found_out(visit, await sale_named(visit, visit.named("sale")))
    return await _page(visit, sale)


async def look(visit: Visit) -> Response:
    """
    Whether it is over.
    """
    sale = await sale_named(visit, visit.named("sale"))
    payment = await selling.payment_of(sale, visit.desk.desk.road)
    waits = not sale.is_over and terminal_words.is_claimable(
        payment, visit.desk.clock.now(), LEFT_ALONE
    )
    _, words = terminal_words.standing(sale, payment)
    return JSONResponse({"over": sale.is_over or waits, "words": words})


async def again(visit: Visit) -> Response:
    """
    Charge a sale that looked like a duplicate, once, in however many tabs somebody says so.
    """
    asked, question = await _question(visit)
    if _is_stale(question, visit.desk.clock.now()):
        raise HTTPException(409, "That was asked too long ago. Nothing was charged: begin anew.")
    kept = await store_of(visit).sealed(visit.desk.desk.road.vault, question)
    code = visit.form.get("cvv", "").strip() or None
    if code and (fault := fault_of_code(code, kept.number)):
        return await _page(visit, asked, status=422, faults={"cvv": fault})
    card = Card(kept.number, int(kept.expiry[2:]), 2000 + int(kept.expiry[:2]), code)
    if await _answered(visit, asked, Answer.YES) is Answer.NO:
        return to_sale(visit, asked)
    values = {name: getattr(asked, name) for name in Wanted.__struct_fields__}
    wanted = Wanted(**{**values, "charge_again": True})
    sale, is_new = await begun(visit, asked.again_id, wanted, card)
    if sale is None:
        return to_sale(visit, asked)
    return await sold(visit, sale, card) if is_new else to_sale(visit, sale)


async def do_not(visit: Visit) -> Response:
    """
    Note that a sale that looked like a duplicate is one: its page says that nothing was taken.
    """
    asked, _ = await _question(visit)
    await _answered(visit, asked, Answer.NO)
    return to_sale(visit, asked)


async def _question(visit: Visit) -> tuple[Sale, Payment]:
    """
    Return the sale about which this clerk was asked, and what the gateway keeps of it.

    Raises:
        HTTPException: 409 nobody asked them.
    """
    asked = await sale_named(visit, visit.named("sale"))
    payment = await selling.payment_of(asked, visit.desk.desk.road)
    if payment is None or not is_question(payment) or asked.user_id != visit.who.user_id:
        raise HTTPException(409, "Nobody asked whether to charge this again.")
    return asked, payment


async def _answered(visit: Visit, asked: Sale, said: Answer) -> Answer:
    return await store_of(visit).answer(asked, said, visit.desk.clock.now())


async def claim(visit: Visit) -> Response:
    """
    Take an approval that nobody has claimed.
    """
    sale, payment = await _unclaimed(visit)
    if payment is not None:
        desk, who = visit.desk.desk, visit.who
        await _note_if_others(visit, sale, payment, "approval_claimed")
        work = selling.conclude(
            sale, who.merchant, payment, road=desk.road, store=store_of(visit), by=who.actor
        )
        await desk.money_task(work)
    return to_sale(visit, sale)


async def refuse(visit: Visit) -> Response:
    """
    Give an approval back that nobody has claimed.
    """
    sale, payment = await _unclaimed(visit)
    if payment is not None:
        desk = visit.desk.desk
        await _note_if_others(visit, sale, payment, "approval_refused")
        with contextlib.suppress(NotNow):  # Somebody was faster: the page says what came of it.
            await desk.money_task(_refused(visit, sale, payment))
    return to_sale(visit, sale)


async def _refused(visit: Visit, sale: Sale, payment: Payment) -> None:
    """
    Refuse the approval of *sale*, and write into the sale's own history who did.
    """
    road, who = visit.desk.desk.road, visit.who
    payment = await acknowledge.refuse(who.merchant, payment.payment_id, actor=who.actor, road=road)
    await selling.conclude(
        sale, who.merchant, payment, road=road, store=store_of(visit), by=who.actor
    )


async def _unclaimed(visit: Visit) -> tuple[Sale, Payment | None]:
    sale = await sale_named(visit, visit.named("sale"))
    payment = await selling.payment_of(sale, visit.desk.desk.road)
    if not _may_finish(visit, sale) or sale.is_over or payment is None:
        return sale, None
    return sale, payment if payment.state is lifecycle.State.APPROVED else None


def _may_finish(visit: Visit, sale: Sale) -> bool:
    return sale.user_id == visit.who.user_id or visit.who.may(Right.FINISH)


async def _note_if_others(visit: Visit, sale: Sale, payment: Payment, what: str) -> None:
    if sale.user_id != visit.who.user_id:
        await note_finishing(visit, payment, what)


async def _found_out(visit: Visit, sale: Sale) -> Sale:
    if sale.is_over:
        return sale
    desk = visit.desk.desk
    merchant = visit.who.merchant
    looking = selling.find_out(sale, merchant, road=desk.road, store=store_of(visit))
    return await desk.money_task(looking)


async def _page(
    visit: Visit, sale: Sale, *, status: int = 200, faults: dict[str, str] | None = None
) -> Response:
    road, now = visit.desk.desk.road, visit.desk.clock.now()
    payment = await selling.payment_of(sale, road)
    first, answer, charged = None, None, None
    is_duplicate = payment is not None and is_question(payment)
    if payment is not None and is_duplicate:
        assert payment.duplicate_of is not None, "a question is about another payment"
        first = await road.store.payment(sale.merchant_id, payment.duplicate_of)
        answer = await store_of(visit).answer_of(sale)
        charged = await store_of(visit).one(sale.merchant_id, sale.again_id)
    is_own = sale.user_id == visit.who.user_id
    may_go_on = is_own and payment is not None and not _is_stale(payment, now)
    tone, standing = terminal_words.standing(sale, payment)
    return page(
        visit,
        "terminal-sale.html",
        status=status,
        sale=sale,
        payment=payment,
        given=given_with(await road.store.messages(payment) if payment else ()),
        tone=tone,
        standing=standing,
        is_duplicate=is_duplicate,
        first=first,
        is_answered=answer is not None,
        is_answered_no=answer is Answer.NO,
        charged_at=ids.written(ids.SALE, charged.sale_id) if answer and charged else None,
        is_asking=is_duplicate and may_go_on and answer is not Answer.NO and not charged,
        is_own=is_own,
        is_claimable=not sale.is_over
        and _may_finish(visit, sale)
        and terminal_words.is_claimable(payment, now, LEFT_ALONE),
        decline=terminal_words.decline_of(payment) if sale.state is State.DECLINED else None,
        has_receipt=payment is not None and sale.is_over and sale.kind is not SaleKind.VERIFICATION,
        has_form=sale.kind in FIELDS_OF,
        faults=faults or {},
        words=terminal_words,
        now=now,
        look_again_seconds=LOOK_AGAIN_SECONDS,
        Kind=SaleKind,
        State=State,
    )


def _is_stale(asked: Payment, now: datetime) -> bool:
    """
    Whether the question of a double is so old that whoever answers it may not remember.
    """
    return now - asked.created_at > timedelta(seconds=selling.DUPLICATE_SECONDS)


def _page_of(path: str, endpoint: object, method: str = "GET") -> Page:
    return Page(
        path=f"/terminal/sales/{{sale}}{path}",
        endpoint=endpoint,  # type: ignore[arg-type]
        right=Right.TAKE_PAYMENTS,
        method=method,
        is_live=path == ".json",
        when_lost=answer_lost,
    )


async def to_form(_: Visit) -> Response:
    """
    Lead whoever reloads a form that was refused back to an empty one.
    """
    return RedirectResponse("/terminal", 303)


PAGES = (
    Page(path="/terminal/sales", endpoint=to_form, right=Right.TAKE_PAYMENTS),
    _page_of(".json", look),
    _page_of("", show),
    _page_of("/again", again, "POST"),
    _page_of("/no", do_not, "POST"),
    _page_of("/claim", claim, "POST"),
    _page_of("/refuse", refuse, "POST"),
)
