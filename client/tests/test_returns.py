"""
The way back from a payment page is believed when it is signed and fresh, and not otherwise.
"""

import pytest
from counterfoil_client import Return, ReturnRefused, verify_return

SECRET = "rsec_0123456789abcdef"
OTHER = "rsec_0123456789abcdeg"
AT = 1795852800.0
# As the gateway signs it: `gateway/tests/test_checkout_api.py` has the same.
SIGNATURE = "eab43787b5998325fc8d7e9bb1f3c8048b0a26f88a33e7bea587adc5efed4a1a"
CHECKOUT, PAYMENT = "chk_" + "1" * 32, "pay_" + "2" * 32
URL = (
    f"https://shop.example/orders/1001?token=abc&checkout={CHECKOUT}&status=paid"
    f"&payment={PAYMENT}&confirmation=123456789012&at=1795852800&signature={SIGNATURE}"
)


def verified(url: str = URL, secret: str = SECRET, at: float = AT) -> Return:
    return verify_return(url, secret, clock=lambda: at)


def test_a_return_that_is_signed_says_what_came_of_it() -> None:
    """
    By the address, or by its parameters.
    """
    back = verified()

    assert back.paid
    assert (back.checkout, back.payment) == (CHECKOUT, PAYMENT)
    assert back.confirmation_number == "123456789012"
    pairs = dict(each.split("=") for each in URL.partition("?")[2].split("&"))
    assert verify_return(pairs, SECRET, clock=lambda: AT) == back


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("status=paid", "status=expired"),
        ("chk_1", "chk_2"),
        ("pay_2", "pay_3"),
        ("confirmation=1", "confirmation=2"),
        ("at=1795852800", "at=1795852801"),
        ("signature=", "signature=0"),
        (f"&signature={SIGNATURE}", ""),
        (f"&signature={SIGNATURE}", "&signature=\N{SNOWMAN}"),
        ("&status=paid", ""),
        ("&status=paid", "&status=paid&status=paid"),
    ],
)
def test_a_return_that_was_changed_is_refused(before: str, after: str) -> None:
    """
    Any of its parts.
    """
    assert before in URL
    with pytest.raises(ReturnRefused):
        verified(URL.replace(before, after))


def test_a_return_of_another_checkout_is_refused() -> None:
    """
    Each has a secret of its own, so that a cheap order's return does not pay a dear one.
    """
    with pytest.raises(ReturnRefused):
        verified(secret=OTHER)


@pytest.mark.parametrize("seconds", [-301, 301, 86_400])
def test_a_return_that_was_kept_says_nothing_later(seconds: int) -> None:
    """
    Five minutes, either way.
    """
    with pytest.raises(ReturnRefused, match="seconds old"):
        verified(at=AT + seconds)
    assert verified(at=AT + 300).paid


def test_what_the_shop_has_in_its_own_address_is_its_own() -> None:
    """
    It is not signed, and does no harm.
    """
    assert verified(URL.replace("token=abc", "token=other")).paid


def test_a_secret_of_another_kind_is_a_mistake_of_the_shop() -> None:
    """
    Not of whoever came back.
    """
    with pytest.raises(ValueError, match="rsec_"):
        verified(secret="whsec_abc")
