"""
The side panel: the road of each payment, step by step, on a page to be put beside the shop.

    GET /                 the page, with the steps so far
    GET /steps?after=N    the steps after number N, as JSON: the page asks for them again and again

What it shows is what the narrator tells in the terminal: masked messages, times, numbers.
"""

import asyncio
import contextlib
import itertools
from collections import deque
from collections.abc import AsyncIterator, Iterator
from importlib.resources import files
from pathlib import Path

import counterfoil_shop
import jinja2
import msgspec
import uvicorn
from counterfoil_shop import loopback
from counterfoil_shop.guards import LOOPBACK_HOSTS, SHOP_HEADERS, WithHeaders
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

STEPS_MAX = 400
NUMBER_DIGITS_MAX = 9
CONNECTIONS_MAX = 50
HEADERS = {
    **SHOP_HEADERS,
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; "
        "connect-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
    ),
}

_HERE = Path(__file__).parent / "panel_files"
_SHOP = files(counterfoil_shop) / "static"  # One family with the shop.
_environment = jinja2.Environment(
    loader=jinja2.FileSystemLoader(_HERE), autoescape=True, undefined=jinja2.StrictUndefined
)


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """
    Who did what, how long it took, and a masked message.
    """

    number: int
    who: str
    what: str
    milliseconds: float | None
    note: str


class Steps:
    """
    The latest steps, numbered.
    """

    def __init__(self) -> None:
        self._numbers = itertools.count(1)
        self._kept: deque[Step] = deque(maxlen=STEPS_MAX)

    def add(self, who: str, what: str, milliseconds: float | None = None, note: str = "") -> None:
        """
        Keep a step; the oldest goes.
        """
        number = next(self._numbers)
        self._kept.append(
            Step(number=number, who=who, what=what, milliseconds=milliseconds, note=note)
        )

    def after(self, number: int) -> list[Step]:
        """
        Return the steps after one, oldest first.
        """
        return [each for each in self._kept if each.number > number]


def build(steps: Steps) -> Starlette:
    """
    Return the panel over *steps*.
    """

    async def page(_: Request) -> Response:
        text = _environment.get_template("panel.html").render(steps=steps.after(0))
        return HTMLResponse(text)

    async def more(request: Request) -> Response:
        said = request.query_params.get("after", "0")
        plausible = said.isascii() and said.isdecimal() and len(said) <= NUMBER_DIGITS_MAX
        found = steps.after(int(said) if plausible else 0)
        return Response(msgspec.json.encode(found), media_type="application/json")

    async def tokens(_: Request) -> Response:
        return FileResponse(str(_SHOP / "tokens.css"), media_type="text/css")

    async def mark(_: Request) -> Response:
        return FileResponse(str(_SHOP / "mark.svg"), media_type="image/svg+xml")

    return Starlette(
        routes=[
            Route("/", page),
            Route("/steps", more),
            Route("/static/tokens.css", tokens),
            Route("/static/mark.svg", mark),
            Mount("/static", StaticFiles(directory=_HERE)),
        ],
        middleware=[
            Middleware(WithHeaders, headers=HEADERS),
            Middleware(TrustedHostMiddleware, allowed_hosts=LOOPBACK_HOSTS, www_redirect=False),
        ],
    )


@contextlib.asynccontextmanager
async def serving(steps: Steps, host: str, port: int) -> AsyncIterator[None]:
    """
    Show the panel as long as this is open, beside whatever else the demo does.

    Raises:
        CannotListenError: The port is taken.
    """
    with loopback.listen(host, port) as listener:
        config = uvicorn.Config(
            build(steps),
            log_config=None,
            access_log=False,
            server_header=False,
            limit_concurrency=CONNECTIONS_MAX,
            timeout_graceful_shutdown=1,
        )
        server = _Server(config)
        task = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            yield
        finally:
            server.should_exit = True
            await task


class _Server(uvicorn.Server):
    """
    A server that leaves signals to the demo.
    """

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """
        Capture none.
        """
        yield
