"""
What screening decided, as it is kept with a payment and shown to its merchant.
"""

from typing import Literal

import msgspec

from counterfoil import ids
from counterfoil.network.verification_results import AVS_WORDS, CVV_WORDS, Avs, Cvv, avs, cvv
from counterfoil.payments.lifecycle import Kind
from counterfoil.payments.payment import Payment

Rule = Literal[
    "avs",
    "cvv",
    "duplicate",
    "velocity_card",
    "velocity_email",
    "velocity_address",
    "velocity_merchant",
    "declines",
    "block_list",
    "network_limit",
]
Verdict = Literal["accepted", "refused", "reversed"]


class Result(msgspec.Struct, frozen=True):
    """
    One rule, what came of it, and why in words. `reversed`: approved, and given back.
    """

    rule: Rule
    result: Verdict
    words: str


def written_results(results: "tuple[Result, ...] | list[Result]") -> str | None:
    """
    Return *results* as they are kept; None when there are none.
    """
    return msgspec.json.encode(results).decode() if results else None


def results_of(payment: Payment) -> list[Result]:
    """
    Return everything that screening says about *payment*.
    """
    found: list[Result] = []
    if payment.screening:
        found += msgspec.json.decode(payment.screening, type=list[Result])
    if payment.duplicate_of:
        first = ids.written(ids.PAYMENT, payment.duplicate_of)
        words = f"The same card, amount and order were paid moments ago: {first}."
        found.append(Result("duplicate", "refused", words))
    decided = {each.rule for each in found}
    found += [each for each in _letters(payment) if each.rule not in decided]
    return found


def stopped(payment: Payment) -> list[Result]:
    """
    Return what kept *payment* from being taken, or made it go back.
    """
    if not payment.screening and not payment.duplicate_of:
        return []
    return [each for each in results_of(payment) if each.result != "accepted"]


def _letters(payment: Payment) -> list[Result]:
    if payment.kind is Kind.CREDIT:
        return []
    address, code = avs(payment.avs_result, payment.card_brand), cvv(payment.cvv_result)
    found = (_AVS_ACCEPTED.get(address), _CVV_ACCEPTED.get(code))
    return [each for each in found if each is not None]


_AVS_ACCEPTED: dict[Avs, Result] = {
    said: Result("avs", "accepted", words)
    for said, words in AVS_WORDS.items()
    if said is not Avs.NONE
}
_CVV_ACCEPTED: dict[Cvv, Result] = {
    said: Result("cvv", "accepted", words)
    for said, words in CVV_WORDS.items()
    if said is not Cvv.NONE
}
