"""
The vault: cards sealed to their rows, keys sealed by the key file, nothing else.
"""

from uuid import UUID, uuid4

import msgspec
import pytest
from counterfoil.cards import Card
from counterfoil.vault import (
    PURPOSES,
    KeptCard,
    Sealed,
    Vault,
    VaultClosed,
    WrappedKey,
    new_data_key,
)
from hypothesis import given
from hypothesis import strategies as st

KEK = bytes(range(32))
KEYS = [new_data_key(purpose, KEK) for purpose in PURPOSES]
VAULT = Vault(KEYS, KEK)
MERCHANT = uuid4()
CARD = Card("4111111111111111", 3, 2031, "927")


def opened(sealed: Sealed, *, merchant: UUID = MERCHANT, vault: Vault = VAULT) -> KeptCard:
    return vault.open(merchant, sealed.token, sealed.key_id, sealed.nonce, sealed.ciphertext)


@given(st.from_regex(r"[0-9]{12,19}", fullmatch=True), st.integers(1, 12), st.integers(2000, 2099))
def test_what_was_sealed_is_opened_again(number: str, month: int, year: int) -> None:
    """Number and expiry, whole."""
    sealed = VAULT.seal(Card(number, month, year), MERCHANT)

    assert opened(sealed) == KeptCard(number, f"{year % 100:02d}{month:02d}")


def test_a_ciphertext_moved_to_another_row_does_not_open() -> None:
    """PCI DSS 3.5, ASVS 11.3: the additional data bind it to merchant, token and key."""
    one, other = VAULT.seal(CARD, MERCHANT), VAULT.seal(CARD, MERCHANT)
    swapped = msgspec.structs.replace(one, nonce=other.nonce, ciphertext=other.ciphertext)

    with pytest.raises(VaultClosed, match="does not belong to its row"):
        opened(swapped)


def test_a_card_does_not_open_for_another_merchant() -> None:
    """Even if somebody moved the whole row."""
    with pytest.raises(VaultClosed, match="does not belong to its row"):
        opened(VAULT.seal(CARD, MERCHANT), merchant=uuid4())


def test_a_card_does_not_open_under_another_key_id() -> None:
    """An id that is not there, and one that is there for something else."""
    sealed = VAULT.seal(CARD, MERCHANT)

    for key_id in ("card-00000000", KEYS[1].key_id):
        with pytest.raises(VaultClosed, match=f"no key {key_id}"):
            opened(msgspec.structs.replace(sealed, key_id=key_id))


@given(st.data())
def test_one_changed_bit_is_noticed(data: st.DataObject) -> None:
    """In the nonce, in the card or in the tag."""
    sealed = VAULT.seal(CARD, MERCHANT)
    name = data.draw(st.sampled_from(["nonce", "ciphertext"]))
    damaged = bytearray(getattr(sealed, name))
    place = data.draw(st.integers(0, len(damaged) * 8 - 1))
    damaged[place // 8] ^= 1 << place % 8

    with pytest.raises(VaultClosed):
        opened(msgspec.structs.replace(sealed, **{name: bytes(damaged)}))


def test_the_security_code_is_not_in_what_is_sealed() -> None:
    """PCI DSS 3.3.1: a card with a code and one without seal the same content."""
    with_code, without = (
        VAULT.seal(CARD, MERCHANT),
        VAULT.seal(msgspec.structs.replace(CARD, cvv=None), MERCHANT),
    )

    assert len(with_code.ciphertext) == len(without.ciphertext)
    assert opened(with_code) == opened(without) == KeptCard("4111111111111111", "3103")


def test_nothing_of_the_card_is_readable_in_what_is_sealed() -> None:
    """Not the number, not the expiry, in no column."""
    sealed = VAULT.seal(CARD, MERCHANT)
    columns = sealed.ciphertext + sealed.nonce + sealed.fingerprint + sealed.token.bytes

    assert b"1111" not in columns
    assert b"3103" not in columns


def test_no_nonce_and_no_token_comes_twice() -> None:
    """AES-GCM breaks when a nonce does; a token says nothing about the number."""
    sealed = [VAULT.seal(CARD, MERCHANT) for _ in range(2000)]

    assert len({each.nonce for each in sealed}) == 2000
    assert len({each.token for each in sealed}) == 2000


def test_the_fingerprint_finds_the_same_card_of_the_same_merchant() -> None:
    """And is what the seal carries."""
    one, other = VAULT.seal(CARD, MERCHANT), VAULT.seal(CARD, MERCHANT)

    assert one.fingerprint == other.fingerprint == VAULT.fingerprint(CARD.number, MERCHANT)
    assert len(one.fingerprint) == 32


def test_a_fingerprint_that_is_known_is_not_made_again() -> None:
    """A payment makes it once; the seal carries what it is given."""
    known = VAULT.fingerprint(CARD.number, MERCHANT)

    assert VAULT.seal(CARD, MERCHANT, known).fingerprint is known


def test_the_fingerprint_differs_from_merchant_to_merchant() -> None:
    """PCI DSS 3.5.1.1: no two merchants can find out that they share a customer."""
    assert VAULT.fingerprint(CARD.number, MERCHANT) != VAULT.fingerprint(CARD.number, uuid4())


def test_the_fingerprint_is_keyed() -> None:
    """Whoever has only the database cannot try out all card numbers."""
    other = Vault([new_data_key(purpose, KEK) for purpose in PURPOSES], KEK)

    assert VAULT.fingerprint(CARD.number, MERCHANT) != other.fingerprint(CARD.number, MERCHANT)


def test_digests_of_different_domains_never_meet() -> None:
    """A request's fingerprint cannot pass for a card's."""
    card = VAULT.keyed_digest(b"card", MERCHANT, b"4111111111111111")

    assert card == VAULT.fingerprint("4111111111111111", MERCHANT)
    assert card != VAULT.keyed_digest(b"request", MERCHANT, b"4111111111111111")


def test_another_key_file_opens_nothing_and_says_so() -> None:
    """F35: the wrong key is noticed at the start, with what to do."""
    with pytest.raises(VaultClosed, match="not the key with which") as caught:
        Vault(KEYS, bytes(32))

    assert "Restore the right one; nothing was changed" in str(caught.value)


def test_a_damaged_data_key_is_noticed_at_the_start() -> None:
    """AES-KW checks what it unwraps."""
    damaged = WrappedKey(
        KEYS[0].key_id, "card", bytes([KEYS[0].wrapped[0] ^ 1]) + KEYS[0].wrapped[1:]
    )

    with pytest.raises(VaultClosed, match=KEYS[0].key_id):
        Vault([damaged, *KEYS[1:]], KEK)


@pytest.mark.parametrize("purpose", PURPOSES)
def test_a_vault_without_one_of_its_keys_stays_closed(purpose: str) -> None:
    """With what to run."""
    with pytest.raises(VaultClosed, match=f"no data key for {purpose}: run `counterfoil migrate`"):
        Vault([key for key in KEYS if key.purpose != purpose], KEK)


def test_a_wrapped_key_is_not_the_key() -> None:
    """What lies in the database is wrapped, random, and named for its purpose."""
    one, other = new_data_key("card", KEK), new_data_key("card", KEK)

    assert one.wrapped != other.wrapped
    assert one.key_id != other.key_id
    assert one.key_id.startswith("card-")
    assert len(one.wrapped) == 40


def test_a_kept_card_shows_its_last_four_only() -> None:
    """In a traceback, in a log, anywhere."""
    kept = opened(VAULT.seal(CARD, MERCHANT))

    assert repr(kept) == str(kept) == f"{kept}" == "KeptCard(...1111)"
