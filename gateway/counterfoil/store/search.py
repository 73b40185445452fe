"""
Finding payments: by what a person knows of one, page by page, in either direction.

Each question is answered from an index that begins with the merchant. What no index knows (how it
stands, the brand, the kind) is compared payment by payment, as far as SCANNED_MAX: who looks for
something rare is told how far was looked, and goes on from there.
"""

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

import msgspec

from counterfoil.ids import first_at
from counterfoil.payments.payment import Payment
from counterfoil.store.database import Database
from counterfoil.store.payments import Filters, payment_of

PAGE_MAX = 200
SCANNED_MAX = 4_000
STEPS = (250, 1_250, 2_500)  # So many are compared at first, and then: SCANNED_MAX together.
SLACK = timedelta(hours=1)  # An id is made a moment before what it is the id of.
YEARS = (2000, 2100)
FIRST, LAST = UUID(int=0), UUID(int=2**128 - 1)


class By(StrEnum):
    """
    What is known of a payment that is looked for; each is the end of a query's name.
    """

    LAST_FOUR = "last_four"
    AMOUNT = "amount"
    APPROVAL = "approval"
    EMAIL = "email"
    ORDER = "order"
    CONFIRMATION = "confirmation"
    RRN = "rrn"


_QUERIES = {
    By.LAST_FOUR: "find_by_last_four",
    By.AMOUNT: "find_by_amount",
    By.APPROVAL: "find_by_approval",
    By.EMAIL: "find_by_email",
    By.ORDER: "find_by_order",
    By.CONFIRMATION: "find_by_confirmation",
    By.RRN: "find_by_rrn",
}
_SHORT = {By.CONFIRMATION, By.RRN}  # Of these there are a few at the most.


class Key(msgspec.Struct, frozen=True, kw_only=True):
    """
    One thing that is known of a payment. An amount is in minor units, and of this currency.
    """

    by: By
    value: str | int
    currency: str | None = None


class Narrowing(msgspec.Struct, frozen=True, kw_only=True):
    """
    What else a payment must be; None does not narrow. In the order of the query's parameters.
    """

    states: tuple[str, ...] | None = None
    is_refunded: bool | None = None
    kind: str | None = None
    brand: str | None = None
    currency: str | None = None
    acquirer: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    is_question: bool | None = None
    order_number: str | None = None
    confirmation_number: str | None = None
    rrn: str | None = None


class Between(msgspec.Struct, frozen=True, kw_only=True):
    """
    Payments after one and before another; the newest first, or with *from_oldest* the others.
    """

    low: UUID = FIRST
    high: UUID = LAST
    from_oldest: bool = False


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """
    A page, newest first. `more`: there are others beyond it, or there may be: then `looked_until`
    is the last payment that was compared.
    """

    payments: list[Payment]
    more: bool
    looked_until: UUID | None = None


class SearchStore:
    """
    Finds a merchant's payments.
    """

    def __init__(self, database: Database, merchant_id: UUID) -> None:
        self._database = database
        self._merchant_id = merchant_id

    async def currencies(self) -> list[str]:
        """
        Return in which currencies the merchant takes payments.
        """
        rows = await self._database.rows("currencies_in_use", self._merchant_id)
        return [row["currency"] for row in rows]

    async def find(
        self, keys: Sequence[Key], narrowing: Narrowing, between: Between, limit: int
    ) -> Found:
        """
        Return at most *limit* payments that any of *keys* names (without keys: all), narrowed.
        """
        assert 1 <= limit <= PAGE_MAX
        found: list[Payment] = []
        for step in STEPS if narrowing != Narrowing() else (limit + 1, *STEPS):
            ids = await self._candidates(keys, between, step)
            found += await self._among(ids, keys, narrowing, between)
            if len(ids) < step or len(found) > limit:
                return _page(found, limit, between)
            between = _beyond(ids[-1], between)
        last = between.low if between.from_oldest else between.high
        page = _page(found, limit, between)
        return msgspec.structs.replace(page, more=True, looked_until=last)

    async def page(self, filters: Filters, limit: int) -> Found:
        """
        Return at most *limit* payments that *filters* let through, newest first.
        """
        named = (
            (By.CONFIRMATION, filters.confirmation_number),
            (By.RRN, filters.rrn),
            (By.ORDER, filters.order_number),
        )
        keys = [Key(by=by, value=value) for by, value in named if value is not None]
        narrowing = Narrowing(
            states=(filters.state,) if filters.state else None,
            currency=filters.currency,
            since=filters.created_from,
            until=filters.created_to,
            order_number=filters.order_number,
            confirmation_number=filters.confirmation_number,
            rrn=filters.rrn,
        )
        low, high = ids_within(filters.created_from, filters.created_to)
        between = Between(low=low, high=min(filters.before, high) if filters.before else high)
        return await self.find(keys[:1], narrowing, between, limit)

    async def _candidates(self, keys: Sequence[Key], between: Between, size: int) -> list[UUID]:
        """
        Return at most *size* payments that any of *keys* names, nearest first.
        """
        bounds = (between.low, between.high)
        asked = [self._ask(key, bounds, between.from_oldest, size) for key in keys]
        if not keys:
            asked = [self._ids("find_by_time", *bounds, between.from_oldest, size)]
        ids = {each for some in await asyncio.gather(*asked) for each in some}
        return sorted(ids, reverse=not between.from_oldest)[:size]

    async def _ask(
        self, key: Key, bounds: tuple[UUID, UUID], from_oldest: bool, size: int
    ) -> list[UUID]:
        if key.by in _SHORT:
            return await self._ids(_QUERIES[key.by], key.value, *bounds)
        return await self._ids(_QUERIES[key.by], key.value, *bounds, from_oldest, size)

    async def _ids(self, name: str, *arguments: object) -> list[UUID]:
        rows = await self._database.rows(name, self._merchant_id, *arguments)
        return [row["payment_id"] for row in rows]

    async def _among(
        self, ids: list[UUID], keys: Sequence[Key], narrowing: Narrowing, between: Between
    ) -> list[Payment]:
        """
        Return those of *ids* that fit, in their order.
        """
        if not ids:
            return []
        said = msgspec.structs.astuple(narrowing)
        rows = await self._database.rows("payments_among", self._merchant_id, ids, *said)
        found = [payment_of(row) for row in rows]
        fitting = [each for each in found if not keys or any(is_meant(each, key) for key in keys)]
        return fitting[::-1] if between.from_oldest else fitting


def is_meant(payment: Payment, key: Key) -> bool:
    """
    Return whether *payment* is what *key* names: of an amount the index knows minor units only.
    """
    match key.by:
        case By.AMOUNT:
            return payment.amount_minor == key.value and payment.currency == key.currency
        case By.LAST_FOUR:
            return payment.card_last_four == key.value
        case By.APPROVAL:
            return payment.approval_code == key.value
        case By.EMAIL:
            return (payment.customer_email or "").lower() == key.value
        case By.ORDER:
            return payment.order_number == key.value
        case By.CONFIRMATION:
            return payment.confirmation_number == key.value
        case By.RRN:
            return payment.rrn == key.value


def ids_within(since: datetime | None, until: datetime | None) -> tuple[UUID, UUID]:
    """
    Return two ids, between which is each of what was made after *since* and before *until*.
    """
    low = _id_near(since, -SLACK) if since else FIRST
    return low, _id_near(until, SLACK) if until else LAST


def _id_near(moment: datetime, slack: timedelta) -> UUID:
    """
    Return the smallest id of *moment* and some *slack*; all of ours were made in these years.
    """
    if moment.year < YEARS[0]:
        return FIRST
    return first_at(moment + slack) if moment.year < YEARS[1] else LAST


def _beyond(last: UUID, between: Between) -> Between:
    if between.from_oldest:
        return msgspec.structs.replace(between, low=last)
    return msgspec.structs.replace(between, high=last)


def _page(found: list[Payment], limit: int, between: Between) -> Found:
    shown = found[:limit]
    return Found(payments=shown[::-1] if between.from_oldest else shown, more=len(found) > limit)
