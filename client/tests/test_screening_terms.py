"""
What a shop says for the gateway's screening, and what it reads of it.
"""

import msgspec
from counterfoil_client import Card, Payment, Screening
from counterfoil_client.wire import Terms, payment

CARD = Card(number="4111111111111111", expiry_month=12, expiry_year=2030, cvv="123")
TERMS = Terms(kind="sale", amount_minor=4200, currency="USD")


def body_of(terms: Terms) -> dict[str, object]:
    _, request = payment("key", terms, CARD)
    body: dict[str, object] = msgspec.json.decode(request.body or b"")
    return body


def test_where_the_shopper_came_from_and_what_is_meant_are_sent() -> None:
    """And left out by default."""
    said = msgspec.structs.replace(TERMS, customer_ip="203.0.113.7", duplicate_check=False)

    body = body_of(said)

    assert (body["customer_ip"], body["duplicate_check"]) == ("203.0.113.7", False)
    assert not {"customer_ip", "duplicate_check"} & body_of(TERMS).keys()


def test_they_are_no_part_of_what_makes_two_requests_the_same() -> None:
    """A repeat from another machine, or one that is surer, is the same request."""
    first, _ = payment("key", TERMS, CARD)
    said = msgspec.structs.replace(TERMS, customer_ip="203.0.113.7", duplicate_check=False)

    again, _ = payment("key", said, CARD)

    assert first == again


def test_the_results_are_read_in_words() -> None:
    """A decline of the shop's own has no response code."""
    told = {
        "id": "pay_1",
        "state": "declined",
        "amount_minor": 4200,
        "currency": "USD",
        "decline": {"response_code": None, "merchant_message": "Declined by the shop's rules."},
        "screening": [{"rule": "declines", "result": "refused", "words": "Three declines."}],
    }

    read = msgspec.convert(told, Payment)

    assert read.decline is not None
    assert read.decline.response_code is None
    assert read.screening == (
        Screening(rule="declines", result="refused", words="Three declines."),
    )
