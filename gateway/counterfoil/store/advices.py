"""
Advices in the database: what is owed to an acquirer, leased, tried, answered.
"""

from collections.abc import Collection
from datetime import date, datetime
from itertools import groupby
from typing import Any
from uuid import UUID

import asyncpg
import msgspec

from counterfoil.clock import Clock
from counterfoil.store.database import Database, Lock
from counterfoil.store.writer import GroupWriter
from counterfoil.vault import KeptCard, Vault

TAKING_BACK = ("reversal", "void", "release")  # 0420
GOING_ON = ("capture", "refund")  # 0220
TRY_SECONDS_MAX = 5.0
ANSWERED_SECONDS_MAX = 15.0  # The host has answered: keep trying through a short outage.


class Advice(msgspec.Struct, frozen=True, kw_only=True):
    """
    One advice that we hold the lease of, with what its message needs.

    `was_approved`: we have seen the acquirer's yes to what is taken back, and it is more than the
    rest of a hold; `denials`: how often it has said since that it does not know it.
    `was_captured`: what it takes back was captured, and the acquirer has it in a batch. `about_*`
    name the capture that a release lowers, `remaining_minor` is what remains of its original.
    """

    merchant_id: UUID
    advice_id: UUID
    payment_id: UUID
    kind: str
    reason_code: str | None
    amount_minor: int
    batch_number: int
    stan: int | None
    business_day: date | None
    transmitted_at: datetime | None
    attempts: int
    denials: int
    late_until: datetime
    created_at: datetime
    payment_kind: str
    currency: str
    card_token: UUID
    acquirer: str
    terminal_id: str
    original_stan: int
    original_transmitted_at: datetime
    original_rrn: str
    local_time: str
    approval_code: str | None
    was_approved: bool
    was_captured: bool
    movement_rrn: str | None
    about_stan: int | None
    about_transmitted_at: datetime | None
    remaining_minor: int | None
    key_id: str
    nonce: bytes
    ciphertext: bytes


class Try(msgspec.Struct, frozen=True, kw_only=True):
    """
    An advice that is about to be written. In the order of the statement's parameters.

    `attempts`: how often it was tried before.
    """

    merchant_id: UUID
    payment_id: UUID
    advice_id: UUID
    lease_owner: UUID
    attempts: int
    business_day: date
    stan: int
    transmitted_at: datetime
    next_try_at: datetime
    message_id: UUID
    mti: str
    acquirer: str
    terminal_id: str
    content: str
    at: datetime


class FinalWord(msgspec.Struct, frozen=True, kw_only=True):
    """
    What the acquirer said at last. In the order of the statement's parameters.
    """

    merchant_id: UUID
    payment_id: UUID
    advice_id: UUID
    lease_owner: UUID
    to_state: str
    response_code: str
    event_id: UUID
    transfer_id: UUID
    message_id: UUID
    mti: str
    content: str
    at: datetime


class Owed(msgspec.Struct, frozen=True, kw_only=True):
    """
    What is owed to all acquirers together.
    """

    owed: int
    reversals: int
    oldest: datetime | None
    oldest_reversal: datetime | None
    tries_max: int
    overdue: int


class AdviceStore:
    """
    The store-and-forward queue. It lives in the database, never in memory.
    """

    def __init__(self, database: Database, owner: UUID, clock: Clock) -> None:
        self._database = database
        self.owner = owner
        self._tries = GroupWriter(database, "try_advice", clock=clock)
        self._final_words = GroupWriter(
            database, "advice_answered", clock=clock, lock="lock_payments"
        )

    async def drain(self) -> None:
        """
        Wait until every step handed in is written or given up.
        """
        await self._tries.drain()
        await self._final_words.drain()

    async def claim(
        self,
        acquirers: list[str],
        now: datetime,
        lease_until: datetime,
        limit: int,
        under_way: Collection[UUID] = (),
        kinds: Collection[str] = (*TAKING_BACK, *GOING_ON),
    ) -> list[Advice]:
        """
        Take leases on up to *limit* advices of *kinds* that are due, merchant by merchant.

        What an earlier claim of ours took is taken again unless it is still *under_way*.
        """
        due = await self._database.rows(
            "due_advices", now, limit, acquirers, self.owner, list(under_way), list(kinds)
        )
        claimed: list[Advice] = []
        by_merchant = sorted((row["merchant_id"], row["advice_id"]) for row in due)
        for merchant_id, group in groupby(by_merchant, key=lambda pair: pair[0]):
            ids = [advice_id for _, advice_id in group]
            rows = await self._database.rows(
                "claim_advices", merchant_id, ids, self.owner, lease_until, now
            )
            claimed += [_advice(row) for row in rows]
        return claimed

    def card(self, advice: Advice, vault: Vault) -> KeptCard:
        """
        Open the card that the advice is about.

        Raises:
            VaultClosed: It does not belong to its row, or its key is unknown.
        """
        return vault.open(
            advice.merchant_id, advice.card_token, advice.key_id, advice.nonce, advice.ciphertext
        )

    async def about_to_try(self, attempt: Try) -> bool:
        """
        Commit that an advice is about to be written; False when the lease is lost.

        Raises:
            DatabaseAway, QueueFull: Nothing may be sent; the advice stays owed.
        """
        row = msgspec.structs.astuple(attempt)
        return await self._tries.write(row, seconds_max=TRY_SECONDS_MAX) is not None

    async def unanswered(
        self, advice: Advice, next_try_at: datetime, response_code: str | None
    ) -> int | None:
        """
        Put the advice back; return how often it was tried.
        """
        row = await self._database.row(
            "advice_unanswered",
            advice.merchant_id,
            advice.advice_id,
            self.owner,
            next_try_at,
            response_code,
        )
        return row["attempts"] if row else None

    async def answered(self, said: FinalWord) -> bool:
        """
        Commit the acquirer's final word with what it does to the payment; False if too late.

        Raises:
            DatabaseAway, QueueFull: It stays owed and is repeated; the host knows a repeat.
        """
        row = msgspec.structs.astuple(said)
        return await self._final_words.write(row, seconds_max=ANSWERED_SECONDS_MAX) is not None

    async def batch_closed_by_host(self, advice: Advice, at: datetime, event_id: UUID) -> None:
        """
        Close our side of a batch that the host closed by itself, so that the next number opens.
        """
        await self._database.rows(
            "begin_close",
            advice.merchant_id,
            advice.acquirer,
            advice.terminal_id,
            advice.currency,
            advice.batch_number,
            at,
            "closed_by_host",
            "acquirer",
            event_id,
        )

    async def next_batch(self, advice: Advice, at: datetime, event_id: UUID) -> bool:
        """
        Put a capture or refund into the open batch, under a new trace number; False if too late.
        """
        row = await self._database.row(
            "move_advice_to_open_batch",
            advice.merchant_id,
            advice.advice_id,
            self.owner,
            at,
            event_id,
            lock=_payment_of(advice),
        )
        return row is not None

    async def refund_instead(self, advice: Advice, *arguments: Any) -> bool:
        """
        Commit that a refund is owed instead of a reversal that the host refused; False if too late.
        """
        row = await self._database.row(
            "owe_refund_instead",
            advice.merchant_id,
            advice.advice_id,
            self.owner,
            *arguments,
            lock=_payment_of(advice),
        )
        return row is not None

    async def credit_stands(self, advice: Advice, *arguments: Any) -> bool:
        """
        Commit that a credit was given for good, because the host cannot take it back.
        """
        row = await self._database.row(
            "credit_stands",
            advice.merchant_id,
            advice.advice_id,
            self.owner,
            *arguments,
            lock=_payment_of(advice),
        )
        return row is not None

    async def owed(self, tries: int, created_by: datetime) -> Owed:
        """
        Return what is owed; overdue is what was tried more than *tries* times or is older.
        """
        row = await self._database.row("owed_advices", tries, created_by)
        assert row is not None
        return Owed(**row)


def _payment_of(advice: Advice) -> Lock:
    return Lock("lock_payments", ([advice.merchant_id], [advice.payment_id]))


def _advice(row: asyncpg.Record) -> Advice:
    return Advice(**{name: row[name] for name in Advice.__struct_fields__})
