"""
Forms that a step-up interrupts: nothing is done, and the way leads back to the form, which holds
what was typed. It stands in the address meanwhile, so never a secret and never a card.

That page says once that nothing was done yet. Back in the browser's history, when it may have been
done, the address leads to the form as it is for everybody. A form that moves money keeps the key or
the id under which it was sent, too: whoever comes back by the step-up itself sends the same form.
"""

from collections.abc import Mapping
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from counterfoil.web.astray import holds_card
from counterfoil.web.filters import address
from counterfoil.web.once import Once

KEPT = "kept"  # Says in an address that nothing was done yet; the page then says so too.
# What says which form it was, and is not typed: it stays when the rest of an address is over.
CHOSEN = ("kind", "card")

_KEPT = Once("__Host-counterfoil-kept")

take_away = _KEPT.take_away


def to_step_up(form: str, typed: Mapping[str, str], **own: str) -> Response:
    """
    Return the way to prove anew who one is, and back to the path *form* with what was *typed*.
    """
    return RedirectResponse(f"/step-up?next={quote(way_back(form, typed, **own))}", 303)


def way_back(form: str, typed: Mapping[str, str], **own: str) -> str:
    """
    Return the address of *form* that holds what was *typed*, and the form's *own* key or id.
    """
    kept = {name: text for name, text in typed.items() if not holds_card(text)}
    return address(form, {**kept, **own, KEPT: "yes"})


def as_for_everybody(request: Request) -> str:
    """
    Return the address of the form for which *request* asks, without what was typed.
    """
    asked = request.query_params
    return address(request.url.path, {name: asked.get(name, "") for name in CHOSEN})


def let_say(answer: Response, onward: str) -> None:
    """
    Let the page at *onward*, to which a step-up leads, hold once what was typed before it.
    """
    if f"{KEPT}=" in onward:
        _KEPT.let_say(answer, onward)


def is_over(request: Request) -> bool:
    """
    Return whether *request* asks for what a form held before a step-up, and was shown it already.
    """
    url = request.url
    return KEPT in request.query_params and not _KEPT.may_say(request, f"{url.path}?{url.query}")
