"""
The Virtual Terminal on a stage: a clerk of the stage's merchant, and what they ask for.
"""

from collections import deque
from collections.abc import Callable
from typing import Any
from uuid import UUID

import msgspec
from counterfoil.cards import Card
from counterfoil.store.terminal import TerminalStore
from counterfoil.terminal import selling
from counterfoil.terminal.minding import LEFT_ALONE, SaleMinder
from counterfoil.terminal.sale import Entry, Sale, SaleKind, Wanted
from payment_stage import CARD, SESSION, Stage

WANTED = Wanted(
    kind=SaleKind.SALE,
    entry=Entry.KEYED,
    amount_minor=4200,
    currency="USD",
    tax_minor=300,
    tip_minor=200,
    order_number="T-1001",
    description="Two books, by telephone",
    customer_email="ada@shopper.example",
    customer_name="Ada Byron",
    postal_code="62704",
    street="10 Main",
)


class TerminalStage:
    """
    What a web process has at hand for the terminal, on the road of *stage*.
    """

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.store = TerminalStore(stage.database, stage.road.ids)
        self.user_id: UUID | None = None

    async def clerk(self) -> UUID:
        """Return a person who works for the stage's merchant."""
        if self.user_id is None:
            self.user_id = self.stage.road.ids.new()
            await self.stage.sql(
                "INSERT INTO users (user_id, email, name, created_at) VALUES ($1, $2, 'Clerk', $3)",
                self.user_id,
                f"{self.user_id.hex}@shop.example",
                self.stage.clock.now(),
            )
        return self.user_id

    async def asked(self, card: Card | None = CARD, **changes: Any) -> Sale:
        """Write the row of a sale, and nothing else."""
        wanted = msgspec.structs.replace(WANTED, **changes)
        sale_id = self.stage.road.ids.new()
        asked = await self.ask(wanted, sale_id, card)
        assert asked is not None
        return asked

    async def ask(self, wanted: Wanted, sale_id: UUID, card: Card | None = CARD) -> Sale | None:
        """Write a row under this id."""
        merchant_id = self.stage.merchant.merchant_id
        return await self.store.ask(
            wanted,
            merchant_id=merchant_id,
            sale_id=sale_id,
            user_id=await self.clerk(),
            digest=selling.digest_of(wanted, merchant_id, self.stage.road, card),
            now=self.stage.clock.now(),
        )

    async def sell(self, sale: Sale, card: Card = CARD) -> Sale:
        """Take the payment of a row."""
        return await selling.sell(
            sale,
            self.stage.merchant,
            card,
            session_id=SESSION,
            road=self.stage.road,
            store=self.store,
        )

    async def sold(self, card: Card = CARD, **changes: Any) -> Sale:
        """Do all of it."""
        return await self.sell(await self.asked(card, **changes), card)

    async def look(self, stage: Stage | None = None) -> int:
        """Let a worker look after what has no end, when it is old enough for that."""
        stage = stage or self.stage
        stage.clock.move(LEFT_ALONE.total_seconds())
        store = TerminalStore(stage.database, stage.road.ids)
        return await SaleMinder(stage.road, store, stage.merchants).look()

    async def read(self, sale: Sale) -> Sale:
        """Return a sale as it stands now."""
        found = await self.store.one(sale.merchant_id, sale.sale_id)
        assert found is not None
        return found

    async def states(self, sale: Sale) -> list[str]:
        """Return its history."""
        return [row["to_state"] for row in await self.store.history(sale)]

    async def payments(self) -> list[str]:
        """Return the states of every payment of the merchant, oldest first."""
        rows = await self.stage.sql(
            "SELECT state FROM payments WHERE merchant_id = $1 ORDER BY payment_id",
            self.stage.merchant.merchant_id,
        )
        return [row["state"] for row in rows]

    def script(self, *steps: Callable[..., Any]) -> None:
        """Let the acquirer answer so."""
        self.stage.link.script = deque(steps)
