"""
A week of a few merchants, drawn from a seed: trade, mistakes, cutoffs, deposits, nightly audits.

The wall clock cannot be moved, the acquirer's business day can. Cutoffs across a change of
daylight-saving time are the matter of gateway/tests/test_schedule.py.
"""

import asyncio
import os
import random
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from .evenings import Acquirer, Evening
from .merchants import AMEX, DECLINED, VISA, add_merchant, payment
from .sandboxes import Json, Sandbox, eventually

SEED = int(os.environ.get("COUNTERFOIL_SEED", "20261123"))
BUSINESS_DAYS = 5
ZONES = ("America/New_York", "Europe/Vienna", "Asia/Tokyo")
# What befalls a day and must not be seen in any book at its end.
MISTAKES = (
    ("close_out_of_balance", "1"),
    ("forget_item", "1"),
    ("silent_to_close", "1"),
    ("report_twice", "1"),
    ("report_date_shifted", "1"),
    ("deposit_split", "1"),
    ("statement_twice", "1"),
    ("chargeback", "1300"),
    ("adjustment", "RESERVE:-700"),
    ("adjustment", "CORRECTION:250"),
)
# One after the other may befall the 0500 and the 0520 of one batch, which rightly needs a person.
TOGETHER_TOO_MUCH = {"close_out_of_balance", "forget_item"}


class Trader:
    """
    One merchant's week: what it still can do with which payment.
    """

    def __init__(self, evening: Evening, zone: str, draw: random.Random) -> None:
        self.evening = evening
        self._zone = zone
        self._draw = draw
        self._held: list[Json] = []
        self._paid: list[Json] = []

    async def trade(self) -> None:
        """Take a day's payments, and change some of this and earlier days."""
        sold = []
        for _ in range(3):
            number = self._draw.choice((VISA, VISA, AMEX, DECLINED))
            card = {**payment()["card"], "number": number, "cvv": None}
            sold += await self.evening.sell(*self._amounts(), card=card)
        today = [each for each in sold if each["state"] == "captured"]
        self._held += await self.evening.sell(*self._amounts(), capture="manual")
        if today and self._draw.random() < 0.5:
            await self.evening.change(self._taken(today), "void")
        self._paid += today
        if self._paid:
            await self.evening.change(self._taken(self._paid), "refund")
        for move in ("capture", "void")[: self._draw.randint(1, 2)]:
            if self._held:
                changed = await self.evening.change(self._taken(self._held), move)
                self._paid += [changed] if move == "capture" else []

    async def close(self, *, by_cutoff: bool) -> None:
        """End the day by the merchant's word, or let its clock do it."""
        names = await (self._cutoff() if by_cutoff else self.evening.begin_close())
        for name in names:
            closed = await self.evening.ended(name)
            assert (closed["state"], closed["differs_by_minor"]) == ("closed", 0), closed

    async def _cutoff(self) -> list[str]:
        before = {each["batch"] for each in await self._closing()}
        at = datetime.now(UTC) + timedelta(seconds=1)
        wall = at.astimezone(ZoneInfo(self._zone)).time()
        async with self.evening.sandbox.database() as database:
            await database.execute(
                "UPDATE merchants SET cutoff = $2, timezone = $3 WHERE merchant_id = $1",
                *(self.evening.number, wall, self._zone),
            )

        async def kept() -> bool:
            return len(await self._closing()) > len(before)

        await eventually(kept, "the cutoff was kept")
        return [each["batch"] for each in await self._closing() if each["batch"] not in before]

    async def _closing(self) -> list[Json]:
        return [each for each in await self.evening.listed("batches") if each["state"] != "open"]

    def _amounts(self) -> list[int]:
        return [self._draw.randint(500, 50_000) for _ in range(self._draw.randint(1, 3))]

    def _taken(self, payments: list[Json]) -> Json:
        return payments.pop(self._draw.randrange(len(payments)))


async def test_a_week_agrees_every_night(brisk: Sandbox) -> None:
    """Whatever the week brings, each night every book agrees to the cent, and in the end all."""
    print(f"seed {SEED}")
    draw = random.Random(SEED)
    acquirer = Acquirer(brisk)
    await acquirer.advance()  # What other stories left is settled now.
    traders = [
        Trader(Evening(await add_merchant(brisk)), zone, random.Random(draw.random()))
        for zone in ZONES
    ]
    for day in range(BUSINESS_DAYS):
        await asyncio.gather(*(each.trade() for each in traders))
        mistakes = _drawn(draw)
        for name, value in mistakes:
            await acquirer.fault(name, value)
        await asyncio.gather(
            *(
                each.close(by_cutoff=number == day % len(traders))
                for number, each in enumerate(traders)
            )
        )
        await acquirer.advance()
        print(f"day {day}: {mistakes}")
        for each in traders:
            assert await each.evening.nightly_differences() == []
    for name, _ in MISTAKES:
        await acquirer.fault(name, "0")
    for each in traders:
        await acquirer.pay(each.evening.merchant.terminal_id)

    for each in traders:
        deposits = await each.evening.listed("deposits")
        assert {told["state"] for told in deposits} == {"funded"}
        await each.evening.agreed()
        code, audited = await each.evening.audit_with_everybody()
        assert (code, audited["differences"]) == (0, [])


def _drawn(draw: random.Random) -> list[tuple[str, str]]:
    while True:
        mistakes = draw.sample(MISTAKES, 2)
        if {name for name, _ in mistakes} != TOGETHER_TOO_MUCH:
            return mistakes
