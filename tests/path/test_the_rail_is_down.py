"""
No link to the acquirer: nothing is sent, nothing is charged, and the same key works afterwards.
"""

import asyncio

from .agreement import agreed, states
from .locks import intents_wait, statements_wait
from .merchants import Merchant, card, payment
from .sandboxes import Json


async def test_what_cannot_be_sent_is_charged_when_the_link_is_back(
    hasty_merchant: Merchant,
) -> None:
    """503 with Retry-After while the rail is down, also for an intent that was committed."""
    merchant, sandbox = hasty_merchant, hasty_merchant.sandbox
    approved = await merchant.post_payment("approved-before")
    async with intents_wait(merchant):
        waiting = asyncio.create_task(merchant.post_payment("waiting"))
        await statements_wait(sandbox)
        gateway = sandbox.log("gateway")
        await sandbox.stop("rail")
        await gateway.says("network.link_down")
    answers = [await waiting, await merchant.post_payment("new")]
    async with merchant.client() as client:
        refused = await client.refuse(approved.json()["id"])

    for each in answers:
        assert (each.status_code, each.json()["code"]) == (503, "not_sent")
        assert each.json()["retryable"] is True
        assert int(each.headers["retry-after"]) >= 1
    assert (refused.state, refused.charged) == ("reversing", False)
    async with merchant.api() as api:
        told = (await api.get("/v1/payments")).json()["data"]
        assert {each["idempotency_key"]: each["state"] for each in told} == {
            "approved-before": "reversing",
            "waiting": "not_sent",
        }
    assert not await _is_ready(merchant)

    await sandbox.start("rail")
    await sandbox.takes_payments()
    paid = [await _paid(merchant, key) for key in ("waiting", "new")]

    known = await agreed(merchant)
    assert {key: each["state"] for key, each in known.items()} == {
        "approved-before": "reversed",
        "waiting": "captured",
        "new": "captured",
    }
    assert states(known["waiting"])[:3] == ["processing", "not_sent", "processing"]
    assert [each["confirmation_number"] for each in paid] == [
        known[key]["confirmation_number"] for key in ("waiting", "new")
    ]


async def test_a_sale_outlasts_a_rail_that_comes_back(hasty_merchant: Merchant) -> None:
    """The client tries again under its key until the link is back, and charges once."""
    merchant, sandbox = hasty_merchant, hasty_merchant.sandbox
    await sandbox.stop("rail")
    async with merchant.client() as client:
        sale = asyncio.create_task(client.sale(4200, "USD", card(), idempotency_key="patient"))
        gateway = sandbox.log("gateway")
        await gateway.says("network.connect_failed")
        await sandbox.start("rail")
        sold = await sale

    told = (await agreed(merchant))["patient"]
    assert sold.paid
    assert sold.confirmation_number == told["confirmation_number"]
    assert len(await sandbox.rail_books({merchant.terminal_id})) == 1


async def _paid(merchant: Merchant, key: str) -> Json:
    """Send the request again under its key and acknowledge what comes."""
    async with merchant.api() as api:
        headers = {"Idempotency-Key": key}
        taken = await api.post("/v1/payments", json=payment(), headers=headers)
        assert (taken.status_code, taken.json()["state"]) == (201, "approved")
        path = f"/v1/payments/{taken.json()['id']}/acknowledge"
        told: Json = (await api.post(path, json={})).raise_for_status().json()
        return told


async def _is_ready(merchant: Merchant) -> bool:
    async with merchant.api() as api:
        return bool((await api.get("/readyz")).json()["ready"])
