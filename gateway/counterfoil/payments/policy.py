"""
A merchant's rules for screening: what is refused before the network, what is given back after.

Everything is off until the operator sets it (`counterfoil screening set`); every version of
the rules is kept, with who wrote it and when.
"""

from typing import Annotated

import msgspec
from msgspec import Meta

from counterfoil.network.verification_results import Avs, Cvv

WINDOW_SECONDS_MIN = 60
WINDOW_SECONDS_MAX = 30 * 86_400
COUNT_MAX = 1_000  # Of one card or address in a window; counts stop there.
VOLUME_MAX = 10_000  # Of a merchant in a window.
AMOUNT_MAX = 10**12 - 1  # Of as many digits as an amount has on the wire.
DUPLICATE_SECONDS_MAX = 86_400

Seconds = Annotated[int, Meta(ge=WINDOW_SECONDS_MIN, le=WINDOW_SECONDS_MAX)]


class Velocity(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """
    How many payments, and how much money in one currency, within a sliding window.
    """

    seconds: Seconds
    payments_max: Annotated[int, Meta(ge=1, le=VOLUME_MAX)] | None = None
    amount_minor_max: Annotated[int, Meta(ge=1)] | None = None


class Policy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """
    One merchant's rules. Empty, zero and None mean off.
    """

    avs_refused: tuple[Avs, ...] = ()
    cvv_refused: tuple[Cvv, ...] = ()
    duplicate_seconds: Annotated[int, Meta(ge=0, le=DUPLICATE_SECONDS_MAX)] = 0
    card: Velocity | None = None
    email: Velocity | None = None
    address: Velocity | None = None
    merchant: Velocity | None = None
    declines_max: Annotated[int, Meta(ge=0, le=COUNT_MAX)] = 0
    declines_seconds: Seconds = 3600

    @property
    def counts_tries(self) -> bool:
        """
        Whether tries of a card or an address are counted at all.
        """
        return bool(self.card or self.email or self.address)


OFF = Policy()


def read_policy(text: str) -> Policy:
    """
    Return the rules that are kept as *text*.
    """
    return msgspec.json.decode(text, type=Policy)


def written_policy(policy: Policy) -> str:
    """
    Return *policy* as it is kept.
    """
    return msgspec.json.encode(policy).decode()
