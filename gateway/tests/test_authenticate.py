"""
Who is calling: each way in which a key is no key has its own answer, and none repeats it.
"""

from datetime import timedelta
from uuid import uuid4

import pytest
from api_stage import Api
from payment_stage import Stage


@pytest.fixture
async def api(stage: Stage) -> Api:
    return await Api.of(stage)


async def code(api: Api, authorization: str | None) -> str:
    """Return the problem's code, after checking what every refusal of a key must have."""
    reply = await api.call("GET", "/v1/payments", authorization=authorization)
    assert reply.status == 401
    assert reply.headers["www-authenticate"] == 'Bearer realm="counterfoil"'
    secret = (authorization or "").partition(" ")[2].strip()
    assert not secret or secret not in reply.content.decode()
    return str(reply.json["code"])


@pytest.mark.parametrize(
    "authorization", [None, "", "Bearer", "Bearer ", "Basic dXNlcjpwYXNz", "sk_test_x"]
)
async def test_without_a_key_it_is_said_how_to_send_one(
    api: Api, authorization: str | None
) -> None:
    """Missing, or by another scheme."""
    assert await code(api, authorization) == "key_missing"


@pytest.mark.parametrize(
    "secret",
    [
        "sk_test_" + "x" * 43,
        "no-key-at-all",
        "4111111111111111",
        "sk_test_" + "x" * 500,
        "sk_test_\xe9",
    ],
)
async def test_an_unknown_key_is_unknown(api: Api, secret: str) -> None:
    """Whatever its form; too long or not ASCII does not even reach the database."""
    assert await code(api, f"Bearer {secret}") == "key_unknown"


async def test_a_key_of_the_other_mode_is_told_so(api: Api) -> None:
    """The commonest mistake at going live."""
    assert await code(api, "Bearer sk_live_" + "x" * 43) == "key_of_other_mode"


async def test_a_revoked_key_is_told_since_when(stage: Stage) -> None:
    """On a process without a cache at once."""
    api = await Api.of(stage)
    (row,) = await stage.merchants.keys(stage.merchant.merchant_id)
    await stage.merchants.revoke_key(row["key_id"])

    assert await code(api, f"Bearer {api.secret}") == "key_revoked"


async def test_a_key_ends_at_its_moment(stage: Stage) -> None:
    """Valid until then, expired from then on."""
    api = await Api.of(stage, expires_at=stage.clock.now() + timedelta(seconds=10))
    before = await api.call("GET", "/v1/payments")
    stage.clock.move(10)

    assert before.status == 200
    assert await code(api, f"Bearer {api.secret}") == "key_expired"


async def test_the_scheme_may_be_written_as_one_likes(api: Api) -> None:
    """RFC 9110: case does not matter, blanks neither."""
    reply = await api.call("GET", "/v1/payments", authorization=f"bEARER   {api.secret} ")

    assert reply.status == 200


async def test_every_call_that_touches_payments_needs_a_key(api: Api) -> None:
    """Deny by default: the table of calls has no exception."""
    from counterfoil.api.operations import OPERATIONS

    for operation in OPERATIONS:
        path = operation.path.replace("{payment_id}", f"pay_{uuid4().hex}")
        reply = await api.call(operation.method, path, {}, authorization=None)
        assert reply.json["code"] == "key_missing", operation.name
