"""
A call that moves money, from its intent to its confirmation number, without any I/O.

    begin (durable) -> ask ... -> approved (durable) -> acknowledge -> finished (durable)

Each step yields a command and is fed with what came of it, so every step is a point at
which the process may die; `recovery` goes on from whatever the journal then says.
"""

from typing import TypeVar

from counterfoil_client import wire
from counterfoil_client.answers import (
    KEY_FENCED,
    KEY_REUSED,
    Known,
    Lost,
    NothingSent,
    Refused,
    TryLater,
    Verdict,
    Working,
    read,
    read_payment,
    refusal,
    undecided,
)
from counterfoil_client.commands import (
    Begin,
    Claim,
    Found,
    Intent,
    Record,
    Send,
    State,
    Steps,
    Wait,
)
from counterfoil_client.errors import (
    GatewayUnavailable,
    KeyFenced,
    KeyReused,
    NotSent,
    OutcomeUnknown,
)
from counterfoil_client.limits import BUSY_SECONDS
from counterfoil_client.pace import Pace
from counterfoil_client.results import Payment, Resolution

T = TypeVar("T")


class NoAnswerError(Exception):
    """
    A repeated request's budget is spent. Never leaves this library.
    """

    def __init__(self, lost: Lost | TryLater) -> None:
        super().__init__()
        self.detail = lost.detail if isinstance(lost, Lost) else lost.problem.detail
        self.answered = lost.answered if isinstance(lost, Lost) else True


def move_money(intent: Intent, request: Send, pace: Pace) -> Steps[Payment]:
    """
    Carry out *request* once, whatever happens, and return the payment as it stands.

    Raises:
        RequestRefused: A definite no; nothing was charged.
        NotSent: Proof that nothing was charged.
        OutcomeUnknown: We could not find out; the journal keeps the key.
    """
    claim = yield from _begin(intent, pace)
    if claim.found is Found.FENCED:
        raise _fenced(intent.key)
    if claim.found is Found.OTHER_BODY:
        raise _reused(intent.key)
    if claim.payment is not None and claim.found is Found.FINISHED:
        return claim.payment
    if claim.payment is not None and claim.found is Found.APPROVED:
        return (yield from conclude(intent, claim.payment, pace))
    payment = yield from _ask(intent, request, pace, resumed=claim.found is not Found.NEW)
    return (yield from conclude(intent, payment, pace))


def conclude(intent: Intent, payment: Payment, pace: Pace) -> Steps[Payment]:
    """
    Store the outcome; acknowledge it first if it is an approval.

    An approval is stored before it is acknowledged: commit before you speak. When the
    final state cannot be stored, it is still returned: the intent stays open and
    `recover()` finds the same answer again.
    """
    if intent.awaits_acknowledgment and payment.awaits_acknowledgment:
        if not (yield Record(intent.key, State.APPROVED, payment)):
            raise OutcomeUnknown("the journal cannot be written", idempotency_key=intent.key)
        payment = yield from acknowledge(intent.key, payment.id, pace.acknowledging())
    yield Record(intent.key, State.FINISHED, payment)
    return payment


def acknowledge(key: str, payment_id: str, pace: Pace) -> Steps[Payment]:
    """
    Acknowledge the receipt until the gateway answers: with the confirmation number, or
    with "reversed". Repeating is safe.
    """
    while True:
        verdict = read((yield pace.timed(wire.acknowledge(payment_id))), Payment)
        if isinstance(verdict, Payment) and (verdict.paid or verdict.charged is False):
            return verdict
        if isinstance(verdict, Refused):
            return (yield from _not_ours_any_more(key, payment_id, verdict, pace))
        if isinstance(verdict, Payment):
            verdict = Lost("an acknowledgment without a number", True, answered=True)
        rest = None if _hopeless(verdict) else pace.rest_seconds(_retry_after(verdict))
        if rest is None:
            raise unknown(key, NoAnswerError(verdict))
        yield Wait(rest)


def find_out(key: str, pace: Pace) -> Steps[Payment | None]:
    """
    Ask what became of *key*: the payment once its outcome is known, or None when the
    gateway never saw the key, which from then on can never charge.

    Raises:
        OutcomeUnknown: No answer in time.
    """
    try:
        resolution = yield from repeat(wire.resolve(key), Resolution, pace.stage())
    except NoAnswerError as silent:
        raise unknown(key, silent) from None
    if isinstance(resolution, Refused):
        raise OutcomeUnknown(str(refusal(resolution)), idempotency_key=key)
    if resolution.payment is None:
        if resolution.status != "never_seen":
            raise OutcomeUnknown("an answer without a payment", idempotency_key=key)
        return None
    return (yield from _decided(key, resolution.payment, pace.stage()))


def repeat(request: Send, kind: type[T], pace: Pace) -> Steps[T | Refused]:
    """
    Send a request that is safe to repeat until it is answered.

    Raises:
        NoAnswerError: The budget is spent.
    """
    while True:
        verdict = read((yield pace.timed(request)), kind)
        if not isinstance(verdict, (Lost, TryLater)):
            return verdict
        rest = None if _hopeless(verdict) else pace.rest_seconds(verdict.retry_after_seconds)
        if rest is None:
            raise NoAnswerError(verdict)
        yield Wait(rest)


def fetch(request: Send, kind: type[T], pace: Pace) -> Steps[T]:
    """
    Read something, or repeat something harmless: no journal.

    Raises:
        RequestRefused: A definite no.
        GatewayUnavailable: No answer in time; repeat the call.
    """
    try:
        answer = yield from repeat(request, kind, pace)
    except NoAnswerError as silent:
        raise GatewayUnavailable(f"no answer from the gateway: {silent.detail}") from None
    if isinstance(answer, Refused):
        raise refusal(answer)
    return answer


def ask_only(request: Send, pace: Pace) -> Steps[Payment]:
    """
    Ask something that moves no money, under one key, until it is answered: no journal.

    Raises:
        RequestRefused: A definite no.
        GatewayUnavailable: No answer in time; nothing is lost, ask again.
    """
    stage, sending = pace.asking(), request
    while True:
        verdict = read_payment((yield stage.timed(sending)))
        if isinstance(verdict, Known):
            return verdict.payment
        if isinstance(verdict, Refused):
            raise refusal(verdict, request.key)
        rest = _rest_seconds(verdict, stage)
        if rest is None:
            raise GatewayUnavailable(f"no answer from the gateway: {_told(verdict)}")
        yield Wait(rest)
        known = verdict.payment if isinstance(verdict, Working) else None
        sending = wire.get(known.id) if known else request


def unknown(key: str, silent: NoAnswerError) -> OutcomeUnknown:
    """
    Return the one exception for "we could not find out".
    """
    return OutcomeUnknown(silent.detail, idempotency_key=key, answered=silent.answered)


def _begin(intent: Intent, pace: Pace) -> Steps[Claim]:
    """
    Write the intent; wait while another call uses the same key.
    """
    while True:
        claim: Claim = yield Begin(intent)
        if claim.found is not Found.BUSY:
            return claim
        if pace.left_seconds() <= BUSY_SECONDS:
            raise OutcomeUnknown("another call is using this key", idempotency_key=intent.key)
        yield Wait(BUSY_SECONDS)


def _ask(intent: Intent, request: Send, pace: Pace, *, resumed: bool) -> Steps[Payment]:
    """
    Send *request* under its key until its outcome is known or the budget is spent.

    `in_doubt`: the gateway may have a copy whose outcome we do not know.
    """
    stage, sending, in_doubt = pace.asking(), request, resumed
    while True:
        verdict = read_payment((yield stage.timed(sending)))
        if isinstance(verdict, Known):
            return verdict.payment
        if isinstance(verdict, Refused) and sending is not request:
            verdict = Lost("the gateway forgot the payment", True, answered=True)
        in_doubt = _in_doubt(verdict, before=in_doubt)
        rest = _rest_seconds(verdict, stage)
        if rest is None:
            return (yield from _stop(intent, verdict, pace, in_doubt=in_doubt, resumed=resumed))
        yield Wait(rest)
        sending = _next(intent, request, verdict)


def _in_doubt(verdict: Verdict, *, before: bool) -> bool:
    if isinstance(verdict, NothingSent):
        return False
    if isinstance(verdict, Working):
        return True
    if isinstance(verdict, Refused) and verdict.problem.code in (KEY_FENCED, KEY_REUSED):
        return False
    return before or (isinstance(verdict, Lost) and verdict.received)


def _rest_seconds(verdict: Verdict, stage: Pace) -> float | None:
    if isinstance(verdict, Refused) or _hopeless(verdict):
        return None
    if isinstance(verdict, Working):
        return stage.poll_seconds(verdict.retry_after_seconds)
    return stage.rest_seconds(_retry_after(verdict))


def _next(intent: Intent, request: Send, verdict: Verdict) -> Send:
    """
    Look a payment in progress up by its id, so that its card is not sent again.
    """
    if isinstance(verdict, Working) and verdict.payment and intent.awaits_acknowledgment:
        return wire.get(verdict.payment.id)
    return request


def _stop(
    intent: Intent, verdict: Verdict, pace: Pace, *, in_doubt: bool, resumed: bool
) -> Steps[Payment]:
    """
    End a request that got no outcome: find out if it is in doubt, else say what it proves.
    """
    if in_doubt:
        payment = yield from find_out(intent.key, pace)
        if payment is not None and payment.state != State.NOT_SENT:
            return payment
        yield Record(intent.key, State.NEVER_SENT if payment is None else State.NOT_SENT)
        raise _proof(intent.key, verdict, fenced=payment is None)
    if isinstance(verdict, Refused) and verdict.problem.code == KEY_FENCED:
        yield Record(intent.key, State.NEVER_SENT)
    elif isinstance(verdict, Refused):
        # A reused key after a crash: our first request may stand. Leave it to recover().
        if not resumed:
            yield Record(intent.key, State.REFUSED)
    else:
        yield Record(intent.key, State.NOT_SENT)
    raise _proof(intent.key, verdict, fenced=False)


def _proof(key: str, verdict: Verdict, *, fenced: bool) -> Exception:
    """
    Return the exception that says why nothing was charged.
    """
    if isinstance(verdict, (Refused, TryLater)):
        return refusal(verdict, key)
    if isinstance(verdict, (Lost, NothingSent)):
        return NotSent(verdict.detail, idempotency_key=key, fenced=fenced)
    return NotSent("the gateway gave it up", idempotency_key=key, fenced=fenced)


def _decided(key: str, payment: Payment, pace: Pace) -> Steps[Payment]:
    """
    Look at a payment until the network has answered.
    """
    while undecided(payment):
        rest = pace.poll_seconds(None)
        if rest is None:
            raise OutcomeUnknown("the gateway is still at it", idempotency_key=key)
        yield Wait(rest)
        payment = yield from _looked_up(key, payment.id, pace)
    return payment


def _not_ours_any_more(key: str, payment_id: str, refused: Refused, pace: Pace) -> Steps[Payment]:
    """
    Return the payment that an acknowledgment came too late for: it is not charged.
    """
    if refused.status != wire.CONFLICT:
        raise OutcomeUnknown(str(refusal(refused)), idempotency_key=key)
    payment = refused.problem.payment
    while payment is None or payment.charged is None:
        payment = yield from _looked_up(key, payment_id, pace)
        if payment.charged is None:
            rest = pace.poll_seconds(None)
            if rest is None:
                raise OutcomeUnknown("the reversal has not begun", idempotency_key=key)
            yield Wait(rest)
    return payment


def _looked_up(key: str, payment_id: str, pace: Pace) -> Steps[Payment]:
    try:
        payment = yield from repeat(wire.get(payment_id), Payment, pace.stage())
    except NoAnswerError as silent:
        raise unknown(key, silent) from None
    if isinstance(payment, Refused):
        raise OutcomeUnknown(str(refusal(payment)), idempotency_key=key)
    return payment


def _told(verdict: Lost | TryLater | NothingSent | Working) -> str:
    """
    Return why there is no outcome.
    """
    match verdict:
        case Working():
            return "it is still at it"
        case TryLater():
            return verdict.problem.detail
        case _:
            return verdict.detail


def _hopeless(verdict: object) -> bool:
    return isinstance(verdict, Lost) and verdict.hopeless


def _retry_after(verdict: Lost | TryLater | NothingSent | Working | Known) -> float | None:
    return None if isinstance(verdict, Known) else verdict.retry_after_seconds


def _fenced(key: str) -> KeyFenced:
    return KeyFenced(
        "recovery closed this key: it never charged and never will; use a new one",
        code=KEY_FENCED,
        status=wire.CONFLICT,
        idempotency_key=key,
    )


def _reused(key: str) -> KeyReused:
    return KeyReused(
        "the journal has another request under this key, which stands as it was: use a new key",
        code=KEY_REUSED,
        status=wire.UNPROCESSABLE,
        idempotency_key=key,
    )
