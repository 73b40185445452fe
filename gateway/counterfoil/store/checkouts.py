"""
Checkouts, the tries to pay them, and the cards that shoppers keep.
"""

from datetime import datetime
from uuid import UUID

import asyncpg
import msgspec

from counterfoil.checkouts.checkout import DECLINES_MAX, Checkout, State, Terms
from counterfoil.ids import Ids
from counterfoil.store.database import Database
from counterfoil.store.merchants import hash_of
from counterfoil.store.payments import sealed_card
from counterfoil.vault import KeptCard, Vault

FORGOTTEN_AT_ONCE_MAX = 1_000


class New(msgspec.Struct, frozen=True, kw_only=True):
    """
    A checkout that is being opened: by a shop under its key, or by a visitor of a link.
    """

    merchant_id: UUID
    checkout_id: UUID
    token: str
    terms: Terms
    expires_at: datetime
    idempotency_key: str | None = None
    fingerprint: bytes | None = None
    link_id: UUID | None = None
    at: datetime
    actor: str


class Payer(msgspec.Struct, frozen=True, kw_only=True):
    """
    Who presses the button: the keyed digest of their address, how many declines it may have had
    and since when they count, and an e-mail address for a checkout that has none.
    """

    address_digest: bytes
    declines_max: int
    declines_since: datetime
    email: str | None = None


class ShopperCard(msgspec.Struct, frozen=True):
    """
    A card that a shopper keeps, as far as it may be shown.
    """

    card_token: UUID
    brand: str
    last_four: str


class CheckoutStore:
    """
    Reads and writes checkouts; each change is written with the row of history that tells it.
    """

    def __init__(self, database: Database, ids: Ids) -> None:
        self._database = database
        self._ids = ids

    async def return_origins(self, merchant_id: UUID) -> list[str]:
        """
        Return to which sites a merchant's payment pages may lead back.
        """
        row = await self._database.row("return_origins", merchant_id)
        return list(row["return_origins"]) if row else []

    async def set_return_origins(
        self, merchant_id: UUID, origins: list[str], *, at: datetime, actor: str
    ) -> bool:
        """
        Change them; False when there is no such merchant.
        """
        row = await self._database.row(
            "set_return_origins", merchant_id, origins, self._ids.new(), at, actor
        )
        return row is not None

    async def open(self, new: New) -> Checkout | None:
        """
        Open a checkout; None when its key has opened one before.
        """
        terms = new.terms
        row = await self._database.row(
            "open_checkout",
            new.merchant_id,
            new.checkout_id,
            hash_of(new.token),
            new.idempotency_key,
            new.fingerprint,
            new.link_id,
            terms.amount_minor,
            terms.currency,
            terms.capture,
            terms.order_number,
            terms.description,
            terms.customer_email,
            terms.return_url,
            terms.cancel_url,
            new.expires_at,
            new.at,
            self._ids.new(),
            new.actor,
        )
        return checkout_of(row) if row else None

    async def one(self, merchant_id: UUID, checkout_id: UUID) -> Checkout | None:
        """
        Return a checkout of a merchant.
        """
        row = await self._database.row("checkout_by_id", merchant_id, checkout_id)
        return checkout_of(row) if row else None

    async def of_key(self, merchant_id: UUID, idempotency_key: str) -> Checkout | None:
        """
        Return the checkout that a key has opened.
        """
        row = await self._database.row("checkout_by_key", merchant_id, idempotency_key)
        return checkout_of(row) if row else None

    async def of_token(self, token: str) -> Checkout | None:
        """
        Return the checkout whose page has *token* in its address.
        """
        row = await self._database.row("checkout_by_token", hash_of(token))
        return checkout_of(row) if row else None

    async def history(self, checkout: Checkout) -> list[asyncpg.Record]:
        """
        Return what became of a checkout, oldest first.
        """
        return await self._database.rows(
            "checkout_history", checkout.merchant_id, checkout.checkout_id
        )

    async def begin_try(self, checkout: Checkout, payer: Payer, now: datetime) -> Checkout | None:
        """
        Begin a try to pay, the next one after those of *checkout*; None when it is not open to
        this payer now, or another try was begun since.
        """
        row = await self._database.row(
            "begin_checkout_try",
            checkout.merchant_id,
            checkout.checkout_id,
            now,
            DECLINES_MAX,
            payer.address_digest,
            payer.email,
            payer.declines_since,
            payer.declines_max,
            self._ids.new(),
            checkout.actor,
            checkout.tries,
        )
        return checkout_of(row) if row else None

    async def settle_try(
        self,
        checkout: Checkout,
        state: State,
        payment_id: UUID | None,
        *,
        declined: bool,
        cause: str,
        now: datetime,
    ) -> Checkout | None:
        """
        Write how the try that *checkout* is in has ended; None when that was written before.
        """
        row = await self._database.row(
            "settle_checkout_try",
            checkout.merchant_id,
            checkout.checkout_id,
            checkout.tries,
            state,
            payment_id,
            int(declined),
            now,
            self._ids.new(),
            cause,
            checkout.actor,
        )
        return checkout_of(row) if row else None

    async def end(
        self, checkout: Checkout, state: State, *, cause: str, actor: str, now: datetime
    ) -> Checkout | None:
        """
        End an open checkout; None when it is not open.
        """
        row = await self._database.row(
            "end_checkout",
            checkout.merchant_id,
            checkout.checkout_id,
            state,
            now,
            self._ids.new(),
            cause,
            actor,
        )
        return checkout_of(row) if row else None

    async def expire_due(self, now: datetime, limit: int) -> int:
        """
        End open checkouts whose time is over; return how many, at most *limit*.
        """
        return len(await self._database.rows("expire_checkouts", now, limit))

    async def paying(self, since: datetime, limit: int) -> list[Checkout]:
        """
        Return checkouts whose try is under way since before *since*.
        """
        rows = await self._database.rows("checkouts_paying", since, limit)
        return [checkout_of(row) for row in rows]

    async def declines_of(self, merchant_id: UUID, digest: bytes, since: datetime) -> int:
        """
        Return how many tries of one address were declined since *since*.
        """
        row = await self._database.row("declines_of_address", merchant_id, digest, since)
        assert row is not None
        declines: int = row["declines"]
        return declines

    async def forget_declines(self, before: datetime) -> int:
        """
        Delete declined tries that count no more; return how many, at most so many at once.
        """
        rows = await self._database.rows("forget_checkout_declines", before, FORGOTTEN_AT_ONCE_MAX)
        return len(rows)

    async def spent(self, merchant_id: UUID, idempotency_key: str) -> bytes | None:
        """
        Return the fingerprint of what a key has opened that was removed since.
        """
        row = await self._database.row("spent_checkout_key", merchant_id, idempotency_key)
        return row["fingerprint"] if row else None

    async def forget_unpaid(self, before: datetime) -> int:
        """
        Delete checkouts that ended unpaid before then; return how many, at most so many at once.
        """
        rows = await self._database.rows("forget_checkouts", before, FORGOTTEN_AT_ONCE_MAX)
        return len(rows)

    async def keep_card(
        self, merchant_id: UUID, token: str, card: ShopperCard, *, at: datetime, until: datetime
    ) -> None:
        """
        Keep a card under the *token* of a shopper's cookie.
        """
        await self._database.rows(
            "keep_shopper_card",
            merchant_id,
            hash_of(token),
            *msgspec.structs.astuple(card),
            at,
            until,
        )

    async def kept_card(self, merchant_id: UUID, token: str, now: datetime) -> ShopperCard | None:
        """
        Return the card that a shopper's cookie leads to.
        """
        row = await self._database.row("shopper_card", merchant_id, hash_of(token), now)
        return ShopperCard(*row.values()) if row else None

    async def forget_card(self, merchant_id: UUID, token: str, now: datetime) -> None:
        """
        Let the shopper's cookie lead nowhere.
        """
        await self._database.rows("forget_shopper_card", merchant_id, hash_of(token), now)

    async def sealed(self, vault: Vault, merchant_id: UUID, card: ShopperCard) -> KeptCard:
        """
        Return the number and expiry of a card that is kept.
        """
        return await sealed_card(self._database, vault, merchant_id, card.card_token)


def checkout_of(row: asyncpg.Record) -> Checkout:
    """
    Return the checkout in a row.
    """
    values = {name: row[name] for name in Checkout.__struct_fields__}
    return Checkout(**{**values, "state": State(values["state"])})
