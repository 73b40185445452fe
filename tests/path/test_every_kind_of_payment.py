"""
Forced captures, credits, partial approvals and verifications: with the host, to the deposit.
"""

import pytest
from counterfoil_client import Billing, RequestRefused

from .agreement import messages, states
from .evenings import Evening, count_and_amount
from .merchants import DECLINED, card
from .sandboxes import Json

PARTLY = 900_010  # The rail's issuers approve one half of it.


async def allow(evening: Evening, *words: str) -> Json:
    """Change the merchant's settings by the operator's command."""
    code, told = await evening.told("merchant", "set", evening.merchant.written_id, *words)
    assert code == 0
    said: Json = told
    return said


async def test_every_kind_of_payment_agrees_to_the_deposit(evening: Evening) -> None:
    """Each is a debit or a credit on both sides, can be taken back, and is settled to the cent."""
    await allow(evening, "--credits-allowed", "--partial-approvals", "accept")
    async with evening.merchant.client() as client:
        good = await client.verify("USD", card(), billing=Billing(postal_code="97201"))
        bad = await client.verify("USD", card(DECLINED))
        forced = await client.forced_sale("30.00", "USD", card(), "H7K2P9", order="forced-1")
        await client.void(await client.forced_sale(500, "USD", card(), "H7K2P8"))
        await client.refund(await client.forced_sale(200, "USD", card(), "H7K2P7"))
        given = await client.credit("15.00", "USD", card(), order="credit-1")
        taken_back = await client.void(await client.credit(800, "USD", card()))
        part = await client.sale(PARTLY, "USD", card(), order="part-1")
        held = await client.authorize(PARTLY, "USD", card())
        taken = await client.capture(held)
        await client.void(await client.sale(PARTLY, "USD", card()))
        sold = await client.sale(1000, "USD", card())

    assert (good.verified, bad.state) == (True, "declined")
    assert (forced.paid, forced.approval_code, forced.captured_minor) == (True, "H7K2P9", 3000)
    assert (given.credited, given.charged, given.refunded_minor) == (True, False, 1500)
    assert (taken_back.state, taken_back.refunded_minor) == ("voiding", 0)
    assert (part.paid, part.partly_approved, part.captured_minor) == (True, True, PARTLY // 2)
    assert (held.held_minor, taken.captured_minor) == (PARTLY // 2, PARTLY // 2)
    assert sold.paid

    closed = await evening.close()
    told = await evening.agreed()

    ours, host = closed["ours"], closed["host"]
    assert (closed["state"], ours) == ("closed", host)
    net = 3000 + 200 - 200 - 1500 + 2 * (PARTLY // 2) + 1000
    assert count_and_amount(ours) == (7, net)
    assert (ours["credits"], ours["credit_reversals"], ours["debit_reversals"]) == (3, 1, 2)
    assert {each["kind"] for each in told.values()} == {
        "sale", "authorization", "verification", "forced", "credit"
    }  # fmt: skip
    await evening.acquirer.advance()
    await evening.acquirer.pay(evening.merchant.terminal_id)
    code, audited = await evening.audit_with_everybody()
    assert (code, audited["differences"]) == (0, [])


async def test_parts_of_every_kind_agree_to_the_cent(evening: Evening) -> None:
    """A forced capture voided, refunded and undone in parts; a part of a part captured twice."""
    await allow(evening, "--credits-allowed", "--partial-approvals", "accept")
    async with evening.merchant.client() as client:
        forced = await client.forced_sale(5000, "USD", card(), "H7K2P9")
        less = await client.void(forced, "10.00")
        back = await client.refund(forced, 700)
        again = await client.refund(forced, 300, idempotency_key="once")
        await client.refund(forced, 300, idempotency_key="once")
        with pytest.raises(RequestRefused) as refused:
            await client.refund(forced, 3001)
        undone = await client.undo(await client.forced_sale(900, "USD", card(), "H7K2P8"), 400)
        held = await client.authorize(PARTLY, "USD", card())
        await client.capture(held, 1000)
        taken = await client.capture(held, 2000)
        rest = await client.void(held, PARTLY // 2 - 3000)
        given = await client.undo(await client.credit(800, "USD", card()))

    assert (less.captured_minor, less.released_minor) == (4000, 1000)
    assert (back.refunded_minor, again.refunded_minor) == (700, 1000)
    assert refused.value.possible
    assert (undone.captured_minor, undone.released_minor) == (500, 400)
    assert (taken.captured_minor, taken.held_minor) == (3000, PARTLY // 2 - 3000)
    assert (rest.held_minor, rest.released_minor) == (0, PARTLY // 2 - 3000)
    assert (given.state, given.refunded_minor) == ("voiding", 0)

    closed = await evening.close()

    assert (closed["state"], closed["ours"]) == ("closed", closed["host"])
    assert closed["ours"]["amount_minor"] == 4000 - 1000 + 500 + 3000
    await evening.acquirer.advance()
    await evening.acquirer.pay(evening.merchant.terminal_id)
    code, audited = await evening.audit_with_everybody()
    assert (code, audited["differences"]) == (0, [])


async def test_what_nobody_claims_is_taken_back_by_the_host(evening: Evening) -> None:
    """A forced capture, a credit and a part, each refused before it was acknowledged."""
    await allow(evening, "--credits-allowed", "--partial-approvals", "accept")
    async with evening.merchant.api() as api:
        body = {"amount_minor": 700, "currency": "USD", "card": _card()}
        unclaimed = [
            await evening.post(api, "/v1/payments", {**body, "voice_approval_code": "A1"}),
            await evening.post(api, "/v1/credits", body),
            await evening.post(api, "/v1/payments", {**body, "amount_minor": PARTLY}),
        ]
        assert {each["state"] for each in unclaimed} == {"approved"}
        listed = (await api.get("/v1/unclaimed")).json()["data"]
        assert {each["payment"]["id"] for each in listed} == {each["id"] for each in unclaimed}
        for each in unclaimed:
            await evening.post(api, f"/v1/payments/{each['id']}/refuse")

    told = await evening.agreed()

    for each in told.values():
        assert states(each) == ["processing", "approved", "reversing", "reversed"]
        assert len(messages(each, "0420")) == 1
    assert (await evening.audit_with_everybody())[1]["differences"] == []


async def test_a_partial_approval_is_given_back_unless_the_merchant_takes_it(
    evening: Evening,
) -> None:
    """By default all or nothing: the host holds nothing of it in the end."""
    async with evening.merchant.client() as client:
        refused = await client.sale(PARTLY, "USD", card())

    assert (refused.paid, refused.charged, refused.response_code) == (False, False, "10")
    [told] = (await evening.agreed()).values()
    assert states(told) == ["processing", "reversing", "reversed"]
    assert (told["authorized_minor"], told["released_minor"]) == (PARTLY // 2, PARTLY // 2)


async def test_a_credit_is_refused_until_the_operator_allows_it(evening: Evening) -> None:
    """And again from the moment at which it is forbidden: nobody waits for a cache."""
    async with evening.merchant.client() as client:
        with pytest.raises(RequestRefused) as refused:
            await client.credit(100, "USD", card())
        assert (await allow(evening, "--credits-allowed"))["credits_allowed"] is True
        assert (await client.credit(100, "USD", card())).credited
        await allow(evening, "--no-credits-allowed")
        with pytest.raises(RequestRefused):
            await client.credit(100, "USD", card())

    assert (refused.value.code, refused.value.status) == ("credits_not_allowed", 403)
    assert len(await evening.agreed()) == 1


def _card() -> Json:
    shown = card()
    return {
        "number": shown.number,
        "expiry_month": shown.expiry_month,
        "expiry_year": shown.expiry_year,
    }
