"""
Rotate the vault's card key: a new one first, then every card under it, page by page.

The new key is durable before anybody seals with it, and the old ones are kept: a card can be
opened at every moment, whatever is killed. Processes learn of the new key within a second or
two; what they seal until then lies under the old one. Whatever is left is put under the newest
key by the next run, from wherever the last one was ended.
"""

from uuid import UUID

from counterfoil.clock import Clock
from counterfoil.store.vault_keys import VaultStore
from counterfoil.vault import Vault, new_data_key


async def rotate(store: VaultStore, key_encryption_key: bytes, clock: Clock) -> Vault:
    """
    Make a new card key and return the vault that seals with it.
    """
    await store.rotate(new_data_key("card", key_encryption_key), clock.now())
    return Vault(await store.keys(), key_encryption_key)


async def seal_all_anew(store: VaultStore, vault: Vault) -> int:
    """
    Put every card under the newest key; return how many were put there.

    Raises:
        VaultClosed: A card does not open; those before it are done.
    """
    done = 0
    after: tuple[UUID, UUID] | None = None
    while cards := await store.cards_under_other_keys(vault.card_key_id, after):
        fresh = [
            (
                each["merchant_id"],
                each["token"],
                each["key_id"],
                *vault.sealed_anew(
                    each["merchant_id"],
                    each["token"],
                    each["key_id"],
                    each["nonce"],
                    each["ciphertext"],
                ),
            )
            for each in cards
        ]
        done += await store.seal_anew(fresh)
        after = (cards[-1]["merchant_id"], cards[-1]["token"])
    return done
