"""
What a payment says is possible works; what it does not say is refused, and nothing contradicts.
"""

import contextlib
from random import Random
from typing import Any

import pytest
from api_stage import Api
from counterfoil import ids
from counterfoil.api.showing import YOUNG
from counterfoil.payments.lifecycle import Kind, State
from counterfoil.payments.recovery import sweep
from counterfoil.payments.refusals import NothingWritten
from counterfoil.store.batches import BatchStore
from counterfoil.store.database import Database, DatabaseAway
from ledger_day import ClosingLink, forward
from payment_stage import Stage
from scripted_link import not_sent, says, unknown

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


async def in_state(api: Api, state: str) -> str:
    """Bring a payment into *state*; return its path."""
    stage, link = api.stage, api.stage.link
    steps = {
        "declined": says("05"),
        "not_sent": not_sent,
        "reversing": unknown,
        "reversed": unknown,
    }
    link.script.extend([steps[state]] if state in steps else [])
    if state in ("verified", "unanswered"):
        link.script.append(says("85") if state == "verified" else unknown)
        await stage.take(kind=Kind.VERIFICATION, amount_minor=0, customer_email=None)
    elif state in ("authorized", "expired"):
        await claimed(api, "authorization")
    elif state in ("captured", "voiding", "voided"):
        path = await claimed(api)
        if state != "captured":
            assert (await ask(api, path, "void")).status == 201
    else:
        with contextlib.suppress(NothingWritten):
            await stage.take()
    if state in ("voided", "reversed"):
        await forward(stage)
    if state == "expired":
        stage.clock.move(8 * 86_400)
        await sweep(stage.road)
    (row,) = await stage.sql(
        "SELECT payment_id, state FROM payments WHERE merchant_id = $1", stage.merchant.merchant_id
    )
    assert row["state"] == state
    return f"/v1/payments/{ids.written(ids.PAYMENT, row['payment_id'])}"


@pytest.mark.parametrize("state", [each.value for each in State if each is not State.PROCESSING])
async def test_in_every_state_a_refusal_names_it_and_what_is_possible(api: Api, state: str) -> None:
    """Every call in every state: done, or a 409 with the state, in words too, and a way on."""
    path = await in_state(api, state)
    offered = (await api.call("GET", path)).json["possible"]
    for name in (*CALLS, "acknowledge", "refuse"):
        if name in offered:
            continue
        if name in CALLS:
            reply = await ask(api, path, name)
        else:
            reply = await api.call("POST", f"{path}/{name}", {})
        if reply.status in (200, 201):  # A repeat of what is so already.
            assert name in {"reversing": ("undo", "refuse"), "reversed": ("undo", "refuse")}.get(
                state, ("acknowledge",)
            )
            assert reply.json["state"] == state
            continue
        assert reply.status == 409, (name, reply.json)
        assert (reply.json["state"], reply.json["possible"]) == (state, offered), (name, reply.json)
        assert state in reply.json["detail"] or "lapsed" in reply.json["detail"], reply.json
        assert reply.json["detail"].endswith(f"possible now: {', '.join(offered) or 'nothing'}"), (
            reply.json
        )
