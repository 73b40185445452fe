"""
What a form has done, said once by the page that it leads to.

The address says what was done, and a cookie that it was done just now. The page takes the cookie
away, so that neither a reload nor an address that somebody kept or sent says it again.
"""

import hashlib
import hmac

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

COOKIE = "__Host-counterfoil-done"
FOR_SECONDS = 60
FIELD = "done"


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
    if f"?{FIELD}=" not in address:
        return
    answer.set_cookie(
        COOKIE,
        _digest(address.partition("#")[0]),
        max_age=FOR_SECONDS,
        path="/",
        secure=True,
        httponly=True,
        samesite="strict",
    )


def said_by(request: Request) -> str:
    """
    Return what was done just now and is to be said; nothing when it was said, or never done.
    """
    done = request.query_params.get(FIELD, "")
    expected = _digest(address_of(request.url.path, done))
    kept = request.cookies.get(COOKIE, "")
    return done if done and hmac.compare_digest(kept.encode(), expected.encode()) else ""


def take_away(answer: Response) -> None:
    """
    Let it be said no more.
    """
    answer.delete_cookie(COOKIE, path="/", secure=True, httponly=True, samesite="strict")


def _digest(address: str) -> str:
    return hashlib.sha256(address.encode()).hexdigest()[:32]
