"""
Webhook endpoints and what is owed to them, leased, tried, ticked off.
"""

from collections.abc import Collection, Iterable
from datetime import datetime, timedelta
from itertools import groupby
from uuid import UUID

import asyncpg
import msgspec

from counterfoil.store.database import Database
from counterfoil.vault import SealedSecret

ENDPOINTS_MAX = 20  # Of one merchant.
DELIVERIES_PAGE_MAX = 100
REPLAYED_AT_ONCE_MAX = 1_000
ATTEMPTS_SHOWN_MAX = 2_000
FORGOTTEN_AT_ONCE_MAX = 1_000

Rows = list[asyncpg.Record]


class Endpoint(msgspec.Struct, frozen=True, kw_only=True):
    """
    What a merchant has said about an endpoint.
    """

    url: str
    description: str | None
    types: list[str] | None
    state: str


class Due(msgspec.Struct, frozen=True, kw_only=True):
    """
    One delivery that is due; `failing`: its endpoint has not taken the latest one.
    """

    merchant_id: UUID
    endpoint_id: UUID
    delivery_id: UUID
    failing: bool


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """
    One delivery that we hold the lease of, with what its message needs; secrets are sealed.
    """

    merchant_id: UUID
    endpoint_id: UUID
    delivery_id: UUID
    number: int
    tries: int
    url: str
    secrets: tuple[SealedSecret, ...]


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """
    What came of a try, and what it means.
    """

    state: str
    next_try_at: datetime
    began_at: datetime
    ended_at: datetime
    gone: bool
    status: int | None
    error: str | None


class EndpointStore:
    """
    Endpoints and their deliveries as their merchant sees and changes them.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(
        self,
        merchant_id: UUID,
        endpoint_id: UUID,
        made: Endpoint,
        secret: SealedSecret,
        *,
        at: datetime,
        actor: str,
        event_id: UUID,
    ) -> asyncpg.Record | None:
        """
        Add an endpoint; None when the merchant has ENDPOINTS_MAX already.
        """
        return await self._database.row(
            "add_endpoint",
            merchant_id,
            endpoint_id,
            made.url,
            made.description,
            made.types,
            *msgspec.structs.astuple(secret),
            ENDPOINTS_MAX,
            at,
            actor,
            event_id,
        )

    async def all(self, merchant_id: UUID) -> Rows:
        """
        Return a merchant's endpoints.
        """
        return await self._database.rows("endpoints_of_merchant", merchant_id)

    async def one(self, merchant_id: UUID, endpoint_id: UUID) -> asyncpg.Record | None:
        """
        Return one endpoint of a merchant.
        """
        return await self._database.row("endpoint_by_id", merchant_id, endpoint_id)

    async def change(
        self,
        merchant_id: UUID,
        endpoint_id: UUID,
        wanted: Endpoint,
        *,
        at: datetime,
        actor: str,
        events: list[UUID],
    ) -> asyncpg.Record | None:
        """
        Make an endpoint what is *wanted*, and return it; None when there is none. Two *events*.
        """
        return await self._database.row(
            "change_endpoint",
            merchant_id,
            endpoint_id,
            *msgspec.structs.astuple(wanted),
            at,
            actor,
            *events,
        )

    async def rotate(
        self,
        merchant_id: UUID,
        endpoint_id: UUID,
        secret: SealedSecret,
        *,
        previous_until: datetime,
        at: datetime,
        actor: str,
        event_id: UUID,
    ) -> asyncpg.Record | None:
        """
        Give an endpoint a new secret; the one before signs too until *previous_until*.
        """
        return await self._database.row(
            "rotate_endpoint",
            merchant_id,
            endpoint_id,
            *msgspec.structs.astuple(secret),
            previous_until,
            at,
            actor,
            event_id,
        )

    async def history(self, merchant_id: UUID, endpoint_id: UUID) -> Rows:
        """
        Return what became of an endpoint, oldest first.
        """
        return await self._database.rows("endpoint_history", merchant_id, endpoint_id)

    async def deliveries(
        self,
        merchant_id: UUID,
        endpoint_id: UUID,
        *,
        before: int | None,
        state: str | None,
        limit: int,
    ) -> Rows:
        """
        Return what an endpoint was owed, newest first.
        """
        return await self._database.rows(
            "deliveries_page", merchant_id, endpoint_id, before, state, limit
        )

    async def attempts(self, merchant_id: UUID, deliveries: Iterable[UUID]) -> dict[UUID, Rows]:
        """
        Return every try of these deliveries, oldest first.
        """
        rows = await self._database.rows(
            "attempts_of_deliveries", merchant_id, list(deliveries), ATTEMPTS_SHOWN_MAX
        )
        return {one: list(tries) for one, tries in groupby(rows, key=lambda row: row[0])}

    async def replay(
        self,
        merchant_id: UUID,
        endpoint_id: UUID,
        delivery_id: UUID,
        *,
        at: datetime,
        actor: str,
        event_id: UUID,
    ) -> asyncpg.Record | None:
        """
        Owe a delivery again; None when there is none, or its endpoint is not enabled.
        """
        return await self._database.row(
            "replay_delivery", merchant_id, endpoint_id, delivery_id, at, actor, event_id
        )

    async def replay_range(
        self,
        merchant_id: UUID,
        endpoint_id: UUID,
        *,
        first: int,
        last: int,
        state: str | None,
        at: datetime,
        actor: str,
        event_id: UUID,
    ) -> int:
        """
        Owe again what ended of the numbers *first* to *last*; return how many.
        """
        limit = REPLAYED_AT_ONCE_MAX
        asked = (first, last, state, at, limit, actor, event_id)
        rows = await self._database.rows("replay_range", merchant_id, endpoint_id, *asked)
        return len(rows)


class DeliveryStore:
    """
    Deliveries as a worker sees them: due, claimed, ended.
    """

    def __init__(self, database: Database, owner: UUID) -> None:
        self._database = database
        self._owner = owner

    async def due(
        self, now: datetime, *, each: int, limit: int, under_way: Collection[UUID]
    ) -> list[Due]:
        """
        Return deliveries that are due: of each endpoint at most *each*, of one that fails only one.

        At most *limit* to endpoints that work, and as many to those that fail.
        """
        rows = await self._database.rows(
            "due_deliveries", now, self._owner, list(under_way), each, limit
        )
        return [Due(**dict(row)) for row in rows]

    async def claim(
        self, due: Iterable[Due], now: datetime, lease_until: datetime
    ) -> list[Delivery]:
        """
        Take leases on deliveries, merchant by merchant; who comes second gets fewer.
        """
        claimed: list[Delivery] = []
        pairs = sorted((each.merchant_id, each.delivery_id) for each in due)
        for merchant_id, group in groupby(pairs, key=lambda pair: pair[0]):
            ids = [delivery_id for _, delivery_id in group]
            rows = await self._database.rows(
                "claim_deliveries", merchant_id, ids, self._owner, lease_until, now
            )
            claimed += [_delivery(merchant_id, row, now) for row in rows]
        return claimed

    async def event(self, delivery: Delivery) -> asyncpg.Record:
        """
        Return the event that a delivery tells.
        """
        row = await self._database.row("event_by_number", delivery.merchant_id, delivery.number)
        assert row is not None, "the feed holds every event for ever"
        return row

    async def ended(
        self,
        delivery: Delivery,
        result: Result,
        *,
        disable_failing_since: datetime,
        event_id: UUID,
        mail_id: UUID,
    ) -> bool:
        """
        Note what came of a try; return whether it disabled the endpoint.

        Changes nothing when the lease was lost.
        """
        took: timedelta = result.ended_at - result.began_at
        row = await self._database.row(
            "delivery_ended",
            delivery.merchant_id,
            delivery.delivery_id,
            self._owner,
            result.state,
            result.next_try_at,
            result.ended_at,
            result.began_at,
            result.gone,
            disable_failing_since,
            result.status,
            max(0, int(took.total_seconds() * 1000)),
            result.error,
            event_id,
            mail_id,
        )
        return bool(row and row["disabled"])

    async def forget(self, before: datetime) -> int:
        """
        Delete deliveries that ended before *before*; return how many, at most so many at once.
        """
        rows = await self._database.rows("forget_deliveries", before, FORGOTTEN_AT_ONCE_MAX)
        return len(rows)


def _delivery(merchant_id: UUID, row: asyncpg.Record, now: datetime) -> Delivery:
    secrets = [SealedSecret(row["secret_key_id"], row["secret_nonce"], row["secret_sealed"])]
    if row["previous_until"] and row["previous_until"] > now:
        secrets.append(
            SealedSecret(row["previous_key_id"], row["previous_nonce"], row["previous_sealed"])
        )
    return Delivery(
        merchant_id=merchant_id,
        endpoint_id=row["endpoint_id"],
        delivery_id=row["delivery_id"],
        number=row["number"],
        tries=row["tries"],
        url=row["url"],
        secrets=tuple(secrets),
    )
