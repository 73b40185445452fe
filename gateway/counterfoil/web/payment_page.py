"""
The payment page: what is to be paid, the card, and what came of it.

    GET  /c/{token}           the page, as the checkout stands
    POST /c/{token}           one try; 303 to the page
    POST /c/{token}/cancel    the shopper turns back; 303 to the page
    POST /c/{token}/forget    the kept card is forgotten; 303 to the page
    GET  /c/{token}/return    303 to the shop, signed

Whoever opens the page goes on where a process has died: what is shown is what is durable.
"""

from datetime import UTC
from typing import Any, NamedTuple

from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse, Response

from counterfoil import ids
from counterfoil.api.answers import payment_answer
from counterfoil.cards import Card
from counterfoil.checkouts import paying
from counterfoil.checkouts.checkout import DECLINES_MAX, Checkout, State, is_over, return_secret
from counterfoil.checkouts.links import Standing, standing
from counterfoil.checkouts.paying import ADDRESS_DECLINES_MAX, Typed, payer_of
from counterfoil.checkouts.returning import Said, signed_return
from counterfoil.payments.payment import Merchant, Payment
from counterfoil.store.links import LinkStore
from counterfoil.web import payment_form, shopper
from counterfoil.web.payment_form import Shown
from counterfoil.web.visit import Page, Visit

WAITS_SECONDS_MAX = 8.0  # Then the page says that we are finding out, and looks again.
LOOK_AGAIN_SECONDS = 2
TOKEN_CHARACTERS = 43

# Why no card is taken, and the status that says so.
STOPPED = {"link": 410, "being paid": 409, "page": 429, "address": 429}

NOT_CHARGED = "The payment did not go through, and nothing was charged. Try again in a moment."
EXPIRED_CARD = "The card that you kept has expired. Use another card."


class Shop(NamedTuple):
    """
    A checkout, and the merchant who is paid by it.
    """

    checkout: Checkout
    merchant: Merchant


async def show(visit: Visit) -> Response:
    """
    The page, as the checkout stands.
    """
    checkout, merchant = await _found(visit)
    road, store = visit.desk.desk.road, visit.desk.desk.checkouts.store
    if checkout.state is State.PAYING and not road.doors.at_rest:
        looking = paying.find_out(checkout, merchant, road=road, store=store)
        checkout = await visit.desk.desk.money_task(looking)
    return await page_of(visit, Shop(checkout, merchant))


async def submit(visit: Visit) -> Response:
    """
    One try to pay, with the card that was typed or the one that was kept.
    """
    shop = await _found(visit)
    shopper.check_token(visit, _form_token(visit, shop.checkout))
    if visit.form.get("try") != str(shop.checkout.tries) or shop.checkout.state is not State.OPEN:
        return _back(visit)  # Pressed twice, or in another tab: the page says what came of it.
    if visit.form.get("with") == "kept":
        return await _with_kept(visit, shop)
    checked = payment_form.check(visit.form, visit.desk.clock.now())
    if isinstance(checked, dict):
        return await page_of(visit, shop, faults=checked, typed=payment_form.shown(visit.form))
    return await _try(visit, shop, checked.card, checked.postal_code, checked.email)


async def cancel(visit: Visit) -> Response:
    """
    The shopper turns back: nobody can pay this checkout any more.
    """
    checkout, _ = await _found(visit)
    shopper.check_token(visit, _form_token(visit, checkout))
    await visit.desk.desk.checkouts.store.end(
        checkout,
        State.CANCELLED,
        cause="turned_back",
        actor=checkout.actor,
        now=visit.desk.clock.now(),
    )
    return _back(visit)


async def forget(visit: Visit) -> Response:
    """
    Forget the card that this browser keeps.
    """
    checkout, merchant = await _found(visit)
    shopper.check_token(visit, _form_token(visit, checkout))
    await shopper.forget_card(visit, merchant)
    return shopper.take_cookie_away(merchant, _back(visit))


async def lead_back(visit: Visit) -> Response:
    """
    Lead back to the shop with what came of it, signed. Reached by a link, never after a form.
    """
    checkout, _ = await _found(visit)
    url = _way_back(checkout)
    status = _ended(checkout, visit)
    if url is None or status is None:
        return _back(visit)
    payment = await _payment(visit, checkout) if status is State.PAID else None
    number = payment.confirmation_number if payment else None
    said = Said(
        checkout=ids.written(ids.CHECKOUT, checkout.checkout_id),
        status=status.value,
        payment=ids.written(ids.PAYMENT, payment.payment_id) if payment else "",
        confirmation=number or "",
        at=str(int(visit.desk.clock.now().timestamp())),
    )
    secret = return_secret(visit.desk.desk.road.vault, checkout.merchant_id, checkout.checkout_id)
    return RedirectResponse(signed_return(url, said, secret), 303)


async def _with_kept(visit: Visit, shop: Shop) -> Response:
    kept = await shopper.kept_card(visit, shop.merchant)
    if kept is None:
        return _back(visit)
    card = await shopper.opened_card(visit, shop.merchant, kept)
    if card is None:
        return await page_of(visit, shop, faults={"card_number": EXPIRED_CARD})
    email, fault = payment_form.email_or_fault(visit.form, card.number)
    if fault:
        return await page_of(visit, shop, faults={"email": fault})
    return await _try(visit, shop, card, None, email)


async def _try(
    visit: Visit, shop: Shop, card: Card, postal_code: str | None, email: str | None
) -> Response:
    """
    Try to pay in a task of its own: a browser that hangs up does not stop money half-way.
    """
    typed = Typed(
        card=card,
        address=shopper.address_of(visit.request),
        session_id=shopper.session_of(visit.request),
        postal_code=postal_code,
        email=email,
    )
    desk = visit.desk.desk
    work = paying.pay(
        shop.checkout, shop.merchant, typed, road=desk.road, store=desk.checkouts.store
    )
    try:
        done, begun = await desk.money_task(work, seconds_max=WAITS_SECONDS_MAX)
    except TimeoutError:
        return _back(visit)
    answer = _back(visit)
    if begun and done.state is State.PAID and visit.form.get("keep") == "on":
        payment = await _payment(visit, done)
        assert payment is not None, "what is paid has its payment"
        await shopper.keep_card(visit, shop.merchant, payment, answer)
    return answer


async def page_of(
    visit: Visit, shop: Shop, *, faults: dict[str, str] | None = None, typed: Shown | None = None
) -> Response:
    """
    Return the page of a checkout, as it stands.
    """
    checkout, merchant = shop
    payment = await _payment(visit, checkout)
    over = is_over(checkout, visit.desk.clock.now())
    facts: dict[str, Any] = {
        "checkout": checkout,
        "payment": payment,
        "here": visit.request.url.path,
        "way_back": _way_back(checkout) is not None,
        "csrf": _form_token(visit, checkout),
    }
    if checkout.state is State.PAYING:
        answer = shopper.shopper_page(visit, "pay-waiting.html", merchant, **facts)
        answer.headers["Refresh"] = str(LOOK_AGAIN_SECONDS)
        return answer
    if checkout.state is State.PAID:
        return shopper.shopper_page(visit, "pay-paid.html", merchant, **facts)
    if over or checkout.state is State.CANCELLED:
        lapsed = checkout.expires_at <= visit.desk.clock.now()
        return shopper.shopper_page(
            visit, "pay-over.html", merchant, status=410, lapsed=lapsed, **facts
        )
    if stop := await _stop(visit, shop):
        return shopper.shopper_page(
            visit, "pay-stopped.html", merchant, status=STOPPED[stop], stop=stop, **facts
        )
    return shopper.shopper_page(
        visit,
        "pay.html",
        merchant,
        status=422 if faults else 200,
        faults=faults or {},
        typed=typed or Shown(email=checkout.customer_email or ""),
        kept=await shopper.kept_card(visit, merchant),
        said=None if faults else _said(visit, checkout, payment),
        today=visit.desk.clock.now().astimezone(UTC).date().isoformat(),
        **facts,
    )


async def _stop(visit: Visit, shop: Shop) -> str | None:
    """
    Return why no further card is taken here, if that is so.
    """
    checkout, merchant_id, desk = shop.checkout, shop.merchant.merchant_id, visit.desk.desk
    if checkout.link_id is not None:
        link = await LinkStore(visit.desk.database, desk.road.ids).one(
            merchant_id, checkout.link_id
        )
        stands = standing(link, visit.desk.clock.now()) if link else Standing.ENDED
        if stands is not Standing.OPEN:
            return "being paid" if stands is Standing.BEING_PAID else "link"
    if checkout.declines >= DECLINES_MAX:
        return "page"
    payer = payer_of(merchant_id, shopper.address_of(visit.request), desk.road)
    declines = await desk.checkouts.store.declines_of(
        merchant_id, payer.address_digest, payer.declines_since
    )
    return "address" if declines >= ADDRESS_DECLINES_MAX else None


def _said(visit: Visit, checkout: Checkout, payment: Payment | None) -> str | None:
    """
    Return what to say about the last try, in words for shoppers.
    """
    if not checkout.tries:
        return None
    if payment is None:
        return NOT_CHARGED
    decline = payment_answer(payment, visit.desk.configuration.mode, ()).decline
    return decline.shopper_message if decline else NOT_CHARGED


async def _found(visit: Visit) -> Shop:
    token = visit.named("token")
    plausible = len(token) == TOKEN_CHARACTERS and token.isascii()
    found = await visit.desk.desk.checkouts.store.of_token(token) if plausible else None
    if found is None:
        raise HTTPException(404, "There is no such page here.")
    merchant = await visit.desk.merchants.merchant(found.merchant_id)
    assert merchant is not None, "a merchant is never deleted"
    return Shop(found, merchant)


async def _payment(visit: Visit, checkout: Checkout) -> Payment | None:
    if checkout.payment_id is None:
        return None
    store = visit.desk.desk.road.store
    return await store.payment(checkout.merchant_id, checkout.payment_id)


def _form_token(visit: Visit, checkout: Checkout) -> str:
    vault = visit.desk.desk.road.vault
    content = checkout.checkout_id.bytes
    return vault.keyed_digest(b"checkout form", checkout.merchant_id, content).hex()


def _ended(checkout: Checkout, visit: Visit) -> State | None:
    if checkout.state in (State.PAID, State.CANCELLED):
        return checkout.state
    return State.EXPIRED if is_over(checkout, visit.desk.clock.now()) else None


def _way_back(checkout: Checkout) -> str | None:
    if checkout.state is State.PAID:
        return checkout.return_url
    return checkout.cancel_url or checkout.return_url


def _back(visit: Visit) -> Response:
    return RedirectResponse(f"/c/{visit.named('token')}", 303)


PAGES = (
    Page(path="/c/{token}", endpoint=show, open_to_all=True),
    Page(path="/c/{token}", endpoint=submit, method="POST", open_to_all=True),
    Page(path="/c/{token}/cancel", endpoint=cancel, method="POST", open_to_all=True),
    Page(path="/c/{token}/forget", endpoint=forget, method="POST", open_to_all=True),
    Page(path="/c/{token}/return", endpoint=lead_back, open_to_all=True),
)
