"""
Merchants, their terminals and their API keys.
"""

import asyncio
import hashlib
from collections import OrderedDict
from datetime import datetime, time
from uuid import UUID

import asyncpg
import msgspec
import structlog

from counterfoil.clock import Clock
from counterfoil.payments.payment import Merchant, PartialApprovals
from counterfoil.plainly import SaidPlainly
from counterfoil.store.database import IN_DOUBT, Database
from counterfoil.store.queries import query

KEYS_KEPT_MAX = 20_000
KEY_SECONDS_MAX = 60.0
LISTEN_AGAIN_SECONDS = 1.0
LISTENING_LOST: tuple[type[BaseException], ...] = (*IN_DOUBT, asyncpg.PostgresError)

log = structlog.get_logger("store")


class AcceptorTaken(SaidPlainly):
    """
    A card acceptor id (DE 42) belongs to another merchant; the message names it.
    """


class Terminal(msgspec.Struct, frozen=True):
    """
    A terminal of a merchant at an acquirer (DE 41, DE 42).
    """

    acquirer: str
    terminal_id: str
    card_acceptor_id: str


class ApiKey(msgspec.Struct, frozen=True):
    """
    A key as far as we know it: whose, until when, whether it was ended. Never its secret.
    """

    key_id: UUID
    merchant: Merchant
    expires_at: datetime | None
    revoked_at: datetime | None


class NewMerchant(msgspec.Struct, frozen=True, kw_only=True):
    """
    What is known of a merchant when it is added.
    """

    merchant_id: UUID
    name: str
    city: str
    region: str
    country: str
    category_code: str
    timezone: str
    cutoff: time
    email: str
    acknowledge_seconds: int


class By(msgspec.Struct, frozen=True):
    """
    Who changes something, and the ids under which the list of changes has it.
    """

    actor: str
    events: tuple[UUID, ...]


def _noted(by: By | None, number: int) -> tuple[UUID | None, str | None]:
    """
    Return the id and the actor of one row in the list of changes, if there is to be one.
    """
    return (by.events[number], by.actor) if by else (None, None)


def hash_of(secret: str) -> bytes:
    """
    Return what is kept of a key's secret: SHA-256 of 256 random bits needs no salt.
    """
    return hashlib.sha256(secret.encode()).digest()


class MerchantStore:
    """
    Reads and writes merchants, terminals and keys.
    """

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def add(
        self, merchant: NewMerchant, terminals: list[Terminal], by: By | None = None
    ) -> None:
        """
        Add a merchant with its terminals; *by*: whom its list of changes names, with an id for the
        merchant and for each terminal.

        Raises:
            AcceptorTaken: A card acceptor id is another merchant's at that acquirer.
            asyncpg.UniqueViolationError: A terminal id is taken at that acquirer.
        """
        for each in terminals:
            await self._check_acceptor(merchant.merchant_id, each)
        now = self._clock.now()
        async with self._database.acquire() as connection, connection.transaction():
            values = msgspec.structs.astuple(merchant)
            await connection.execute(query("add_merchant"), *values, now, *_noted(by, 0))
            for number, each in enumerate(terminals, start=1):
                await connection.execute(
                    query("add_terminal"),
                    merchant.merchant_id,
                    *msgspec.structs.astuple(each),
                    now,
                    *_noted(by, number),
                )

    async def add_terminal(
        self, merchant_id: UUID, terminal: Terminal, by: By | None = None
    ) -> None:
        """
        Add one more terminal; *by*: whom the list of changes names.

        Raises:
            AcceptorTaken: Its card acceptor id is another merchant's at that acquirer.
        """
        await self._check_acceptor(merchant_id, terminal)
        await self._database.rows(
            "add_terminal",
            merchant_id,
            *msgspec.structs.astuple(terminal),
            self._clock.now(),
            *_noted(by, 0),
        )

    async def set(
        self,
        merchant_id: UUID,
        *,
        credits_allowed: bool | None = None,
        partial_approvals: PartialApprovals | None = None,
        by: By | None = None,
    ) -> bool:
        """
        Change the settings that are given; False when there is no such merchant.

        Gateways that remember the merchant hear of it; *by*: whom the list of changes names.
        """
        rows = await self._database.rows(
            "set_merchant",
            merchant_id,
            credits_allowed,
            partial_approvals,
            list(by.events) if by else [],
            self._clock.now(),
            by.actor if by else None,
        )
        return bool(rows)

    async def _check_acceptor(self, merchant_id: UUID, terminal: Terminal) -> None:
        if await self._database.row(
            "acceptor_of_another", terminal.acquirer, terminal.card_acceptor_id, merchant_id
        ):
            raise AcceptorTaken(
                f"card acceptor {terminal.card_acceptor_id} is another merchant's at "
                f"{terminal.acquirer}: its reports and deposits could not be told apart"
            )

    async def next_terminal_number(self, acquirer: str) -> int:
        """
        Return the number after the last terminal of *acquirer*.
        """
        row = await self._database.row("next_terminal_number", acquirer)
        assert row is not None
        number: int = row["number"]
        return number

    async def page(self, after: UUID | None = None, limit: int = 100) -> list[asyncpg.Record]:
        """
        Return merchants in the order in which they were added.
        """
        return await self._database.rows("merchants_page", after, limit)

    async def row(self, merchant_id: UUID) -> asyncpg.Record | None:
        """
        Return a merchant's whole row.
        """
        return await self._database.row("merchant_by_id", merchant_id)

    async def merchant(self, merchant_id: UUID) -> Merchant | None:
        """
        Return a merchant, as far as a payment needs it.
        """
        row = await self.row(merchant_id)
        return merchant_of(row) if row else None

    async def terminals(self, merchant_id: UUID) -> list[Terminal]:
        """
        Return a merchant's terminals.
        """
        rows = await self._database.rows("terminals_of_merchant", merchant_id)
        return [Terminal(*row.values()) for row in rows]

    async def batches(self, merchant_id: UUID) -> list[asyncpg.Record]:
        """
        Return a merchant's latest batches.
        """
        return await self._database.rows("batches_of_merchant", merchant_id)

    async def add_key(
        self,
        key_id: UUID,
        merchant_id: UUID,
        secret: str,
        name: str,
        expires_at: datetime | None,
        by: By | None = None,
    ) -> None:
        """
        Keep a new key's hash, and its last four characters so that people can tell keys apart.
        """
        kind, mode, _ = secret.split("_", 2)  # The random part may hold underscores itself.
        await self._database.rows(
            "add_key",
            key_id,
            merchant_id,
            hash_of(secret),
            f"{kind}_{mode}_...{secret[-4:]}",
            name,
            self._clock.now(),
            expires_at,
            *_noted(by, 0),
        )

    async def keys(self, merchant_id: UUID | None) -> list[asyncpg.Record]:
        """
        Return a merchant's keys, or everybody's.
        """
        return await self._database.rows("keys_of_merchant", merchant_id)

    async def revoke_key(self, key_id: UUID, by: By | None = None) -> bool:
        """
        End a key; False when it is unknown or was ended before.
        """
        now = self._clock.now()
        return bool(await self._database.rows("revoke_key", key_id, now, None, *_noted(by, 0)))

    async def key(self, secret: str) -> ApiKey | None:
        """
        Return the key with this secret.
        """
        row = await self._database.row("key_by_hash", hash_of(secret))
        if row is None:
            return None
        return ApiKey(row["key_id"], merchant_of(row), row["expires_at"], row["revoked_at"])


class KeyCache:
    """
    Keys remembered by a gateway process; forgotten the moment one is revoked anywhere.

    The database tells us through LISTEN; while that line is down nothing is remembered.
    """

    def __init__(self, store: MerchantStore, database: Database, clock: Clock) -> None:
        self._store = store
        self._database = database
        self._clock = clock
        self._kept: OrderedDict[bytes, tuple[float, ApiKey]] = OrderedDict()
        self._revocations = 0
        self._listening = False

    async def key(self, secret: str) -> ApiKey | None:
        """
        Return the key with this secret, from memory if it may be.
        """
        digest = hash_of(secret)
        kept = self._kept.get(digest)
        if kept and kept[0] > self._clock.monotonic():
            return kept[1]
        revocations = self._revocations
        found = await self._store.key(secret)
        # What was read before a revocation that we have heard of since is not remembered.
        if found and self._listening and revocations == self._revocations:
            self._kept[digest] = (self._clock.monotonic() + KEY_SECONDS_MAX, found)
            if len(self._kept) > KEYS_KEPT_MAX:
                self._kept.popitem(last=False)
        return found

    async def listen(self) -> None:
        """
        Hear of revocations until cancelled; connect again when the line is lost.
        """
        while True:
            try:
                await self._listen_once()
            except LISTENING_LOST as error:
                log.warning("key_listener_lost", reason=type(error).__name__)
            finally:
                self._listening = False
                self._heard()
            await asyncio.sleep(LISTEN_AGAIN_SECONDS)

    async def _listen_once(self) -> None:
        lost = asyncio.Event()
        async with self._database.acquire() as connection:
            connection.add_termination_listener(lambda *_: lost.set())
            await connection.add_listener("api_keys", self._heard)
            self._listening = True
            try:
                await lost.wait()
            finally:
                if not connection.is_closed():
                    await connection.remove_listener("api_keys", self._heard)

    def _heard(self, *_: object) -> None:
        self._revocations += 1
        self._kept.clear()


def merchant_of(row: asyncpg.Record) -> Merchant:
    """
    Return the merchant in a row that has its columns.
    """
    values = {name: row[name] for name in Merchant.__struct_fields__}
    values["partial_approvals"] = PartialApprovals(values["partial_approvals"])
    return Merchant(**values)
