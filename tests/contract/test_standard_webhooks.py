"""
Our webhooks are Standard Webhooks 1.0: what the gateway signs, the standard's own library verifies.

Three implementations meet here that share no line: the gateway's signer, the client's verifier,
and `standardwebhooks`.
"""

import base64
import json
import os
from datetime import UTC, datetime
from typing import Any

import pytest
from counterfoil.events.signing import SECRET_BYTES, headers, new_secret, written_secret
from counterfoil_client import WebhookRefused, verify_webhook
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks.webhooks import Webhook, WebhookVerificationError


def now() -> datetime:
    """The library verifies against the machine's clock, and only what is young."""
    return datetime.now(UTC)


EVENT: dict[str, Any] = {
    "id": "evt_0123456789abcdef0123456789abcdef",
    "number": 1,
    "type": "payment.captured",
    "at": "2026-11-24T04:10:05Z",
    "cause": "acknowledged",
    "actor": "key_1",
    "mode": "test",
}


def body(**more: Any) -> bytes:
    return json.dumps({"type": EVENT["type"], "data": {**EVENT, **more}}).encode()


@given(st.text(max_size=200), st.binary(min_size=24, max_size=64))
def test_what_we_sign_the_standards_library_verifies(note: str, secret: bytes) -> None:
    """Any body, any secret of the lengths that the standard allows; and so does our client."""
    content = body(note=note)
    sent = headers(EVENT["id"], now(), content, [secret])

    assert Webhook(written_secret(secret)).verify(content, sent) == json.loads(content)
    assert verify_webhook(sent, content, written_secret(secret)).number == 1


@given(st.binary(min_size=24, max_size=64))
def test_our_signature_is_the_librarys_signature(secret: bytes) -> None:
    """To the last character."""
    content = body()
    sent = headers(EVENT["id"], now(), content, [secret])
    at = datetime.fromtimestamp(int(sent["webhook-timestamp"]), UTC)

    due = Webhook(written_secret(secret)).sign(EVENT["id"], at, content.decode())
    assert sent["webhook-signature"] == due


def test_a_message_has_the_headers_of_the_standard_and_no_others() -> None:
    """Lower case, as in its text."""
    sent = headers(EVENT["id"], now(), body(), [bytes(32)])

    assert set(sent) == {"webhook-id", "webhook-timestamp", "webhook-signature"}


def test_both_signatures_of_a_rotation_are_verified_by_either_secret() -> None:
    """Separated by a space; a third secret verifies neither."""
    old, new, other = (bytes([each]) * 32 for each in (1, 2, 3))
    content = body()
    sent = headers(EVENT["id"], now(), content, [new, old])

    for secret in (old, new):
        Webhook(written_secret(secret)).verify(content, sent)
        verify_webhook(sent, content, written_secret(secret))
    with pytest.raises(WebhookVerificationError):
        Webhook(written_secret(other)).verify(content, sent)
    with pytest.raises(WebhookRefused):
        verify_webhook(sent, content, written_secret(other))


def test_a_secret_is_written_as_the_standard_says() -> None:
    """whsec_ and base64 of 24 to 64 bytes, different each time."""
    one, other = (new_secret(os.urandom) for _ in range(2))
    written = written_secret(one)

    assert one != other
    assert written.startswith("whsec_")
    assert 24 <= len(base64.b64decode(written.removeprefix("whsec_"))) == SECRET_BYTES <= 64
