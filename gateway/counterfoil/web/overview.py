"""
Where a signed-in person lands: the page of their role that they need first.
"""

from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse, Response

from counterfoil.web.rendering import MENU
from counterfoil.web.visit import Page, Visit


async def home(visit: Visit) -> Response:
    """
    Lead on to the first page that this person may see; the owner's is Today.
    """
    first = ["/today"] if visit.who.role == "owner" else []
    allowed = first + [path for path, _, right in MENU if visit.who.may(right)]
    if not allowed:
        raise HTTPException(403, "Your role sees no page here.")
    return RedirectResponse(allowed[0], 303)


PAGES = (Page(path="/", endpoint=home),)
