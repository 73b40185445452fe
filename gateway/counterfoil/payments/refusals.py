"""
Why a use case was refused: callers' mistakes and faults, each with its own name.
"""

from counterfoil.payments.payment import Payment


class Refused(Exception):
    """
    A use case that did not happen; nothing was changed.
    """


class KeyReused(Refused):
    """
    The idempotency key belongs to another request.
    """


class KeyFenced(Refused):
    """
    Somebody resolved this key before it was seen; it stays closed.
    """


class CreditsNotAllowed(Refused):
    """
    The operator has not allowed this merchant to give credits without a payment.
    """


class PaymentUnknown(Refused):
    """
    This merchant has no such payment.
    """


class NotNow(Refused):
    """
    The move is not legal in the payment's state.
    """

    def __init__(self, sentence: str, payment: Payment) -> None:
        super().__init__(sentence)
        self.payment = payment


class NotChargedAnyMore(NotNow):
    """
    The acknowledgment came after the reversal began: the cardholder does not pay.
    """


class AmountTooLarge(NotNow):
    """
    More than is held, was captured, or can be taken back at once: *most_minor* is the most. Or,
    where *is_whole*, another amount than the whole, which is *most_minor*.
    """

    def __init__(
        self, sentence: str, payment: Payment, *, most_minor: int, is_whole: bool = False
    ) -> None:
        super().__init__(sentence, payment)
        self.most_minor = most_minor
        self.is_whole = is_whole


class RefusedBefore(NotNow):
    """
    The key was refused once, and stays so: the same request takes another one.
    """


class CaptureTooLate(NotNow):
    """
    The hold has lapsed: the money is not promised any more.
    """


class NothingWritten(Refused):
    """
    Proof that no byte went to the acquirer: the same key may be tried again.
    """

    def __init__(self, sentence: str, *, retry_after_seconds: int) -> None:
        super().__init__(sentence)
        self.retry_after_seconds = retry_after_seconds


class NoTraceNumbers(NothingWritten):
    """
    A terminal has used up its trace numbers today: another one of the merchant may have some.
    """


class OutcomeNotStored(Refused):
    """
    The network may have answered, but that could not be made durable yet: ask again.
    """
