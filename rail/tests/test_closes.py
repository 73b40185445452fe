"""
What happens to a 0500: both sides' totals are compared, and the batch ends.
"""

import pytest

from .conftest import Gateway, Sandbox, Start, close, follow_up, item, payment, refund


async def test_a_batch_closes_when_both_sides_agree(rail: Sandbox, gateway: Gateway) -> None:
    """Sales, captures, voids and refunds counted gross: 00, 66=1, and the host's own totals."""
    sale, voided, hold = payment(amount=4200), payment(amount=700), payment("0100", amount=900)
    for message in (sale, voided, hold):
        await gateway.ask(message)
    await gateway.ask(follow_up(voided, "0420"))
    await gateway.ask(follow_up(hold, "0220", amount=800))
    await gateway.ask(refund(sale, amount=200))
    asked = close(debits=[4200, 700, 800], voids=[700], credits=[200], authorizations=1)

    answer = await gateway.ask(asked)

    assert (answer["t"], answer["39"], answer["66"]) == ("0510", "00", "1")
    echoed = ("7", "11", "32", "33", "41", "42", "50", "60")
    counted = ("74", "75", "76", "77", "81", "82", "85", "86", "87", "88", "89", "97")
    for number in (*echoed, *counted):
        assert answer[number] == asked[number], number
    assert len(answer["15"]) == 4
    assert rail.batch()["state"] == "balanced"
    assert rail.movements(sale) == [("sale", "closed"), ("refund", "closed")]
    assert rail.movements(voided) == [("sale", "reversed")]


async def test_a_batch_with_nothing_in_it_closes(rail: Sandbox, gateway: Gateway) -> None:
    """Zero totals agree with no entries; nothing is ever paid for it."""
    answer = await gateway.ask(close())
    rail.days.advance()

    assert (answer["39"], answer["97"]) == ("00", f"C{0:016d}")
    assert rail.deposits() == []
    assert rail.files("*.csv") == {}


async def test_a_batch_that_owes_the_host_says_d(gateway: Gateway) -> None:
    """More refunds than sales: DE 97 is D and the amount owed."""
    sale = payment(amount=900, f60="000001")
    await gateway.ask(sale)
    await gateway.ask(close(debits=[900]))
    await gateway.ask(refund(sale, f60="000002"))

    answer = await gateway.ask(close(credits=[900], f60="000002"))

    assert (answer["39"], answer["97"]) == ("00", f"D{900:016d}")


async def test_a_timed_out_sale_does_not_unbalance_the_batch(gateway: Gateway) -> None:
    """A debit and its reversal at the host are nothing at a gateway that heard of neither."""
    sale, unheard = payment(amount=900), payment(amount=500)
    for message in (sale, unheard, follow_up(unheard, "0420")):
        await gateway.ask(message)

    answer = await gateway.ask(close(debits=[900]))

    assert (answer["39"], answer["76"], answer["77"]) == ("00", f"{2:010d}", f"{1:010d}")


@pytest.mark.parametrize(
    "counted",
    [
        {"debits": [4200, 1]},
        {"debits": [4201]},
        {"debits": [4200], "voids": [4200]},
        {"debits": [4200], "credits": [1]},
        {"debits": []},
    ],
)
async def test_totals_that_differ_are_out_of_balance(
    rail: Sandbox, gateway: Gateway, counted: dict[str, list[int]]
) -> None:
    """95, 66=2, and what the host has counted."""
    await gateway.ask(payment(amount=4200))

    answer = await gateway.ask(close(**counted))  # type: ignore[arg-type]

    assert (answer["39"], answer["66"]) == ("95", "2")
    assert (answer["76"], answer["88"]) == (f"{1:010d}", f"{4200:016d}")
    assert rail.batch()["state"] == "uploading"


async def test_nothing_enters_or_leaves_from_the_first_0500_on(
    rail: Sandbox, gateway: Gateway
) -> None:
    """In balance or not: sales, captures, refunds and voids of that batch are refused with 40."""
    sale, hold = payment(amount=900), payment("0100")
    await gateway.ask(sale)
    await gateway.ask(hold)
    assert (await gateway.ask(close()))["39"] == "95"

    codes = [
        (await gateway.ask(message))["39"]
        for message in (
            payment(),
            follow_up(hold, "0220"),
            refund(sale),
            follow_up(sale, "0420"),
            refund(sale, f60="000002"),
        )
    ]

    assert codes == ["40", "40", "40", "40", "00"]
    assert rail.movements(sale)[0] == ("sale", "ended")


async def test_a_repeat_gets_the_stored_answer(gateway: Gateway, rail: Sandbox) -> None:
    """0501 and the same 0500 again; with other totals under the key it is 94."""
    sale = payment(amount=900)
    await gateway.ask(sale)
    asked = close(debits=[900])

    first = await gateway.ask(asked)

    assert await gateway.ask(asked | {"t": "0501"}) == first
    assert await gateway.ask(asked) == first
    other = close(debits=[901], f11=asked["11"])
    assert (await gateway.ask(other))["39"] == "94"


async def test_a_closed_number_never_comes_back(gateway: Gateway) -> None:
    """A new 0500 or 0520 for it is a duplicate: 94."""
    await gateway.ask(payment(amount=900))
    await gateway.ask(close(debits=[900]))

    assert (await gateway.ask(close(debits=[900])))["39"] == "94"
    assert (await gateway.ask(close("0520", debits=[900])))["39"] == "94"


async def test_a_close_out_of_balance_may_be_asked_again(rail: Sandbox, gateway: Gateway) -> None:
    """A new 0500 whose totals agree closes the batch after all."""
    await gateway.ask(payment(amount=900))
    await gateway.ask(close())

    answer = await gateway.ask(close(debits=[900]))

    assert answer["39"] == "00"
    assert rail.batch()["state"] == "balanced"


async def test_a_batch_that_the_host_ended_can_still_be_closed(
    rail: Sandbox, gateway: Gateway
) -> None:
    """`close_batch` ends it for traffic; the 0500 then compares as ever."""
    await gateway.ask(payment(amount=900))
    rail.close_batches(None)
    assert rail.batch()["state"] == "ended"

    assert (await gateway.ask(close(debits=[900])))["39"] == "00"


async def test_another_merchant_cannot_close_the_batch(gateway: Gateway) -> None:
    """DE 42 must be the one of its sales: 03, and the batch stays open."""
    await gateway.ask(payment(amount=900))

    answer = await gateway.ask(close(debits=[900], f42="MERCHANT0000002"))

    assert (answer["39"], answer["66"]) == ("03", "3")
    assert (await gateway.ask(payment()))["39"] == "00"


@pytest.mark.parametrize(
    ("number", "value"),
    [
        ("50", "000"),
        ("60", "12345"),
        ("76", ""),
        ("97", ""),
        ("97", f"C{901:016d}"),
        ("97", f"D{900:016d}"),
        ("42", "../MERCHANT0001"),
        ("42", "A,B            "),
        ("41", "TERM,001"),
    ],
)
async def test_a_close_that_says_nothing_valid_is_answered_30(
    gateway: Gateway, number: str, value: str
) -> None:
    """Also a net that its own amounts do not come to, and names no file can have."""
    await gateway.ask(payment(amount=900))

    answer = await gateway.ask(close(debits=[900], **{f"f{number}": value}))

    assert (answer["t"], answer["39"]) == ("0510", "30")


async def test_currencies_are_separate_batches(rail: Sandbox, gateway: Gateway) -> None:
    """The same number in another currency is another batch."""
    await gateway.ask(payment(amount=900))
    await gateway.ask(payment(amount=500, f49="978"))

    assert (await gateway.ask(close(debits=[500], f50="978")))["39"] == "00"
    assert (await gateway.ask(payment()))["39"] == "00"


async def test_the_host_says_95_by_mistake(rail: Sandbox, gateway: Gateway) -> None:
    """`close_out_of_balance`: the totals agree, the answer does not; the upload heals it."""
    rail.faults.set("close_out_of_balance", "1")
    sale = payment(amount=900)
    await gateway.ask(sale)

    first = await gateway.ask(close(debits=[900]))
    await gateway.ask(item(sale))
    second = await gateway.ask(close("0520", debits=[900]))

    assert (first["39"], first["88"], second["39"]) == ("95", f"{900:016d}", "00")


async def test_the_host_forgets_an_item_until_it_is_uploaded(
    rail: Sandbox, gateway: Gateway
) -> None:
    """`forget_item`: the host's totals lack it; after 0320 they have it."""
    rail.faults.set("forget_item", "1")
    sales = [payment(amount=900), payment(amount=500)]
    for sale in sales:
        await gateway.ask(sale)

    first = await gateway.ask(close(debits=[900, 500]))
    codes = [(await gateway.ask(item(sale)))["39"] for sale in sales]
    second = await gateway.ask(close("0520", debits=[900, 500]))

    assert (first["39"], first["76"], first["88"]) == ("95", f"{1:010d}", f"{500:016d}")
    assert codes == ["00", "00"]
    assert (second["39"], second["88"]) == ("00", f"{1400:016d}")


async def test_what_both_sides_forget_goes_back_to_the_cardholder(
    rail: Sandbox, gateway: Gateway
) -> None:
    """Totals agree without it: it is released, and no deposit holds it."""
    rail.faults.set("forget_item", "1")
    lost, sale = payment(amount=900), payment(amount=500)
    await gateway.ask(lost)
    await gateway.ask(sale)

    assert (await gateway.ask(close(debits=[500])))["39"] == "00"
    rail.days.advance()

    assert rail.movements(lost) == [("sale", "released")]
    assert rail.account()["spent_minor"] == 500
    assert rail.deposits()[0]["gross"] == 500


async def test_a_silent_close_is_acted_on(rail: Sandbox, gateway: Gateway) -> None:
    """`silent_to_close`: no answer, and the 0501 gets the stored one; other faults stay out."""
    rail.faults.set("silent_to_close", "1")
    await gateway.ask(payment(amount=900))
    rail.faults.set("silent", "1:unbooked")
    asked = close(debits=[900])
    gateway.send(asked)

    assert await gateway.is_silent()
    assert rail.batch()["state"] == "balanced"
    assert (await gateway.ask(asked | {"t": "0501"}))["39"] == "00"
    assert rail.faults.armed()["silent"] == "1:unbooked"


async def test_a_close_survives_a_restart(start: Start) -> None:
    """In mid-upload: repeats, items and totals go on where they were."""
    sale, other = payment(amount=900), payment(amount=500)
    asked, first_item = close(debits=[900]), item(sale)
    async with start() as rail, rail.link() as gateway:
        await gateway.ask(sale)
        await gateway.ask(other)
        told = await gateway.ask(asked)
        assert (await gateway.ask(first_item))["39"] == "00"

    async with start() as rail, rail.link() as gateway:
        assert await gateway.ask(asked | {"t": "0501"}) == told
        assert (await gateway.ask(first_item | {"t": "0321"}))["39"] == "00"
        assert (await gateway.ask(item(sale)))["39"] == "94"
        assert (await gateway.ask(close("0520", debits=[900])))["39"] == "00"
    async with start() as rail:
        rail.days.advance()
        assert rail.deposits()[0]["gross"] == 900
        assert rail.charge(other)["state"] == "reversed"
