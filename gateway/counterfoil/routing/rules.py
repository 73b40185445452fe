"""
Which acquirers a payment may go to, and in which order: the rules of the configuration.

The first rule that fits a payment decides; its acquirers are tried in the order in which
it names them, and no others. Without a rule that fits, all terminals take turns.
"""

from collections.abc import Collection, Sequence
from uuid import UUID

import msgspec

from counterfoil import ids
from counterfoil.config import RouteRule

BIN_DIGITS = 8  # As issuers have had them since 2022; a rule may name fewer.


class Wanted(msgspec.Struct, frozen=True):
    """
    What a rule may look at.
    """

    brand: str
    bin: str
    currency: str


def acquirers_for(
    rules: Sequence[RouteRule], merchant_id: UUID, wanted: Wanted
) -> tuple[str, ...] | None:
    """
    Return the acquirers of the first rule that fits, or None when none does.
    """
    if not rules:
        return None
    merchant = ids.written(ids.MERCHANT, merchant_id)
    for rule in rules:
        if _fits(rule, merchant, wanted):
            return rule.acquirers
    return None


def leads_somewhere(
    rules: Sequence[RouteRule], merchant_id: UUID, currency: str, acquirers: Collection[str]
) -> bool:
    """
    Return whether some card may be charged in *currency* at one of *acquirers*, where the merchant
    has its terminals.
    """
    merchant = ids.written(ids.MERCHANT, merchant_id)
    for rule in rules:
        is_elsewhere = rule.merchants and merchant not in rule.merchants
        if is_elsewhere or (rule.currencies and currency not in rule.currencies):
            continue
        if any(each in acquirers for each in rule.acquirers):
            return True
        if not rule.brands and not rule.bins:  # No card gets past it.
            return False
    return True


def _fits(rule: RouteRule, merchant: str, wanted: Wanted) -> bool:
    return (
        (not rule.merchants or merchant in rule.merchants)
        and (not rule.brands or wanted.brand in rule.brands)
        and (not rule.currencies or wanted.currency in rule.currencies)
        and (not rule.bins or any(_in_range(each, wanted.bin) for each in rule.bins))
    )


def _in_range(written: str, bin_: str) -> bool:
    """
    Whether a BIN lies in `41`, `411111` or `400000-419999`.
    """
    low, _, high = written.partition("-")
    return low <= bin_[: len(low)] and bin_[: len(high or low)] <= (high or low)
