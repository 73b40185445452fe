"""
What a browser sends: forms, read within limits, and only from our own pages.
"""

import asyncio
import hmac
from collections.abc import Iterable
from urllib.parse import parse_qsl, urlsplit

from starlette.exceptions import HTTPException
from starlette.requests import Request

from counterfoil.lines import without_turns

FORM_BYTES_MAX = 32 * 1024
FORM_FIELDS_MAX = 100
BODY_SECONDS_MAX = 20.0
FORM_TYPE = "application/x-www-form-urlencoded"
CSRF_FIELD = "csrf"
AS_TYPED = frozenset(("password",))  # It is shown to nobody.


def comes_from(request: Request, origin: str) -> bool:
    """
    Return whether the request was made by a page of *origin*, as browsers tell by themselves.

    One that says neither where it comes from is no browser of today: refused.
    """
    said_site = request.headers.get("sec-fetch-site")
    if said_site is not None and said_site != "same-origin":
        return False
    said_origin = request.headers.get("origin")
    if said_origin is None or said_origin == "null":
        return said_site == "same-origin"
    # The port of a local installation may be forwarded: the host that was asked counts as well.
    return said_origin == origin or _host(said_origin) == request.headers.get("host")


def _host(said_origin: str) -> str:
    try:
        return urlsplit(said_origin).netloc
    except ValueError:  # Such as one that opens a bracket: no browser says that.
        return ""


async def read_form(request: Request) -> dict[str, str]:
    """
    Return the fields of a form that was sent, without marks that turn the direction of text.

    Raises:
        HTTPException: 413 too long, 408 too slow, 415 of another type, 400 garbled, a field twice.
    """
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != FORM_TYPE:
        raise HTTPException(415, f"Send the form as {FORM_TYPE}.")
    body = await read_body(request, FORM_BYTES_MAX)
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
    check_characters(fields.values())
    return {name: text if name in AS_TYPED else without_turns(text) for name, text in pairs}


async def read_body(request: Request, bytes_max: int) -> bytes:
    """
    Return what was sent, up to *bytes_max*, if it comes in time.

    Raises:
        HTTPException: 413 too long, 408 too slow.
    """
    body = b""
    try:
        async with asyncio.timeout(BODY_SECONDS_MAX):
            async for chunk in request.stream():
                body += chunk
                if len(body) > bytes_max:
                    raise HTTPException(413, "What was sent is too long.")
    except TimeoutError:
        raise HTTPException(408, "This took too long to arrive. Nothing was done.") from None
    return body


def check_characters(texts: Iterable[str]) -> None:
    """
    Refuse a character that no keyboard has, and that the database does not keep.

    Raises:
        HTTPException: 400.
    """
    if any("\0" in text for text in texts):
        raise HTTPException(400, "A character stands in this that no keyboard has.")


def check_csrf(form: dict[str, str], expected: str) -> None:
    """
    Refuse a form that does not carry the session's own token.

    Raises:
        HTTPException: 403.
    """
    said = form.pop(CSRF_FIELD, "")
    if not hmac.compare_digest(said.encode(), expected.encode()):
        raise HTTPException(
            403, "This form belongs to another sign-in. Nothing was done: go back and reload."
        )


def local_path(text: str, otherwise: str) -> str:
    """
    Return *text* if it is a path of this site and nothing else, so that no link leads elsewhere.
    """
    try:
        parts = urlsplit(text)
    except ValueError:
        return otherwise
    clean = text.isascii() and text.isprintable() and "\\" not in text
    if clean and not parts.scheme and not parts.netloc and text.startswith("/"):
        return otherwise if text.startswith("//") else text
    return otherwise
