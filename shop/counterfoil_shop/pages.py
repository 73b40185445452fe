"""
The shop's pages: window, product, checkout, order.

    GET  /                       the shop window
    GET  /products/{slug}        one product, and how many
    GET  /checkout               the form: ?product=SLUG&quantity=N
    POST /checkout               order and payment; 303 to the order's page
    GET  /orders/{order}         how the order stands: ?token=...
    GET  /orders/{order}/back    from the gateway's payment page, signed; 303 to the order's page
    GET  /orders/{order}.json    the same for programs
    GET  /healthz                "ok"

An order's page opens only with the order's own random token, so that nobody reads
another's order by counting.
"""

import hmac
import logging
import re
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlencode

import jinja2
from counterfoil_client import ReturnRefused, verify_return
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.templating import Jinja2Templates
from starlette.types import ExceptionHandler

from counterfoil_shop import catalog, checkout, log
from counterfoil_shop.books import Order, Purchase
from counterfoil_shop.guards import STATIC_HEADERS, WithHeaders, read_form
from counterfoil_shop.till import Till, TillBusyError

REFRESH_SECONDS = 2  # How often the page of an undecided order looks again.
BRAND_NAMES = {
    "visa": "Visa",
    "mastercard": "Mastercard",
    "amex": "American Express",
    "discover": "Discover",
}

UNSIGNED = "rsec_"  # Of an order without a page: nothing is signed with it.
_logger = logging.getLogger(__name__)
_HERE = Path(__file__).parent
_environment = jinja2.Environment(
    loader=jinja2.FileSystemLoader(_HERE / "templates"),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_environment.filters["dollars"] = catalog.dollars
_environment.filters["brand"] = lambda brand: BRAND_NAMES.get(brand, "Card")
_environment.filters["day"] = lambda at: f"{datetime.fromisoformat(at):%d %b %Y, %H:%M} UTC"
_templates = Jinja2Templates(env=_environment)


async def window(request: Request) -> Response:
    """
    The shop window.
    """
    return _page(request, "window.html", products=catalog.PRODUCTS)


async def product(request: Request) -> Response:
    """
    One product, and how many of it.
    """
    shown = _product(request.path_params["slug"])
    return _page(request, "product.html", product=shown, quantity_max=catalog.QUANTITY_MAX)


async def checkout_form(request: Request) -> Response:
    """
    The empty form, or after a declined order the form without what the shopper knows by heart.
    """
    bought = _product(request.query_params.get("product", catalog.PRODUCTS[0].slug))
    fields: dict[str, str] = {"quantity": request.query_params.get("quantity", "1")}
    if "again" in request.query_params:
        earlier = await _order(request, request.query_params["again"])
        fields |= {
            "name": earlier.customer_name,
            "email": earlier.customer_email,
            "postal_code": earlier.postal_code,
        }
    return _checkout(request, bought, checkout.typed(fields), {})


async def place_order(request: Request) -> Response:
    """
    Check the form, take the payment, show the way to the order.
    """
    fields = await read_form(request)
    bought = _product(fields.get("product", ""))
    checked = checkout.check(fields, bought, datetime.now(UTC).date())
    if isinstance(checked, dict):
        return _checkout(request, bought, checkout.typed(fields), checked)
    if checked.card is None:
        return await _to_the_page(request, checked.purchase)
    try:
        order = await _till(request).buy(checked.purchase, checked.card)
    except TillBusyError:
        raise HTTPException(503, "The till is busy; nothing was charged.") from None
    return RedirectResponse(_address(order), status_code=303)


async def back(request: Request) -> Response:
    """
    Whoever comes back from the payment page: what it says is believed if it is signed, and looked
    up in any case.
    """
    order = await _order(request, request.path_params["order"])
    try:
        said = verify_return(str(request.url), order.return_secret or UNSIGNED)
        log.event(_logger, "came_back", order=order.number, status=said.status)
    except ReturnRefused as refusal:
        log.event(_logger, "return_refused", order=order.number, reason=str(refusal))
    await _till(request).look_at(order.number)
    return RedirectResponse(_address(order), status_code=303)


async def _to_the_page(request: Request, purchase: Purchase) -> Response:
    """
    Place the order and lead to its page here, which leads on: no redirect goes from a form to
    another site, which our own policy forbids.
    """

    def lead_back(order: Order) -> str:
        path = f"orders/{order.number}/back?{urlencode({'token': order.access_token})}"
        return f"{request.base_url}{path}"

    order = await _till(request).open_page(purchase, lead_back)
    return RedirectResponse(f"{_address(order)}&go=1", status_code=303)


async def order_page(request: Request) -> Response:
    """
    How an order stands, for the shopper who placed it.
    """
    order = await _order(request, request.path_params["order"])
    bought = catalog.find(order.product)
    return _page(
        request,
        "order.html",
        order=order,
        product=bought,
        refresh_seconds=REFRESH_SECONDS if order.status == "unknown" else None,
        goes_on="go" in request.query_params,
        again=urlencode(
            {
                "product": order.product,
                "quantity": order.quantity,
                "again": order.number,
                "token": order.access_token,
            }
        ),
    )


async def order_json(request: Request) -> Response:
    """
    How an order stands, for a program.
    """
    order = await _order(request, request.path_params["order"])
    return JSONResponse({**summary(order), "shopper_message": order.shopper_message})


async def health(request: Request) -> Response:
    """
    That the shop answers.
    """
    return PlainTextResponse("ok")


def summary(order: Order) -> dict[str, object]:
    """
    An order as the shop tells it to programs.
    """
    return {
        "order": str(order.number),
        "payment_id": order.payment_id,
        "rrn": order.rrn,
        "confirmation_number": order.confirmation_number,
        "amount_minor": order.amount_minor,
        "currency": order.currency,
        "status": order.status,
    }


async def fault(request: Request, error: Exception) -> Response:
    """
    A page for what cannot be shown, in words and without inner details.
    """
    if not isinstance(error, HTTPException):
        error = HTTPException(500, "Something broke on our side. Your order page knows more.")
    return _page(request, "fault.html", status_code=error.status_code, fault=error)


FAULTS: dict[int | type[Exception], ExceptionHandler] = {HTTPException: fault, 500: fault}

ROUTES: list[BaseRoute] = [
    Route("/", window),
    Route("/products/{slug}", product),
    Route("/checkout", checkout_form),
    Route("/checkout", place_order, methods=["POST"]),
    Route("/orders/{order:int}.json", order_json),
    Route("/orders/{order:int}/back", back),
    Route("/orders/{order:int}", order_page, name="order"),
    Route("/healthz", health),
    Mount(
        "/static",
        StaticFiles(directory=_HERE / "static"),
        middleware=[Middleware(WithHeaders, headers=STATIC_HEADERS)],
    ),
]


def _checkout(
    request: Request, bought: catalog.Product, typed: checkout.Typed, faults: dict[str, str]
) -> Response:
    return _page(
        request,
        "checkout.html",
        status_code=422 if faults else 200,
        product=bought,
        typed=typed,
        faults=faults,
        total=bought.amount_minor * typed.quantity,
        test_cards=checkout.TEST_CARDS,
    )


def _page(request: Request, name: str, *, status_code: int = 200, **context: object) -> Response:
    return _templates.TemplateResponse(request, name, context, status_code=status_code)


def _product(slug: str) -> catalog.Product:
    found = catalog.find(slug)
    if found is None:
        raise HTTPException(404, "There is no such thing in this shop.")
    return found


async def _order(request: Request, number: int | str) -> Order:
    """
    The order of that number, if the request carries its token.
    """
    plausible = re.fullmatch(r"[0-9]{1,15}", str(number))
    order = await _till(request).order(int(number)) if plausible else None
    token = request.query_params.get("token", "")
    if order is None or not hmac.compare_digest(order.access_token.encode(), token.encode()):
        raise HTTPException(404, "There is no such order, or this is not its full address.")
    return order


def _address(order: Order) -> str:
    return f"/orders/{order.number}?{urlencode({'token': order.access_token})}"


def _till(request: Request) -> Till:
    till: Till = request.app.state.till
    return till
