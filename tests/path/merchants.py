"""
A merchant of a sandbox: an account of its own for each story, with its key and its clients.

Stands between the stories and the API: `client` is the library as a shop uses it, `api` is bare
HTTPS for what no client of ours would do.
"""

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, time
from pathlib import Path
from uuid import UUID, uuid4

import httpx2
from counterfoil import ids
from counterfoil.api.authenticate import PREFIXES
from counterfoil.clock import SystemClock
from counterfoil.opened import open_database
from counterfoil.store.merchants import MerchantStore, NewMerchant, Terminal
from counterfoil_client import AsyncClient, Card, Limits
from counterfoil_proof.demo.sandbox import ACQUIRER

from .sandboxes import PATIENCE_SECONDS, Json, Sandbox

VISA = "4539578763621486"  # Of no list: any card of the test ranges pays.
AMEX = "378282246310005"
DECLINED = "4000000000000002"
# Whatever a test types as security code; they are searched for in every byte on disk.
CVV = "739"
AMEX_CVV = "7391"
CUSTOMER = "ada@shopper.example"


class Merchant:
    """
    One merchant with one terminal and one key.
    """

    def __init__(self, sandbox: Sandbox, merchant_id: UUID, terminal_id: str, key: str) -> None:
        self.sandbox = sandbox
        self.merchant_id = merchant_id
        self.terminal_id = terminal_id
        self.key = key
        self.email = f"owner-{merchant_id.hex[-8:]}@shop.example"

    @property
    def written_id(self) -> str:
        """The merchant's id as operators type it."""
        return ids.written(ids.MERCHANT, self.merchant_id)

    @asynccontextmanager
    async def client(
        self, journal: Path | None = None, limits: Limits | None = None
    ) -> AsyncIterator[AsyncClient]:
        """Lend the client library; with a *journal*, one that stays."""
        plan = self.sandbox.plan
        async with AsyncClient(
            plan.gateway_url,
            self.key,
            ca=plan.authority_path,
            journal=journal or self.new_journal(),
            limits=limits or Limits(),
        ) as client:
            yield client

    def new_journal(self) -> Path:
        """Return where a journal may lie that nobody has used yet."""
        return self.sandbox.folder / "shop" / f"journal-{uuid4().hex}" / "journal.db"

    @asynccontextmanager
    async def api(self, key: str | None = None) -> AsyncIterator[httpx2.AsyncClient]:
        """Lend bare HTTPS with the merchant's key, or with another *key*."""
        async with httpx2.AsyncClient(
            base_url=self.sandbox.plan.gateway_url,
            verify=self.sandbox.authority(),
            headers={"Authorization": f"Bearer {key or self.key}"},
            timeout=PATIENCE_SECONDS,
            limits=httpx2.Limits(max_connections=100),
        ) as api:
            yield api

    async def post_payment(self, key: str | None = None, **changes: object) -> httpx2.Response:
        """POST a payment on a connection of its own, and never acknowledge it."""
        async with self.api() as api:
            headers = {"Idempotency-Key": key or new_key()}
            return await api.post("/v1/payments", json=payment(**changes), headers=headers)

    async def payment(self, payment_id: str) -> Json:
        """Return the payment as the gateway tells it."""
        async with self.api() as api:
            answer = await api.get(f"/v1/payments/{payment_id}")
            told: Json = answer.raise_for_status().json()
            return told


async def add_merchant(sandbox: Sandbox, acknowledge_seconds: int = 180) -> Merchant:
    """
    Add a merchant to the installation of *sandbox*.
    """
    clock = SystemClock()
    made = ids.Ids(clock)
    merchant_id = made.new()
    key = PREFIXES["test"] + secrets.token_urlsafe(32)
    async with open_database(sandbox.configuration) as database:
        store = MerchantStore(database, clock)
        number = await store.next_terminal_number(ACQUIRER)
        terminal = Terminal(ACQUIRER, f"TERM{number:04d}", f"MERCHANT{number:07d}")
        merchant = Merchant(sandbox, merchant_id, terminal.terminal_id, key)
        account = NewMerchant(
            merchant_id=merchant_id,
            name="Stub & Leaf",
            city="Portland",
            region="OR",
            country="US",
            category_code="5943",
            timezone="America/Los_Angeles",
            cutoff=time(23),
            email=merchant.email,
            acknowledge_seconds=acknowledge_seconds,
        )
        await store.add(account, [terminal])
        await store.add_key(made.new(), merchant_id, key, "story", None)
    return merchant


async def add_key(merchant: Merchant, expires_at: datetime) -> str:
    """
    Give *merchant* one more key, and return its secret.
    """
    clock = SystemClock()
    secret = PREFIXES["test"] + secrets.token_urlsafe(32)
    async with open_database(merchant.sandbox.configuration) as database:
        store = MerchantStore(database, clock)
        key_id = ids.Ids(clock).new()
        await store.add_key(key_id, merchant.merchant_id, secret, "ends", expires_at)
    return secret


def card(number: str = VISA) -> Card:
    """
    Return a card for the client.
    """
    cvv = AMEX_CVV if number == AMEX else CVV
    return Card(number=number, expiry_month=12, expiry_year=2030, cvv=cvv)


def payment(**changes: object) -> Json:
    """
    Return the body of a payment: 42.00 USD on a card that pays, with *changes*.
    """
    paper = {"number": VISA, "expiry_month": 12, "expiry_year": 2030, "cvv": CVV}
    return {
        "amount_minor": 4200,
        "currency": "USD",
        "card": paper,
        "customer_email": CUSTOMER,
        **changes,
    }


def new_key() -> str:
    """
    Return an idempotency key that was never used.
    """
    return f"story-{uuid4().hex}"
