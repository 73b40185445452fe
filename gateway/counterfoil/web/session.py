"""
The signed-in browser: its cookie, its limits, the token of its forms.

The cookie holds 256 random bits, of which the database keeps the SHA-256. It is made anew at each
sign-in, step-up and change of merchant, so that one which was planted before is worth nothing.
"""

import hashlib
import hmac
import secrets
from datetime import datetime, timedelta
from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response

from counterfoil.people.person import Who
from counterfoil.store.people import NewSession
from counterfoil.web.desk import WebDesk

COOKIE = "__Host-counterfoil"
HALF_COOKIE = "__Host-counterfoil-half"
HALF_FOR = timedelta(minutes=10)
TOKEN_BYTES = 32
TOKEN_CHARACTERS_MAX = 64
IDLE = timedelta(minutes=15)  # PCI DSS 8.2.8
ABSOLUTE = timedelta(hours=12)
STEP_UP = timedelta(minutes=5)
SEEN_EVERY = timedelta(seconds=30)  # How exactly we know when somebody was seen last.
ADDRESS_CHARACTERS_MAX = 64
BROWSER_CHARACTERS_MAX = 200


def new_token() -> str:
    """
    Return what a cookie or a one-time link holds.
    """
    return secrets.token_urlsafe(TOKEN_BYTES)


def token_of(request: Request) -> str | None:
    """
    Return the cookie's token.
    """
    return _token_in(request, COOKIE)


def _token_in(request: Request, cookie: str) -> str | None:
    token = request.cookies.get(cookie, "")
    return token if 0 < len(token) <= TOKEN_CHARACTERS_MAX and token.isascii() else None


def csrf_of(token: str) -> str:
    """
    Return what every form of a signed-in browser carries: made of its cookie, and not the cookie.
    """
    return hmac.new(token.encode(), b"counterfoil csrf", hashlib.sha256).hexdigest()


async def guest_of(request: Request, desk: WebDesk, *, seen: bool = True) -> tuple[Who | None, str]:
    """
    Return who is signed in, if anybody, and the token of their forms.

    A request that no person makes, but a page by itself, is not *seen*: it lets them stand idle.
    """
    token = token_of(request)
    if token is None:
        return None, ""
    now = desk.clock.now()
    who = await desk.people.who(token, now)
    if who is None:
        return None, ""
    if seen and now - who.seen_at >= SEEN_EVERY:
        await desk.people.touch(who.session_id, now, now + IDLE)
    return who, csrf_of(token)


async def begin(
    request: Request,
    desk: WebDesk,
    user_id: UUID,
    merchant_id: UUID,
    *,
    half_token: str | None = None,
    is_stepped_up: bool = False,
) -> str | None:
    """
    Sign a browser in and return the token of its new cookie.

    After a second factor, *half_token* is used up; None when it was already, or has lapsed.
    """
    token, now = new_token(), desk.clock.now()
    begun = await desk.people.begin_session(
        NewSession(
            token=token,
            user_id=user_id,
            merchant_id=merchant_id,
            address=address_of(request),
            browser=_printable(request.headers.get("user-agent", ""))[:BROWSER_CHARACTERS_MAX],
            now=now,
            idle_until=now + IDLE,
            ends_at=now + ABSOLUTE,
            stepped_up_at=now if is_stepped_up else None,
            half_token=half_token,
        )
    )
    return token if begun else None


def give_half(response: Response, token: str) -> Response:
    """
    Let *response* set the cookie of somebody whose password was right, which opens nothing else.
    """
    response.set_cookie(HALF_COOKIE, token, path="/", secure=True, httponly=True, samesite="strict")
    return response


def half_token_of(request: Request) -> str | None:
    """
    Return the token of somebody whose password was right.
    """
    return _token_in(request, HALF_COOKIE)


def give(response: Response, token: str) -> Response:
    """
    Let *response* set the cookie.
    """
    response.set_cookie(COOKIE, token, path="/", secure=True, httponly=True, samesite="strict")
    response.delete_cookie(HALF_COOKIE, path="/", secure=True, httponly=True, samesite="strict")
    return response


def take_away(response: Response) -> Response:
    """
    Let *response* remove the cookie.
    """
    response.delete_cookie(COOKIE, path="/", secure=True, httponly=True, samesite="strict")
    return response


def is_stepped_up(who: Who, now: datetime) -> bool:
    """
    Return whether *who* has proved anew, a short while ago, who they are.
    """
    return who.stepped_up_at is not None and now - who.stepped_up_at < STEP_UP


def address_of(request: Request) -> str:
    """
    Return the address that a request came from.
    """
    return (request.client.host if request.client else "unknown")[:ADDRESS_CHARACTERS_MAX]


def _printable(text: str) -> str:
    return "".join(each for each in text if each.isprintable())
