"""
The two sites of a web process: merchants' pages on one origin, payment pages on another.

Each route is a `Page` that names the right it takes. What a page refuses becomes a page in words;
whatever breaks is logged by its type and place, because values may be secret.
"""

import ipaddress
import time
from collections.abc import Iterable, Mapping
from urllib.parse import quote

import structlog
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from counterfoil.api.problems import Problem
from counterfoil.checkouts import inventory, policy
from counterfoil.outside.doors import DoorsClosed
from counterfoil.payments.refusals import NothingWritten, NotNow, PaymentUnknown, Refused
from counterfoil.routing.routes import NoRoute
from counterfoil.store.database import DatabaseAway
from counterfoil.store.writer import QueueFull
from counterfoil.web import (
    attention,
    audit,
    batches,
    deposits,
    developers,
    doing,
    interrupted,
    just_done,
    link_page,
    me,
    me_factors,
    me_passkeys,
    overview,
    page_reports,
    passkey_sign_in,
    payment,
    payment_links,
    payment_page,
    payments,
    people,
    receipts,
    reports,
    saved_cards,
    screening,
    second_step,
    session,
    settings,
    signing_in,
    specimen,
    step_up,
    terminal,
    terminal_refund,
    terminal_sales,
    today,
    webhooks,
    welcome,
)
from counterfoil.web.counts import counts_of
from counterfoil.web.desk import WebDesk
from counterfoil.web.forms import check_characters, check_csrf, comes_from, read_form
from counterfoil.web.rendering import page
from counterfoil.web.visit import Page, Visit

# Every page of the merchants' origin: a module of pages adds its own here.
PAGES: tuple[Page, ...] = (
    *signing_in.PAGES,
    *second_step.PAGES,
    *passkey_sign_in.PAGES,
    *welcome.PAGES,
    *step_up.PAGES,
    *me.PAGES,
    *me_factors.PAGES,
    *me_passkeys.PAGES,
    *overview.PAGES,
    *batches.PAGES,
    *deposits.PAGES,
    *reports.PAGES,
    *receipts.PAGES,
    *settings.PAGES,
    *screening.PAGES,
    *today.PAGES,
    *payments.PAGES,
    *payment.PAGES,
    *doing.PAGES,
    *attention.PAGES,
    *developers.PAGES,
    *webhooks.PAGES,
    *people.PAGES,
    *audit.PAGES,
    *payment_links.PAGES,
    *saved_cards.PAGES,
    *terminal_refund.PAGES,
    *terminal_sales.PAGES,
    *terminal.PAGES,
)
# Every page of the payment pages' origin.
CHECKOUT_PAGES: tuple[Page, ...] = (*specimen.PAGES, *payment_page.PAGES, *link_page.PAGES)

READING = ("GET", "HEAD")
HEADERS = {
    **policy.HEADERS,
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; "
        "connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'; "
        "object-src 'none'; require-trusted-types-for 'script'; trusted-types live; "
        f"report-uri {policy.REPORTS}; report-to pages"
    ),
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
STATIC_HEADERS = {"Cache-Control": "public, max-age=31536000, immutable"}

log = structlog.get_logger("web")


def application(desk: WebDesk, *, checkout_port: int) -> ASGIApp:
    """
    Return both sites: which one is asked for, the port on which a request came says.

    Behind proxies that are trusted, everything inside sees the address of whoever asked them: the
    last one in X-Forwarded-For that is none of theirs.
    """
    merchants = _site(desk, PAGES, desk.configuration.web_origin)
    checkout = _site(desk, CHECKOUT_PAGES, desk.configuration.checkout_origin, shoppers=True)

    async def by_port(scope: Scope, receive: Receive, send: Send) -> None:
        server = scope.get("server") or ("", 0)
        await (checkout if server[1] == checkout_port else merchants)(scope, receive, send)

    proxies = desk.configuration.web.trusted_proxies
    if not proxies:
        return by_port
    behind: ASGIApp = ProxyHeadersMiddleware(by_port, _as_they_come(proxies))  # type: ignore[arg-type, assignment]  # Types of its own.
    return behind


def _as_they_come(proxies: Iterable[str]) -> list[str]:
    """
    Return *proxies*, those of IPv4 also as a socket for both kinds says them: ::ffff:10.1.0.5.
    """
    networks = [ipaddress.ip_network(each) for each in proxies]
    wrapped = [
        f"::ffff:{each.network_address}/{96 + each.prefixlen}"
        for each in networks
        if each.version == 4
    ]
    return [str(each) for each in networks] + wrapped


def _site(
    desk: WebDesk, pages: Iterable[Page], origin: str, *, shoppers: bool = False
) -> Starlette:
    """
    Return one site. That of *shoppers* knows nobody, also where a cookie of the other one comes
    along: cookies do not tell ports apart. Its pages check the tokens of their own forms.
    """
    routes: list[BaseRoute] = [
        Route(each.path, _guarded(each, desk, origin, shoppers=shoppers), methods=[each.method])
        for each in pages
    ]
    routes.append(page_reports.route(desk, origin, shoppers=shoppers))
    static = StaticFiles(directory=inventory.STATIC)
    routes.append(Mount("/static", WithHeaders(static, STATIC_HEADERS), name="static"))

    async def fault(request: Request, error: Exception) -> Response:
        return await _fault(request, error, desk, shoppers=shoppers)

    headers = policy.HEADERS if shoppers else HEADERS
    return Starlette(
        routes=routes,
        # By name: what only `Exception` stands for is raised again after it was answered.
        exception_handlers=dict.fromkeys((*SAID_IN_WORDS, Exception), fault),
        middleware=[Middleware(Logged), Middleware(WithHeaders, headers=headers)],
    )


def _guarded(page: Page, desk: WebDesk, origin: str, *, shoppers: bool) -> ASGIApp:
    """
    Return *page* behind its guards: who, from where, with which right.
    """

    async def endpoint(visit: Visit) -> Response:
        request = visit.request
        check_characters(text for _, text in request.query_params.multi_items())
        check_characters(request.path_params.values())
        if request.method not in READING:
            if not comes_from(request, origin):
                raise HTTPException(403, "This form was sent from another site. Nothing was done.")
            if not page.only_asks:
                desk.desk.road.doors.let_anything_in()
            visit.form = await read_form(request)
        if not shoppers:
            visit.guest, visit.csrf = await session.guest_of(request, desk, seen=not page.is_live)
        if visit.guest is None:
            return await page.endpoint(visit) if page.open_to_all else _to_sign_in(visit, page)
        if request.method not in READING:
            check_csrf(visit.form, visit.csrf)
        lacks = desk.configuration.second_factor_required and not visit.guest.has_second_factor
        if lacks and not page.before_second_factor:
            return RedirectResponse("/me/second-factor", 303)
        if not page.is_for(visit.guest):
            raise HTTPException(403, f"Your role, {visit.guest.role}, is not allowed to do this.")
        if page.after_step_up and not session.is_stepped_up(visit.guest, desk.clock.now()):
            return _to_step_up(visit, page)
        visit.counts = await counts_of(visit)
        return await page.endpoint(visit)

    async def saying_once(request: Request) -> Response:
        visit = Visit(request=request, desk=desk)
        if request.method in READING:
            visit.done = just_done.said_by(request)
            if interrupted.is_over(request):
                return RedirectResponse(interrupted.as_for_everybody(request), 303)
        answer = await endpoint(visit)
        if answer.status_code == 200:
            if visit.done:
                just_done.take_away(answer)
            if interrupted.KEPT in request.query_params:
                interrupted.take_away(answer)
        return answer

    return saying_once  # type: ignore[return-value]  # Starlette tells functions and apps apart.


def _to_sign_in(visit: Visit, page: Page) -> Response:
    if page.by_script:
        return JSONResponse({"words": "You are signed out.", "at": "/sign-in"}, 401)
    back = page.when_lost(visit) if page.when_lost else "/"
    if visit.request.method in READING:
        back = _address(visit.request)
    return RedirectResponse(f"/sign-in?next={quote(back)}", 303)


def _to_step_up(visit: Visit, page: Page) -> Response:
    request = visit.request
    if page.by_script:
        return JSONResponse({"words": "This took more than five minutes.", "at": "/step-up"}, 401)
    if request.method in READING:
        return RedirectResponse(f"/step-up?next={quote(_address(request))}", 303)
    typed = {name: visit.form.get(name, "") for name in page.keeps}
    return interrupted.to_step_up(request.url.path, typed)


def _address(request: Request) -> str:
    query = request.url.query
    return f"{request.url.path}?{query}" if query else request.url.path


async def _fault(request: Request, error: Exception, desk: WebDesk, *, shoppers: bool) -> Response:
    """
    Return the page that says *error* in words.
    """
    status, title, words = _in_words(error)
    visit = Visit(request=request, desk=desk)
    try:
        if not shoppers:
            visit.guest, visit.csrf = await session.guest_of(request, desk, seen=False)
    except DatabaseAway:
        visit.guest = None
    headers: Mapping[str, str] = getattr(error, "headers", None) or {}
    template = "pay-fault.html" if shoppers else "fault.html"
    is_missing = status == 404
    answer = page(visit, template, status=status, title=title, words=words, is_missing=is_missing)
    answer.headers.update(headers)
    return answer


TITLES = {
    400: "This could not be read",
    403: "Not allowed",
    404: "Not found",
    405: "Not like this",
    413: "Too long",
    415: "Not like this",
    429: "Too often",
}


SAID_IN_WORDS = (
    HTTPException,
    Refused,
    DoorsClosed,
    NothingWritten,
    NoRoute,
    QueueFull,
    DatabaseAway,
    Problem,
)


def _in_words(error: Exception) -> tuple[int, str, str]:
    match error:
        case HTTPException():
            words = error.detail if error.status_code != 404 else "There is no such page here."
            return error.status_code, TITLES.get(error.status_code, "Not possible"), words
        case PaymentUnknown():
            return 404, "Not found", "This merchant has no such payment."
        case NotNow():
            return 409, "Not possible now", f"{error}."
        case DoorsClosed() | NothingWritten():
            return 503, "Nothing was done", f"{error}. Try again in a moment."
        case NoRoute():
            return 409, "No terminal", f"{error}."
        case QueueFull():
            return 503, "Busy", "Nothing was begun. Try again in a moment."
        case DatabaseAway():
            return 503, "The database does not answer", "Try again in a moment."
        case Problem():
            return 503, "Nothing was done", error.detail
        case Refused():
            return 409, "Not possible", f"{error}."
    log.error("fault", type=type(error).__name__, place=_place(error))
    return 500, "Something broke on our side", "It was written down. Nothing you typed was kept."


def _place(error: BaseException) -> str:
    trace = error.__traceback__
    while trace and trace.tb_next:
        trace = trace.tb_next
    return f"{trace.tb_frame.f_code.co_qualname}:{trace.tb_lineno}" if trace else "unknown"


class WithHeaders:
    """
    Adds *headers* to every answer that does not set them itself.
    """

    def __init__(self, app: ASGIApp, headers: Mapping[str, str]) -> None:
        self._app = app
        self._headers = [(name.lower().encode(), value.encode()) for name, value in headers.items()]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """
        Pass one request on.
        """

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                there = {name for name, _ in message["headers"]}
                message["headers"] += [each for each in self._headers if each[0] not in there]
            await send(message)

        await self._app(scope, receive, send_with_headers)


class Logged:
    """
    Logs one line for each request: the route's path, because a path itself may hold a token.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """
        Pass one request on.
        """
        began, status = time.monotonic(), 500

        async def send_noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, send_noting)
        finally:
            route = scope.get("route")
            milliseconds = round((time.monotonic() - began) * 1000, 1)
            log.info(
                "page",
                method=scope["method"],
                route=getattr(route, "path", "none"),
                status=status,
                milliseconds=milliseconds,
            )
