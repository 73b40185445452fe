"""
Webhooks on a stage: endpoints, a sender, and the real network of this machine.
"""

from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import asyncpg
from counterfoil.events.endpoints import Endpoints
from counterfoil.events.feed import number_events
from counterfoil.events.posting import CheckedNetwork, Poster, tls_context
from counterfoil.events.webhooks import Post, Sender
from counterfoil.store.feed import FeedStore
from counterfoil.store.webhooks import DeliveryStore, Endpoint, EndpointStore
from payment_stage import Stage


class Hooks:
    """
    A merchant's endpoints, and a worker that sends to them.
    """

    def __init__(self, stage: Stage, *, loopback: bool = True) -> None:
        self.stage = stage
        self.store = EndpointStore(stage.database)
        self.endpoints = Endpoints(
            self.store, stage.road.vault, stage.clock, stage.road.ids, loopback=loopback
        )
        self.poster = Poster(CheckedNetwork(loopback=loopback), tls_context())

    def sender(self, post: Post | None = None, chance: Callable[[], float] = lambda: 0.5) -> Sender:
        """Return another worker's sender."""
        return Sender(
            DeliveryStore(self.stage.database, uuid4()),
            self.stage.road.vault,
            post or self.poster.post,
            self.stage.clock,
            self.stage.road.ids.new,
            mode="test",
            chance=chance,
        )

    async def add(self, url: str, types: list[str] | None = None) -> tuple[UUID, str]:
        """Add an endpoint; return its id and its secret."""
        made = Endpoint(url=url, description=None, types=types, state="enabled")
        row, secret = await self.endpoints.add(self.stage.merchant.merchant_id, made, "test")
        return row["endpoint_id"], secret

    async def number(self) -> None:
        """Number everything that waits."""
        while await number_events(FeedStore(self.stage.database), self.stage.clock):
            pass

    async def send(self, sender: Sender | None = None) -> None:
        """Number everything, and send until nothing is due."""
        await self.number()
        sender = sender or self.sender()
        while await sender.send_due():
            await sender.finish()
        await sender.finish()

    async def deliveries(self, endpoint_id: UUID) -> list[asyncpg.Record]:
        """Return what the endpoint was owed, oldest first."""
        merchant_id = self.stage.merchant.merchant_id
        rows = await self.store.deliveries(
            merchant_id, endpoint_id, before=None, state=None, limit=100
        )
        return rows[::-1]

    async def endpoint(self, endpoint_id: UUID) -> Any:
        """Return the endpoint as it stands."""
        return await self.store.one(self.stage.merchant.merchant_id, endpoint_id)
