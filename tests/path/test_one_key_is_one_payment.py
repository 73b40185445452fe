"""
An idempotency key charges once, whatever comes of the network; and it belongs to its merchant.
"""

import asyncio

import httpx2

from .agreement import agreed
from .merchants import AMEX, Merchant, add_merchant, new_key, payment
from .sandboxes import eventually

COPIES = 50


async def test_f12_fifty_copies_at_once_charge_once(merchant: Merchant) -> None:
    """Each on a connection of its own: one is first, all speak of one payment, one is charged."""
    async with merchant.sandbox.fault("issuer_delay_ms", "300"):
        answers = await asyncio.gather(*(merchant.post_payment("copied") for _ in range(COPIES)))
    [payment_id] = {each.json()["id"] for each in answers}

    assert {each.status_code for each in answers} <= {200, 201, 202}
    assert sum(each.status_code == 201 for each in answers) == 1
    async with merchant.client() as client:
        resolution = await client.resolve("copied")
    told = await agreed(merchant)
    assert resolution.payment is not None
    assert resolution.payment.paid
    assert [each["id"] for each in told.values()] == [payment_id]
    assert len(await merchant.sandbox.rail_books({merchant.terminal_id})) == 1


async def test_f13_another_request_under_the_key_is_refused(merchant: Merchant) -> None:
    """Another amount, card, order or capture: 422, and the first payment stands as it was."""
    first = await merchant.post_payment("taken", order="1")
    paper = {**payment()["card"], "number": AMEX}
    others: list[dict[str, object]] = [
        {"order": "1", "amount_minor": 4201},
        {"order": "1", "card": paper},
        {"order": "2"},
        {"order": "1", "capture": "manual"},
    ]
    answers = [await merchant.post_payment("taken", **each) for each in others]
    same = await merchant.post_payment("taken", order="1")

    assert {each.status_code for each in answers} == {422}
    assert {each.json()["code"] for each in answers} == {"idempotency_key_reused"}
    assert (same.status_code, same.json()["id"]) == (200, first.json()["id"])
    await _claimed(merchant, first)
    assert len(await agreed(merchant)) == 1


async def test_the_same_key_of_another_merchant_is_another_payment(merchant: Merchant) -> None:
    """Two merchants may count alike: each gets a payment of its own, at its own terminal."""
    neighbour = await add_merchant(merchant.sandbox)
    ours = await merchant.post_payment("1001")
    theirs = await neighbour.post_payment("1001", amount_minor=9900)
    await _claimed(merchant, ours)
    await _claimed(neighbour, theirs)

    assert [each["amount_minor"] for each in (await agreed(merchant)).values()] == [4200]
    assert [each["amount_minor"] for each in (await agreed(neighbour)).values()] == [9900]


async def test_another_merchants_payment_is_not_there(merchant: Merchant) -> None:
    """404 on every route, in no list, behind no key; and nothing of it is changed."""
    neighbour = await add_merchant(merchant.sandbox)
    approved = (await neighbour.post_payment("theirs", order="theirs")).json()
    path = f"/v1/payments/{approved['id']}"
    async with merchant.api() as api:
        answers = [await api.get(path)]
        for call in ("acknowledge", "refuse", "capture", "void", "refund"):
            headers = {"Idempotency-Key": new_key()}
            answers.append(await api.post(f"{path}/{call}", json={}, headers=headers))
        listed = [await api.get("/v1/payments", params=each) for each in ({}, {"order": "theirs"})]
        resolved = await api.post("/v1/resolve", json={"idempotency_key": "theirs"})

    assert {each.status_code for each in answers} == {404}
    assert {each.json()["code"] for each in answers} == {"not_found"}
    assert [each.json()["data"] for each in listed] == [[], []]
    assert resolved.json()["status"] == "never_seen"
    assert (await neighbour.payment(approved["id"]))["state"] == "approved"
    async with neighbour.client() as client:
        await client.refuse(approved["id"])
    assert await agreed(merchant) == {}
    await agreed(neighbour)


async def _claimed(merchant: Merchant, answered: httpx2.Response) -> None:
    """Acknowledge an approval, so that it counts."""

    async def claimed() -> bool:
        async with merchant.api() as api:
            path = f"/v1/payments/{answered.json()['id']}/acknowledge"
            return bool((await api.post(path, json={})).status_code == 200)

    await eventually(claimed, "the approval is claimed")
