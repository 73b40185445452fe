"""
What a form has done, said once by the page that it leads to.
"""

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from counterfoil.web.once import Once

FIELD = "done"

_DONE = Once("__Host-counterfoil-done")

take_away = _DONE.take_away


def lead_to(path: str, done: str, *, part: str = "") -> RedirectResponse:
    """
    Lead to *path*, or to a *part* of it, which says once what was *done*.
    """
    address = address_of(path, done, part=part)
    answer = RedirectResponse(address, 303)
    let_say(answer, address)
    return answer


def address_of(path: str, done: str, *, part: str = "") -> str:
    """
    Return the address of *path* that says what was *done*.
    """
    return f"{path}?{FIELD}={done}" + (f"#{part}" if part else "")


def let_say(answer: Response, address: str) -> None:
    """
    Let the page at *address* say once what that says, if it says anything.
    """
    if f"?{FIELD}=" in address:
        _DONE.let_say(answer, address)


def said_by(request: Request) -> str:
    """
    Return what was done just now and is to be said; nothing when it was said, or never done.
    """
    done = request.query_params.get(FIELD, "")
    return done if done and _DONE.may_say(request, address_of(request.url.path, done)) else ""
