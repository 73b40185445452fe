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
from counterfoil.network.verification_results import AVS_WORDS, Avs, Cvv, address_words, avs, cvv
from counterfoil.payments.payment import Payment
from counterfoil.payments.screened import Result

NO_ADDRESS = "No address was given."
NO_CODE = "No security code was given."

# What an issuer says of something that it may not have been told.
_ABOUT_NO_ADDRESS = {Avs.UNAVAILABLE, Avs.NOT_SUPPORTED, Avs.NO_MATCH}
_ALL_OF_A_PART = {(True, False, Avs.STREET_ONLY), (False, True, Avs.POSTAL_ONLY)}
_ABOUT_NO_CODE = {Cvv.NOT_PROCESSED, Cvv.UNAVAILABLE, Cvv.SHOULD_BE_THERE}


class Given(msgspec.Struct, frozen=True):
    """
    What the acquirer was told: None, and a code, where nobody can say any more.
    """

    street: bool | None = None
    postal_code: bool | None = None
    code: bool = True

    def words(self, payment: Payment) -> str:
        """
        Return what the issuer says of the address of *payment*, and what it was not asked.
        """
        said = avs(payment.avs_result, payment.card_brand)
        if self.street is None or self.postal_code is None:
            return AVS_WORDS[said]
        return address_words(said, street=self.street, postal_code=self.postal_code)

    def all_given_fits(self, payment: Payment) -> bool:
        """
        Whether the issuer's word about the address of *payment* has nothing against it.
        """
        said = avs(payment.avs_result, payment.card_brand)
        return said is Avs.MATCH or (self.street, self.postal_code, said) in _ALL_OF_A_PART

    def lacks_address(self, payment: Payment) -> bool:
        """
        Whether the issuer's word about the address of *payment* means that there was none.
        """
        said = avs(payment.avs_result, payment.card_brand)
        return (self.street, self.postal_code) == (False, False) and said in _ABOUT_NO_ADDRESS

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
        return Given(TAG_STREET in told, TAG_POSTAL_CODE in told, TAG_CVV in told)
    return Given()


def in_words(checks: Iterable[Result], payment: Payment, given: Given) -> list[Result]:
    """
    Return *checks* of *payment*, those about what was not given in words that say so.
    """
    said = {"avs": NO_ADDRESS if given.lacks_address(payment) else given.words(payment)}
    if given.lacks_code(payment):
        said["cvv"] = NO_CODE
    return [msgspec.structs.replace(each, words=said.get(each.rule, each.words)) for each in checks]
