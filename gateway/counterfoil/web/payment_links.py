"""
Payment links in the dashboard: make, copy, show as a QR code, see who paid, end.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from io import BytesIO
from uuid import UUID

import msgspec
import segno
from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse, Response

from counterfoil import ids
from counterfoil.amounts import amount_or_fault
from counterfoil.cards import PAN_DIGITS_MIN
from counterfoil.checkouts.checkout import link_token
from counterfoil.checkouts.links import DAYS_MAX, TIMES_MAX, Link, Standing, standing
from counterfoil.lines import unseen_in
from counterfoil.money import CURRENCIES, currency
from counterfoil.people.roles import Right
from counterfoil.store.links import LinkStore
from counterfoil.web.astray import holds_card
from counterfoil.web.currencies import offered
from counterfoil.web.just_done import lead_to
from counterfoil.web.rendering import page
from counterfoil.web.visit import Page, Visit

ON_A_PAGE = 25
DESCRIPTION_CHARACTERS_MAX = 255
ORDER_CHARACTERS_MAX = 64
USUAL_CURRENCY = "USD"
FIELDS = ("description", "order", "kind", "currency", "amount", "least", "most", "times", "days")
NOTHING: Mapping[str, str] = dict.fromkeys(FIELDS, "") | {
    "kind": "fixed",
    "currency": USUAL_CURRENCY,
}


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """
    What the form of a new link says, checked.
    """

    description: str
    order_number: str | None
    currency: str
    amount_minor: int | None
    amount_minor_min: int | None
    amount_minor_max: int | None
    times_max: int | None
    days: int | None


async def listing(visit: Visit) -> Response:
    """
    The links, newest first.
    """
    before = _id(visit.asked("before")) if visit.asked("before") else None
    found = await _store(visit).page(_merchant(visit), before, ON_A_PAGE + 1)
    links, now = found[:ON_A_PAGE], visit.desk.clock.now()
    more = links[-1].link_id if len(found) > ON_A_PAGE else None
    rows = [(each, standing(each, now)) for each in links]
    return page(visit, "links.html", links=rows, more=more, first=before is None)


async def new(visit: Visit) -> Response:
    """
    The form of a new link.
    """
    currencies = await offered(visit)
    typed = {**NOTHING, "currency": currencies.own}
    return page(visit, "link-new.html", typed=typed, faults={}, currencies=currencies)


async def make(visit: Visit) -> Response:
    """
    Make a link.
    """
    typed = {name: visit.form.get(name, NOTHING[name]).strip() for name in FIELDS}
    currencies, wanted = await offered(visit), check(typed)
    if fault := currencies.fault(typed["currency"]):
        others = wanted if isinstance(wanted, dict) else {}
        wanted = {**others, "currency": fault}
    if isinstance(wanted, dict):
        return page(
            visit,
            "link-new.html",
            status=422,
            typed={name: "" if holds_card(text) else text for name, text in typed.items()},
            faults=wanted,
            currencies=currencies,
        )
    road, now = visit.desk.desk.road, visit.desk.clock.now()
    link = _link(wanted, _merchant(visit), road.ids.new(), now, visit.who.actor)
    await _store(visit).add(link, link_token(road.vault, link.merchant_id, link.link_id))
    return lead_to(f"/links/{ids.written(ids.LINK, link.link_id)}", "made")


async def show(visit: Visit) -> Response:
    """
    One link: its address, its code, who paid.
    """
    link = await _found(visit)
    before = _checkout_id(visit.asked("before")) if visit.asked("before") else None
    found = await _store(visit).payers(link, before, ON_A_PAGE + 1)
    payers, stands = found[:ON_A_PAGE], standing(link, visit.desk.clock.now())
    return page(
        visit,
        "link.html",
        link=link,
        standing=stands,
        url=url_of(visit, link),
        payers=payers,
        more=payers[-1]["checkout_id"] if len(found) > ON_A_PAGE else None,
        made=visit.done == "made" and stands in (Standing.OPEN, Standing.BEING_PAID),
        ended=visit.done == "ended" and link.ended_at is not None,
    )


async def code(visit: Visit) -> Response:
    """
    The link's address as a QR code, a picture of our own.
    """
    drawn = BytesIO()
    made = segno.make(url_of(visit, await _found(visit)), error="m", micro=False)
    made.save(drawn, kind="svg", scale=6, border=4, light="#ffffff", title="QR code", xmldecl=False)
    return Response(drawn.getvalue(), media_type="image/svg+xml")


async def end_form(visit: Visit) -> Response:
    """
    Ask once more: a link that has ended is not opened again.
    """
    link = await _found(visit)
    if standing(link, visit.desk.clock.now()) not in (Standing.OPEN, Standing.BEING_PAID):
        return RedirectResponse(visit.request.url.path.removesuffix("/end"), 303)
    return page(visit, "link-end.html", link=link)


async def end(visit: Visit) -> Response:
    """
    End a link: nobody can pay it any more.
    """
    link = await _found(visit)
    await _store(visit).end(link, at=visit.desk.clock.now(), actor=visit.who.actor)
    return lead_to(visit.request.url.path.removesuffix("/end"), "ended")


def url_of(visit: Visit, link: Link) -> str:
    """
    Return the address that is given away.
    """
    token = link_token(visit.desk.desk.road.vault, link.merchant_id, link.link_id)
    return f"{visit.desk.configuration.checkout_origin}/l/{token}"


def check(typed: Mapping[str, str]) -> Wanted | dict[str, str]:
    """
    Return what is wanted, or what is wrong with each field and what to do about it.
    """
    unit = CURRENCIES.get(typed["currency"], currency(USUAL_CURRENCY))
    fixed = typed["kind"] == "fixed"
    amount, least, most = (
        amount_or_fault(typed[name], unit) for name in ("amount", "least", "most")
    )
    times, days = _count(typed["times"], TIMES_MAX), _count(typed["days"], DAYS_MAX)
    faults = {
        "description": _fault_of_text(typed["description"], DESCRIPTION_CHARACTERS_MAX),
        "order": _fault_of_order(typed["order"]),
        "currency": "" if typed["currency"] in CURRENCIES else "Choose a currency.",
        "amount": _fault_of_amount(amount) if fixed else "",
        "least": "" if fixed else _fault_of_amount(least),
        "most": "" if fixed else _fault_of_most(least, most),
        "times": ""
        if times is not None
        else f"Write a number from 1 to {TIMES_MAX:,}, or nothing.",
        "days": "" if days is not None else f"Write a number from 1 to {DAYS_MAX:,}, or nothing.",
    }
    found = {name: fault for name, fault in faults.items() if fault}
    if found:
        return found
    return Wanted(
        description=typed["description"],
        order_number=typed["order"] or None,
        currency=unit.code,
        amount_minor=_minor(amount) if fixed else None,
        amount_minor_min=None if fixed else _minor(least),
        amount_minor_max=None if fixed else _minor(most),
        times_max=times or None,
        days=days or None,
    )


def _link(wanted: Wanted, merchant_id: UUID, link_id: UUID, now: datetime, actor: str) -> Link:
    values = msgspec.structs.asdict(wanted)
    days = values.pop("days")
    return Link(
        merchant_id=merchant_id,
        link_id=link_id,
        taken=0,
        expires_at=now + timedelta(days=days) if days else None,
        created_at=now,
        created_by=actor,
        ended_at=None,
        **values,
    )


def _fault_of_text(text: str, most: int) -> str:
    if not text:
        return "Say what is paid: it stands on the page and on the receipt."
    if holds_card(text):
        return "This looks like a card's number, which never stands on a page."
    if unseen := unseen_in(text):
        return unseen
    return "" if len(text) <= most else f"Use up to {most} characters."


def _fault_of_order(text: str) -> str:
    fine = text.isascii() and text.isprintable() and len(text) <= ORDER_CHARACTERS_MAX
    if sum(each.isdigit() for each in text) >= PAN_DIGITS_MIN:
        return "Use a shorter number: this could be a card's."
    return "" if fine else f"Use up to {ORDER_CHARACTERS_MAX} plain letters and digits."


def _minor(amount: int | str) -> int | None:
    return amount if isinstance(amount, int) else None


def _fault_of_amount(amount: int | str) -> str:
    return amount if isinstance(amount, str) else ""


def _fault_of_most(least: int | str, most: int | str) -> str:
    if isinstance(least, int) and isinstance(most, int) and most < least:
        return "This has to be at least as much as the least."
    return _fault_of_amount(most)


def _count(text: str, most: int) -> int | None:
    """
    Return a whole number, 0 for nothing, None for what is neither.
    """
    if not text:
        return 0
    fine = text.isascii() and text.isdecimal() and len(text) <= len(str(most))
    return int(text) if fine and 1 <= int(text) <= most else None


async def _found(visit: Visit) -> Link:
    link = await _store(visit).one(_merchant(visit), _id(visit.named("link_id")))
    if link is None:
        raise HTTPException(404)
    return link


def _id(text: str, prefix: str = ids.LINK) -> UUID:
    try:
        return ids.read(prefix, text)
    except ids.UnreadableId:
        raise HTTPException(404) from None


def _checkout_id(text: str) -> UUID:
    return _id(text, ids.CHECKOUT)


def _store(visit: Visit) -> LinkStore:
    return LinkStore(visit.desk.database, visit.desk.desk.road.ids)


def _merchant(visit: Visit) -> UUID:
    return visit.who.merchant.merchant_id


ONE = "/links/{link_id}"
PAGES = (
    Page(path="/links", endpoint=listing, right=Right.LINKS),
    Page(path="/links/new", endpoint=new, right=Right.LINKS),
    Page(path="/links", endpoint=make, right=Right.LINKS, method="POST"),
    Page(path=ONE, endpoint=show, right=Right.LINKS),
    Page(path=f"{ONE}/code.svg", endpoint=code, right=Right.LINKS),
    Page(path=f"{ONE}/end", endpoint=end_form, right=Right.LINKS),
    Page(path=f"{ONE}/end", endpoint=end, right=Right.LINKS, method="POST"),
)
