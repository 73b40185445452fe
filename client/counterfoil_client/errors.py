"""
What can go wrong, and what each of it proves about the money.

A decline is not here: it is a result (`payment.decline`). `OutcomeUnknown` is the only
exception that leaves a call that moves money undecided; all others prove that this call
moved nothing.
"""


class CounterfoilError(Exception):
    """
    Anything this library raises on purpose, but for `TypeError`.
    """


class ConfigurationError(CounterfoilError, ValueError):
    """
    The client cannot be made like this: fix the address, the key, the authority or a limit.
    """


class InvalidRequest(CounterfoilError, ValueError):
    """
    An argument cannot stand. Nothing was written and nothing was sent.
    """


class InvalidAmount(InvalidRequest):
    """
    Not an amount of this currency: too many decimals, not positive, or too large.
    """


class InvalidCard(InvalidRequest):
    """
    Not a card: the message never repeats what was typed.
    """


class JournalFailed(CounterfoilError):
    """
    The journal on disk cannot be opened or written. Nothing was sent.
    """


class GatewayUnavailable(CounterfoilError):
    """
    A call that reads (`get`, `list`) or is safe to repeat (`refuse`) got no answer. Repeat it.
    """


class RequestRefused(CounterfoilError):
    """
    The gateway understood and said no: nothing was charged by this call.

    `code` and `param` are for programs, `detail` for people, `request_id` for support.
    `retryable` says whether the same request may succeed later under the same key.
    `state` and `possible` are set when the payment's state forbids the move.
    """

    def __init__(
        self,
        detail: str,
        *,
        code: str,
        status: int,
        param: str | None = None,
        retryable: bool = False,
        request_id: str | None = None,
        idempotency_key: str | None = None,
        state: str | None = None,
        possible: tuple[str, ...] = (),
    ) -> None:
        super().__init__(f"{detail} [{code}]")
        self.detail = detail
        self.code = code
        self.status = status
        self.param = param
        self.retryable = retryable
        self.request_id = request_id
        self.idempotency_key = idempotency_key
        self.state = state
        self.possible = possible


class KeyReused(RequestRefused):
    """
    The key already belongs to another request. That other request stands as it was.
    """


class KeyFenced(RequestRefused):
    """
    The key was resolved as never seen and will never charge. Charge anew with a new key.
    """


class NotSent(CounterfoilError):
    """
    Proof that nothing was charged: no byte of the request left, or the gateway says so.

    When `fenced` is false the same call may be repeated under `idempotency_key`; when it
    is true that key is closed for ever and a new one is needed.
    """

    def __init__(self, detail: str, *, idempotency_key: str, fenced: bool = False) -> None:
        super().__init__(f"nothing was charged: {detail} (key {idempotency_key})")
        self.idempotency_key = idempotency_key
        self.fenced = fenced


class OutcomeUnknown(CounterfoilError):
    """
    We could not find out. The journal keeps the key; `recover()` or `resolve(key)` finds out.

    Never charge anew before one of them has answered. `answered` is false when the
    gateway could not be reached at all.
    """

    def __init__(self, detail: str, *, idempotency_key: str, answered: bool = True) -> None:
        super().__init__(f"the outcome is not known yet: {detail} (key {idempotency_key})")
        self.idempotency_key = idempotency_key
        self.answered = answered


class ReturnRefused(CounterfoilError):
    """
    An address that claims to come from a payment page and proves nothing: ask `get_checkout`.
    """


class WebhookRefused(CounterfoilError):
    """
    A message that claims to be a webhook and proves nothing: answer 400, and do nothing.
    """
