"""
/v1/checkouts as a shop calls it.
"""

from typing import Any

import pytest
from api_stage import CHECKOUT_ORIGIN, Api, Reply
from checkout_stage import SHOP, PageStage
from counterfoil.checkouts.minding import UNPAID_KEPT
from counterfoil.checkouts.returning import Said, signed_return
from payment_stage import KEYS, Stage, new_merchant

BODY = {
    "amount_minor": 4200,
    "currency": "USD",
    "order": "1001",
    "return_url": f"{SHOP}/orders/1001",
}


@pytest.fixture
async def api(stage: Stage) -> Api:
    """The API of the stage's merchant, whose pages lead back to its shop."""
    await PageStage(stage).allow(SHOP)
    return await Api.of(stage)


async def create(api: Api, body: Any = None, key: str | None = None) -> Reply:
    """Open a checkout."""
    return await api.call("POST", "/v1/checkouts", body or BODY, idempotency_key=key or next(KEYS))


async def test_a_checkout_is_opened_read_and_ended(api: Api) -> None:
    """Its page is at the payment pages' own origin."""
    made = await create(api)
    path = f"/v1/checkouts/{made.json['id']}"
    read = await api.call("GET", path)
    ended = await api.call("POST", f"{path}/expire", {})
    again = await api.call("POST", f"{path}/expire", {})

    assert (made.status, made.json["state"], made.json["payment"]) == (201, "open", None)
    assert made.json["url"].startswith(f"{CHECKOUT_ORIGIN}/c/")
    assert made.json["return_secret"].startswith("rsec_")
    assert read.json == made.json
    assert (ended.status, ended.json["state"]) == (200, "expired")
    assert again.json == ended.json


async def test_a_repeat_answers_the_same_page(api: Api) -> None:
    """200, with the same address; another body under the key is refused."""
    first, again = await create(api, key="order-7"), await create(api, key="order-7")
    other = await create(api, {**BODY, "amount_minor": 1}, key="order-7")

    assert (first.status, again.status, again.json) == (201, 200, first.json)
    assert (other.status, other.json["code"]) == (422, "idempotency_key_reused")


async def test_a_key_whose_page_was_removed_opens_none(api: Api) -> None:
    """It ended unpaid long ago; another key opens another page."""
    made = await create(api, key="order-8")
    path = f"/v1/checkouts/{made.json['id']}"
    await api.call("POST", f"{path}/expire", {})
    await PageStage(api.stage).store.forget_unpaid(api.stage.clock.now() + UNPAID_KEPT)

    again = await create(api, key="order-8")

    assert (await api.call("GET", path)).status == 404
    assert (again.status, again.json["code"]) == (409, "checkout_not_open")
    assert "use a new key" in again.json["detail"]
    assert (await create(api, key="order-9")).status == 201


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"return_url": "https://evil.example/"}, "return_url_refused"),
        ({"cancel_url": "https://evil.example/"}, "return_url_refused"),
        ({"return_url": "ftp://shop.example/"}, "return_url_refused"),
        ({"currency": "XTS"}, "currency_unknown"),
        ({"customer_email": "nobody"}, "email_invalid"),
        ({"expires_in_seconds": 59}, "field_out_of_range"),
        ({"amount_minor": 0}, "field_out_of_range"),
    ],
)
async def test_what_cannot_stand_is_refused(api: Api, change: Any, code: str) -> None:
    """Nothing is opened."""
    answer = await create(api, {**BODY, **change})

    assert (answer.status, answer.json["code"]) == (400, code)
    assert await api.stage.count("checkouts") == 0


async def test_a_paid_checkout_names_its_payment_and_cannot_be_ended(api: Api) -> None:
    """Refund the payment instead."""
    pages = PageStage(api.stage)
    paid = await pages.pay(await pages.opened())
    path = f"/v1/checkouts/chk_{paid.checkout_id.hex}"

    read, ended = await api.call("GET", path), await api.call("POST", f"{path}/expire", {})

    assert (read.json["state"], ended.status) == ("paid", 409)
    assert ended.json["code"] == "checkout_not_open"
    payment = await api.call("GET", f"/v1/payments/{read.json['payment']}")
    assert payment.json["confirmation_number"]


async def test_another_merchant_sees_nothing_of_it(api: Api, stage: Stage) -> None:
    """Not found, like one that never was."""
    made = await create(api)
    other = new_merchant()
    await stage.merchants.add(other, [])
    secret = f"sk_test_{'b' * 43}"
    await stage.merchants.add_key(other.merchant_id, other.merchant_id, secret, "test", None)
    path = f"/v1/checkouts/{made.json['id']}"

    for method, asked in (("GET", path), ("POST", f"{path}/expire")):
        answer = await api.call(method, asked, authorization=f"Bearer {secret}")
        assert (answer.status, answer.json["code"]) == (404, "not_found")
    assert (await api.call("GET", path)).json["state"] == "open"


def test_the_library_understands_what_we_sign() -> None:
    """A golden return: the same bytes stand in the client's own test."""
    said = Said(
        checkout="chk_" + "1" * 32,
        status="paid",
        payment="pay_" + "2" * 32,
        confirmation="123456789012",
        at="1795852800",
    )

    url = signed_return(f"{SHOP}/orders/1001?token=abc", said, "rsec_0123456789abcdef")

    assert url == (
        f"{SHOP}/orders/1001?token=abc&checkout=chk_{'1' * 32}&status=paid&payment=pay_{'2' * 32}"
        "&confirmation=123456789012&at=1795852800&signature="
        "eab43787b5998325fc8d7e9bb1f3c8048b0a26f88a33e7bea587adc5efed4a1a"
    )
