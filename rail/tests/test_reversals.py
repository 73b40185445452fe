"""
What happens to a 0420 and a 0400.
"""

import pytest

from .conftest import Gateway, Sandbox, follow_up, payment, refund


@pytest.mark.parametrize(("mti", "answer_mti"), [("0420", "0430"), ("0400", "0410")])
async def test_a_reversed_sale_is_a_debit_reversal_in_the_same_batch(
    rail: Sandbox, gateway: Gateway, mti: str, answer_mti: str
) -> None:
    """Gross counting: the debit stays and its reversal stands beside it; the money is back."""
    sale = payment(amount=900)
    await gateway.ask(sale)
    reversal = follow_up(sale, mti)

    answer = await gateway.ask(reversal)

    assert (answer["t"], answer["39"], answer["90"]) == (answer_mti, "00", reversal["90"])
    assert answer["37"] == sale["37"]
    assert rail.charge(sale)["state"] == "reversed"
    totals = rail.totals()
    assert (totals["debits_minor"], totals["debits_reversal_minor"]) == (900, 900)
    assert (totals["debits_number"], totals["debits_reversal_number"]) == (1, 1)
    assert rail.account() == {"held_minor": 0, "spent_minor": 0}


async def test_a_reversed_authorization_releases_its_hold(rail: Sandbox, gateway: Gateway) -> None:
    """Nothing entered a batch, so nothing is reversed there."""
    hold = payment("0100", amount=900)
    await gateway.ask(hold)

    answer = await gateway.ask(follow_up(hold, "0420"))

    assert answer["39"] == "00"
    assert rail.charge(hold)["state"] == "reversed"
    assert rail.totals()["debits_reversal_number"] == 0
    assert rail.account() == {"held_minor": 0, "spent_minor": 0}
    assert (await gateway.ask(follow_up(hold, "0220")))["39"] == "61"


async def test_a_reversed_captured_authorization_gives_all_back(
    rail: Sandbox, gateway: Gateway
) -> None:
    """Every capture is reversed in its batch and the rest of the hold is released."""
    hold = payment("0100", amount=900)
    await gateway.ask(hold)
    await gateway.ask(follow_up(hold, "0220", amount=300))
    await gateway.ask(follow_up(hold, "0220", amount=400))

    answer = await gateway.ask(follow_up(hold, "0420"))

    assert answer["39"] == "00"
    assert rail.charge(hold)["state"] == "reversed"
    assert rail.totals()["debits_reversal_minor"] == 700
    assert rail.account() == {"held_minor": 0, "spent_minor": 0}


async def test_a_second_reversal_is_told_so(gateway: Gateway) -> None:
    """A new 0420 for what is reversed already: 79. A repeat (0421) of the first: its answer."""
    sale = payment()
    await gateway.ask(sale)
    first = follow_up(sale, "0420")
    await gateway.ask(first)

    repeat = await gateway.ask(first | {"t": "0421"})
    second = await gateway.ask(follow_up(sale, "0420"))

    assert (repeat["t"], repeat["39"]) == ("0430", "00")
    assert second["39"] == "79"


@pytest.mark.parametrize("mti", ["0100", "0200"])
async def test_f10_a_reversal_of_the_unknown_sticks(
    rail: Sandbox, gateway: Gateway, mti: str
) -> None:
    """The tombstone is accepted (00); the original that comes later is refused and not booked."""
    late = payment(mti)

    accepted = await gateway.ask(follow_up(late, "0420", f39="68"))
    answers = [await gateway.ask(late), await gateway.ask(late)]
    again = await gateway.ask(follow_up(late, "0420", f39="68"))

    assert accepted["39"] == "00"
    assert [answer["39"] for answer in answers] == ["96", "96"]
    assert again["39"] == "79"
    assert rail.charges() == []


async def test_f10_a_late_capture_whose_reversal_came_first_is_refused(
    rail: Sandbox, gateway: Gateway
) -> None:
    """A tombstone holds for captures and refunds too."""
    hold = payment("0100", amount=900)
    await gateway.ask(hold)
    late = follow_up(hold, "0220")

    accepted = await gateway.ask(follow_up(late, "0420"))
    refused = await gateway.ask(late)

    assert (accepted["39"], refused["39"]) == ("00", "96")
    assert rail.charge(hold)["held_minor"] == 900


async def test_f10_a_reversal_overtakes_its_original_at_the_issuer(
    rail: Sandbox, gateway: Gateway
) -> None:
    """While the issuer thinks, the original counts as unknown: it is refused afterwards."""
    rail.faults.set("issuer_delay_ms", "150")
    slow = payment()
    gateway.send(slow, follow_up(slow, "0420", f39="68"))

    reversal = await gateway.answer()
    late = await gateway.answer()

    assert (reversal["t"], reversal["39"]) == ("0430", "00")
    assert (late["t"], late["39"]) == ("0210", "96")
    assert rail.charges() == []


async def test_a_reversal_of_a_decline_changes_nothing(rail: Sandbox, gateway: Gateway) -> None:
    """Accepted with 00; the charge stays declined."""
    sale = payment(card="4000000000000002")
    await gateway.ask(sale)

    answer = await gateway.ask(follow_up(sale, "0420"))

    assert answer["39"] == "00"
    assert rail.charge(sale)["state"] == "declined"


async def test_after_the_batch_closed_only_a_refund_helps(rail: Sandbox, gateway: Gateway) -> None:
    """A reversal of what a closed batch holds: 40, and nothing changes."""
    sale = payment()
    await gateway.ask(sale)
    rail.close_batches(None)

    refused = await gateway.ask(follow_up(sale, "0420"))
    refunded = await gateway.ask(refund(sale, f60="000002"))

    assert (refused["39"], refunded["39"]) == ("40", "00")
    assert rail.charge(sale)["state"] == "refunded"


async def test_a_refunded_sale_is_not_reversed_as_well(rail: Sandbox, gateway: Gateway) -> None:
    """While a refund stands: 40. Once that refund is itself reversed, the sale can be."""
    sale = payment(amount=900)
    await gateway.ask(sale)
    giving = refund(sale, amount=200)
    await gateway.ask(giving)

    first = await gateway.ask(follow_up(sale, "0420"))
    undone = await gateway.ask(follow_up(giving, "0420"))
    second = await gateway.ask(follow_up(sale, "0420"))

    assert [answer["39"] for answer in (first, undone, second)] == ["40", "00", "00"]
    totals = rail.totals()
    assert (totals["credits_minor"], totals["credits_reversal_minor"]) == (200, 200)
    assert rail.account() == {"held_minor": 0, "spent_minor": 0}


async def test_a_reversed_capture_is_held_again(rail: Sandbox, gateway: Gateway) -> None:
    """A 0420 that names the 0220 undoes that capture alone."""
    hold = payment("0100", amount=900)
    await gateway.ask(hold)
    taking = follow_up(hold, "0220", amount=300)
    await gateway.ask(taking)

    answers = [await gateway.ask(follow_up(taking, "0420")) for _ in range(2)]

    assert [answer["39"] for answer in answers] == ["00", "79"]
    charge = rail.charge(hold)
    assert (charge["state"], charge["held_minor"], charge["batch"]) == ("held", 900, None)
    assert rail.totals()["debits_reversal_minor"] == 300
    assert rail.account() == {"held_minor": 900, "spent_minor": 0}


async def test_a_partial_reversal_lowers_the_hold(rail: Sandbox, gateway: Gateway) -> None:
    """DE 95 says what remains: at least what was captured, at most what was authorized."""
    hold = payment("0100", amount=900)
    await gateway.ask(hold)
    await gateway.ask(follow_up(hold, "0220", amount=300))

    async def down_to(amount: int) -> str:
        de95 = f"{amount:012d}".ljust(42, "0")
        return (await gateway.ask(follow_up(hold, "0420", f39="32", f95=de95)))["39"]

    assert [await down_to(amount) for amount in (500, 500, 600, 200, 300)] == [
        "00",
        "79",
        "13",
        "61",
        "00",
    ]
    charge = rail.charge(hold)
    assert (charge["state"], charge["held_minor"], charge["amount_minor"]) == ("captured", 0, 900)
    assert rail.account() == {"held_minor": 0, "spent_minor": 300}


@pytest.mark.parametrize(
    "changes",
    [{"f37": "632710999999"}, {"f2": "4242424242424242"}, {"f49": "978"}, {"f4": "000000000001"}],
)
async def test_a_reversal_that_does_not_fit_its_original_is_refused(
    rail: Sandbox, gateway: Gateway, changes: dict[str, str]
) -> None:
    """Another RRN, card, currency or amount: 76, and nothing changes."""
    sale = payment()
    await gateway.ask(sale)

    answer = await gateway.ask(follow_up(sale, "0420", **changes))

    assert answer["39"] == "76"
    assert rail.charge(sale)["state"] == "captured"
