"""
Where a payment link leads: what is paid, how much, and on to a page of one's own.

    GET  /l/{token}    the link
    POST /l/{token}    a fresh checkout for this visitor; 303 to its page

How many pages a link opens is bounded, so that nobody fills the books with pages that none pays.
It is so for each address first: a stranger pauses it for themselves and not for others.
"""

from datetime import timedelta

import msgspec
from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse, Response

from counterfoil.amounts import AMOUNT_CHARACTERS_MAX
from counterfoil.cards import PAN_DIGITS_MIN
from counterfoil.checkouts.links import Link, Standing, amount_asked, open_by_link, standing
from counterfoil.people import limits
from counterfoil.people.limits import Limit
from counterfoil.store.links import LinkStore
from counterfoil.store.sign_ins import SignInStore
from counterfoil.web import shopper
from counterfoil.web.payment_page import TOKEN_CHARACTERS
from counterfoil.web.visit import Page, Visit

ADDRESS_PAGES_MAX = 60  # Many people may share one.
LINK_PAGES_MAX = 20_000  # Of all together: more than fifty that come back after each pause.
COUNTED_FOR = timedelta(hours=1)
PAUSED_FOR = timedelta(minutes=10)
STATUS = {Standing.OPEN: 200, Standing.BEING_PAID: 409}  # The others are over: 410.
TOO_MANY = "This link was opened too often just now. Nothing was charged: try again in ten minutes."


async def show(visit: Visit) -> Response:
    """
    The link, as it stands.
    """
    return await _page(visit, await _found(visit))


async def go_on(visit: Visit) -> Response:
    """
    Open a checkout for this visitor, and lead to its page.
    """
    link, desk = await _found(visit), visit.desk.desk
    shopper.check_token(visit, _form_token(visit, link))
    now = visit.desk.clock.now()
    if standing(link, now) is not Standing.OPEN:
        return RedirectResponse(visit.request.url.path, 303)
    asked = amount_asked(link, visit.form.get("amount", ""))
    if isinstance(asked, str):
        return await _page(visit, link, fault=asked)
    await _count(visit, link)
    _, token = await open_by_link(
        link,
        asked,
        store=desk.checkouts.store,
        vault=desk.road.vault,
        ids=desk.road.ids,
        now=now,
    )
    return RedirectResponse(f"/c/{token}", 303)


async def _count(visit: Visit, link: Link) -> None:
    """
    Count one more page of *link*, for whoever asks and for all; an address first.

    Raises:
        HTTPException: 429, there were too many.
    """
    desk = visit.desk
    store = SignInStore(desk.database, desk.desk.road.ids)

    def digest(content: bytes) -> bytes:
        return desk.desk.road.vault.keyed_digest(b"link visit", link.merchant_id, content)

    of_address = limits.of_address(shopper.address_of(visit.request), digest)
    of_all = Limit(f"link:{link.link_id.hex}", LINK_PAGES_MAX, COUNTED_FOR, PAUSED_FOR)
    of_one = of_address and msgspec.structs.replace(
        of_address,
        subject=f"link-{of_address.subject}",
        tries_max=ADDRESS_PAGES_MAX,
        counted_for=COUNTED_FOR,
        locked_for=PAUSED_FOR,
    )
    for limit in filter(None, (of_one, of_all)):
        if await store.take_try(limit, desk.clock.now()) is None:
            raise HTTPException(429, TOO_MANY)


async def _page(visit: Visit, link: Link, *, fault: str | None = None) -> Response:
    merchant = await visit.desk.merchants.merchant(link.merchant_id)
    assert merchant is not None, "a merchant is never deleted"
    stands = standing(link, visit.desk.clock.now())
    status = STATUS.get(stands, 410) if not fault else 422
    return shopper.shopper_page(
        visit,
        "pay-link.html",
        merchant,
        status=status,
        link=link,
        standing=stands,
        fault=fault,
        typed=_shown(visit.form.get("amount", "")) if fault else "",
        here=visit.request.url.path,
        csrf=_form_token(visit, link),
    )


def _shown(amount: str) -> str:
    """
    Return what may be shown again of an amount that was typed: not what could be a card's number.
    """
    is_short = sum(each.isdigit() for each in amount) < PAN_DIGITS_MIN
    return amount[:AMOUNT_CHARACTERS_MAX] if is_short else ""


async def _found(visit: Visit) -> Link:
    token = visit.named("token")
    plausible = len(token) == TOKEN_CHARACTERS and token.isascii()
    store = LinkStore(visit.desk.database, visit.desk.desk.road.ids)
    found = await store.of_token(token) if plausible else None
    if found is None:
        raise HTTPException(404, "There is no such page here.")
    return found


def _form_token(visit: Visit, link: Link) -> str:
    vault = visit.desk.desk.road.vault
    return vault.keyed_digest(b"link form", link.merchant_id, link.link_id.bytes).hex()


PAGES = (
    Page(path="/l/{token}", endpoint=show, open_to_all=True),
    Page(path="/l/{token}", endpoint=go_on, method="POST", open_to_all=True),
)
