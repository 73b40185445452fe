"""
Check a webhook's signature (Standard Webhooks 1.0) before anything believes what it says.
"""

import base64
import binascii
import hashlib
import hmac
import time
from collections.abc import Callable, Mapping, Sequence

import msgspec

from counterfoil_client.errors import WebhookRefused
from counterfoil_client.results import Event

PREFIX = "whsec_"
TOLERANCE_SECONDS = 300  # Older or newer messages are refused: who recorded one cannot send it on.
SIGNATURES_MAX = 16
SECRET_BYTES = range(24, 65)


class _Message(msgspec.Struct, frozen=True):
    data: Event


_DECODER = msgspec.json.Decoder(_Message)


def verify_webhook(
    headers: Mapping[str, str],
    body: bytes,
    secret: str | Sequence[str],
    *,
    clock: Callable[[], float] = time.time,
) -> Event:
    """
    Return the event that a message tells, if it was signed with *secret* and is not old.

    *body* is the bytes as they came; *secret* may be several while one is being rotated.

    Raises:
        WebhookRefused: Forged, damaged, or more than five minutes old or new: answer 400.
        ValueError: *secret* is no webhook secret.
    """
    secrets = [_raw(each) for each in ([secret] if isinstance(secret, str) else secret)]
    found = {name.lower(): value for name, value in headers.items()}
    try:
        message_id, timestamp = found["webhook-id"], found["webhook-timestamp"]
        signatures = found["webhook-signature"].split(" ")[:SIGNATURES_MAX]
    except KeyError as error:
        raise WebhookRefused(f"the header {error.args[0]} is missing") from None
    if not any(
        _signed(message_id, timestamp, body, each, signatures) for each in secrets
    ):  # Before anything else of the message is looked at.
        raise WebhookRefused("no signature of it is right: forged, damaged, or another secret's")
    if not timestamp.isdecimal() or abs(clock() - int(timestamp)) > TOLERANCE_SECONDS:
        raise WebhookRefused(f"it is more than {TOLERANCE_SECONDS} seconds old or new")
    try:
        return _DECODER.decode(body).data
    except msgspec.MsgspecError as error:
        raise WebhookRefused(f"it is signed and no event: {error}") from None


def _raw(secret: str) -> bytes:
    try:
        raw = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except binascii.Error:
        raw = b""
    if len(raw) not in SECRET_BYTES:
        raise ValueError("a webhook secret is whsec_ and the base64 of 24 to 64 bytes")
    return raw


def _signed(
    message_id: str, timestamp: str, body: bytes, secret: bytes, signatures: list[str]
) -> bool:
    signed = b".".join((message_id.encode(), timestamp.encode(), body))
    due = "v1," + base64.b64encode(hmac.digest(secret, signed, hashlib.sha256)).decode()
    return any(hmac.compare_digest(due.encode(), each.encode()) for each in signatures)
