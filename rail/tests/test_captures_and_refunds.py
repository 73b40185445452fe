"""
What happens to a 0220.
"""

import pytest

from .conftest import Gateway, Sandbox, follow_up, payment, refund


async def test_a_capture_takes_the_hold_into_the_batch(rail: Sandbox, gateway: Gateway) -> None:
    """The held amount becomes a debit in the batch that the capture names."""
    hold = payment("0100", amount=900)
    await gateway.ask(hold)
    taking = follow_up(hold, "0220", f60="000002")

    answer = await gateway.ask(taking)

    assert (answer["t"], answer["39"], answer["90"]) == ("0230", "00", taking["90"])
    charge = rail.charge(hold)
    assert (charge["state"], charge["batch"], charge["held_minor"]) == ("captured", "000002", 0)
    assert rail.totals("000002")["debits_minor"] == 900
    assert rail.account() == {"held_minor": 0, "spent_minor": 900}


async def test_captures_take_parts_up_to_the_hold(rail: Sandbox, gateway: Gateway) -> None:
    """Several captures fit into one hold; what is left stays held; more is refused with 61."""
    hold = payment("0100", amount=900)
    await gateway.ask(hold)

    codes = [
        (await gateway.ask(follow_up(hold, "0220", amount=amount)))["39"]
        for amount in (300, 400, 300)
    ]

    assert codes == ["00", "00", "61"]
    charge = rail.charge(hold)
    assert (charge["captured_minor"], charge["held_minor"]) == (700, 200)
    assert rail.account() == {"held_minor": 200, "spent_minor": 700}


async def test_a_capture_of_nothing_known_is_refused(gateway: Gateway) -> None:
    """No original: 25. A sale: 25. Another RRN, card or currency: 76. Nothing: 13."""
    hold, sale = payment("0100"), payment("0200")
    await gateway.ask(hold)
    await gateway.ask(sale)

    async def code(original: dict[str, str], **changes: str) -> str:
        return (await gateway.ask(follow_up(original, "0220", **changes)))["39"]

    assert await code(payment("0100")) == "25"
    assert await code(sale) == "25"
    assert await code(hold, f37="632710999999") == "76"
    assert await code(hold, f2="4242424242424242") == "76"
    assert await code(hold, f49="978") == "76"
    assert await code(hold, f4="000000000000") == "13"
    assert await code(hold, f3="020000") == "40"


async def test_a_declined_authorization_cannot_be_captured(gateway: Gateway) -> None:
    """Nothing is held: 61."""
    hold = payment("0100", card="4000000000000002")
    await gateway.ask(hold)

    answer = await gateway.ask(follow_up(hold, "0220"))

    assert answer["39"] == "61"


@pytest.mark.parametrize("captured", [False, True])
async def test_a_refund_gives_back_and_is_a_credit(
    rail: Sandbox, gateway: Gateway, captured: bool
) -> None:
    """A sale or a captured authorization wholly refunded reads `refunded`."""
    original = payment("0100" if captured else "0200", amount=900)
    await gateway.ask(original)
    if captured:
        await gateway.ask(follow_up(original, "0220"))

    answer = await gateway.ask(refund(original, f60="000002"))

    assert (answer["t"], answer["39"]) == ("0230", "00")
    charge = rail.charge(original)
    assert (charge["state"], charge["refunded_minor"]) == ("refunded", 900)
    assert rail.totals("000002")["credits_minor"] == 900
    assert rail.account() == {"held_minor": 0, "spent_minor": 0}


async def test_refunds_never_exceed_what_was_captured(rail: Sandbox, gateway: Gateway) -> None:
    """Parts add up; a refund beyond, or of what is only held or declined, is refused with 61."""
    sale, hold = payment(amount=900), payment("0100")
    declined = payment(card="4000000000000002")
    for original in (sale, hold, declined):
        await gateway.ask(original)

    codes = [
        (await gateway.ask(message))["39"]
        for message in (
            refund(sale, amount=500),
            refund(sale, amount=500),
            refund(sale, amount=400),
            refund(hold),
            refund(declined),
            refund(payment()),
        )
    ]

    assert codes == ["00", "61", "00", "61", "61", "25"]
    assert rail.charge(sale)["state"] == "refunded"
    assert rail.totals()["credits_number"] == 2


async def test_nothing_enters_a_closed_batch(rail: Sandbox, gateway: Gateway) -> None:
    """A closed batch takes no sale, capture or refund (40); the next number does."""
    sale, hold = payment(), payment("0100")
    await gateway.ask(sale)
    await gateway.ask(hold)
    assert rail.close_batches(None) == 1

    refused = [
        (await gateway.ask(message))["39"]
        for message in (payment(), follow_up(hold, "0220"), refund(sale))
    ]
    accepted = [
        (await gateway.ask(message))["39"]
        for message in (
            payment(f60="000002"),
            follow_up(hold, "0220", f60="000002"),
            refund(sale, f60="000002"),
        )
    ]

    assert refused == ["40"] * 3
    assert accepted == ["00"] * 3
