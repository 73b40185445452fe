"""
/v1/webhook-endpoints: made, changed, rotated, ended; deliveries seen and replayed.
"""

from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import pytest
from api_stage import Api
from counterfoil.events.posting import Posted
from counterfoil.store.webhooks import ENDPOINTS_MAX
from hook_stage import Hooks
from payment_stage import Stage

PATH = "/v1/webhook-endpoints"
URL = "https://hooks.example/payments"


@pytest.fixture
async def api(stage: Stage) -> AsyncIterator[Api]:
    yield await Api.of(stage)
    await stage.sql("UPDATE webhook_endpoints SET state = 'disabled'")


async def made(api: Api, **more: Any) -> Any:
    reply = await api.call("POST", PATH, {"url": URL, **more})
    assert reply.status == 201, reply.content
    return reply.json


async def test_a_secret_is_answered_once(api: Api) -> None:
    """When the endpoint is made; afterwards nobody can read it again."""
    endpoint = await made(api, description="The shop", types=["payment.captured"])

    one = (await api.call("GET", f"{PATH}/{endpoint['id']}")).json
    every = (await api.call("GET", PATH)).json["data"]

    assert endpoint["secret"].startswith("whsec_")
    assert one == every[0] == {key: endpoint[key] for key in endpoint if key != "secret"}
    assert (one["url"], one["description"], one["state"]) == (URL, "The shop", "enabled")
    assert one["types"] == ["payment.captured"]


async def test_what_is_left_out_of_a_change_stays(api: Api) -> None:
    """And null takes a filter or a description away."""
    endpoint = await made(api, description="The shop", types=["payment.captured"])
    path = f"{PATH}/{endpoint['id']}"

    disabled = (await api.call("PATCH", path, {"state": "disabled"})).json
    opened = (await api.call("PATCH", path, {"types": None, "description": None})).json

    assert (disabled["state"], disabled["types"]) == ("disabled", ["payment.captured"])
    assert (opened["state"], opened["types"], opened["description"]) == ("disabled", None, None)


async def test_a_rotated_secret_is_another_one(api: Api) -> None:
    """The one before signs too, until a time that is shown."""
    endpoint = await made(api)

    rotated = (await api.call("POST", f"{PATH}/{endpoint['id']}/rotate", {})).json
    at_once = await api.call("POST", f"{PATH}/{endpoint['id']}/rotate", {"overlap_seconds": 0})

    assert rotated["secret"] != endpoint["secret"]
    assert rotated["previous_secret_until"] == "2026-11-24T06:30:00Z"
    assert at_once.json["previous_secret_until"] is None


async def test_a_deleted_endpoint_is_not_found(api: Api) -> None:
    """Deleting says so once."""
    endpoint = await made(api)
    path = f"{PATH}/{endpoint['id']}"

    assert (await api.call("DELETE", path)).json["state"] == "deleted"
    assert (await api.call("DELETE", path)).status == 404
    assert (await api.call("GET", path)).status == 404
    assert (await api.call("POST", f"{path}/rotate", {})).status == 404
    assert (await api.call("GET", PATH)).json["data"] == []


async def test_deliveries_are_seen_and_replayed(api: Api) -> None:
    """Each with its tries, newest first, in pages."""
    endpoint = await made(api, types=["payment.approved"])
    hooks = Hooks(api.stage)
    for _ in range(3):
        await api.stage.take()

    async def refuse(*_: Any) -> Posted:
        return Posted(500, None)

    await hooks.send(hooks.sender(refuse))
    path = f"{PATH}/{endpoint['id']}/deliveries"
    first = (await api.call("GET", path, query="limit=2")).json
    last = (await api.call("GET", path, query=f"before={first['next_before']}")).json
    again = await api.call("POST", f"{path}/{first['data'][0]['id']}/replay", {})

    assert [len(first["data"]), len(last["data"]), last["next_before"]] == [2, 1, None]
    assert first["data"][0]["number"] > first["data"][1]["number"] > last["data"][0]["number"]
    (attempt,) = first["data"][0]["attempts"]
    assert (attempt["status"], attempt["error"]) == (500, "answered 500, not 200 to 299")
    assert again.json["state"] == "owed"
    assert again.json["next_try_at"] == "2026-11-23T06:30:00Z"
    assert (await api.call("GET", path, query="state=delivered")).json["data"] == []


async def test_nothing_is_replayed_to_an_endpoint_that_is_disabled(api: Api) -> None:
    """It says what to do first, and leaves the delivery as it was."""
    endpoint = await made(api, types=["payment.approved"])
    hooks, place = Hooks(api.stage), f"{PATH}/{endpoint['id']}"
    await api.stage.take()

    async def take(*_: Any) -> Posted:
        return Posted(200, None)

    await hooks.send(hooks.sender(take))
    (delivery,) = (await api.call("GET", f"{place}/deliveries")).json["data"]
    replay = f"{place}/deliveries/{delivery['id']}/replay"
    await api.call("PATCH", place, {"state": "disabled"})
    refused = await api.call("POST", replay, {})
    (untouched,) = (await api.call("GET", f"{place}/deliveries")).json["data"]
    await api.call("PATCH", place, {"state": "enabled"})
    again = await api.call("POST", replay, {})

    assert (refused.status, refused.json["code"]) == (409, "webhook_endpoint_disabled")
    assert "enabled first" in refused.json["detail"]
    assert untouched["state"] == "delivered"
    assert (again.status, again.json["state"]) == (200, "owed")


async def test_another_merchants_endpoint_is_not_found(api: Api) -> None:
    """By any call."""
    endpoint = await made(api)
    other = await Api.of(await Stage.set_up(api.stage.database))
    path, delivery = f"{PATH}/{endpoint['id']}", f"whd_{uuid4().hex}"

    for method, place, body in (
        ("GET", path, None), ("PATCH", path, {"state": "disabled"}), ("DELETE", path, None),
        ("POST", f"{path}/rotate", {}), ("GET", f"{path}/deliveries", None),
        ("POST", f"{path}/deliveries/{delivery}/replay", {}),
    ):  # fmt: skip
        assert (await other.call(method, place, body)).status == 404, place
    assert (await api.call("GET", path)).json["state"] == "enabled"


@pytest.mark.parametrize(
    "url",
    [
        "http://hooks.example/", "https://127.0.0.1/", "https://user@hooks.example/",
        "http://127.0.0.1:8080/", "http://localhost/", "https://gateway.localhost/",
    ],
)  # fmt: skip
async def test_a_url_into_our_own_network_is_refused(api: Api, url: str) -> None:
    """Already when it is stored, where that can be seen; the rest when its name is resolved."""
    reply = await api.call("POST", PATH, {"url": url})

    assert (reply.status, reply.json["code"]) == (400, "webhook_url_refused")
    assert reply.json["param"] == "url"


async def test_a_type_that_is_none_is_refused(api: Api) -> None:
    """Nobody waits for events that never come."""
    reply = await api.call("POST", PATH, {"url": URL, "types": ["payment.payed"]})

    assert (reply.status, reply.json["code"]) == (400, "field_out_of_range")
    assert reply.json["param"] == "types[0]"


async def test_endpoints_have_a_maximum(api: Api) -> None:
    """Of those that are not deleted."""
    for _ in range(ENDPOINTS_MAX):
        endpoint = await made(api)

    full = await api.call("POST", PATH, {"url": URL})
    await api.call("DELETE", f"{PATH}/{endpoint['id']}")

    assert (full.status, full.json["code"]) == (409, "webhook_endpoints_full")
    assert await made(api)
