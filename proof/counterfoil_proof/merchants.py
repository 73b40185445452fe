"""
A merchant for a proof: an account, a terminal and a key, put into the gateway's database.
"""

import secrets
from datetime import time
from uuid import UUID

import msgspec
from counterfoil import ids
from counterfoil.api.authenticate import PREFIXES
from counterfoil.clock import Clock
from counterfoil.store.database import Database
from counterfoil.store.merchants import MerchantStore, NewMerchant, Terminal

BUSINESS = "Stub & Leaf"
EVENING = time(23)


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """
    What a proof knows of a merchant; `key` is its secret.
    """

    merchant_id: UUID
    terminal_id: str
    key: str
    email: str

    @property
    def written_id(self) -> str:
        """
        The merchant's id as operators type it.
        """
        return ids.written(ids.MERCHANT, self.merchant_id)

    def __repr__(self) -> str:
        return f"Account({self.written_id})"


async def add_merchant(
    database: Database,
    clock: Clock,
    *,
    acquirer: str,
    label: str,
    email: str | None = None,
    acknowledge_seconds: int = 180,
    cutoff: time = EVENING,
    timezone: str = "America/Los_Angeles",
) -> Account:
    """
    Add a merchant with one terminal at *acquirer* and one key, called *label*.
    """
    store, made = MerchantStore(database, clock), ids.Ids(clock)
    number = await store.next_terminal_number(acquirer)
    merchant_id = made.new()
    account = Account(
        merchant_id=merchant_id,
        terminal_id=f"TERM{number:04d}",
        key=PREFIXES["test"] + secrets.token_urlsafe(32),
        email=email or f"owner-{merchant_id.hex[-8:]}@shop.example",
    )
    merchant = NewMerchant(
        merchant_id=merchant_id,
        name=BUSINESS,
        city="Portland",
        region="OR",
        country="US",
        category_code="5943",
        timezone=timezone,
        cutoff=cutoff,
        email=account.email,
        acknowledge_seconds=acknowledge_seconds,
    )
    terminal = Terminal(acquirer, account.terminal_id, f"MERCHANT{number:07d}")
    await store.add(merchant, [terminal])
    await store.add_key(made.new(), merchant_id, account.key, label, None)
    return account
