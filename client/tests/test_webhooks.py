"""
Webhooks are believed when they are signed and fresh, and not otherwise.
"""

import base64
import json
from datetime import UTC, datetime

import pytest
from counterfoil_client import Event, WebhookRefused, verify_webhook
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks.webhooks import Webhook

SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()
OTHER = "whsec_" + base64.b64encode(bytes(range(1, 33))).decode()
AT = datetime(2026, 11, 24, 4, 10, 7, tzinfo=UTC)
EVENT = {
    "id": "evt_0123456789abcdef0123456789abcdef",
    "object": "event",
    "number": 4712,
    "type": "capture.settled",
    "at": "2026-11-24T04:10:05Z",
    "cause": "reported",
    "actor": "acquirer",
    "mode": "test",
    "version": 3,
    "payment": {"id": "pay_1", "version": 3, "state": "captured"},
    "batch": None,
    "a field of a later version": 1,
}
BODY = json.dumps({"type": EVENT["type"], "timestamp": EVENT["at"], "data": EVENT}).encode()


def signed(
    body: bytes = BODY, secrets: tuple[str, ...] = (SECRET,), at: datetime = AT
) -> dict[str, str]:
    """Return headers as the standard's own library signs them."""
    signatures = [Webhook(each).sign("evt_1", at, body.decode()) for each in secrets]
    return {
        "Webhook-Id": "evt_1",
        "Webhook-Timestamp": str(int(at.timestamp())),
        "Webhook-Signature": " ".join(signatures),
    }


def verified(headers: dict[str, str], body: bytes = BODY, secret: object = SECRET) -> Event:
    return verify_webhook(headers, body, secret, clock=AT.timestamp)  # type: ignore[arg-type]


def test_a_message_that_is_signed_is_an_event() -> None:
    """Headers in any case; fields of later versions do no harm."""
    event = verified(signed())

    assert (event.number, event.type, event.version) == (4712, "capture.settled", 3)
    assert event.payment == EVENT["payment"]
    assert event.at == datetime(2026, 11, 24, 4, 10, 5, tzinfo=UTC)


def test_either_secret_will_do_while_one_is_rotated() -> None:
    """On the sender's side and on ours."""
    assert verified(signed(secrets=(OTHER, SECRET)))
    assert verified(signed(), secret=[OTHER, SECRET])
    with pytest.raises(WebhookRefused, match="no signature"):
        verified(signed(secrets=(OTHER,)))


@given(st.binary(min_size=1, max_size=300), st.binary(min_size=24, max_size=64))
def test_it_agrees_with_the_standards_own_library(content: bytes, secret: bytes) -> None:
    """Whatever is in the body, and for every length of a secret: right is right."""
    written = "whsec_" + base64.b64encode(secret).decode()
    body = json.dumps({"data": {**EVENT, "note": content.hex()}}).encode()

    assert verified(signed(body, (written,)), body, written).number == 4712


@given(st.integers(0, len(BODY) - 1), st.integers(1, 255))
def test_one_byte_changed_is_refused(place: int, change: int) -> None:
    """Anywhere in the body."""
    forged = bytearray(BODY)
    forged[place] ^= change

    with pytest.raises(WebhookRefused):
        verified(signed(), bytes(forged))


@pytest.mark.parametrize("name", ["Webhook-Id", "Webhook-Timestamp", "Webhook-Signature"])
def test_a_message_without_one_of_its_headers_is_refused(name: str) -> None:
    """It proves nothing."""
    headers = signed()
    del headers[name]

    with pytest.raises(WebhookRefused, match=name.lower()):
        verified(headers)


@pytest.mark.parametrize("name", ["Webhook-Id", "Webhook-Timestamp"])
def test_a_header_that_was_changed_is_refused(name: str) -> None:
    """Both are signed."""
    headers = signed()
    headers[name] = headers[name][:-1] + ("0" if headers[name][-1] != "0" else "1")

    with pytest.raises(WebhookRefused, match="no signature"):
        verified(headers)


@pytest.mark.parametrize("seconds", [-301, 301])
def test_an_old_or_future_message_is_refused(seconds: int) -> None:
    """Who recorded one cannot send it on; five minutes are allowed for clocks."""
    at = datetime.fromtimestamp(AT.timestamp() + seconds, UTC)

    with pytest.raises(WebhookRefused, match="300 seconds"):
        verified(signed(at=at))


def test_a_signed_body_that_is_no_event_is_refused() -> None:
    """And says so."""
    body = b'{"type": "x", "data": {"id": 1}}'

    with pytest.raises(WebhookRefused, match="no event"):
        verified(signed(body), body)


@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_!", "whsec_c2hvcnQ=", "sk_test_x"])
def test_what_is_no_secret_is_a_mistake_of_the_program(secret: str) -> None:
    """Not a forged message: nothing could ever be verified with it."""
    with pytest.raises(ValueError, match="24 to 64 bytes"):
        verified(signed(), secret=secret)
