"""
Payment links: an address that anybody may pay, each visitor on a page of their own.
"""

from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

import msgspec

from counterfoil.amounts import read_amount
from counterfoil.checkouts.checkout import Checkout, Terms, page_token
from counterfoil.ids import Ids
from counterfoil.money import currency, grouped_text
from counterfoil.store.checkouts import CheckoutStore, New
from counterfoil.vault import Vault

VISITOR_SECONDS = 3600  # How long a visitor's page can be paid.
TIMES_MAX = 1_000_000
DAYS_MAX = 3650


class Standing(StrEnum):
    """
    Whether a link can be paid now, and why not. BEING_PAID: by others, as often as it may be; if
    one of them does not succeed, it is open again.
    """

    OPEN = "open"
    ENDED = "ended"
    EXPIRED = "expired"
    USED_UP = "used up"
    BEING_PAID = "being paid"


class Link(msgspec.Struct, frozen=True, kw_only=True):
    """
    A payment link. Without `amount_minor` the payer says how much, within the bounds. `taken` is
    how often it was paid or is being paid; `paying`, of that, how often it is being paid just now.
    """

    merchant_id: UUID
    link_id: UUID
    description: str
    order_number: str | None
    currency: str
    amount_minor: int | None
    amount_minor_min: int | None
    amount_minor_max: int | None
    times_max: int | None
    taken: int
    expires_at: datetime | None
    created_at: datetime
    created_by: str
    ended_at: datetime | None
    paying: int = 0

    @property
    def paid(self) -> int:
        """
        How often it was paid.
        """
        return self.taken - self.paying


def standing(link: Link, now: datetime) -> Standing:
    """
    Return whether *link* can be paid at this time.
    """
    if link.ended_at is not None:
        return Standing.ENDED
    if link.times_max is not None and link.taken >= link.times_max:
        return Standing.USED_UP if link.paid >= link.times_max else Standing.BEING_PAID
    if link.expires_at is not None and link.expires_at <= now:
        return Standing.EXPIRED
    return Standing.OPEN


def amount_asked(link: Link, text: str) -> int | str:
    """
    Return how much a visitor is to pay, or what is wrong with the amount that they wrote.
    """
    if link.amount_minor is not None:
        return link.amount_minor
    assert link.amount_minor_min is not None
    assert link.amount_minor_max is not None
    unit = currency(link.currency)
    minor = read_amount(text, unit)
    if minor is not None and link.amount_minor_min <= minor <= link.amount_minor_max:
        return minor
    least, most = (
        grouped_text(each, unit) for each in (link.amount_minor_min, link.amount_minor_max)
    )
    return f"Write an amount from {least} to {most} {link.currency}."


async def open_by_link(
    link: Link,
    amount_minor: int,
    *,
    store: CheckoutStore,
    vault: Vault,
    ids: Ids,
    now: datetime,
) -> tuple[Checkout, str]:
    """
    Open a checkout for one visitor of *link*, and return it with the token of its page.
    """
    checkout_id = ids.new()
    token = page_token(vault, link.merchant_id, checkout_id)
    until = now + timedelta(seconds=VISITOR_SECONDS)
    opened = await store.open(
        New(
            merchant_id=link.merchant_id,
            checkout_id=checkout_id,
            token=token,
            terms=Terms(
                amount_minor=amount_minor,
                currency=link.currency,
                order_number=link.order_number,
                description=link.description,
            ),
            expires_at=min(until, link.expires_at) if link.expires_at else until,
            link_id=link.link_id,
            at=now,
            actor=f"link:{link.link_id.hex}",
        )
    )
    assert opened is not None, "without a key of a merchant there is nothing to collide with"
    return opened, token
