"""
The search for card data finds it, and does not take a digest for it.
"""

import hashlib

import pytest

from .leftovers import has_card_data
from .merchants import AMEX, AMEX_CVV, CVV, VISA

TAGGED = f"0203{CVV}"
DIGEST = f"4c{TAGGED}".ljust(64, "a")


@pytest.mark.parametrize(
    "written",
    [
        VISA,
        f"{AMEX[:4]} {AMEX[4:10]} {AMEX[10:]}",
        f'{{"48": "0110830003{TAGGED}0304T-10"}}',
        f"{DIGEST} 0204{AMEX_CVV}",
        f"{'0' * 57}{TAGGED}",  # Digits alone are no digest.
        f"cvv: {CVV}",
    ],
)
def test_card_data_is_found(written: str) -> None:
    """In whichever form it was written."""
    assert has_card_data(f"before {written} after".encode())


def test_packed_digits_are_found() -> None:
    """Two of them in a byte, as a binary dialect sends them."""
    assert has_card_data(b"\0" + bytes.fromhex(VISA) + b"\0")


@pytest.mark.parametrize("digest", [DIGEST, DIGEST[:32], f"pay_{DIGEST[:32]}"])
def test_digits_of_a_digest_are_no_code(digest: str) -> None:
    """One in some ten million has them."""
    assert not has_card_data(f'{{"hash": "{digest}", "event": "sealed"}}'.encode())


def test_digests_have_no_card_data() -> None:
    """Nor what else a log has."""
    digests = [hashlib.sha256(str(each).encode()).hexdigest() for each in range(1000)]
    assert not has_card_data("\n".join(digests).encode())
