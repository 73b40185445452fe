"""
Webhook endpoints as their merchant makes, changes and ends them.

Stands before the *sender*: what is said here decides what is owed to whom. A secret leaves
this module twice: sealed into the database, and once to whoever asked for it.
"""

import os
from datetime import datetime, timedelta
from uuid import UUID

import asyncpg
import msgspec

from counterfoil.clock import Clock
from counterfoil.events.addresses import check_url
from counterfoil.events.signing import new_secret, written_secret
from counterfoil.ids import Ids
from counterfoil.store.webhooks import Endpoint, EndpointStore
from counterfoil.vault import Vault

OVERLAP_SECONDS_MAX = 7 * 86_400
DESCRIPTION_CHARACTERS_MAX = 255
OVERLAP_SECONDS = 86_400  # How long the secret before signs too, unless told otherwise.


class EndpointsFull(Exception):
    """
    The merchant has as many endpoints as one may have.
    """


class EndpointMade(Exception):
    """
    An endpoint of this id was made before: a form that was sent twice makes one.
    """


class EndpointUnknown(Exception):
    """
    The merchant has no such endpoint, or no such delivery of it.
    """


class EndpointDisabled(Exception):
    """
    Nothing is sent to an endpoint that is disabled: it must be enabled first.
    """


class Endpoints:
    """
    The endpoints of all merchants.
    """

    def __init__(
        self, store: EndpointStore, vault: Vault, clock: Clock, ids: Ids, *, loopback: bool
    ) -> None:
        self.store = store
        self._vault = vault
        self._clock = clock
        self._ids = ids
        self._loopback = loopback

    def check(self, url: str) -> None:
        """
        Refuse a URL to which webhooks do not go.

        Raises:
            AddressRefused: Why not.
        """
        check_url(url, loopback=self._loopback)

    async def add(
        self, merchant_id: UUID, made: Endpoint, actor: str, endpoint_id: UUID | None = None
    ) -> tuple[asyncpg.Record, str]:
        """
        Add an endpoint and return it with its secret, which is never shown again.

        Raises:
            AddressRefused: Webhooks do not go to that URL.
            EndpointMade: The one of that *endpoint_id* was made before.
            EndpointsFull: Delete one first.
        """
        self.check(made.url)
        if endpoint_id and await self.store.one(merchant_id, endpoint_id):
            raise EndpointMade
        endpoint_id, secret = endpoint_id or self._ids.new(), new_secret(os.urandom)
        row = await self.store.add(
            merchant_id,
            endpoint_id,
            made,
            self._vault.seal_secret(secret, merchant_id, endpoint_id),
            at=self._clock.now(),
            actor=actor,
            event_id=self._ids.new(),
        )
        if row is None:
            raise EndpointsFull
        return row, written_secret(secret)

    async def change(
        self, merchant_id: UUID, endpoint_id: UUID, actor: str, **changes: object
    ) -> asyncpg.Record:
        """
        Change some of url, description, types and state, and return the endpoint.

        Raises:
            AddressRefused, EndpointUnknown: As they say.
        """
        row = await self.one(merchant_id, endpoint_id)
        now = Endpoint(**{name: row[name] for name in Endpoint.__struct_fields__})
        wanted = msgspec.structs.replace(now, **changes)
        if wanted.url != now.url:
            self.check(wanted.url)
        changed = await self.store.change(
            merchant_id,
            endpoint_id,
            wanted,
            at=self._clock.now(),
            actor=actor,
            events=self._ids.several(2),
        )
        return _known(changed)

    async def rotate(
        self, merchant_id: UUID, endpoint_id: UUID, actor: str, overlap_seconds: int
    ) -> tuple[asyncpg.Record, str]:
        """
        Give an endpoint a new secret and return both; the one before signs too for a while.

        Raises:
            EndpointUnknown: There is none.
        """
        secret, now = new_secret(os.urandom), self._clock.now()
        row = await self.store.rotate(
            merchant_id,
            endpoint_id,
            self._vault.seal_secret(secret, merchant_id, endpoint_id),
            previous_until=now + timedelta(seconds=overlap_seconds),
            at=now,
            actor=actor,
            event_id=self._ids.new(),
        )
        return _known(row), written_secret(secret)

    async def replay(
        self, merchant_id: UUID, endpoint_id: UUID, delivery_id: UUID, actor: str
    ) -> asyncpg.Record:
        """
        Owe a delivery again, from now on.

        Raises:
            EndpointUnknown: There is none.
            EndpointDisabled: Nothing was changed; enable the endpoint first.
        """
        row = await self.store.replay(
            merchant_id,
            endpoint_id,
            delivery_id,
            at=self._clock.now(),
            actor=actor,
            event_id=self._ids.new(),
        )
        if row is None and (await self.one(merchant_id, endpoint_id))["state"] == "disabled":
            raise EndpointDisabled
        return _known(row)

    async def replay_range(
        self,
        merchant_id: UUID,
        endpoint_id: UUID,
        actor: str,
        *,
        first: int,
        last: int,
        state: str | None,
    ) -> int:
        """
        Owe again, from now on, what ended of the events *first* to *last*; return how many.

        REPLAYED_AT_ONCE_MAX at the most, the oldest first: ask again for the others.

        Raises:
            EndpointUnknown, EndpointDisabled: As `replay`.
        """
        if (await self.one(merchant_id, endpoint_id))["state"] == "disabled":
            raise EndpointDisabled
        return await self.store.replay_range(
            merchant_id,
            endpoint_id,
            first=first,
            last=last,
            state=state,
            at=self._clock.now(),
            actor=actor,
            event_id=self._ids.new(),
        )

    async def one(self, merchant_id: UUID, endpoint_id: UUID) -> asyncpg.Record:
        """
        Return one endpoint.

        Raises:
            EndpointUnknown: There is none.
        """
        return _known(await self.store.one(merchant_id, endpoint_id))

    def now(self) -> datetime:
        """
        Return the time by which a previous secret is judged.
        """
        return self._clock.now()


def _known(row: asyncpg.Record | None) -> asyncpg.Record:
    if row is None:
        raise EndpointUnknown
    return row
