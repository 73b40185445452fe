"""
What a merchant does with a payment, and where its money then stands in everybody's books.
"""

import asyncio
import urllib.request

import pytest
from counterfoil_client import RequestRefused

from .agreement import ACCOUNTS, agreed, balances, messages, states
from .merchants import AMEX, CUSTOMER, DECLINED, Merchant, card, new_key
from .sandboxes import Json

AMOUNT = 4217


async def test_a_sale_is_taken_at_once_and_confirmed(merchant: Merchant) -> None:
    """Captured on both sides, one confirmation number, and one mail to each who shall have it."""
    async with merchant.client() as client:
        paid = await client.sale(AMOUNT, "USD", card(), order="life-1", customer_email=CUSTOMER)

    assert paid.paid
    assert paid.acknowledged_on_session
    told = await _only_payment(merchant)
    assert told["confirmation_number"] == paid.confirmation_number
    assert states(told) == ["processing", "approved", "captured"]
    assert await balances(merchant, told) == _standing(open=AMOUNT)
    mails = await merchant.sandbox.mails("for order life-1")
    assert sorted(each["to"] for each in mails) == sorted([[CUSTOMER], [merchant.email]])


async def test_monitors_see_what_the_payment_did(merchant: Merchant) -> None:
    """Of the gateway its outcome, its steps and its own time; of worker and mailer what waits."""
    async with merchant.client() as client:
        await client.sale(AMOUNT, "USD", card(), order="life-monitored")

    gateway, worker, mailer = merchant.sandbox.plan.metrics_urls
    said, standing, mailed = [await _page(each) for each in (gateway, worker, mailer)]

    assert _value(said, 'counterfoil_payments_total{kind="sale",outcome="approved"') >= 1
    for step in ("screen", "intend", "conclude", "acknowledge"):
        assert _value(said, f'counterfoil_step_seconds_count{{process="gateway",step="{step}"') >= 1
    assert _value(said, 'counterfoil_own_seconds_count{part="acknowledgment"') >= 1
    assert _value(said, 'counterfoil_link_up{acquirer="sandbox"') == 1
    assert _value(standing, 'counterfoil_oldest_open_batch_seconds{process="worker"') >= 0
    assert _value(mailed, 'counterfoil_oldest_owed_mail_seconds{process="mailer"') >= 0
    assert _value(mailed, 'counterfoil_ready{process="mailer"') == 1


async def _page(url: str) -> dict[str, float]:
    def fetch() -> str:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return str(answer.read().decode())

    lines = (await asyncio.to_thread(fetch)).splitlines()
    return {
        name: float(value)
        for name, _, value in (each.rpartition(" ") for each in lines if each[0] != "#")
    }


def _value(page: dict[str, float], begins: str) -> float:
    (found,) = [value for name, value in page.items() if name.startswith(begins)]
    return found


async def test_a_decline_is_a_result_and_moves_nothing(merchant: Merchant) -> None:
    """The issuer's no: words for the shopper, no confirmation, no mail, nothing in the journal."""
    async with merchant.client() as client:
        told_no = await client.sale(
            AMOUNT, "USD", card(DECLINED), order="life-2", customer_email=CUSTOMER
        )

    assert told_no.charged is False
    assert told_no.decline is not None
    assert told_no.decline.response_code == "05"
    told = await _only_payment(merchant)
    assert states(told) == ["processing", "declined"]
    assert await balances(merchant, told) == dict.fromkeys(ACCOUNTS, 0)
    assert await merchant.sandbox.mails("for order life-2") == []


async def test_an_authorization_holds_until_it_is_captured_and_refunded(merchant: Merchant) -> None:
    """Held, then captured, then given back: each step at the rail too, with the same cents."""
    async with merchant.client() as client:
        held = await client.authorize(AMOUNT, "USD", card(AMEX), order="life-3")
        told = await _only_payment(merchant)
        assert (held.paid, held.state) == (True, "authorized")
        assert await balances(merchant, told) == _standing(held=AMOUNT)

        captured = await client.capture(held)
        told = await _only_payment(merchant)
        assert captured.captured_minor == told["captured_minor"] == AMOUNT
        assert await balances(merchant, told) == _standing(open=AMOUNT)

        refunded = await client.refund(captured)
        told = await _only_payment(merchant)
        assert refunded.refunded_minor == told["refunded_minor"] == AMOUNT
        assert await balances(merchant, told) == _standing(refunded=AMOUNT)

    assert [each["kind"] for each in told["movements"]] == ["capture", "refund"]


async def test_an_authorization_that_is_voided_holds_nothing(merchant: Merchant) -> None:
    """The hold is released on both sides, and capture is refused from then on."""
    async with merchant.client() as client:
        held = await client.authorize(AMOUNT, "USD", card())
        voided = await client.void(held)

        assert voided.charged is False
        with pytest.raises(RequestRefused) as refused:
            await client.capture(held)

    told = await _only_payment(merchant)
    assert refused.value.code == "state_conflict"
    assert states(told) == ["processing", "approved", "authorized", "voiding", "voided"]
    assert await balances(merchant, told) == _standing(released=AMOUNT)


async def test_a_sale_that_is_voided_leaves_the_batch(merchant: Merchant) -> None:
    """Final once it is answered: not charged, and the host's batch is lower by the sale."""
    async with merchant.client() as client:
        sold = await client.sale("42.17", "USD", card())
        voided = await client.void(sold)

    assert voided.charged is False
    told = await _only_payment(merchant)
    assert states(told) == ["processing", "approved", "captured", "voiding", "voided"]
    assert [each["state"] for each in told["movements"]] == ["undone", "done"]
    assert await balances(merchant, told) == _standing(released=AMOUNT)


async def test_a_sale_that_is_refunded_stays_charged_and_is_given_back(merchant: Merchant) -> None:
    """A refund is a movement of its own; the same key again does nothing a second time."""
    async with merchant.client() as client:
        sold = await client.sale(AMOUNT, "USD", card())
        first = await client.refund(sold, idempotency_key="refund-once")
        async with merchant.api() as api:
            headers = {"Idempotency-Key": "refund-once"}
            again = await api.post(f"/v1/payments/{sold.id}/refund", json={}, headers=headers)
            other = await api.post(
                f"/v1/payments/{sold.id}/refund", json={}, headers={"Idempotency-Key": new_key()}
            )

    assert (again.status_code, again.json()["refunded_minor"]) == (200, first.refunded_minor)
    assert (other.status_code, other.json()["code"]) == (409, "state_conflict")
    told = await _only_payment(merchant)
    assert told["charged"] is True
    assert len(told["movements"]) == 2
    assert await balances(merchant, told) == _standing(refunded=AMOUNT)


async def test_an_approval_that_is_refused_is_reversed_at_once(merchant: Merchant) -> None:
    """The merchant's no counts before any time runs out; no number and no mail ever follow."""
    answered = await merchant.post_payment(amount_minor=AMOUNT, order="life-8")
    assert answered.json()["state"] == "approved"
    async with merchant.client() as client:
        refused = await client.refuse(answered.json()["id"])

    assert refused.charged is False
    told = await _only_payment(merchant)
    assert states(told) == ["processing", "approved", "reversing", "reversed"]
    assert [each["39"] for each in messages(told, "0420")] == ["17"]
    assert await balances(merchant, told) == _standing(released=AMOUNT)
    assert await merchant.sandbox.mails("for order life-8") == []


async def _only_payment(merchant: Merchant) -> Json:
    """Return the merchant's payment when everybody agrees about it."""
    [told] = (await agreed(merchant)).values()
    return told


def _standing(**accounts: int) -> dict[str, int]:
    """Return the accounts of a payment of AMOUNT: what the issuer owes, and where it stands."""
    return {**dict.fromkeys(ACCOUNTS, 0), "issuer": -AMOUNT, **accounts}
