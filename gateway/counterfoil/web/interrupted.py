"""
Forms that a step-up interrupts: nothing is done, and the way leads back to the form, which holds
what was typed. It stands in the address meanwhile, so never a secret and never a card.
"""

from collections.abc import Mapping
from urllib.parse import quote

from starlette.responses import RedirectResponse, Response

from counterfoil.web.astray import holds_card
from counterfoil.web.filters import address

KEPT = "kept"  # Says in an address that nothing was done yet; the page then says so too.


def to_step_up(form: str, typed: Mapping[str, str]) -> Response:
    """
    Return the way to prove anew who one is, and back to the path *form* with what was *typed*.
    """
    return RedirectResponse(f"/step-up?next={quote(way_back(form, typed))}", 303)


def way_back(form: str, typed: Mapping[str, str]) -> str:
    """
    Return the address of *form* that holds what was *typed*.
    """
    kept = {name: text for name, text in typed.items() if not holds_card(text)}
    return address(form, {**kept, KEPT: "yes"})
