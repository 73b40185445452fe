"""
Payment pages on a stage: checkouts of the stage's merchant, opened as a shop opens them.
"""

from collections import deque
from collections.abc import Callable
from typing import Any

import msgspec
from counterfoil.checkouts import paying
from counterfoil.checkouts.checkout import Checkout, State, Terms
from counterfoil.checkouts.opening import Checkouts
from counterfoil.checkouts.paying import Typed
from counterfoil.store.checkouts import CheckoutStore
from payment_stage import CARD, KEYS, Stage

ORIGIN = "https://pay.example"
SHOP = "https://shop.example"
TERMS = Terms(
    amount_minor=4200,
    currency="USD",
    order_number="1001",
    description="Two books",
    return_url=f"{SHOP}/orders/1001?token=abc",
    cancel_url=f"{SHOP}/basket",
)
TYPED = Typed(
    card=CARD, address="203.0.113.7", session_id="203.0.113.7:1", email="ada@shopper.example"
)


class PageStage:
    """
    What a process has at hand for payment pages, on the road of *stage*.
    """

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.store = CheckoutStore(stage.database, stage.road.ids)
        self.checkouts = Checkouts(
            self.store,
            stage.road.vault,
            stage.clock,
            stage.road.ids,
            origin=ORIGIN,
            is_test=True,
        )

    async def allow(self, *origins: str) -> None:
        """Let the merchant's pages lead back to *origins*."""
        await self.store.set_return_origins(
            self.stage.merchant.merchant_id,
            list(origins),
            at=self.stage.clock.now(),
            actor="cli:test",
        )

    async def opened(self, *, key: str | None = None, **changes: Any) -> Checkout:
        """Open a checkout of 42.00 USD."""
        expires = changes.pop("expires_seconds", 3600)
        terms = msgspec.structs.replace(TERMS, **changes)
        await self.allow(SHOP)
        opened, _ = await self.checkouts.open(
            self.stage.merchant,
            key or next(KEYS),
            terms,
            expires_seconds=expires,
            actor="key_of_the_test",
        )
        return opened

    async def pay(self, checkout: Checkout, **changes: Any) -> Checkout:
        """Press the button once."""
        paid, _ = await self.pressed(checkout, **changes)
        return paid

    async def pressed(self, checkout: Checkout, **changes: Any) -> tuple[Checkout, bool]:
        """Press the button of a page opened just now, and say whether a try was begun."""
        checkout = await self.read(checkout)
        typed = msgspec.structs.replace(TYPED, **changes)
        return await paying.pay(
            checkout, self.stage.merchant, typed, road=self.stage.road, store=self.store
        )

    async def found_out(self, checkout: Checkout) -> Checkout:
        """Look after a try that nobody waits for."""
        return await paying.find_out(
            checkout, self.stage.merchant, road=self.stage.road, store=self.store
        )

    async def read(self, checkout: Checkout) -> Checkout:
        """Return a checkout as it stands now."""
        found = await self.store.one(checkout.merchant_id, checkout.checkout_id)
        assert found is not None
        return found

    async def causes(self, checkout: Checkout) -> list[str]:
        """Return its history."""
        return [row["cause"] for row in await self.store.history(checkout)]

    async def payments(self) -> list[tuple[str, str | None]]:
        """Return state and confirmation number of every payment of the merchant."""
        rows = await self.stage.sql(
            "SELECT state, confirmation_number FROM payments WHERE merchant_id = $1 "
            "ORDER BY payment_id",
            self.stage.merchant.merchant_id,
        )
        return [tuple(row.values()) for row in rows]

    def script(self, *steps: Callable[..., Any]) -> None:
        """Let the acquirer answer so."""
        self.stage.link.script = deque(steps)


OPEN, PAYING, PAID = State.OPEN, State.PAYING, State.PAID
