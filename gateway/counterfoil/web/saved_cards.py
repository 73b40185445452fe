"""
Saved cards: those that customers let the merchant keep, to be charged again or forgotten.
"""

from urllib.parse import quote

from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse, Response

from counterfoil import ids
from counterfoil.cards import expired
from counterfoil.people.roles import Right
from counterfoil.store.terminal import CARDS_PAGE_MAX
from counterfoil.web.astray import holds_card
from counterfoil.web.just_done import lead_to
from counterfoil.web.rendering import page
from counterfoil.web.terminal import store_of
from counterfoil.web.visit import Page, Visit

CUSTOMER_CHARACTERS_MAX = 254


async def search(visit: Visit) -> Response:
    """
    Lead from the form to an address that can be kept: a card number never stands in it.
    """
    return RedirectResponse(_found_at(visit.form.get("q", "")), 303)


async def show(visit: Visit) -> Response:
    """
    The cards of customers whose e-mail address or name begins so.
    """
    customer = visit.asked("q").strip()[:CUSTOMER_CHARACTERS_MAX]
    if holds_card(customer):
        return RedirectResponse(_found_at(customer), 303)
    found = await store_of(visit).saved_cards(visit.who.merchant.merchant_id, customer)
    now = visit.desk.clock.now()
    return page(
        visit,
        "saved-cards.html",
        customer=customer,
        cards=[(each, expired(each.expiry_month, each.expiry_year, now)) for each in found],
        cards_max=CARDS_PAGE_MAX,
        is_forgotten=visit.done == "forgotten",
        was_card=visit.asked("card-number") == "yes",
    )


async def forget(visit: Visit) -> Response:
    """
    Forget a card: nobody here can charge it any more.
    """
    try:
        card_id = ids.read(ids.SAVED_CARD, visit.named("card"))
    except ids.UnreadableId:
        raise HTTPException(404) from None
    who = visit.who
    forgotten = await store_of(visit).forget_card(
        who.merchant.merchant_id, card_id, by=who.actor, now=visit.desk.clock.now()
    )
    if not forgotten:
        raise HTTPException(404)
    return lead_to("/terminal/cards", "forgotten")


def _found_at(text: str) -> str:
    customer = text.strip()[:CUSTOMER_CHARACTERS_MAX]
    if holds_card(customer):
        return "/terminal/cards?card-number=yes"
    return f"/terminal/cards?q={quote(customer)}" if customer else "/terminal/cards"


PAGES = (
    Page(path="/terminal/cards", endpoint=show, right=Right.TAKE_PAYMENTS),
    Page(
        path="/terminal/cards",
        endpoint=search,
        right=Right.TAKE_PAYMENTS,
        method="POST",
        only_asks=True,
    ),
    Page(
        path="/terminal/cards/{card}/forget",
        endpoint=forget,
        right=Right.TAKE_PAYMENTS,
        method="POST",
    ),
)
