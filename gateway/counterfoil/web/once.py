"""
What an address may say one time only: a cookie lets it, and the page that says it takes it away.

Neither a reload, nor the way back in a browser, nor an address that somebody kept or sent says it
again.
"""

import hashlib
import hmac
from urllib.parse import parse_qsl, urlsplit

from starlette.requests import Request
from starlette.responses import Response

FOR_SECONDS = 60


class Once:
    """
    One kind of thing that is said once, by the name of its cookie.
    """

    def __init__(self, cookie: str) -> None:
        self._cookie = cookie

    def let_say(self, answer: Response, address: str) -> None:
        """
        Let the page at *address*, to which *answer* leads, say once what the address says.
        """
        answer.set_cookie(
            self._cookie,
            _digest(address),
            max_age=FOR_SECONDS,
            path="/",
            secure=True,
            httponly=True,
            samesite="strict",
        )

    def may_say(self, request: Request, address: str) -> bool:
        """
        Return whether what *address* says may be said to *request*.
        """
        given = request.cookies.get(self._cookie, "")
        return hmac.compare_digest(given.encode(), _digest(address).encode())

    def take_away(self, answer: Response) -> None:
        """
        Let it be said no more.
        """
        answer.delete_cookie(self._cookie, path="/", secure=True, httponly=True, samesite="strict")


def _digest(address: str) -> str:
    """
    Return the digest of path and query, however a browser has written their signs.
    """
    parts = urlsplit(address)
    said = repr((parts.path, parse_qsl(parts.query, keep_blank_values=True)))
    return hashlib.sha256(said.encode()).hexdigest()[:32]
