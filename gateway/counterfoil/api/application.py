"""
The HTTP application: routes, request ids, and every fault as a problem.
"""

import re
from collections.abc import Awaitable, Callable
from functools import partial

import structlog

from counterfoil import ids
from counterfoil.api import openapi
from counterfoil.api.answers import as_json
from counterfoil.api.bodies import Health, Readiness
from counterfoil.api.desk import Desk
from counterfoil.api.exchange import ClientGone, Request, Response
from counterfoil.api.operations import OPERATIONS, Endpoint
from counterfoil.api.problems import Problem, answer
from counterfoil.api.showing import show
from counterfoil.logs import bound, filter_card_numbers
from counterfoil.outside.doors import DoorsClosed
from counterfoil.payments import refusals
from counterfoil.payments.payment import Payment
from counterfoil.routing.routes import NoRoute
from counterfoil.store.database import DatabaseAway
from counterfoil.store.writer import QueueFull

RETRY_SECONDS = 1
READING = ("GET", "HEAD")
WELL_FORMED = re.compile(r"[A-Za-z0-9_.-]{8,64}")  # A client's own request id.
SAFE_HEADERS = {
    "strict-transport-security": "max-age=31536000; includeSubDomains",
    "x-content-type-options": "nosniff",
}
_NAMED = re.compile(r"\{(\w+)\}")

log = structlog.get_logger("api")

_CONFLICTS: dict[type[refusals.NotNow], str] = {
    refusals.NotChargedAnyMore: "payment_reversed",
    refusals.CaptureTooLate: "capture_too_late",
    refusals.AmountTooLarge: "amount_too_large",
}

Checks = Callable[[], Awaitable[Readiness]]
Call = Callable[[Request], Awaitable[Response]]


def application(desk: Desk, checks: Checks) -> Call:
    """
    Return the gateway's application: it answers every request, whatever happens.
    """

    async def health(_: Request) -> Response:
        return as_json(Health())

    async def readiness(_: Request) -> Response:
        found = await checks()
        return as_json(found, 200 if found.ready else 503)

    async def description(_: Request) -> Response:
        return Response(openapi.page())

    routes = {path: _calls(path, desk) for path in dict.fromkeys(each.path for each in OPERATIONS)}
    open_to_all = {"/healthz": health, "/readyz": readiness, openapi.PATH: description}
    routes |= {path: _Calls(path, {"GET": call}, desk) for path, call in open_to_all.items()}
    return partial(_answered, _Paths(routes), desk)


async def _answered(paths: "_Paths", desk: Desk, request: Request) -> Response:
    """
    Answer with the request's id, under which all is logged, and the headers of every answer.
    """
    request.id = _request_id(request, desk)
    with bound(request_id=request.id):
        calls = paths.find(request)
        response = await calls.answer(request) if calls else _nowhere(request)
    response.headers["request-id"] = request.id
    response.headers.update(SAFE_HEADERS)
    return response


def _request_id(request: Request, desk: Desk) -> str:
    """
    Return the client's own id of this request if it is well-formed, else a new one.

    Nothing that could be a card number is taken: it would be logged.
    """
    said = request.every_header(b"request-id")
    text = said[0] if len(said) == 1 else ""
    if WELL_FORMED.fullmatch(text) and "pan_filtered" not in filter_card_numbers(
        None, "", {"request_id": text}
    ):
        return text
    return ids.written("req", desk.road.ids.new())


def _nowhere(request: Request) -> Response:
    return answer(Problem("not_found", "See /openapi.json for what there is."), request.id)


def _calls(path: str, desk: Desk) -> "_Calls":
    """
    Return the calls of *path*: all its methods.
    """
    calls: dict[str, Call] = {
        each.method: partial(_called, each.endpoint, desk)
        for each in OPERATIONS
        if each.path == path
    }
    return _Calls(path, calls, desk)


def _called(endpoint: Endpoint, desk: Desk, request: Request) -> Awaitable[Response]:
    if request.method not in READING:
        desk.road.doors.let_anything_in()  # Also a fence, a batch, an acknowledgment.
    return endpoint(request, desk)


class _Paths:
    """
    Leads each path to its calls. A path is right or wrong; we send nobody elsewhere.

    Our own, because it stands on the road of every payment: a look-up, and for a path with a name
    in it a few patterns with as many parts, in place of a framework's three layers.
    """

    def __init__(self, calls: dict[str, "_Calls"]) -> None:
        self._exact = {path: each for path, each in calls.items() if "{" not in path}
        self._by_parts: dict[int, list[tuple[re.Pattern[str], _Calls]]] = {}
        for path, each in calls.items():
            if "{" in path:
                pattern = re.compile(_NAMED.sub(r"(?P<\1>[^/]+)", path))
                self._by_parts.setdefault(path.count("/"), []).append((pattern, each))

    def find(self, request: Request) -> "_Calls | None":
        """
        Return the calls of the request's path; what stands in the path for names becomes its names.
        """
        path = request.path
        if calls := self._exact.get(path):
            return calls
        for pattern, each in self._by_parts.get(path.count("/"), ()):
            if found := pattern.fullmatch(path):
                request.names = found.groupdict()
                return each
        return None


class _Calls:
    """
    All methods of one path. A fault becomes a problem here, another method too.
    """

    def __init__(self, path: str, calls: dict[str, Call], desk: Desk) -> None:
        self._path = path
        self._calls = dict(calls)
        if "GET" in calls:
            self._calls["HEAD"] = calls["GET"]  # The server leaves the body out.
        self._desk = desk

    async def answer(self, request: Request) -> Response:
        """
        Call what the request's method names, and count how long it took.
        """
        clock, measures = self._desk.road.clock, self._desk.road.measures
        began = clock.monotonic()
        response = await self._answered(request)
        method = request.method if request.method in self._calls else "other"
        requests = measures.requests.of(f"{method} {self._path}", str(response.status))
        requests.add(clock.monotonic() - began)
        return response

    async def _answered(self, request: Request) -> Response:
        call = self._calls.get(request.method)
        if call is None:
            allowed = ", ".join(sorted(self._calls))
            problem = Problem("method_not_allowed", f"Use {allowed}.", headers={"allow": allowed})
            return answer(problem, request.id)
        try:
            return await call(request)
        except Problem as problem:
            return answer(problem, request.id)
        except refusals.NotNow as refusal:
            return answer(await _conflict(refusal, self._desk), request.id)
        except Exception as error:  # noqa: BLE001 - what is left becomes a problem, and is logged.
            return answer(_problem(error, request.id), request.id)


def _problem(error: Exception, request_id: str) -> Problem:
    """
    Return what a refusal of a use case looks like to a client.
    """
    match error:
        case refusals.PaymentUnknown():
            return Problem("not_found", "This merchant has no payment with this id.")
        case refusals.KeyReused():
            return Problem("idempotency_key_reused", str(error), param="Idempotency-Key")
        case refusals.KeyFenced():
            return Problem("key_fenced", str(error), param="Idempotency-Key")
        case refusals.CreditsNotAllowed():
            return Problem("credits_not_allowed", str(error))
        case DoorsClosed():
            seconds = error.retry_after_seconds
            return Problem(error.reason.value, f"{error}.", retry_after_seconds=seconds)
        case refusals.NothingWritten():
            seconds = error.retry_after_seconds
            return Problem("not_sent", str(error), retry_after_seconds=seconds)
        case ClientGone():
            return Problem("body_malformed", "The connection ended within the body.")
        case NoRoute():
            return Problem("merchant_without_terminal", str(error))
        case QueueFull():
            return Problem(
                "busy", "Nothing was begun; try again.", retry_after_seconds=RETRY_SECONDS
            )
        case DatabaseAway():
            log.error("database_away", request_id=request_id, reason=str(error))
            return Problem(
                "database_away",
                "Repeat the same request under the same key: that is safe.",
                retry_after_seconds=RETRY_SECONDS,
            )
    # Only the type and the place: a message or a local might hold what must not be logged.
    log.error("fault", request_id=request_id, type=type(error).__name__, place=_place(error))
    return Problem("internal_error", "Tell the operator this request id.")


async def _conflict(refusal: refusals.NotNow, desk: Desk) -> Problem:
    """
    Return a refusal that says what the payment is and what is possible.
    """
    payment: Payment = refusal.payment
    shown = await show(payment, desk)
    return Problem(
        _CONFLICTS.get(type(refusal), "state_conflict"),
        f"{refusal}; possible now: {', '.join(shown.possible) or 'nothing'}",
        state=payment.state.value,
        possible=tuple(shown.possible),
        payment=shown,
    )


def _place(error: BaseException) -> str:
    trace = error.__traceback__
    while trace and trace.tb_next:
        trace = trace.tb_next
    return f"{trace.tb_frame.f_code.co_qualname}:{trace.tb_lineno}" if trace else "unknown"
