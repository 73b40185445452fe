"""
API keys that do not open the door any more, or never did.
"""

import json
from datetime import UTC, datetime, timedelta

import httpx2
import pytest
from counterfoil_client import RequestRefused

from .agreement import agreed
from .merchants import Merchant, add_key, card
from .sandboxes import eventually

LOOKS = 3  # Until then the gateway remembers the key.


async def test_a_revoked_key_ends_at_once(merchant: Merchant) -> None:
    """Made and revoked by the operator's commands while the gateway runs and remembers it."""
    sandbox = merchant.sandbox
    made = json.loads(
        await sandbox.command("counterfoil", "key", "create", merchant.written_id, "--json")
    )
    for _ in range(LOOKS):
        assert (await _asked(merchant, made["secret"])).status_code == 200

    await sandbox.command("counterfoil", "key", "revoke", made["id"])

    async def refused() -> bool:
        answer = await _asked(merchant, made["secret"])
        return answer.status_code == 401 and answer.json()["code"] == "key_revoked"

    await eventually(refused, "the gateway heard of the revocation")
    assert (await _asked(merchant, merchant.key)).status_code == 200
    listed = json.loads(
        await sandbox.command("counterfoil", "key", "list", merchant.written_id, "--json")
    )
    assert sorted(each["state"] for each in listed) == ["active", "revoked"]
    assert made["secret"] not in json.dumps(listed)


async def test_every_key_that_does_not_open_says_why(merchant: Merchant) -> None:
    """Expired, of the other mode, unknown, none at all: each 401 has a code of its own."""
    expired = await add_key(merchant, expires_at=datetime.now(UTC) - timedelta(seconds=1))
    refusals = {
        "key_expired": expired,
        "key_of_other_mode": merchant.key.replace("sk_test_", "sk_live_"),
        "key_unknown": merchant.key[:-1] + ("a" if merchant.key[-1] != "a" else "b"),
    }
    for code, secret in refusals.items():
        answer = await _asked(merchant, secret)
        assert (answer.status_code, answer.json()["code"]) == (401, code)
        assert secret not in answer.text
    async with merchant.api() as api:
        del api.headers["Authorization"]
        without = await api.get("/v1/payments")
    assert (without.status_code, without.json()["code"]) == (401, "key_missing")


async def test_a_sale_with_a_dead_key_charges_nothing(merchant: Merchant) -> None:
    """The client says that it was refused, and why; neither gateway nor rail have a payment."""
    expired = await add_key(merchant, expires_at=datetime.now(UTC) - timedelta(seconds=1))
    alive, merchant.key = merchant.key, expired
    async with merchant.client() as client:
        with pytest.raises(RequestRefused) as refused:
            await client.sale(4200, "USD", card())
    merchant.key = alive

    assert refused.value.code == "key_expired"
    assert await agreed(merchant) == {}


async def _asked(merchant: Merchant, secret: str) -> httpx2.Response:
    async with merchant.api(secret) as api:
        return await api.get("/v1/payments")
