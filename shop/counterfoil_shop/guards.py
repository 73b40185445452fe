"""
What stands before every page: headers, hosts, foreign forms, large bodies, and the log line.
"""

import logging
import time
from collections.abc import Mapping
from urllib.parse import parse_qsl, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from counterfoil_shop import log

FORM_BYTES_MAX = 16 * 1024
FORM_FIELDS_MAX = 20
FORM_TYPE = "application/x-www-form-urlencoded"
LOOPBACK_HOSTS = ("127.0.0.1", "localhost", "::1", "[::1]")  # Also what stops DNS rebinding.

SHOP_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; "
        "base-uri 'none'; frame-ancestors 'none'"
    ),
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=()",
    "Referrer-Policy": "same-origin",  # An order's address carries its token: nobody else sees it.
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}

STATIC_HEADERS = {"Cache-Control": "max-age=300"}

_logger = logging.getLogger(__name__)


class WithHeaders:
    """
    Adds *headers* to every answer that does not set them itself.
    """

    def __init__(self, app: ASGIApp, headers: Mapping[str, str]) -> None:
        self._app = app
        self._headers = headers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """
        Pass one request on.
        """

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in self._headers.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, send_with_headers)


class Logged:
    """
    Logs one line for each request: the path without its query, where an order's token is.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """
        Pass one request on.
        """
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.monotonic()
        status = 500

        async def send_noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, send_noting)
        finally:
            facts = {"method": scope["method"], "path": scope["path"], "status": status}
            ms = round((time.monotonic() - started) * 1000, 1)
            log.event(_logger, "request", **facts, ms=ms)


def comes_from_here(headers: Headers) -> bool:
    """
    Whether a form was sent by one of our own pages, or by a program that is no browser.

    Browsers tell in Sec-Fetch-Site, older ones in Origin; a program sends neither.
    """
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site in ("same-origin", "none")
    origin = headers.get("origin")
    return origin is None or urlsplit(origin).netloc == headers.get("host")


async def read_form(request: Request) -> dict[str, str]:
    """
    The fields of a posted form.

    Raises:
        HTTPException: 403 from another site, 413 too long, 415 of another type, 400 garbled.
    """
    if not comes_from_here(request.headers):
        raise HTTPException(403, "This form was sent from another site.")
    if request.headers.get("content-type", "").split(";")[0].strip().lower() != FORM_TYPE:
        raise HTTPException(415, f"Send the form as {FORM_TYPE}.")
    body = await _read_body(request)
    try:
        pairs = parse_qsl(
            body.decode("ascii"),
            keep_blank_values=True,
            errors="strict",
            max_num_fields=FORM_FIELDS_MAX,
        )
    except ValueError:
        raise HTTPException(400, "This form could not be read.") from None
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise HTTPException(400, "This form has a field twice.")
    return fields


async def _read_body(request: Request) -> bytes:
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > FORM_BYTES_MAX:
            raise HTTPException(413, "This form is too long.")
    return body
