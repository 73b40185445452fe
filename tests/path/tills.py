"""
A shop that goes on selling while something dies, and what it was told of each sale.
"""

import asyncio

from counterfoil_client import (
    AsyncClient,
    CounterfoilError,
    OutcomeUnknown,
    Payment,
    Recovered,
)

from .merchants import card
from .sandboxes import Json, eventually

AT_ONCE = 4
PAUSE_SECONDS = 0.05


class Shop:
    """
    Sells with *client*, a few sales at once, and remembers the last word about each.
    """

    def __init__(self, client: AsyncClient) -> None:
        self._client = client
        self._heard: dict[str, Payment | Recovered | CounterfoilError] = {}
        self._closed = asyncio.Event()

    async def sell(self) -> None:
        """Sell until closed."""
        await asyncio.gather(*(self._sell_at(till) for till in range(AT_ONCE)))

    def close(self) -> None:
        """Let no customer in any more."""
        self._closed.set()

    async def sold(self, more: int) -> None:
        """Wait until so many *more* sales are paid."""
        goal = self.paid + more

        async def reached() -> bool:
            return self.paid >= goal

        await eventually(reached, f"{more} more sales")

    @property
    def paid(self) -> int:
        """How many sales were paid."""
        return sum(isinstance(each, Payment) and each.paid for each in self._heard.values())

    async def recover(self) -> None:
        """Let the client finish what it left open, until nothing is unknown."""

        async def finished() -> bool:
            outcomes = await self._client.recover()
            self._heard |= {each.idempotency_key: each for each in outcomes}
            return all(each.outcome != "unknown" for each in outcomes)

        await eventually(finished, "nothing is unknown after recovery")

    def was_told_the_truth(self, payments: dict[str, Json]) -> None:
        """Compare the last word about every sale with the gateway's *payments*."""
        assert self._heard.keys() >= payments.keys()
        for key, last in self._heard.items():
            payment = payments.get(key)
            charged = payment is not None and payment["charged"]
            match last:
                case OutcomeUnknown():
                    raise AssertionError(f"{key} is still unknown: {last}")
                case CounterfoilError():  # Every other one proves that nothing was charged.
                    assert not charged, (last, payment)
                case Recovered():
                    assert (last.outcome == "paid") == charged, (last, payment)
                case Payment():
                    assert payment is not None
                    assert last.paid == charged, (last, payment)
                    assert last.confirmation_number == payment["confirmation_number"]
                    assert last.amount_minor == payment["amount_minor"]

    async def _sell_at(self, till: int) -> None:
        number = 0
        while not self._closed.is_set():
            number += 1
            await self._one(f"sale-{till}-{number}", 4200 + number)
            await asyncio.sleep(PAUSE_SECONDS)

    async def _one(self, key: str, amount_minor: int) -> None:
        try:
            self._heard[key] = await self._client.sale(
                amount_minor, "USD", card(), idempotency_key=key
            )
        except CounterfoilError as error:
            self._heard[key] = error
