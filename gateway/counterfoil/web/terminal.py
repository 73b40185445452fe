"""
The Virtual Terminal: the form, and what is sent with it.

    GET  /terminal                     the form of a kind, and the clerk's last sales
    POST /terminal/sales               one sale; 303 to its page (or JSON for the page's script)

The row is durable before anything is asked of the network, and the sale goes on whatever becomes of
the browser. A form that comes twice leads to the same page.
"""

from collections.abc import Coroutine
from typing import Any
from urllib.parse import quote
from uuid import UUID

import structlog
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, RedirectResponse, Response

from counterfoil import ids
from counterfoil.api.problems import Problem
from counterfoil.cards import Card
from counterfoil.people.roles import Right
from counterfoil.store.terminal import SavedCard, TerminalStore
from counterfoil.terminal import selling
from counterfoil.terminal.sale import SESSIONS, Sale, SaleKind, Wanted
from counterfoil.web import lost, terminal_form, terminal_words
from counterfoil.web.currencies import Offered, offered
from counterfoil.web.doing import is_too_much
from counterfoil.web.interrupted import KEPT, way_back
from counterfoil.web.rendering import page
from counterfoil.web.terminal_form import FIELDS_OF
from counterfoil.web.visit import Page, Visit

ANSWER_SECONDS_MAX = 27.0  # Then the sale's page says that it is under way, and looks again.

USED_BEFORE = (
    "This form was used for another sale already, and nothing was charged now. Its result stands "
    "below, in your last sales. To charge once more, send the form again."
)

log = structlog.get_logger("terminal")


async def show(visit: Visit) -> Response:
    """
    The form: of a kind, with a saved card, or with what was typed for a sale that did not work, or
    before a step-up, unless it was sent since.
    """
    interrupted_sale = await kept_sale(visit)
    if isinstance(interrupted_sale, Sale):
        return to_sale(visit, interrupted_sale)
    kind = _kind(visit, visit.asked("kind", SaleKind.SALE))
    saved = await _saved(visit, visit.asked("card"))
    values: dict[str, str] = {}
    if visit.asked(KEPT):
        asked = {name: visit.asked(name) for name in visit.request.query_params}
        values = terminal_form.shown(asked, kind)
    if visit.asked("again"):
        sale = await sale_named(visit, visit.asked("again"))
        if sale.kind in FIELDS_OF:
            kind, values = _kind(visit, sale.kind), terminal_words.typed_again(sale)
    return await _form(visit, kind, values, saved=saved, sale=interrupted_sale)


async def kept_sale(visit: Visit) -> Sale | str:
    """
    Return the sale that came of a form which a step-up had interrupted; or the id that the form had
    and keeps; or nothing.
    """
    kept = visit.asked("sale") if visit.asked(KEPT) else ""
    try:
        sale_id = ids.read(ids.SALE, kept)
    except ids.UnreadableId:
        return ""
    return await store_of(visit).one(visit.who.merchant.merchant_id, sale_id) or kept


async def submit(visit: Visit) -> Response:
    """
    Sell, once for each form.
    """
    form = visit.form
    kind = _kind(visit, form.get("kind", ""))
    sale_id, saved = _sale_id(form.get("sale", "")), await _saved(visit, form.get("card", ""))
    opened = await _opened(visit, saved) if saved else None
    checked = terminal_form.check(form, kind, visit.desk.clock.now(), opened)
    if isinstance(checked, dict):
        return await _refused(visit, kind, checked, saved)
    wanted = checked.wanted
    currencies = await offered(visit)
    if fault := currencies.fault(wanted.currency):
        return await _refused(visit, kind, {"currency": fault}, saved, currencies)
    form_name = ids.written(ids.SALE, sale_id)
    if kind is SaleKind.CREDIT and await is_too_much(
        visit, wanted.amount_minor, wanted.currency, form_name
    ):
        return _to_step_up(visit, kind, saved)
    sale, is_new = await begun(visit, sale_id, checked.wanted, checked.card)
    if sale is None:
        fresh = ids.written(ids.SALE, visit.desk.desk.road.ids.new())
        faults = {"card": USED_BEFORE}
        return await _refused(visit, kind, faults, saved, currencies, sale=fresh)
    return await sold(visit, sale, checked.card) if is_new else to_sale(visit, sale)


async def begun(
    visit: Visit, sale_id: UUID, wanted: Wanted, card: Card | None
) -> tuple[Sale | None, bool]:
    """
    Write the row of a sale, or find the one that this very form has written before; none when
    another form has used the id. Say whether it is new.
    """
    who, road = visit.who, visit.desk.desk.road
    merchant_id = who.merchant.merchant_id
    digest = selling.digest_of(wanted, merchant_id, road, card)
    asked = await store_of(visit).ask(
        wanted,
        merchant_id=merchant_id,
        sale_id=sale_id,
        user_id=who.user_id,
        digest=digest,
        now=road.clock.now(),
    )
    if asked is not None:
        return asked, True
    known = await store_of(visit).one(merchant_id, sale_id)
    is_this = known is not None and (known.user_id, known.digest) == (who.user_id, digest)
    return (known, False) if is_this else (None, False)


async def sold(visit: Visit, sale: Sale, card: Card) -> Response:
    """
    Sell in a task of its own: a browser that hangs up does not stop money half-way.
    """
    desk, who = visit.desk.desk, visit.who
    work = selling.sell(
        sale,
        who.merchant,
        card,
        session_id=f"{SESSIONS}{who.session_id.hex}",
        road=desk.road,
        store=store_of(visit),
    )
    return await worked(visit, sale, work)


async def worked(visit: Visit, sale: Sale, work: Coroutine[Any, Any, Sale]) -> Response:
    """
    Lead to the page of *sale* when *work* is done, or when it takes too long.
    """
    try:
        await visit.desk.desk.money_task(work, seconds_max=ANSWER_SECONDS_MAX)
    except TimeoutError:
        log.info("sale_under_way", sale=sale.sale_id.hex)
    except Problem as problem:  # Too much is under way: nothing was begun.
        road = visit.desk.desk.road
        await selling.not_sent(sale, problem.detail, road=road, store=store_of(visit))
    return to_sale(visit, sale)


def to_sale(visit: Visit, sale: Sale) -> Response:
    """
    Lead to the page of *sale*.
    """
    return to(visit, f"/terminal/sales/{ids.written(ids.SALE, sale.sale_id)}")


def to(visit: Visit, address: str) -> Response:
    """
    Lead to a page of ours, also if the page's own script asked.
    """
    return JSONResponse({"at": address}) if wants_json(visit) else RedirectResponse(address, 303)


def wants_json(visit: Visit) -> bool:
    """
    Return whether the page's own script asks.
    """
    return visit.request.headers.get("accept", "") == "application/json"


def store_of(visit: Visit) -> TerminalStore:
    """
    Return the sales.
    """
    return TerminalStore(visit.desk.database, visit.desk.desk.road.ids)


async def sale_named(visit: Visit, name: str) -> Sale:
    """
    Return the sale with this name: a clerk's own, or any for who may read payments.

    Raises:
        HTTPException: 404.
    """
    try:
        sale_id = ids.read(ids.SALE, name)
    except ids.UnreadableId:
        raise HTTPException(404) from None
    sale = await store_of(visit).one(visit.who.merchant.merchant_id, sale_id)
    if sale is None or not (
        sale.user_id == visit.who.user_id or visit.who.may(Right.READ_PAYMENTS)
    ):
        raise HTTPException(404)
    return sale


async def _form(
    visit: Visit,
    kind: SaleKind,
    values: dict[str, str],
    *,
    status: int = 200,
    faults: dict[str, str] | None = None,
    saved: SavedCard | None = None,
    currencies: Offered | None = None,
    sale: str = "",
) -> Response:
    who, store = visit.who, store_of(visit)
    merchant_id = who.merchant.merchant_id
    currencies = currencies or await offered(visit)
    if not values.get("currency"):
        values = {**values, "currency": currencies.own}
    return page(
        visit,
        "terminal.html",
        status=status,
        kind=kind,
        kinds=kinds_of(visit),
        fields=FIELDS_OF[kind],
        rules=terminal_form.rules(),
        values=values,
        faults=faults or {},
        saved=saved,
        sale=sale or ids.written(ids.SALE, visit.desk.desk.road.ids.new()),
        currencies=currencies,
        sales=await store.last_of(merchant_id, who.user_id),
        lost=lost.words_of(visit),
        words=terminal_words,
    )


async def _refused(
    visit: Visit,
    kind: SaleKind,
    faults: dict[str, str],
    saved: SavedCard | None,
    currencies: Offered | None = None,
    **more: str,
) -> Response:
    """
    Return the form again, without its card, or the faults to the script, which keeps the form.
    """
    if wants_json(visit):
        kept = terminal_form.shown(visit.form, kind)
        emptied = [name for name, text in kept.items() if visit.form.get(name) and not text]
        return JSONResponse({"faults": faults, "emptied": emptied, **more}, 422)
    values = terminal_form.shown(visit.form, kind)
    sale = more.get("sale") or visit.form.get("sale", "")
    return await _form(
        visit,
        kind,
        values,
        status=422,
        faults=faults,
        saved=saved,
        currencies=currencies,
        sale=sale,
    )


def _to_step_up(visit: Visit, kind: SaleKind, saved: SavedCard | None) -> Response:
    """
    Lead to where one proves anew who one is, and back to the form without its card.
    """
    typed = {**terminal_form.shown(visit.form, kind), "kind": kind.value}
    sale = visit.form.get("sale", "")
    if saved:
        typed["card"] = visit.form.get("card", "")
    return to(visit, f"/step-up?next={quote(way_back('/terminal', typed, sale=sale))}")


def kinds_of(visit: Visit) -> list[SaleKind]:
    """
    Return what this person may ask for at this merchant.
    """
    return [each for each in SaleKind if _may(visit, each)]


def _may(visit: Visit, kind: SaleKind) -> bool:
    if kind is SaleKind.CREDIT:
        return visit.who.may(Right.REFUND) and visit.who.merchant.credits_allowed
    return visit.who.may(Right.REFUND) if kind is SaleKind.REFUND else True


def _kind(visit: Visit, text: str) -> SaleKind:
    """
    Return the kind with a form of its own that *text* names.

    Raises:
        HTTPException: 404 there is none, 403 this person may not.
    """
    if text not in list(SaleKind) or SaleKind(text) not in FIELDS_OF:
        raise HTTPException(404)
    if not _may(visit, SaleKind(text)):
        raise HTTPException(403, "Giving credits is not allowed to you here.")
    return SaleKind(text)


def _sale_id(text: str) -> UUID:
    try:
        return ids.read(ids.SALE, text)
    except ids.UnreadableId:
        raise HTTPException(400, "This form could not be read. Open the terminal again.") from None


async def _saved(visit: Visit, text: str) -> SavedCard | None:
    if not text:
        return None
    try:
        card_id = ids.read(ids.SAVED_CARD, text)
    except ids.UnreadableId:
        raise HTTPException(404) from None
    card = await store_of(visit).saved_card(visit.who.merchant.merchant_id, card_id)
    if card is None:
        raise HTTPException(404)
    return card


async def _opened(visit: Visit, saved: SavedCard) -> Card:
    vault, merchant_id = visit.desk.desk.road.vault, visit.who.merchant.merchant_id
    kept = await store_of(visit).open_card(vault, merchant_id, saved)
    return Card(kept.number, saved.expiry_month, saved.expiry_year)


PAGES = (
    Page(path="/terminal", endpoint=show, right=Right.TAKE_PAYMENTS),
    Page(
        path="/terminal/sales",
        endpoint=submit,
        right=Right.TAKE_PAYMENTS,
        method="POST",
        when_lost=lost.sale_lost,
    ),
)
