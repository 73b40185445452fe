"""
Whether the acquirer was told an address and a security code, as the masked message says; and what
the issuer's words about them mean where it was not.

The code itself is never kept: that there was one is.
"""

import json
from collections.abc import Iterable

import asyncpg
import msgspec

from counterfoil.network import tlv
from counterfoil.network.message import MessageError
from counterfoil.network.requests import TAG_CVV, TAG_POSTAL_CODE, TAG_STREET
from counterfoil.network.verification_results import Avs, Cvv, avs, cvv
from counterfoil.payments.payment import Payment
from counterfoil.payments.screened import Result

NO_ADDRESS = "No address was given."
NO_CODE = "No security code was given."

# What an issuer says of something that it may not have been told.
_ABOUT_NO_ADDRESS = {Avs.UNAVAILABLE, Avs.NOT_SUPPORTED, Avs.NO_MATCH}
_ABOUT_NO_CODE = {Cvv.NOT_PROCESSED, Cvv.UNAVAILABLE, Cvv.SHOULD_BE_THERE}


class Given(msgspec.Struct, frozen=True):
    """
    What the acquirer was told: True too where nobody can say any more.
    """

    address: bool = True
    code: bool = True

    def lacks_address(self, payment: Payment) -> bool:
        """
        Whether the issuer's word about the address of *payment* means that there was none.
        """
        return not self.address and avs(payment.avs_result, payment.card_brand) in _ABOUT_NO_ADDRESS

    def lacks_code(self, payment: Payment) -> bool:
        """
        Whether the issuer's word about the security code of *payment* means that there was none.
        """
        return not self.code and cvv(payment.cvv_result) in _ABOUT_NO_CODE


def given_with(messages: Iterable[asyncpg.Record]) -> Given:
    """
    Return what the first request among the masked *messages* of a payment told.
    """
    for message in messages:
        if message["direction"] != "sent":
            continue
        try:
            told = tlv.decode_tlv(json.loads(message["content"]).get(str(tlv.FIELD), ""))
        except MessageError:
            return Given()
        return Given(TAG_POSTAL_CODE in told or TAG_STREET in told, TAG_CVV in told)
    return Given()


def in_words(checks: Iterable[Result], payment: Payment, given: Given) -> list[Result]:
    """
    Return *checks* of *payment*, those about what was not given in words that say so.
    """
    said = {}
    if given.lacks_address(payment):
        said["avs"] = NO_ADDRESS
    if given.lacks_code(payment):
        said["cvv"] = NO_CODE
    return [msgspec.structs.replace(each, words=said.get(each.rule, each.words)) for each in checks]
