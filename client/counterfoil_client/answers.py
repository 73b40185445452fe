"""
What a response means for the money: the one place that reads status codes.

Rule: only a problem document with a `code`, from the gateway itself, proves anything.
A page from some proxy, a 5xx or a broken body leaves the request in doubt.
"""

from typing import Any, TypeAlias, TypeVar

import msgspec

from counterfoil_client.commands import Answer, Event, Failure
from counterfoil_client.errors import KeyFenced, KeyReused, RequestRefused
from counterfoil_client.results import Payment

T = TypeVar("T")

DETAIL_CHARACTERS_MAX = 500
KEY_FENCED = "key_fenced"
KEY_REUSED = "idempotency_key_reused"
NOT_SENT = "not_sent"

_ACCEPTED = 202
_REFUSED_MIN = 400
_TRY_LATER = frozenset({408, 425, 429})
_UNDECIDED_STATE = "processing"


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """
    A problem document (RFC 9457) as the gateway sends it.
    """

    code: str
    detail: str = ""
    title: str = ""
    param: str | None = None
    retryable: bool = False
    request_id: str | None = None
    state: str | None = None
    possible: tuple[str, ...] = ()
    payment: Payment | None = None


class Known(msgspec.Struct, frozen=True):
    """
    The payment, in a state that this call was waiting for.
    """

    payment: Payment


class Working(msgspec.Struct, frozen=True):
    """
    The gateway has the request and does not know the outcome yet.
    """

    payment: Payment | None
    retry_after_seconds: float | None


class NothingSent(msgspec.Struct, frozen=True):
    """
    Proof from the gateway that nothing has been charged under this key so far.
    """

    detail: str
    retry_after_seconds: float | None
    payment: Payment | None = None


class Refused(msgspec.Struct, frozen=True):
    """
    A definite no to this try.
    """

    status: int
    problem: Problem


class TryLater(msgspec.Struct, frozen=True):
    """
    Turned away before anything happened: too many requests.
    """

    status: int
    problem: Problem
    retry_after_seconds: float | None


class Lost(msgspec.Struct, frozen=True):
    """
    No answer that proves anything. `received`: whether the gateway may have the request.
    """

    detail: str
    received: bool
    answered: bool
    retry_after_seconds: float | None = None
    hopeless: bool = False


Verdict: TypeAlias = Known | Working | NothingSent | Refused | TryLater | Lost


def read(event: Event, kind: type[T]) -> T | Refused | TryLater | Lost:
    """
    Return the body of a good answer as *kind*, or why there is none.
    """
    if isinstance(event, Failure):
        return Lost(event.detail, event.received, answered=False, hopeless=event.hopeless)
    if 200 <= event.status < 300:
        body = _decoded(event.body, kind)
        return _garbled(event) if body is None else body
    problem = _decoded(event.body, Problem)
    if problem is None:
        return _garbled(event)
    if event.status in _TRY_LATER:
        return TryLater(event.status, problem, event.retry_after_seconds)
    if _REFUSED_MIN <= event.status < 500:
        return Refused(event.status, problem)
    detail = f"{_words(problem)} (HTTP {event.status})"
    return Lost(detail, True, answered=True, retry_after_seconds=event.retry_after_seconds)


def read_payment(event: Event) -> Verdict:
    """
    Return what *event* says about the payment that a request asked for.
    """
    if isinstance(event, Answer) and event.status == 503:
        problem = _decoded(event.body, Problem)
        if problem is not None and problem.code == NOT_SENT:
            return NothingSent(_words(problem), event.retry_after_seconds, problem.payment)
    if isinstance(event, Answer) and event.status == _ACCEPTED:
        return Working(_decoded(event.body, Payment), event.retry_after_seconds)
    verdict = read(event, Payment)
    return _standing(verdict, event) if isinstance(verdict, Payment) else verdict


def undecided(payment: Payment) -> bool:
    """
    Whether the network has not answered yet (or a newer gateway has a state we do not know).
    """
    if payment.state == _UNDECIDED_STATE:
        return True
    return payment.charged is None and not payment.awaits_acknowledgment


def refusal(refused: Refused | TryLater, key: str | None = None) -> RequestRefused:
    """
    Return the exception for a definite no.
    """
    problem = refused.problem
    kind = {KEY_FENCED: KeyFenced, KEY_REUSED: KeyReused}.get(problem.code, RequestRefused)
    return kind(
        _words(problem),
        code=problem.code,
        status=refused.status,
        param=problem.param,
        retryable=problem.retryable,
        request_id=problem.request_id,
        idempotency_key=key,
        state=problem.state,
        possible=problem.possible,
    )


def _standing(payment: Payment, event: Event) -> Verdict:
    retry_after = event.retry_after_seconds if isinstance(event, Answer) else None
    if payment.state == NOT_SENT:
        return NothingSent("the gateway sent nothing to the network", retry_after, payment)
    return Working(payment, retry_after) if undecided(payment) else Known(payment)


def _garbled(answer: Answer) -> Lost:
    detail = (
        f"HTTP {answer.status} that is not from a Counterfoil gateway; is the address right?"
        if answer.status < 500
        else f"HTTP {answer.status}"
    )
    return Lost(detail, True, answered=True, retry_after_seconds=answer.retry_after_seconds)


def _words(problem: Problem) -> str:
    return (problem.detail or problem.title or problem.code)[:DETAIL_CHARACTERS_MAX]


def _decoded(body: bytes, kind: Any) -> Any:
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
