"""
Sales of the terminal, and the cards that customers let a merchant keep.
"""

from collections.abc import Iterable
from datetime import datetime
from uuid import UUID

import asyncpg
import msgspec

from counterfoil.ids import Ids
from counterfoil.payments.payment import Payment
from counterfoil.store.database import Database
from counterfoil.store.payments import sealed_card
from counterfoil.terminal.sale import (
    SAID_CHARACTERS_MAX,
    Answer,
    Entry,
    Parts,
    Sale,
    SaleKind,
    State,
    Wanted,
    sale_id_in,
)
from counterfoil.vault import KeptCard, Vault

SALES_PAGE_MAX = 10
CARDS_PAGE_MAX = 20
CARDS_LOOKED_AT_MAX = 500  # Of those that begin alike, by e-mail and by name.
AFTER_ALL_TEXT = "\U0010ffff"  # As UTF-8 no character comes later.
REFUNDABLE_MAX = 10
LAST_PAYMENTS_MAX = 200


class SavedCard(msgspec.Struct, frozen=True, kw_only=True):
    """
    A card that a customer let the merchant keep, as far as it may be shown.
    """

    card_id: UUID
    card_token: UUID
    brand: str
    last_four: str
    expiry_month: int
    expiry_year: int
    customer_email: str | None
    customer_name: str | None
    created_at: datetime


class TerminalStore:
    """
    Reads and writes sales; each change is written with the row of history that tells it.
    """

    def __init__(self, database: Database, ids: Ids) -> None:
        self._database = database
        self._ids = ids

    async def ask(
        self,
        wanted: Wanted,
        *,
        merchant_id: UUID,
        sale_id: UUID,
        user_id: UUID,
        digest: bytes,
        now: datetime,
    ) -> Sale | None:
        """
        Write what a clerk asks for, before anything is asked of the network; None when this sale
        was written before.
        """
        row = await self._database.row(
            "ask_terminal_sale",
            merchant_id,
            sale_id,
            user_id,
            digest,
            *msgspec.structs.astuple(wanted),
            now,
            self._ids.new(),
            f"user:{user_id.hex}",
        )
        return sale_of(row) if row else None

    async def one(self, merchant_id: UUID, sale_id: UUID) -> Sale | None:
        """
        Return a sale of a merchant.
        """
        row = await self._database.row("terminal_sale", merchant_id, sale_id)
        return sale_of(row) if row else None

    async def note_approval(
        self, sale: Sale, payment_id: UUID, now: datetime, *, by: str | None = None
    ) -> Sale | None:
        """
        Note that the terminal has the approval; None when *sale* is further already.
        """
        row = await self._database.row(
            "note_terminal_approval",
            sale.merchant_id,
            sale.sale_id,
            payment_id,
            now,
            self._ids.new(),
            by or sale.actor,
        )
        return sale_of(row) if row else None

    async def settle(
        self,
        sale: Sale,
        state: State,
        payment_id: UUID | None,
        *,
        cause: str,
        said: str | None,
        now: datetime,
        by: str | None = None,
    ) -> Sale | None:
        """
        Write how *sale* ended; None when that was written before.
        """
        row = await self._database.row(
            "settle_terminal_sale",
            sale.merchant_id,
            sale.sale_id,
            state,
            payment_id,
            said[:SAID_CHARACTERS_MAX] if said else None,
            now,
            self._ids.new(),
            cause,
            by or sale.actor,
        )
        return sale_of(row) if row else None

    async def parts(self, merchant_id: UUID, payments: Iterable[Payment]) -> dict[UUID, Parts]:
        """
        Return what clerks named of the amounts of *payments*, by the payment.
        """
        sales = {sale_id_in(each.idempotency_key) for each in payments} - {None}
        if not sales:
            return {}
        rows = await self._database.rows("parts_of_amounts", merchant_id, list(sales))
        return {
            row["payment_id"]: Parts(tax_minor=row["tax_minor"], tip_minor=row["tip_minor"])
            for row in rows
        }

    async def answer(self, sale: Sale, said: Answer, now: datetime) -> Answer:
        """
        Keep what the clerk *said* to "charge again?"; return what was said first, by whichever tab.
        """
        await self._database.rows(
            "answer_terminal_question", sale.merchant_id, sale.sale_id, now, said, sale.actor
        )
        kept = await self.answer_of(sale)
        assert kept is not None, "an answer that is kept stays"
        return kept

    async def answer_of(self, sale: Sale) -> Answer | None:
        """
        Return what was said to "charge again?"; None while nothing was.
        """
        row = await self._database.row(
            "answer_of_terminal_question", sale.merchant_id, sale.sale_id
        )
        return Answer(row["cause"]) if row else None

    async def history(self, sale: Sale) -> list[asyncpg.Record]:
        """
        Return what became of a sale, oldest first.
        """
        return await self._database.rows("terminal_sale_history", sale.merchant_id, sale.sale_id)

    async def unfinished(self, before: datetime, limit: int) -> list[Sale]:
        """
        Return sales without an end that were begun before *before*, the oldest few.
        """
        rows = await self._database.rows("unfinished_terminal_sales", before, limit)
        return [sale_of(row) for row in rows]

    async def last_of(self, merchant_id: UUID, user_id: UUID) -> list[asyncpg.Record]:
        """
        Return a clerk's own last sales, newest first, with what may be shown of their cards.
        """
        return await self._database.rows(
            "last_terminal_sales", merchant_id, user_id, SALES_PAGE_MAX
        )

    async def refundable(self, merchant_id: UUID) -> list[asyncpg.Record]:
        """
        Return the last payments of which something can be given back, newest first.
        """
        return await self._database.rows(
            "refundable_payments", merchant_id, LAST_PAYMENTS_MAX, REFUNDABLE_MAX
        )

    async def payments_named(
        self, merchant_id: UUID, confirmation: str | None, order: str
    ) -> list[asyncpg.Record]:
        """
        Return the payments with this confirmation number, or this order number.
        """
        return await self._database.rows(
            "payments_named", merchant_id, confirmation, order, REFUNDABLE_MAX
        )

    async def sealed(self, vault: Vault, payment: Payment) -> KeptCard:
        """
        Return number and expiry of the card of *payment*.
        """
        return await sealed_card(self._database, vault, payment.merchant_id, payment.card_token)

    async def keep_card(self, sale: Sale, payment: Payment, kept: KeptCard, now: datetime) -> None:
        """
        Keep the card of *payment* for the customer of *sale*; a repeat changes nothing.
        """
        await self._database.rows(
            "keep_saved_card",
            sale.merchant_id,
            sale.sale_id,
            payment.card_token,
            payment.card_brand,
            payment.card_last_four,
            int(kept.expiry[2:]),
            2000 + int(kept.expiry[:2]),
            sale.customer_email,
            sale.customer_name,
            now,
            sale.actor,
        )

    async def saved_cards(self, merchant_id: UUID, customer: str) -> list[SavedCard]:
        """
        Return the cards of customers whose e-mail address or name begins so; all without a text.
        """
        if begins := customer.lower():
            between = (begins, begins + AFTER_ALL_TEXT)
            rows = await self._database.rows(
                "saved_cards", merchant_id, *between, CARDS_LOOKED_AT_MAX, CARDS_PAGE_MAX
            )
        else:
            rows = await self._database.rows("newest_saved_cards", merchant_id, CARDS_PAGE_MAX)
        return [_card_of(row) for row in rows]

    async def saved_card(self, merchant_id: UUID, card_id: UUID) -> SavedCard | None:
        """
        Return a saved card, while it is kept.
        """
        row = await self._database.row("saved_card", merchant_id, card_id)
        return _card_of(row) if row else None

    async def open_card(self, vault: Vault, merchant_id: UUID, card: SavedCard) -> KeptCard:
        """
        Return number and expiry of a saved card.
        """
        return await sealed_card(self._database, vault, merchant_id, card.card_token)

    async def forget_card(
        self, merchant_id: UUID, card_id: UUID, *, by: str, now: datetime
    ) -> bool:
        """
        Forget a saved card, with who did so; False when there is none.
        """
        return bool(await self._database.rows("forget_saved_card", merchant_id, card_id, now, by))


def sale_of(row: asyncpg.Record) -> Sale:
    """
    Return the sale in a row.
    """
    values = {name: row[name] for name in Sale.__struct_fields__}
    return Sale(
        **{
            **values,
            "state": State(values["state"]),
            "kind": SaleKind(values["kind"]),
            "entry": Entry(values["entry"]),
        }
    )


def _card_of(row: asyncpg.Record) -> SavedCard:
    return SavedCard(**{name: row[name] for name in SavedCard.__struct_fields__})
