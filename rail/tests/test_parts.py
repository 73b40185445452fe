"""
Parts: an issuer that approves one, a reversal that leaves one, and what a close makes of them.
"""

from .conftest import (
    Gateway,
    Sandbox,
    close,
    follow_up,
    forced,
    item,
    part,
    payment,
    refund,
)
from .reading import read_report


async def test_cents_10_approve_the_half(rail: Sandbox, gateway: Gateway) -> None:
    """DE 39 is 10, DE 4 what is approved, DE 54 what was asked; that is what is booked."""
    sale, hold = payment(amount=900010), payment("0100", amount=900010)

    answers = [await gateway.ask(sale), await gateway.ask(hold)]

    for answer in answers:
        assert (answer["39"], answer["4"]) == ("10", "000000450005")
        assert answer["54"] == "0057840D000000900010"
        assert answer["38"].isdigit()
    charge = rail.charge(sale)
    assert (charge["amount_minor"], charge["authorized_minor"]) == (900010, 450005)
    assert (charge["captured_minor"], rail.charge(hold)["held_minor"]) == (450005, 450005)
    assert rail.totals()["debits_minor"] == 450005
    assert rail.account() == {"held_minor": 450005, "spent_minor": 450005}


async def test_a_repeat_of_a_partial_approval_gets_the_same_answer(gateway: Gateway) -> None:
    """The stored answer has the approved amount too."""
    sale = payment(amount=900010)

    first = await gateway.ask(sale)
    second = await gateway.ask(sale | {"t": "0201"})

    assert first == second


async def test_a_partial_approval_is_reversed_by_either_amount(
    rail: Sandbox, gateway: Gateway
) -> None:
    """DE 4 of the 0420 is what was asked or what was approved; anything else is 76."""
    asked, approved, other = (payment(amount=900010) for _ in range(3))
    for sale in (asked, approved, other):
        await gateway.ask(sale)

    codes = [
        (await gateway.ask(follow_up(sale, "0420", amount=amount)))["39"]
        for sale, amount in ((asked, 900010), (approved, 450005), (other, 450006))
    ]

    assert codes == ["00", "00", "76"]
    assert rail.account() == {"held_minor": 0, "spent_minor": 450005}


async def test_a_partial_approval_is_captured_up_to_its_part(gateway: Gateway) -> None:
    """More than was approved is not held: 61."""
    hold = payment("0100", amount=900010)
    await gateway.ask(hold)

    codes = [
        (await gateway.ask(follow_up(hold, "0220", amount=amount)))["39"]
        for amount in (450006, 450005)
    ]

    assert codes == ["61", "00"]


async def test_a_sale_is_lowered_to_what_remains(rail: Sandbox, gateway: Gateway) -> None:
    """The debit stays, a debit reversal of the difference stands beside it; several times."""
    sale = payment(amount=900)
    await gateway.ask(sale)

    codes = [(await gateway.ask(part(sale, remaining)))["39"] for remaining in (600, 600, 700, 250)]

    assert codes == ["00", "79", "13", "00"]
    charge = rail.charge(sale)
    assert (charge["state"], charge["captured_minor"], charge["released_minor"]) == (
        "captured",
        250,
        650,
    )
    totals = rail.totals()
    assert (totals["debits_number"], totals["debits_minor"]) == (1, 900)
    assert (totals["debits_reversal_number"], totals["debits_reversal_minor"]) == (2, 650)
    assert rail.account() == {"held_minor": 0, "spent_minor": 250}


async def test_a_forced_capture_is_lowered_too(rail: Sandbox, gateway: Gateway) -> None:
    """DE 90 names the 0220."""
    taken = forced(amount=900)
    await gateway.ask(taken)

    answer = await gateway.ask(part(taken, 100))

    assert answer["39"] == "00"
    assert rail.charge(taken)["captured_minor"] == 100


async def test_the_difference_of_a_capture_is_held_again(rail: Sandbox, gateway: Gateway) -> None:
    """Lowering one capture gives back to the hold, as undoing it whole does."""
    hold = payment("0100", amount=900)
    await gateway.ask(hold)
    taking = follow_up(hold, "0220", amount=700)
    await gateway.ask(taking)

    lowered = await gateway.ask(part(taking, 300))
    between = rail.charge(hold)
    undone = await gateway.ask(follow_up(taking, "0420"))

    assert (lowered["39"], undone["39"]) == ("00", "00")
    assert (between["state"], between["captured_minor"], between["held_minor"]) == (
        "captured",
        300,
        600,
    )
    assert rail.charge(hold)["held_minor"] == 900
    assert rail.totals()["debits_reversal_minor"] == 700
    assert (await gateway.ask(part(taking, 100)))["39"] == "79"


async def test_nothing_is_lowered_below_what_was_refunded(gateway: Gateway) -> None:
    """What a refund has given back cannot be given back again: 40."""
    sale = payment(amount=900)
    await gateway.ask(sale)
    await gateway.ask(refund(sale, amount=500))

    codes = [(await gateway.ask(part(sale, remaining)))["39"] for remaining in (499, 500)]

    assert codes == ["40", "00"]


async def test_a_part_in_a_closed_batch_stays(rail: Sandbox, gateway: Gateway) -> None:
    """Once the batch is closed only a refund helps: 40. A refund is never lowered: 40."""
    sale = payment(amount=900)
    await gateway.ask(sale)
    giving = refund(sale, amount=200)
    await gateway.ask(giving)
    open_batch = await gateway.ask(part(giving, 100))
    rail.close_batches(None)

    closed_batch = await gateway.ask(part(sale, 300))

    assert (open_batch["39"], closed_batch["39"]) == ("40", "40")
    assert rail.charge(sale)["captured_minor"] == 900


async def test_a_lowered_sale_is_settled_net_in_one_line(rail: Sandbox, gateway: Gateway) -> None:
    """The close counts gross; the report has one line with what stands, and so has the money."""
    sale, whole = payment(amount=900), payment(amount=500)
    for message in (sale, whole, part(sale, 600)):
        await gateway.ask(message)

    answer = await gateway.ask(close(debits=[900, 500], voids=[300]))
    rail.days.advance()

    assert (answer["39"], answer["76"], answer["77"]) == ("00", f"{2:010d}", f"{1:010d}")
    report = read_report(rail.report())
    assert [(row[4], row[5], row[10]) for row in report.items] == [
        ("SALE", sale["37"], "600"),
        ("SALE", whole["37"], "500"),
    ]
    assert rail.movements(sale) == [("sale", "paid")]
    assert rail.charge(sale)["reversed_minor"] == 300


async def test_what_was_voided_in_several_parts_counts_gross_or_not_at_all(
    rail: Sandbox, gateway: Gateway
) -> None:
    """A debit with two reversals that take all of it; both ways of counting it are in balance."""
    for number, totals in (("000001", {"debits": [900, 500], "voids": [300, 600]}), ("000002", {})):
        lowered, standing = payment(amount=900, f60=number), payment(amount=500, f60=number)
        for message in (lowered, standing, part(lowered, 600), follow_up(lowered, "0420")):
            assert (await gateway.ask(message))["39"] == "00"
        counted = totals or {"debits": [500]}

        answer = await gateway.ask(close(f60=number, **counted))  # type: ignore[arg-type]

        assert answer["39"] == "00"
        assert (answer["76"], answer["77"]) == (f"{2:010d}", f"{2:010d}")
        assert rail.charge(lowered)["state"] == "reversed"


async def test_a_lowered_sale_is_uploaded(rail: Sandbox, gateway: Gateway) -> None:
    """0320 with what stands; the 0520 counts as the 0500 did. What is left out goes back net."""
    sale, unknown = payment(amount=900), payment(amount=500)
    for message in (sale, unknown, part(sale, 600), part(unknown, 200)):
        await gateway.ask(message)
    assert (await gateway.ask(close(debits=[900], voids=[300])))["39"] == "95"

    taken = await gateway.ask(item(sale, f4=f"{600:012d}"))
    closed = await gateway.ask(close("0520", debits=[900], voids=[300]))

    assert (taken["39"], closed["39"]) == ("00", "00")
    assert rail.charge(unknown)["state"] == "reversed"
    assert rail.account() == {"held_minor": 0, "spent_minor": 600}
    assert rail.batch()["net_minor"] == 600


async def test_a_forgotten_lowered_sale_comes_back_at_the_upload(
    rail: Sandbox, gateway: Gateway
) -> None:
    """The mistake leaves the line and its reversals out of the host's totals."""
    sale, whole = payment(amount=900), payment(amount=500)
    for message in (sale, whole, part(sale, 600)):
        await gateway.ask(message)
    rail.faults.set("forget_item", "1")

    answer = await gateway.ask(close(debits=[900, 500], voids=[300]))
    for message in (sale, whole):
        await gateway.ask(item(message))
    closed = await gateway.ask(close("0520", debits=[900, 500], voids=[300]))

    assert (answer["39"], answer["76"], answer["77"]) == ("95", f"{1:010d}", f"{0:010d}")
    assert closed["39"] == "00"
