"""
The mailbox's pages.

    GET /                       the inbox, grouped by recipient: ?to=ADDRESS for one of them
    GET /messages/{id}          a message: its HTML part framed, its text, its headers
    GET /messages/{id}/html     the HTML part alone, under a policy that lets it do nothing
    GET /messages/{id}/raw      the source
    GET /messages.json          id, to, from, subject, date, message_id of every message
    GET /healthz                "ok"
"""

from collections import defaultdict
from importlib.resources import files
from pathlib import Path

import counterfoil_shop
import jinja2
from counterfoil_shop.guards import (
    LOOPBACK_HOSTS,
    SHOP_HEADERS,
    STATIC_HEADERS,
    Logged,
    WithHeaders,
)
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import (
    FileResponse,
    HTMLResponse,
    JSONResponse,
    PlainTextResponse,
    Response,
)
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.templating import Jinja2Templates
from starlette.types import ExceptionHandler

from counterfoil_proof.mailbox.messages import Kept, Messages, headers, parse, part

LETTERS_SHOWN_MAX = 100  # Of one recipient on the page; /messages.json lists all.

HEADERS = {
    **SHOP_HEADERS,
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; img-src 'self'; frame-src 'self'; "
        "form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
    ),
}
# A mail may style itself and show pictures that it brings along. It runs nothing, loads
# nothing, and leads nowhere.
MAIL_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'unsafe-inline'; img-src data:; form-action 'none'; "
        "base-uri 'none'; frame-ancestors 'self'; sandbox"
    ),
    "X-Frame-Options": "SAMEORIGIN",
}

_HERE = Path(__file__).parent
_TOKENS = files(counterfoil_shop) / "static" / "tokens.css"  # One family with the shop.
_environment = jinja2.Environment(
    loader=jinja2.FileSystemLoader(_HERE / "templates"),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_environment.filters["day"] = lambda at: f"{at:%d %b %Y, %H:%M:%S} UTC"
_templates = Jinja2Templates(env=_environment)


def build(messages: Messages) -> Starlette:
    """
    The pages over *messages*.
    """
    app = Starlette(
        routes=ROUTES,
        exception_handlers=FAULTS,
        middleware=[
            Middleware(Logged),
            Middleware(WithHeaders, headers=HEADERS),
            Middleware(TrustedHostMiddleware, allowed_hosts=LOOPBACK_HOSTS, www_redirect=False),
        ],
    )
    app.state.messages = messages
    return app


async def inbox(request: Request) -> Response:
    """
    Who got mail, and what.
    """
    grouped = _by_recipient(_messages(request).newest_first())
    only = request.query_params.get("to")
    shown = {only: grouped.get(only, [])} if only else grouped
    return _page(
        request,
        "inbox.html",
        recipients=grouped,
        shown=shown,
        only=only,
        letters_max=LETTERS_SHOWN_MAX,
    )


async def message_page(request: Request) -> Response:
    """
    One message.
    """
    kept = _find(request)
    message = parse(await _raw(request, kept))
    return _page(
        request,
        "message.html",
        kept=kept,
        has_html=part(message, "html") is not None,
        text=part(message, "plain"),
        headers=headers(message),
    )


async def message_html(request: Request) -> Response:
    """
    The HTML part of a message, for the frame.
    """
    html = part(parse(await _raw(request, _find(request))), "html")
    if html is None:
        raise HTTPException(404, "This message has no HTML part.")
    return HTMLResponse(html, headers=MAIL_HEADERS)


async def message_raw(request: Request) -> Response:
    """
    The source of a message.
    """
    raw = await _raw(request, _find(request))
    return PlainTextResponse(raw.decode("utf-8", "replace"))


async def messages_json(request: Request) -> Response:
    """
    Every message, for programs.
    """
    return JSONResponse([_told(kept) for kept in _messages(request).newest_first()])


async def tokens_css(request: Request) -> Response:
    """
    The colours and sizes that the shop's pages use, too.
    """
    return FileResponse(str(_TOKENS), media_type="text/css", headers=STATIC_HEADERS)


async def health(request: Request) -> Response:
    """
    That the mailbox answers.
    """
    return PlainTextResponse("ok")


async def fault(request: Request, error: Exception) -> Response:
    """
    A page for what cannot be shown.
    """
    if not isinstance(error, HTTPException):
        error = HTTPException(500, "The mailbox could not show this.")
    return _page(request, "fault.html", status_code=error.status_code, fault=error)


FAULTS: dict[int | type[Exception], ExceptionHandler] = {HTTPException: fault, 500: fault}

ROUTES: list[BaseRoute] = [
    Route("/", inbox),
    Route("/messages.json", messages_json),
    Route("/messages/{id}", message_page),
    Route("/messages/{id}/html", message_html),
    Route("/messages/{id}/raw", message_raw),
    Route("/healthz", health),
    Route("/static/tokens.css", tokens_css),
    Mount(
        "/static",
        StaticFiles(directory=_HERE / "static"),
        middleware=[Middleware(WithHeaders, headers=STATIC_HEADERS)],
    ),
]


def _by_recipient(listed: list[Kept]) -> dict[str, list[Kept]]:
    grouped: defaultdict[str, list[Kept]] = defaultdict(list)
    for kept in listed:
        for recipient in kept.to or ("nobody",):
            grouped[recipient].append(kept)
    return dict(grouped)


def _told(kept: Kept) -> dict[str, object]:
    return {
        "id": kept.id,
        "to": list(kept.to),
        "from": kept.sender,
        "subject": kept.subject,
        "date": kept.date,
        "message_id": kept.message_id,
    }


def _page(request: Request, name: str, *, status_code: int = 200, **context: object) -> Response:
    return _templates.TemplateResponse(request, name, context, status_code=status_code)


def _find(request: Request) -> Kept:
    kept = _messages(request).find(request.path_params["id"])
    if kept is None:
        raise HTTPException(404, "There is no such message.")
    return kept


async def _raw(request: Request, kept: Kept) -> bytes:
    try:
        return await _messages(request).raw(kept)
    except FileNotFoundError:
        raise HTTPException(404, "This message's file was deleted.") from None


def _messages(request: Request) -> Messages:
    messages: Messages = request.app.state.messages
    return messages
