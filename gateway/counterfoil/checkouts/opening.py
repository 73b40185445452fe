"""
Open a checkout, read it, end it: what a shop does with payment pages.
"""

from datetime import timedelta
from uuid import UUID

import msgspec

from counterfoil.checkouts.checkout import Checkout, State, Terms, page_token
from counterfoil.checkouts.returning import check_return
from counterfoil.clock import Clock
from counterfoil.ids import Ids
from counterfoil.payments.payment import Merchant
from counterfoil.payments.refusals import KeyReused
from counterfoil.store.checkouts import CheckoutStore, New
from counterfoil.vault import Vault


class CheckoutUnknown(Exception):
    """
    The merchant has no such checkout.
    """


class CheckoutForgotten(Exception):
    """
    The key has opened a checkout that ended unpaid long ago, and was removed.
    """


class CheckoutNotOpen(Exception):
    """
    It is paid, or somebody is paying just now: it cannot be ended.
    """

    def __init__(self, checkout: Checkout) -> None:
        super().__init__(f"the checkout is {checkout.state}")
        self.checkout = checkout


class Checkouts:
    """
    The checkouts of all merchants. *origin* is where browsers reach the payment pages.
    """

    def __init__(
        self,
        store: CheckoutStore,
        vault: Vault,
        clock: Clock,
        ids: Ids,
        *,
        origin: str,
        is_test: bool,
    ) -> None:
        self.store = store
        self.vault = vault
        self.origin = origin
        self.is_test = is_test
        self._clock = clock
        self._ids = ids

    async def open(
        self, merchant: Merchant, key: str, terms: Terms, *, expires_seconds: int, actor: str
    ) -> tuple[Checkout, bool]:
        """
        Open a checkout once for each idempotency key; say whether this call has done so.

        Raises:
            ReturnRefused: An address is on none of the merchant's origins.
            KeyReused: The key has opened another checkout.
            CheckoutForgotten: What it has opened is gone; use another key.
        """
        fingerprint = self._fingerprint(merchant.merchant_id, terms, expires_seconds)
        if known := await self._known(merchant.merchant_id, key, fingerprint):
            return known, False
        await self._check_addresses(merchant.merchant_id, terms)
        now, checkout_id = self._clock.now(), self._ids.new()
        opened = await self.store.open(
            New(
                merchant_id=merchant.merchant_id,
                checkout_id=checkout_id,
                token=page_token(self.vault, merchant.merchant_id, checkout_id),
                terms=terms,
                expires_at=now + timedelta(seconds=expires_seconds),
                idempotency_key=key,
                fingerprint=fingerprint,
                at=now,
                actor=actor,
            )
        )
        if opened:
            return opened, True
        if known := await self._known(merchant.merchant_id, key, fingerprint):
            return known, False
        spent = await self.store.spent(merchant.merchant_id, key)
        assert spent is not None, "a key that could not be taken has its checkout, or had one"
        if spent != fingerprint:
            raise KeyReused("this idempotency key was used for another checkout")
        raise CheckoutForgotten

    async def one(self, merchant_id: UUID, checkout_id: UUID) -> Checkout:
        """
        Return a merchant's checkout.

        Raises:
            CheckoutUnknown: There is none.
        """
        found = await self.store.one(merchant_id, checkout_id)
        if found is None:
            raise CheckoutUnknown
        return found

    async def expire(self, merchant_id: UUID, checkout_id: UUID, actor: str) -> Checkout:
        """
        End an open checkout before its time; one that has ended unpaid stays as it is.

        Raises:
            CheckoutUnknown: There is none.
            CheckoutNotOpen: It is paid, or is being paid just now.
        """
        checkout = await self.one(merchant_id, checkout_id)
        ended = await self.store.end(
            checkout, State.EXPIRED, cause="ended_by_merchant", actor=actor, now=self._clock.now()
        )
        checkout = ended or await self.one(merchant_id, checkout_id)
        if checkout.state not in (State.EXPIRED, State.CANCELLED):
            raise CheckoutNotOpen(checkout)
        return checkout

    def url(self, checkout: Checkout) -> str:
        """
        Return the address of a checkout's page.
        """
        token = page_token(self.vault, checkout.merchant_id, checkout.checkout_id)
        return f"{self.origin}/c/{token}"

    async def _known(self, merchant_id: UUID, key: str, fingerprint: bytes) -> Checkout | None:
        known = await self.store.of_key(merchant_id, key)
        if known is not None and known.fingerprint != fingerprint:
            raise KeyReused("this idempotency key was used for another checkout")
        return known

    async def _check_addresses(self, merchant_id: UUID, terms: Terms) -> None:
        addresses = [each for each in (terms.return_url, terms.cancel_url) if each]
        allowed = await self.store.return_origins(merchant_id) if addresses else []
        for each in addresses:
            check_return(each, allowed, is_test=self.is_test)

    def _fingerprint(self, merchant_id: UUID, terms: Terms, expires_seconds: int) -> bytes:
        said = (*msgspec.structs.astuple(terms), expires_seconds)
        return self.vault.keyed_digest(b"checkout request", merchant_id, msgspec.json.encode(said))
