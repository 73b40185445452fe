"""
Screening in the database: the rules, the block list, and what was counted.
"""

from collections import OrderedDict
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import msgspec

from counterfoil.clock import Clock
from counterfoil.payments.policy import OFF, WINDOW_SECONDS_MAX, Policy, read_policy, written_policy
from counterfoil.store.database import Database

POLICY_SECONDS = 10.0  # A change is known to every process after at most so long.
VOLUME_SECONDS = 1.0
KEPT_MAX = 20_000
FORGET_AFTER = timedelta(seconds=WINDOW_SECONDS_MAX + 86_400)


class Look(msgspec.Struct, frozen=True, kw_only=True):
    """
    What is asked about a payment to come. In the order of the row type `payment_look`.
    """

    merchant_id: UUID
    payment_id: UUID
    card: bytes
    email: bytes | None
    address: bytes | None
    amount_minor: int
    currency: str
    at: datetime
    card_since: datetime | None
    email_since: datetime | None
    address_since: datetime | None
    declines_since: datetime | None
    month_since: datetime
    day_since: datetime
    bin: str
    email_text: str | None
    email_domain: str | None


class Counted(msgspec.Struct, frozen=True):
    """
    Tries and their amounts (in the payment's currency) within a window.
    """

    payments: int
    amount_minor: int


class Known(msgspec.Struct, frozen=True, kw_only=True):
    """
    What is known. `same_month` and `same_day`: declines of this card for this amount.
    """

    same_month: int
    same_day: int
    never_again: bool
    card: Counted
    email: Counted
    address: Counted
    card_declines: int
    email_declines: int
    address_declines: int
    blocked: tuple[str, ...]


class KeptPolicy(msgspec.Struct, frozen=True):
    """
    A version of a merchant's rules; version 0 was never written.
    """

    version: int
    policy: Policy
    actor: str | None = None
    at: datetime | None = None


class Block(msgspec.Struct, frozen=True, kw_only=True):
    """
    One entry of the block list: whom, why, by whom, since when.
    """

    block_id: UUID
    kind: str
    value: str
    shown: str
    reason: str
    actor: str


class ScreeningStore:
    """
    Reads and writes rules, blocks and counts. Rules are remembered for some seconds.
    """

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._policies: OrderedDict[UUID, tuple[float, Policy]] = OrderedDict()
        self._volumes: OrderedDict[tuple[UUID, str, int], tuple[float, Counted]] = OrderedDict()

    async def policy(self, merchant_id: UUID) -> Policy:
        """
        Return the rules of a merchant, at most some seconds old.
        """
        now = self._clock.monotonic()
        kept = self._policies.get(merchant_id)
        if kept and kept[0] > now:
            return kept[1]
        found = (await self.kept_policy(merchant_id)).policy
        self._policies[merchant_id] = (now + POLICY_SECONDS, found)
        if len(self._policies) > KEPT_MAX:
            self._policies.popitem(last=False)
        return found

    async def kept_policy(self, merchant_id: UUID) -> KeptPolicy:
        """
        Return the rules that hold, with their version.
        """
        row = await self._database.row("screening_policy", merchant_id)
        if row is None:
            return KeptPolicy(0, OFF)
        return KeptPolicy(row["version"], read_policy(row["policy"]), row["actor"], row["at"])

    async def set_policy(
        self,
        merchant_id: UUID,
        policy: Policy,
        *,
        after_version: int,
        actor: str,
        event_id: UUID | None = None,
    ) -> bool:
        """
        Write the version after *after_version*; False when somebody else has done so.

        With *event_id* the list of what people changed has it too.
        """
        written = await self._database.row(
            "add_screening_policy",
            merchant_id,
            after_version + 1,
            written_policy(policy),
            actor,
            self._clock.now(),
            event_id,
        )
        return written is not None

    async def volume(
        self, merchant_id: UUID, since: UUID, currency: str, seconds: int, amount_minor: int
    ) -> Counted:
        """
        Return what a merchant has taken since the id *since* was made, at most a second old.

        What this process has asked about meanwhile, *amount_minor* each, is counted too.
        """
        now = self._clock.monotonic()
        key = (merchant_id, currency, seconds)
        until, counted = self._volumes.get(key) or (0.0, Counted(0, 0))
        if until <= now:
            row = await self._database.row("merchant_volume", merchant_id, since, currency)
            assert row is not None
            until, counted = now + VOLUME_SECONDS, Counted(row["payments"], row["amount_minor"])
        self._volumes[key] = (
            until,
            Counted(counted.payments + 1, counted.amount_minor + amount_minor),
        )
        if len(self._volumes) > KEPT_MAX:
            self._volumes.popitem(last=False)
        return counted

    async def add_block(
        self, merchant_id: UUID, block: Block, *, event_id: UUID | None = None
    ) -> bool:
        """
        Add an entry; False when it is there already. *event_id* as above.
        """
        row = await self._database.row(
            "add_block",
            merchant_id,
            block.block_id,
            block.kind,
            block.value,
            block.shown,
            block.reason,
            block.actor,
            self._clock.now(),
            event_id,
        )
        return row is not None

    async def end_block(
        self, merchant_id: UUID, block_id: UUID, actor: str, *, event_id: UUID | None = None
    ) -> bool:
        """
        End an entry; False when it is unknown or ended. *event_id* as above.
        """
        now = self._clock.now()
        row = await self._database.row("end_block", merchant_id, block_id, now, actor, event_id)
        return row is not None

    async def blocks(self, merchant_id: UUID, *, ended: bool = False) -> list[asyncpg.Record]:
        """
        Return the block list, newest first.
        """
        return await self._database.rows("blocks_of_merchant", merchant_id, ended)

    async def card_of(self, merchant_id: UUID, payment_id: UUID) -> tuple[str, str] | None:
        """
        Return what a payment's card is blocked by, and what may be shown of it.
        """
        row = await self._database.row("fingerprint_of_payment", merchant_id, payment_id)
        if row is None:
            return None
        return row["fingerprint"].hex(), f"{row['card_brand']} ending {row['card_last_four']}"

    async def forget(self) -> None:
        """
        Remove counts and guards that nothing reads any more.
        """
        now = self._clock.now()
        await self._database.rows("forget_marks", now - FORGET_AFTER)
        await self._database.rows("forget_guards", now)


def known_of(row: Any) -> Known:
    """
    Return what the statement `screen` found.
    """
    return Known(
        same_month=row["same_month"],
        same_day=row["same_day"],
        never_again=row["never_again"],
        card=_counted(row["card_tries"], row["card_minor"]),
        email=_counted(row["email_tries"], row["email_minor"]),
        address=_counted(row["address_tries"], row["address_minor"]),
        card_declines=row["card_declines"],
        email_declines=row["email_declines"],
        address_declines=row["address_declines"],
        blocked=tuple(row["blocked"] or ()),
    )


def _counted(tries: Any, minor: Any) -> Counted:
    if not tries and not minor:
        return _NOTHING
    return Counted(max(int(tries or 0), 0), max(int(minor or 0), 0))


_NOTHING = Counted(0, 0)
