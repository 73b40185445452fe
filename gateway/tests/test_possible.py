"""
What a payment says is possible works; what it does not say is refused, and nothing contradicts.
"""

from random import Random
from typing import Any

import pytest
from api_stage import Api
from counterfoil.api.showing import YOUNG
from counterfoil.store.batches import BatchStore
from counterfoil.store.database import Database, DatabaseAway
from ledger_day import ClosingLink, forward
from payment_stage import Stage

CALLS = ("capture", "void", "refund", "undo")
STEPS = 6
SALE = {
    "amount_minor": 4200,
    "currency": "USD",
    "card": {"number": "4111111111111111", "expiry_month": 12, "expiry_year": 2030, "cvv": "123"},
}


@pytest.fixture
async def api(database: Database) -> Api:
    stage = await Stage.set_up(database, link=ClosingLink())
    await stage.settings(credits_allowed=True)
    return await Api.of(stage)


async def begin_close(stage: Stage) -> None:
    """As another process does: the gateway's own memory hears nothing of it."""
    store = BatchStore(stage.database, stage.lease.process_id)
    stage.clock.move(0.001)
    for key in await store.to_close(stage.merchant.merchant_id, stage.clock.now()):
        await store.begin_close(
            key, stage.clock.now(), cause="test", actor="test", event_id=stage.road.ids.new()
        )


async def claimed(api: Api, kind: str = "sale") -> str:
    """Take a payment and claim it; return its path."""
    path = "/v1/credits" if kind == "credit" else "/v1/payments"
    body = {**SALE, "capture": "manual"} if kind == "authorization" else SALE
    taken = await api.call("POST", path, body, idempotency_key=f"k-{api.stage.road.ids.new()}")
    assert taken.status == 201, taken.json
    found = f"/v1/payments/{taken.json['id']}"
    assert (await api.call("POST", f"{found}/acknowledge", {})).status == 200
    return found


async def ask(api: Api, path: str, name: str, body: dict[str, Any] | None = None) -> Any:
    key = f"k-{api.stage.road.ids.new()}"
    return await api.call("POST", f"{path}/{name}", body or {}, idempotency_key=key)


async def test_a_void_after_the_close_is_not_said_to_be_possible(api: Api) -> None:
    """Not in the words, not as a member, not in the payment; nor where it is read or listed."""
    path = await claimed(api)
    await begin_close(api.stage)

    reply = await ask(api, path, "void")

    assert (reply.status, reply.json["code"]) == (409, "state_conflict")
    assert reply.json["detail"].endswith("possible now: refund, undo")
    assert reply.json["possible"] == reply.json["payment"]["possible"] == ["refund", "undo"]
    assert (await api.call("GET", path)).json["possible"] == ["refund", "undo"]
    listed = (await api.call("GET", "/v1/payments")).json["data"]
    assert [each["possible"] for each in listed] == [["refund", "undo"]]


async def test_a_claim_that_is_repeated_later_knows_of_the_close(api: Api) -> None:
    """At once it goes by memory, which is cheap; afterwards the database is asked."""
    path = await claimed(api)
    at_once = (await api.call("POST", f"{path}/acknowledge", {})).json
    await begin_close(api.stage)
    api.stage.clock.move(YOUNG.total_seconds() + 1)
    later = (await api.call("POST", f"{path}/acknowledge", {})).json

    assert at_once["possible"] == ["void", "refund", "undo"]
    assert later["possible"] == ["refund", "undo"]


async def test_a_lapsed_hold_is_not_said_to_be_capturable(api: Api) -> None:
    """Before the sweep comes by, too."""
    path = await claimed(api, "authorization")
    api.stage.clock.move(31 * 86_400)

    reply = await ask(api, path, "capture")

    assert (reply.status, reply.json["code"]) == (409, "capture_too_late")
    assert reply.json["possible"] == ["void", "undo"]


async def test_a_refusal_needs_no_database_for_its_words(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was decided: it is told by what is remembered."""
    path = await claimed(api)

    async def away(*_: object) -> None:
        raise DatabaseAway("gone")

    monkeypatch.setattr(api.stage.road.store, "placed", away)
    reply = await ask(api, path, "refund", {"amount_minor": 4201})

    assert (reply.status, reply.json["code"]) == (409, "amount_too_large")
    assert reply.json["possible"] == ["void", "refund", "undo"]


@pytest.mark.parametrize("seed", range(12))
async def test_what_is_possible_is_done_and_what_is_not_is_refused(api: Api, seed: int) -> None:
    """Any kind, any parts, any closes between; every call, offered or not."""
    chance = Random(seed)
    path = await claimed(api, chance.choice(("sale", "authorization", "credit")))
    for _ in range(STEPS):
        if chance.random() < 0.3:
            await begin_close(api.stage)
        await forward(api.stage)
        offered = (await api.call("GET", path)).json["possible"]
        for name in set(CALLS) - set(offered):
            reply = await ask(api, path, name)
            refused = (reply.status == 409) or reply.json["state"] in ("voiding", "voided")
            assert refused, (name, reply.json)
            assert name not in reply.json["possible"], (name, reply.json)
        if not offered:
            return
        name = chance.choice(offered)
        part = chance.choice(({}, {"amount_minor": chance.randint(1, 300)}))
        reply = await ask(api, path, name, part)
        if reply.json.get("code") == "amount_too_large":
            reply = await ask(api, path, name)
        assert reply.status == 201, (name, part, reply.json)
