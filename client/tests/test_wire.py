"""
What is written down and sent for a command on a payment.
"""

import json

from counterfoil_client.wire import movement

PAYMENT = "pay_0198f1c02b7a7c3d8e9f0a1b2c3d4e5f"


def test_the_last_capture_says_so() -> None:
    """
    And it is another request than one that is not the last.
    """
    intent, sent = movement("key-1", "capture", PAYMENT, 1000, "USD", final=True)
    other, plain = movement("key-1", "capture", PAYMENT, 1000, "USD")

    assert (sent.path, sent.key) == (f"/v1/payments/{PAYMENT}/capture", "key-1")
    assert json.loads(sent.body or b"") == {"amount_minor": 1000, "final": True}
    assert json.loads(plain.body or b"") == {"amount_minor": 1000}
    assert intent.fingerprint != other.fingerprint
