"""
Batches in the database: opened, frozen, closed; every message about them committed first.
"""

from collections.abc import Collection
from datetime import date, datetime, time
from typing import Any
from uuid import UUID

import asyncpg
import msgspec

from counterfoil.network.closing import Item, Totals
from counterfoil.network.requests import Original
from counterfoil.payments.lifecycle import Kind
from counterfoil.payments.order import MTI
from counterfoil.store.database import Database
from counterfoil.store.payments import sealed_card
from counterfoil.vault import KeptCard, Vault

UPLOAD_AT_ONCE_MAX = 50
WHOLE_BATCH_SECONDS_MAX = 120.0  # For statements that move up to 9,999 items at once.


Row = asyncpg.Record


class BatchKey(msgspec.Struct, frozen=True, order=True):
    """
    What names a batch: a number of one terminal and currency.
    """

    merchant_id: UUID
    acquirer: str
    terminal_id: str
    currency: str
    batch_number: int

    @property
    def reference(self) -> str:
        """
        The batch as books and people name it: TERM0001/USD/000007.
        """
        return f"{self.terminal_id}/{self.currency}/{self.batch_number:06d}"


class Batch(msgspec.Struct, frozen=True, kw_only=True):
    """
    A batch that we hold the lease of.

    Attributes:
        attempt: How often its close was begun: each attempt has trace numbers of its own.
    """

    key: BatchKey
    state: str
    attempt: int
    closing_at: datetime | None
    our_totals: Totals | None
    host_totals: Totals | None


class MessageKey(msgspec.Struct, frozen=True):
    """
    What names a message about a batch: the attempt, the step, and its item (0: the totals).
    """

    batch: BatchKey
    attempt: int
    step: str
    item_number: int = 0

    @property
    def words(self) -> tuple[Any, ...]:
        """
        The key as its columns.
        """
        batch = msgspec.structs.astuple(self.batch)
        return (*batch, self.attempt, self.step, self.item_number)


class Sent(msgspec.Struct, frozen=True, kw_only=True):
    """
    A message about a batch: the trace that it keeps, how often it was tried, what was answered.

    Attributes:
        forgiven: Tries that do not count any more, since a person let the batch go on.
    """

    stan: int
    transmitted_at: datetime
    attempts: int
    forgiven: int
    response_code: str | None

    @property
    def tries(self) -> int:
        """
        How many tries count.
        """
        return self.attempts - self.forgiven


class Upload(msgspec.Struct, frozen=True, kw_only=True):
    """
    An item to be uploaded, and the token of its card.
    """

    item: Item
    card_token: UUID


class Cutoff(msgspec.Struct, frozen=True, kw_only=True):
    """
    When a merchant's day ends, and when it last did.
    """

    merchant_id: UUID
    cutoff: time
    timezone: str
    last_cutoff_at: datetime


class BatchStore:
    """
    The guarded steps of a close.
    """

    def __init__(self, database: Database, owner: UUID) -> None:
        self._database = database
        self._owner = owner

    async def begin_close(
        self, key: BatchKey, at: datetime, *, cause: str, actor: str, event_id: UUID
    ) -> bool:
        """
        Close *key* to new traffic and open the next number; False when it was not open.
        """
        row = await self._database.row(
            "begin_close", *msgspec.structs.astuple(key), at, cause, actor, event_id
        )
        return row is not None

    async def to_close(self, merchant_id: UUID, opened_before: datetime) -> list[BatchKey]:
        """
        Return a merchant's open batches that hold anything and were opened before that moment.
        """
        rows = await self._database.rows("batches_to_close", merchant_id, opened_before)
        return [
            BatchKey(
                merchant_id,
                row["acquirer"],
                row["terminal_id"],
                row["currency"],
                row["batch_number"],
            )
            for row in rows
        ]

    async def claim(
        self,
        acquirers: list[str],
        now: datetime,
        lease_until: datetime,
        limit: int,
        *,
        under_way: Collection[BatchKey] = (),
    ) -> list[Batch]:
        """
        Take leases on batches whose next step is due, also on those of a process that has ended.

        Those *under_way* in this process have their lease, and are left alone.
        """
        look_at = limit + len(under_way)
        rows = await self._database.rows("due_batches", now, look_at, acquirers, self._owner)
        due = [key for row in rows if (key := BatchKey(*row.values())) not in under_way]
        claimed = []
        for key in due[:limit]:
            row = await self._database.row(
                "claim_batch", *msgspec.structs.astuple(key), self._owner, lease_until, now
            )
            if row:
                claimed.append(_batch(key, row))
        return claimed

    async def release(self, key: BatchKey, next_try_at: datetime) -> None:
        """
        Hand the lease back.
        """
        await self._database.rows(
            "release_batch", *msgspec.structs.astuple(key), self._owner, next_try_at
        )

    async def in_flight(self, key: BatchKey) -> int:
        """
        Return how many payments and advices the batch still waits for.
        """
        row = await self._database.row("in_flight", *msgspec.structs.astuple(key))
        assert row is not None
        waiting: int = row["payments"] + row["advices"]
        return waiting

    async def totals(self, key: BatchKey) -> Totals:
        """
        Count what stands in the batch, gross, and what was taken out of it again.

        Each void of a part is a reversal beside the capture that it lowers.
        """
        words = msgspec.structs.astuple(key)
        sums = await self._database.rows("batch_sums", *words)
        captures = [row for row in sums if row["kind"] == "capture"]
        refunds = [row for row in sums if row["kind"] == "refund"]
        sales = await self._one("batch_reversals", words)
        voided = await self._one("batch_capture_reversals", words)
        taken_back = await self._one("batch_credit_reversals", words)
        authorizations = await self._one("batch_authorizations", words)
        reversals = sales["number"] + voided["number"]
        reversals_minor = sales["amount_minor"] + voided["amount_minor"]
        return Totals(
            debits=sum(row["number"] for row in captures) + sales["number"] + voided["undone"],
            debits_minor=sum(row["amount_minor"] for row in captures) + reversals_minor,
            debit_reversals=reversals,
            debit_reversals_minor=reversals_minor,
            credits=sum(row["number"] for row in refunds) + taken_back["number"],
            credits_minor=sum(row["amount_minor"] for row in refunds) + taken_back["amount_minor"],
            credit_reversals=taken_back["number"],
            credit_reversals_minor=taken_back["amount_minor"],
            authorizations=authorizations["number"],
        )

    async def freeze(self, key: BatchKey, totals: Totals, at: datetime, event_id: UUID) -> bool:
        """
        Fix items and totals; False when somebody else did.
        """
        rows = await self._database.rows(
            "freeze_batch",
            *msgspec.structs.astuple(key),
            at,
            msgspec.json.encode(totals).decode(),
            self._owner,
            event_id,
            seconds_max=WHOLE_BATCH_SECONDS_MAX,
        )
        return bool(rows)

    async def sent(self, key: MessageKey) -> Sent | None:
        """
        Return the message that was committed for this step, if one was.
        """
        row = await self._database.row("batch_message", *key.words)
        return _sent(row) if row else None

    async def about_to_send(
        self, key: MessageKey, *, business_day: date, stan: int, transmitted_at: datetime
    ) -> Sent:
        """
        Commit that a message is about to be written; return the trace that it keeps.
        """
        row = await self._database.row(
            "try_batch_message", *key.words, business_day, stan, transmitted_at
        )
        assert row is not None
        return _sent(row)

    async def not_sent(self, key: MessageKey) -> None:
        """
        Commit that the last try was not written, so that it does not count.
        """
        await self._database.rows("batch_message_not_sent", *key.words)

    async def answered(self, key: MessageKey, code: str, at: datetime) -> None:
        """
        Commit what the host said.
        """
        await self._database.rows("batch_message_answered", *key.words, code, at)

    async def to_upload(
        self, key: BatchKey, attempt: int, limit: int = UPLOAD_AT_ONCE_MAX
    ) -> list[Upload]:
        """
        Return the next items without an answer in this *attempt*.
        """
        words = msgspec.structs.astuple(key)
        rows = await self._database.rows("items_to_upload", *words, attempt, limit)
        return [_upload(row) for row in rows]

    async def count_items(self, key: BatchKey) -> int:
        """
        Return how many items a frozen batch has.
        """
        row = await self._one("count_items", msgspec.structs.astuple(key))
        number: int = row["number"]
        return number

    async def card(self, key: BatchKey, token: UUID, vault: Vault) -> KeptCard:
        """
        Open the card of an item.
        """
        return await sealed_card(self._database, vault, key.merchant_id, token)

    async def move(
        self,
        key: BatchKey,
        before: str,
        after: str,
        *,
        host: Totals | None,
        settlement_date: str | None,
        at: datetime,
        event_id: UUID,
        cause: str,
        actor: str,
        note: str | None = None,
    ) -> bool:
        """
        Move a batch that we hold to its next state.
        """
        row = await self._database.row(
            "move_batch",
            *msgspec.structs.astuple(key),
            before,
            after,
            _text(host),
            at,
            self._owner,
            event_id,
            cause,
            actor,
            note,
            settlement_date,
        )
        return row is not None

    async def retry(
        self,
        key: BatchKey,
        *,
        at: datetime,
        actor: str,
        event_id: UUID,
        note: str | None = None,
    ) -> str | None:
        """
        Let a batch that needs a person go on; return its state, None when it needs no person.

        A close that the host refused is begun anew, from the totals on and under new trace
        numbers; else it goes on where it stopped, under the same ones.
        """
        row = await self._database.row(
            "retry_batch", *msgspec.structs.astuple(key), at, actor, event_id, note
        )
        return row["state"] if row else None

    async def closed(
        self,
        key: BatchKey,
        before: str,
        *,
        at: datetime,
        host: Totals | None,
        settlement_date: str | None,
        cause: str,
        actor: str,
        ids: tuple[UUID, UUID, UUID],
        note: str | None = None,
    ) -> int | None:
        """
        Close the batch on our side too; return its number of items, None when it was not *before*.
        """
        event_id, captures_id, refunds_id = ids
        rows = await self._database.rows(
            "batch_closed",
            *msgspec.structs.astuple(key),
            at,
            _text(host),
            settlement_date,
            before,
            cause,
            actor,
            event_id,
            captures_id,
            refunds_id,
            note,
            seconds_max=WHOLE_BATCH_SECONDS_MAX,
        )
        return rows[0]["items"] if rows else None

    async def page(
        self, merchant_id: UUID, state: str | None = None, limit: int = 100
    ) -> list[asyncpg.Record]:
        """
        Return a merchant's batches, newest first.
        """
        return await self._database.rows("batches_page", merchant_id, state, limit)

    async def row(self, key: BatchKey) -> asyncpg.Record | None:
        """
        Return one batch's whole row.
        """
        return await self._database.row("batch_by_number", *msgspec.structs.astuple(key))

    async def items(self, key: BatchKey) -> list[asyncpg.Record]:
        """
        Return the items of a batch as a report shows them.
        """
        return await self._database.rows("items_of_batch", *msgspec.structs.astuple(key))

    async def cutoffs(self, after: UUID | None, limit: int) -> list[Cutoff]:
        """
        Return merchants with their cutoffs.
        """
        rows = await self._database.rows("merchants_at_cutoff", after, limit)
        return [Cutoff(**row) for row in rows]

    async def keep_cutoff(self, merchant_id: UUID, before: datetime, at: datetime) -> bool:
        """
        Note that the cutoff at *at* is being kept; False when somebody else keeps it.
        """
        return bool(await self._database.rows("keep_cutoff", merchant_id, before, at))

    async def overdue(
        self, waiting_since: datetime, closing_since: datetime
    ) -> list[asyncpg.Record]:
        """
        Return batches whose items wait or that close for too long, and those that need a person.
        """
        return await self._database.rows("long_open_batches", waiting_since, closing_since)

    async def _one(self, name: str, words: tuple[Any, ...]) -> asyncpg.Record:
        row = await self._database.row(name, *words)
        assert row is not None
        return row


def totals_of(text: str | None) -> Totals | None:
    """
    Return the totals kept as *text*.
    """
    return msgspec.json.decode(text, type=Totals) if text else None


def _batch(key: BatchKey, row: asyncpg.Record) -> Batch:
    return Batch(
        key=key,
        state=row["state"],
        attempt=row["attempt"],
        closing_at=row["closing_at"],
        our_totals=totals_of(row["our_totals"]),
        host_totals=totals_of(row["host_totals"]),
    )


def _sent(row: asyncpg.Record) -> Sent:
    return Sent(
        stan=row["stan"],
        transmitted_at=row["transmitted_at"],
        attempts=row["attempts"],
        forgiven=row["forgiven"],
        response_code=row["response_code"],
    )


def _upload(row: asyncpg.Record) -> Upload:
    if row["advice_stan"] is not None:
        original = Original("0220", row["advice_stan"], row["advice_transmitted_at"])
    else:
        mti = MTI[Kind(row["payment_kind"])]
        original = Original(mti, row["payment_stan"], row["payment_transmitted_at"])
    item = Item(
        item_number=row["item_number"],
        kind=row["kind"],
        amount_minor=row["amount_minor"],
        rrn=row["rrn"],
        local_time=row["local_time"],
        approval_code=row["approval_code"],
        original=original,
    )
    return Upload(item=item, card_token=row["card_token"])


def _text(totals: Totals | None) -> str | None:
    return msgspec.json.encode(totals).decode() if totals else None
