"""
A shopper's browser: whom they pay, where they are, and the card that they keep for the next time.

The cookie is the payment pages' own and bound to one merchant by its name. It holds 256 random
bits, of which the database keeps the SHA-256; the number stays in the vault.
"""

import hmac
from datetime import timedelta
from zoneinfo import ZoneInfo

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from counterfoil.cards import Card, expired
from counterfoil.payments.payment import Merchant, Payment
from counterfoil.store.checkouts import CheckoutStore, ShopperCard
from counterfoil.web.forms import CSRF_FIELD
from counterfoil.web.rendering import page
from counterfoil.web.session import TOKEN_CHARACTERS_MAX, new_token
from counterfoil.web.visit import Visit

KEPT = timedelta(days=365)


def address_of(request: Request) -> str:
    """
    Return the address that a request came from.
    """
    return request.client.host if request.client else "unknown"


def session_of(request: Request) -> str:
    """
    Return what names the connection that a request came on.
    """
    return f"{request.client.host}:{request.client.port}" if request.client else "unknown"


def shopper_page(
    visit: Visit, template: str, merchant: Merchant, *, status: int = 200, **facts: object
) -> Response:
    """
    Return a page for a shopper of *merchant*, with times in its zone.
    """
    zone = ZoneInfo(merchant.timezone)
    return page(visit, template, status=status, merchant=merchant, zone=zone, **facts)


def check_token(visit: Visit, expected: str) -> None:
    """
    Refuse a form that does not carry the token of its own page.

    Raises:
        HTTPException: 403.
    """
    said = visit.form.pop(CSRF_FIELD, "")
    if not hmac.compare_digest(said.encode(), expected.encode()):
        raise HTTPException(403, "This form is not of this page. Nothing was charged: go back.")


async def kept_card(visit: Visit, merchant: Merchant) -> ShopperCard | None:
    """
    Return the card that this browser keeps for *merchant*, if it can still pay.
    """
    token = _token(visit, merchant)
    if token is None:
        return None
    store, now = _store(visit), visit.desk.clock.now()
    return await store.kept_card(merchant.merchant_id, token, now)


async def opened_card(visit: Visit, merchant: Merchant, kept: ShopperCard) -> Card | None:
    """
    Return a kept card in the clear, for the acquirer; None when it has expired meanwhile.
    """
    vault = visit.desk.desk.road.vault
    sealed = await _store(visit).sealed(vault, merchant.merchant_id, kept)
    year, month = 2000 + int(sealed.expiry[:2]), int(sealed.expiry[2:])
    if expired(month, year, visit.desk.clock.now()):
        return None
    return Card(sealed.number, month, year)


async def keep_card(
    visit: Visit, merchant: Merchant, payment: Payment, response: Response
) -> Response:
    """
    Let *response* give the browser a token that leads to the card of *payment*.
    """
    await forget_card(visit, merchant)
    token, now = new_token(), visit.desk.clock.now()
    card = ShopperCard(payment.card_token, payment.card_brand, payment.card_last_four)
    await _store(visit).keep_card(merchant.merchant_id, token, card, at=now, until=now + KEPT)
    response.set_cookie(
        _cookie(merchant),
        token,
        max_age=int(KEPT.total_seconds()),
        path="/",
        secure=True,
        httponly=True,
        samesite="lax",  # A shop's link leads here: with `strict` the first page would not know.
    )
    return response


async def forget_card(visit: Visit, merchant: Merchant) -> None:
    """
    Let this browser's token lead nowhere.
    """
    if token := _token(visit, merchant):
        now = visit.desk.clock.now()
        await _store(visit).forget_card(merchant.merchant_id, token, now)


def take_cookie_away(merchant: Merchant, response: Response) -> Response:
    """
    Let *response* remove the cookie.
    """
    response.delete_cookie(_cookie(merchant), path="/", secure=True, httponly=True, samesite="lax")
    return response


def _store(visit: Visit) -> CheckoutStore:
    return visit.desk.desk.checkouts.store


def _cookie(merchant: Merchant) -> str:
    return f"__Host-card-{merchant.merchant_id.hex}"


def _token(visit: Visit, merchant: Merchant) -> str | None:
    token = visit.request.cookies.get(_cookie(merchant), "")
    return token if 0 < len(token) <= TOKEN_CHARACTERS_MAX and token.isascii() else None
