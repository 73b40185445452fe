"""
Captured, voided and refunded in parts: with the host, to the deposit.
"""

import pytest
from counterfoil_client import RequestRefused

from .agreement import messages
from .evenings import Evening, count_and_amount
from .merchants import card
from .sandboxes import Json


async def undo(evening: Evening, payment_id: str, amount_minor: int | None, key: str) -> Json:
    """Undo an amount of a payment, and return what is said of it."""
    async with evening.merchant.api() as api:
        answer = await api.post(
            f"/v1/payments/{payment_id}/undo",
            json={"amount_minor": amount_minor},
            headers={"Idempotency-Key": key},
        )
    assert answer.status_code in (200, 201), answer.text
    said: Json = answer.json()
    return said


async def test_parts_agree_to_the_deposit(evening: Evening) -> None:
    """Two batches, captures that share an RRN and an amount, lowered and undone ones."""
    async with evening.merchant.client() as client:
        held = await client.authorize("50.00", "USD", card(), order="parts-1")
        await client.capture(held, "10.00")
        await client.capture(held, "10.00")
        await client.capture(held, "12.00")
        await client.void(held, "3.00")  # Of what is only held.
        sold = await client.sale("42.00", "USD", card(), order="parts-2")
        lowered = await client.void(sold, "7.00")
        gone = await client.sale("9.00", "USD", card())
        await client.void(gone, "4.00")
        await evening.agreed()
        await client.void(gone)
        other = await client.authorize("20.00", "USD", card())
        await client.capture(other, "20.00")
        await evening.agreed()
        cut = await client.void(other, "5.00")
        whole = await client.authorize("30.00", "USD", card())
        await client.capture(whole, "5.00")
        await client.capture(whole, "6.00")
        await client.void(whole)
        await client.refund(sold, "5.00")

    assert (lowered.captured_minor, lowered.released_minor) == (3500, 700)
    assert (cut.captured_minor, cut.released_minor) == (1500, 500)
    await evening.agreed()
    first = await evening.close()
    ours, host = first["ours"], first["host"]
    assert (first["state"], ours) == ("closed", host)
    assert ours["amount_minor"] == 1000 + 1000 + 1200 + 3500 + 1500 - 500
    assert first["items"] == 6

    async with evening.merchant.client() as client:
        await client.capture(held, "10.00")
        back = await undo(evening, sold.id, 1200, "undo-a-part-of-the-closed")
        rest = await undo(evening, other.id, None, "undo-the-rest")
        open_one = await undo(evening, held.id, 500, "undo-what-is-held")
        with pytest.raises(RequestRefused, match="nothing is held any more"):
            await client.capture(held, "10.00")
        await client.refund(held, "1.00")
    assert [each["by"] for each in back["undone"] + rest["undone"] + open_one["undone"]] == [
        "refund", "refund", "void",
    ]  # fmt: skip

    told = await evening.agreed()
    second = await evening.close()
    assert (second["state"], second["ours"]) == ("closed", second["host"])
    assert count_and_amount(second["ours"]) == (4, 1000 - 1200 - 1500 - 100)
    assert {each["state"] for each in told.values()} == {"captured", "voided"}
    await evening.acquirer.advance()
    await evening.acquirer.pay(evening.merchant.terminal_id)
    code, audited = await evening.audit_with_everybody()
    assert (code, audited["differences"]) == (0, [])


async def test_an_upload_after_parts_is_taken(evening: Evening) -> None:
    """Out of balance: every item is uploaded as it stands, and the batch is closed."""
    async with evening.merchant.client() as client:
        sold = await client.sale("42.00", "USD", card())
        await client.void(sold, "7.00")
        held = await client.authorize("20.00", "USD", card())
        await client.capture(held, "10.00")
        await client.capture(held, "10.00")
        await evening.agreed()
        await client.void(held, "4.00")
    await evening.agreed()
    await evening.acquirer.fault("close_out_of_balance")

    closed = await evening.close()

    assert (closed["state"], closed["items"]) == ("closed", 3)
    assert closed["ours"] == closed["host"]
    assert closed["ours"]["amount_minor"] == 3500 + 1000 + 600
    await evening.agreed()


async def test_the_wire_names_what_remains(evening: Evening) -> None:
    """DE 95 of a part that was let go, and of the rest of a hold after the last capture."""
    async with evening.merchant.client() as client:
        held = await client.authorize("50.00", "USD", card())
        await client.void(held, "20.00")
    async with evening.merchant.api() as api:
        answer = await api.post(
            f"/v1/payments/{held.id}/capture",
            json={"amount_minor": 1000, "final": True},
            headers={"Idempotency-Key": "the-last-capture"},
        )
    assert answer.status_code == 201, answer.text

    [told] = (await evening.agreed()).values()
    assert [(each["39"], each["95"][:12]) for each in messages(told, "0420")] == [
        ("32", "000000003000"), ("32", "000000001000"),
    ]  # fmt: skip
    assert (told["held_minor"], told["captured_minor"], told["released_minor"]) == (0, 1000, 4000)
