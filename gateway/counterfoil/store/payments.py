"""
Payments in the database: each durable step of the road, and what can be read back.

Steps that many payments take at once go through a group writer; the rarer ones
(capture, void, refund) are single statements of the same guarded kind.
"""

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any, Literal
from uuid import UUID

import asyncpg
import msgspec

from counterfoil.clock import Clock
from counterfoil.measures import Measures
from counterfoil.payments.lifecycle import Kind, State
from counterfoil.payments.payment import Change, Merchant, Movement, Payment, Placed
from counterfoil.store.database import Database, DatabaseAway, Lock
from counterfoil.store.screening import Known, Look, ScreeningStore, known_of
from counterfoil.store.writer import GroupWriter
from counterfoil.vault import KeptCard, Sealed, Vault

WRITE_SECONDS_MAX = 5.0
CONCLUDE_SECONDS_MAX = 45.0  # The host has answered: keep trying through a short outage.
PAGE_MAX = 100
WHOLE_ROWS = frozenset({"screen", "intend", "conclude", "acknowledge"})  # Every payment's steps.
STEPS = ("screen", "intend", "intend_again", "ask_again", "conclude", "acknowledge", "reverse")


class Intent(msgspec.Struct, frozen=True, kw_only=True):
    """
    What is about to be asked of the network. In the order of the row type `payment_intent`.
    """

    merchant_id: UUID
    payment_id: UUID
    idempotency_key: str
    request_fingerprint: bytes
    kind: Kind
    amount_minor: int
    currency: str
    order_number: str | None
    description: str | None
    customer_email: str | None
    card_token: UUID
    card_brand: str
    card_bin: str
    card_last_four: str
    key_id: str
    nonce: bytes
    ciphertext: bytes
    card_fingerprint: bytes
    acquirer: str
    terminal_id: str
    batch_number: int
    business_day: date
    stan: int
    rrn: str
    transmitted_at: datetime
    local_time: str
    mti: str
    content: str
    message_id: UUID
    event_id: UUID
    process_id: UUID
    session_id: str
    send_before: datetime
    at: datetime
    actor: str
    approval_code: str | None = None
    refused: bool = False
    screening: str | None = None
    guard: bytes | None = None
    guard_until: datetime | None = None
    card_try: bytes | None = None
    email_try: bytes | None = None
    address_try: bytes | None = None


class SecondIntent(msgspec.Struct, frozen=True, kw_only=True):
    """
    The same payment tried again after nothing was written.
    """

    merchant_id: UUID
    payment_id: UUID
    acquirer: str
    terminal_id: str
    batch_number: int
    business_day: date
    stan: int
    rrn: str
    transmitted_at: datetime
    local_time: str
    mti: str
    content: str
    message_id: UUID
    event_id: UUID
    process_id: UUID
    session_id: str
    send_before: datetime
    at: datetime
    actor: str
    card_try: bytes | None = None
    email_try: bytes | None = None
    address_try: bytes | None = None
    guard: bytes | None = None
    guard_until: datetime | None = None
    refused: bool = False
    screening: str | None = None


class AnotherTry(msgspec.Struct, frozen=True, kw_only=True):
    """
    The same payment asked again after a technical "no": that answer, and the new trace.
    """

    merchant_id: UUID
    payment_id: UUID
    from_stan: int
    from_day: date
    from_transmitted_at: datetime
    answer_mti: str
    answer_content: str
    answer_id: UUID
    acquirer: str
    terminal_id: str
    batch_number: int
    business_day: date
    stan: int
    rrn: str
    transmitted_at: datetime
    local_time: str
    mti: str
    content: str
    message_id: UUID
    event_id: UUID
    send_before: datetime
    at: datetime


class Conclusion(msgspec.Struct, frozen=True, kw_only=True):
    """
    What became of an intent: approved, declined, not sent, or unknown and to be reversed.

    `stan` and `transmitted_at` name the try that it is about. `authorized_minor` is what the issuer
    approved to be held or taken. In the order of the row type `payment_conclusion`.
    """

    merchant_id: UUID
    payment_id: UUID
    stan: int
    transmitted_at: datetime
    event_id: UUID
    to_state: State
    cause: str
    response_code: str | None = None
    approval_code: str | None = None
    avs_result: str | None = None
    cvv_result: str | None = None
    network_transaction_id: str | None = None
    settlement_date: str | None = None
    acknowledge_by: datetime | None = None
    mti: str | None = None
    content: str | None = None
    message_id: UUID
    transfer_id: UUID
    advice_id: UUID
    reason_code: str | None = None
    late_until: datetime
    at: datetime
    authorized_minor: int = 0
    advice_code: str | None = None
    screening: str | None = None
    mark: Literal["decline", "outage"] | None = None
    never_again: bool = False
    card_subject: bytes | None = None
    email_subject: bytes | None = None
    address_subject: bytes | None = None
    hold_until: datetime | None = None


class Acknowledgment(msgspec.Struct, frozen=True, kw_only=True):
    """
    The merchant has the approval. In the order of the row type `payment_acknowledgment`.
    """

    merchant_id: UUID
    payment_id: UUID
    event_id: UUID
    confirmation_number: str
    session_id: str
    movement_id: UUID
    transfer_id: UUID
    customer_mail_id: UUID
    merchant_mail_id: UUID
    merchant_email: str
    at: datetime
    actor: str


class Reversal(msgspec.Struct, frozen=True, kw_only=True):
    """
    A reversal is owed from now on.
    """

    merchant_id: UUID
    payment_id: UUID
    event_id: UUID
    from_state: State
    unclaimed_since: datetime | None
    cause: str
    advice_id: UUID
    reason_code: str
    late_until: datetime
    at: datetime
    actor: str


class LateApproval(msgspec.Struct, frozen=True, kw_only=True):
    """
    A host's yes to what was reversed. In the order of the statement's parameters.

    `transmitted` is DE 7 of the request: with terminal, STAN and RRN it names one message.
    """

    acquirer: str
    terminal_id: str
    rrn: str
    stan: int
    transmitted: str
    event_id: UUID
    late_until: datetime
    at: datetime


class KeyUse(msgspec.Struct, frozen=True):
    """
    What an idempotency key was used for.
    """

    operation: str
    fingerprint: bytes
    payment_id: UUID | None


class Unclaimed(msgspec.Struct, frozen=True):
    """
    An approval that nobody acknowledged; `reversed_at` is when the reversal began, or None.
    """

    payment: Payment
    reversed_at: datetime | None


class Filters(msgspec.Struct, frozen=True, kw_only=True):
    """
    Which payments a page shows; None does not narrow.
    """

    before: UUID | None = None
    state: str | None = None
    order_number: str | None = None
    currency: str | None = None
    created_from: datetime | None = None
    created_to: datetime | None = None
    confirmation_number: str | None = None
    rrn: str | None = None


class Unconfirmed(msgspec.Struct, frozen=True, kw_only=True):
    """
    What of a payment's captures the acquirer has not accepted yet.

    `captured_minor`: captured here and not there; `is_lowered`: a void out of a capture is owed.
    """

    captured_minor: int
    is_lowered: bool


class Lapse(msgspec.Struct, frozen=True, kw_only=True):
    """
    A hold's time is over. In the order of the statement's parameters.
    """

    merchant_id: UUID
    payment_id: UUID
    event_id: UUID
    transfer_id: UUID
    advice_id: UUID
    late_until: datetime
    at: datetime
    actor: str


class PaymentStore:
    """
    The steps of a payment as guarded statements.
    """

    def __init__(
        self,
        database: Database,
        clock: Clock,
        *,
        measures: Measures | None = None,
    ) -> None:
        self._database = database
        self.screening = ScreeningStore(database, clock)
        self._writers = {
            step: GroupWriter(
                database,
                step,
                clock=clock,
                on_group=measures.group if measures else None,
                on_row=measures.step if measures else None,
                whole_rows=step in WHOLE_ROWS,
            )
            for step in STEPS
        }

    async def drain(self) -> None:
        """
        Wait until every step handed in is written or given up.
        """
        for writer in self._writers.values():
            await writer.drain()

    def depths(self) -> dict[str, int]:
        """
        Return how many rows wait at each step.
        """
        return {step: writer.depth for step, writer in self._writers.items()}

    async def screen(self, look: Look) -> Known:
        """
        Return what is known of a payment to come: counts and blocks. Writes nothing.
        """
        row = await self._write("screen", look, WRITE_SECONDS_MAX)
        assert row is not None, "every look is answered"
        return known_of(row)

    async def intend(self, intent: Intent) -> State | None:
        """
        Commit *intent* and return its state: `declined` when screening has refused it.

        None: its key was seen before, or its batch is no longer open.
        """
        row = await self._write("intend", intent, WRITE_SECONDS_MAX)
        return State(row["state"]) if row else None

    async def intend_again(self, intent: SecondIntent) -> State | None:
        """
        Commit another try of a payment that was not sent, and return its state: `declined` when
        screening refuses it by now. None: somebody else did, or may not be paid beside it.
        """
        row = await self._write("intend_again", intent, WRITE_SECONDS_MAX)
        return State(row["state"]) if row else None

    async def ask_again(self, another: AnotherTry) -> bool:
        """
        Commit a technical "no" and the next try; False when the payment has moved on.
        """
        return await self._write("ask_again", another, WRITE_SECONDS_MAX) is not None

    async def conclude(self, conclusion: Conclusion) -> Payment | None:
        """
        Commit what the network said; None when the payment is no longer `processing` this try.
        """
        return _payment(await self._write("conclude", conclusion, CONCLUDE_SECONDS_MAX))

    async def acknowledge(self, acknowledgment: Acknowledgment) -> Payment | None:
        """
        Commit the acknowledgment; None when it is not (any more) to be acknowledged.
        """
        return _payment(await self._write("acknowledge", acknowledgment, WRITE_SECONDS_MAX))

    async def reverse(self, reversal: Reversal) -> Payment | None:
        """
        Commit that a reversal is owed; None when the payment has moved on.
        """
        return _payment(await self._write("reverse", reversal, WRITE_SECONDS_MAX))

    async def undo_approval(self, *arguments: Any) -> Payment | None:
        """
        Owe a reversal under the key of an undo; None when it is refused. Arguments as in the query.
        """
        return _payment(await self._certainly("undo_approval", *arguments))

    async def owe_again(self, approval: LateApproval) -> Payment | None:
        """
        Commit that a reversal is owed again; None when the one before was not in vain.
        """
        return _payment(await self._database.row("owe_again", *msgspec.structs.astuple(approval)))

    async def keep_received(self, *arguments: Any) -> None:
        """
        Keep a masked message that changes nothing. Arguments as in the query.
        """
        await self._database.rows("keep_received", *arguments)

    async def capture(self, *arguments: Any) -> Payment | None:
        """
        Run the guarded capture; None when it is refused. Arguments as in the query.
        """
        return _payment(await self._locked("capture", *arguments))

    async def void(self, *arguments: Any) -> Payment | None:
        """
        Run the guarded void; None when it is refused. Arguments as in the query.
        """
        return _payment(await self._locked("void", *arguments))

    async def void_credit(self, *arguments: Any) -> Payment | None:
        """
        Run the guarded void of a credit; None when it is refused. Arguments as in the query.
        """
        return _payment(await self._locked("void_credit", *arguments))

    async def refund(self, *arguments: Any) -> Payment | None:
        """
        Run the guarded refund; None when it is refused. Arguments as in the query.
        """
        return _payment(await self._locked("refund", *arguments))

    async def expire(self, lapse: Lapse) -> Payment | None:
        """
        Release what is still held of a lapsed authorization; None when nothing is, any more.
        """
        return _payment(await self._locked("expire", *msgspec.structs.astuple(lapse)))

    async def lapsed(self, now: datetime, limit: int) -> list[tuple[UUID, UUID]]:
        """
        Return authorizations that hold something past their time, of all merchants.
        """
        rows = await self._database.rows("lapsed_holds", now, limit)
        return [(row["merchant_id"], row["payment_id"]) for row in rows]

    async def unconfirmed(self, payment: Payment) -> Unconfirmed:
        """
        Return what of *payment*'s captures the acquirer has not accepted yet.
        """
        row = await self._database.row(
            "unconfirmed_captures", payment.merchant_id, payment.payment_id
        )
        assert row is not None
        return Unconfirmed(captured_minor=row["amount_minor"], is_lowered=row["is_lowered"])

    async def open_batch(self, payment: Payment) -> int | None:
        """
        Return the number of the batch that is open at the payment's terminal.
        """
        row = await self._database.row(
            "open_batch",
            payment.merchant_id,
            payment.acquirer,
            payment.terminal_id,
            payment.currency,
        )
        return row["batch_number"] if row else None

    async def placed(self, payments: Sequence[Payment]) -> dict[UUID, Placed]:
        """
        Return where the movements of *payments*, all of one merchant, stand; none: no entry.
        """
        assert len({each.merchant_id for each in payments}) == 1, "payments of one merchant"
        rows = await self._database.rows(
            "placed", payments[0].merchant_id, [each.payment_id for each in payments]
        )
        return {row["payment_id"]: Placed(row["in_open_batch"], row["captures"]) for row in rows}

    async def claim_key(self, *arguments: Any) -> bool:
        """
        Note what a key was used for, of a command that finds its work done; False if it was known.
        """
        return await self._certainly("claim_key", *arguments) is not None

    async def payment(self, merchant_id: UUID, payment_id: UUID) -> Payment | None:
        """
        Return a merchant's payment.
        """
        return _payment(await self._database.row("payment_by_id", merchant_id, payment_id))

    async def key(self, merchant_id: UUID, idempotency_key: str) -> KeyUse | None:
        """
        Return what a merchant's key was used for.
        """
        row = await self._database.row("key_by_name", merchant_id, idempotency_key)
        return KeyUse(*row.values()) if row else None

    async def fence(self, merchant_id: UUID, idempotency_key: str, at: datetime) -> bool:
        """
        Close a key that was never seen; False when it was.
        """
        row = await self._certainly("fence_key", merchant_id, idempotency_key, at)
        return row is not None

    async def history(self, payment: Payment) -> list[Change]:
        """
        Return every change of *payment* and of its movements, oldest first.
        """
        rows = await self._database.rows(
            "history_of_payment", payment.merchant_id, payment.payment_id
        )
        changes = [Change(**row) for row in rows]
        later = await self._database.rows(
            "movement_history_of_payment", payment.merchant_id, payment.payment_id
        )
        changes += [_later_change(row, payment) for row in later]
        return sorted(changes, key=lambda change: change.at)

    async def movements(self, payment: Payment) -> list[Movement]:
        """
        Return the captures, voids and refunds of *payment*, oldest first.
        """
        rows = await self._database.rows(
            "movements_of_payment", payment.merchant_id, payment.payment_id
        )
        return [Movement(**{name: row[name] for name in _OF_MOVEMENT}) for row in rows]

    async def messages(self, payment: Payment) -> list[asyncpg.Record]:
        """
        Return the masked messages of *payment*, oldest first.
        """
        return await self._database.rows(
            "messages_of_payment", payment.merchant_id, payment.payment_id
        )

    async def unclaimed_page(
        self, merchant: Merchant, before: UUID | None, limit: int
    ) -> list[Unclaimed]:
        """
        Return at most *limit* approvals that nobody claims, or claimed in time; newest first.
        """
        assert 1 <= limit <= PAGE_MAX + 1
        rows = await self._database.rows("unclaimed_page", merchant.merchant_id, before, limit)
        return [Unclaimed(payment_of(row), row["reversed_at"]) for row in rows]

    async def card(self, payment: Payment, vault: Vault) -> KeptCard:
        """
        Open the card of *payment*.
        """
        return await sealed_card(self._database, vault, payment.merchant_id, payment.card_token)

    async def unclaimed(self, now: datetime, limit: int) -> list[tuple[UUID, UUID]]:
        """
        Return approvals whose time has passed, of all merchants.
        """
        rows = await self._database.rows("unclaimed_payments", now, limit)
        return [(row["merchant_id"], row["payment_id"]) for row in rows]

    async def orphaned(
        self, now: datetime, updated_before: datetime, limit: int
    ) -> list[tuple[UUID, UUID]]:
        """
        Return intents without an answer whose process has ended, or that are too old.
        """
        rows = await self._database.rows("orphaned_payments", now, updated_before, limit)
        return [(row["merchant_id"], row["payment_id"]) for row in rows]

    async def _write(
        self, step: str, row: msgspec.Struct, seconds_max: float
    ) -> asyncpg.Record | None:
        return await self._writers[step].write(
            msgspec.structs.astuple(row), seconds_max=seconds_max
        )

    async def _locked(self, name: str, *arguments: Any) -> asyncpg.Record | None:
        """
        Run a guarded statement about one payment, the first two arguments, with its row locked.
        """
        merchant_id, payment_id = arguments[:2]
        lock = Lock("lock_payments", ([merchant_id], [payment_id]))
        return await self._certainly(name, *arguments, lock=lock)

    async def _certainly(
        self, name: str, *arguments: Any, lock: Lock | None = None
    ) -> asyncpg.Record | None:
        """
        Run a guarded statement; ask once more on a new connection when the first is in doubt.
        """
        try:
            return await self._database.row(name, *arguments, lock=lock)
        except DatabaseAway:
            return await self._database.row(name, *arguments, lock=lock)


async def sealed_card(database: Database, vault: Vault, merchant_id: UUID, token: UUID) -> KeptCard:
    """
    Open the card sealed as *token*.
    """
    row = await database.row("sealed_card", merchant_id, token)
    assert row is not None, "a payment without its sealed card"
    return vault.open(merchant_id, token, row["key_id"], row["nonce"], row["ciphertext"])


def seal_columns(sealed: Sealed) -> dict[str, Any]:
    """
    Return a sealed card as the columns of an intent.
    """
    return {
        "card_token": sealed.token,
        "key_id": sealed.key_id,
        "nonce": sealed.nonce,
        "ciphertext": sealed.ciphertext,
        "card_fingerprint": sealed.fingerprint,
    }


def _later_change(row: asyncpg.Record, payment: Payment) -> Change:
    """
    Return a movement's change as a row of its payment's history.
    """
    return Change(
        version=payment.version,
        at=row["at"],
        from_state=payment.state,
        to_state=payment.state,
        cause=row["cause"],
        actor=row["actor"],
        movement_id=row["movement_id"],
        movement_state=row["to_state"],
    )


def _payment(row: asyncpg.Record | None) -> Payment | None:
    return None if row is None else payment_of(row)


def payment_of(row: asyncpg.Record) -> Payment:
    """
    Return the payment in a row, which may have more than its columns: those of another table, or
    of the next version, whose migration has run while this one lives on.
    """
    return msgspec.convert(dict(row.items()), Payment)


_OF_MOVEMENT = Movement.__struct_fields__
