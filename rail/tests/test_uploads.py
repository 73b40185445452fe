"""
What happens after a 95: items are uploaded one by one, and then they are the batch.
"""

import pytest

from .conftest import Gateway, Sandbox, close, follow_up, item, payment, refund


async def test_an_upload_is_the_batch(rail: Sandbox, gateway: Gateway) -> None:
    """Sale, capture and refund are taken; then the gateway's totals close the batch."""
    sale, hold = payment(amount=900), payment("0100", amount=700)
    await gateway.ask(sale)
    await gateway.ask(hold)
    capture, back = follow_up(hold, "0220"), refund(sale, amount=300)
    await gateway.ask(capture)
    await gateway.ask(back)
    assert (await gateway.ask(close(debits=[900])))["39"] == "95"

    answers = [await gateway.ask(item(message)) for message in (sale, capture, back)]
    closed = await gateway.ask(close("0520", debits=[900, 700], credits=[300]))

    assert [(answer["t"], answer["39"]) for answer in answers] == [("0330", "00")] * 3
    assert answers[0]["90"] == item(sale)["90"]
    assert {"37", "41", "42", "71", "72"} <= answers[0].keys()
    assert (closed["t"], closed["39"], closed["66"]) == ("0530", "00", "1")
    assert (closed["76"], closed["74"]) == (f"{2:010d}", f"{1:010d}")


async def test_what_is_not_uploaded_goes_back(rail: Sandbox, gateway: Gateway) -> None:
    """A sale is reversed, a capture held again, a refund taken back: `released`, unpaid."""
    sale, unknown, hold = payment(amount=900), payment(amount=500), payment("0100", amount=700)
    for message in (sale, unknown, hold):
        await gateway.ask(message)
    await gateway.ask(follow_up(hold, "0220"))
    await gateway.ask(refund(sale, amount=300))
    await gateway.ask(close(debits=[900]))
    await gateway.ask(item(sale))

    answer = await gateway.ask(close("0520", debits=[900]))
    rail.days.advance()

    assert answer["39"] == "00"
    assert rail.charge(unknown)["state"] == "reversed"
    assert rail.charge(hold)["state"] == "held"
    assert rail.movements(sale) == [("sale", "paid"), ("refund", "released")]
    assert rail.account() == {"held_minor": 700, "spent_minor": 900}
    assert [deposit["gross"] for deposit in rail.deposits()] == [900]
    assert rail.batch()["net_minor"] == 900


async def test_a_sale_and_its_refund_are_released_together(rail: Sandbox, gateway: Gateway) -> None:
    """Neither is uploaded: the cardholder has what he had before."""
    sale = payment(amount=900)
    await gateway.ask(sale)
    await gateway.ask(refund(sale))
    await gateway.ask(close(debits=[1]))

    answer = await gateway.ask(close("0520"))

    assert answer["39"] == "00"
    assert rail.charge(sale)["state"] == "reversed"
    assert rail.account() == {"held_minor": 0, "spent_minor": 0}


async def test_a_sale_refunded_later_is_not_released(rail: Sandbox, gateway: Gateway) -> None:
    """Its money is in another batch already: 95, for somebody to look at."""
    sale = payment(amount=900)
    await gateway.ask(sale)
    await gateway.ask(close())
    await gateway.ask(refund(sale, f60="000002"))

    assert (await gateway.ask(close("0520")))["39"] == "95"
    assert rail.batch()["state"] == "out_of_balance"
    assert rail.charge(sale)["state"] == "refunded"


async def test_a_refund_that_the_account_no_longer_bears_is_not_released(
    rail: Sandbox, gateway: Gateway
) -> None:
    """Its money is spent: 95, and nothing is half-done."""
    card = "4000000000001000"
    sale = payment(amount=6000, card=card)
    await gateway.ask(sale)
    await gateway.ask(refund(sale, f60="000002"))
    await gateway.ask(payment(amount=9000, card=card, f60="000003"))
    await gateway.ask(close(f60="000002"))

    assert (await gateway.ask(close("0520", f60="000002")))["39"] == "95"
    assert rail.charge(sale)["refunded_minor"] == 6000


async def test_an_item_is_taken_once(rail: Sandbox, gateway: Gateway) -> None:
    """A repeat gets the stored code; under a new STAN, or as another item, it is 94."""
    sale, other = payment(amount=900), payment(amount=500)
    await gateway.ask(sale)
    await gateway.ask(other)
    await gateway.ask(close())
    uploaded = item(sale)

    first = await gateway.ask(uploaded)

    assert first["39"] == "00"
    assert await gateway.ask(uploaded | {"t": "0321"}) == first
    assert (await gateway.ask(item(sale)))["39"] == "94"
    assert (await gateway.ask(item(other, f11=uploaded["11"])))["39"] == "94"


async def test_an_item_the_host_does_not_know_is_25(rail: Sandbox, gateway: Gateway) -> None:
    """Never approved, declined, an authorization, or with another amount, card, RRN or batch."""
    sale, hold = payment(amount=900), payment("0100")
    declined = payment(card="4000000000000002")
    elsewhere = payment(f60="000002")
    for message in (sale, hold, declined, elsewhere):
        await gateway.ask(message)
    await gateway.ask(close())

    unknown = [
        item(payment()),
        item(declined),
        item(hold),
        item(elsewhere, f60="000001"),
        item(sale, f4=f"{901:012d}"),
        item(sale, f2="4242424242424242"),
        item(sale, f37="632710999999"),
        item(sale, f42="MERCHANT0000002"),
        item(sale, f3="200000"),
    ]

    assert [(await gateway.ask(message))["39"] for message in unknown] == ["25"] * 9


async def test_items_come_only_for_a_batch_out_of_balance(gateway: Gateway) -> None:
    """Before a 0500 and after agreement: 40; a 0520 before any 0500 too."""
    sale, late = payment(amount=900), payment(amount=500)
    await gateway.ask(sale)
    await gateway.ask(late)

    assert (await gateway.ask(item(sale)))["39"] == "40"
    assert (await gateway.ask(close("0520", debits=[900])))["39"] == "40"
    await gateway.ask(close(debits=[900, 500]))
    assert (await gateway.ask(item(late)))["39"] == "40"


@pytest.mark.parametrize("number", ["39", "90", "72", "60", "38"])
async def test_an_item_that_says_nothing_valid_is_answered_30(
    gateway: Gateway, number: str
) -> None:
    """A field is missing, or its original was declined; a refund alone needs no DE 38."""
    sale = payment(amount=900)
    await gateway.ask(sale)
    await gateway.ask(close())

    assert (await gateway.ask(item(sale, **{f"f{number}": ""})))["39"] == "30"
    assert (await gateway.ask(item(sale, f39="05")))["39"] == "30"
    reversal = f"0420{sale['11']}{sale['7']}{'0' * 22}"
    assert (await gateway.ask(item(sale, f90=reversal)))["39"] == "30"


async def test_totals_other_than_the_upload_need_a_person(rail: Sandbox, gateway: Gateway) -> None:
    """95 again; what is missing can still come, and then the batch closes."""
    sale, other = payment(amount=900), payment(amount=500)
    await gateway.ask(sale)
    await gateway.ask(other)
    await gateway.ask(close())
    await gateway.ask(item(sale))
    final = close("0520", debits=[900, 500])

    refused = await gateway.ask(final)
    assert (refused["39"], refused["66"]) == ("95", "2")
    assert rail.batch()["state"] == "out_of_balance"
    await gateway.ask(item(other))

    assert (await gateway.ask(final | {"t": "0521"}))["39"] == "95"
    assert (await gateway.ask(close("0520", debits=[900, 500])))["39"] == "00"


async def test_voids_count_in_neither_upload(rail: Sandbox, gateway: Gateway) -> None:
    """An item voided at the host may be uploaded or not: its totals come to nothing."""
    sale, voided = payment(amount=900), payment(amount=500)
    for message in (sale, voided, follow_up(voided, "0420")):
        await gateway.ask(message)
    await gateway.ask(close())
    await gateway.ask(item(sale))

    assert (await gateway.ask(item(voided)))["39"] == "00"
    assert (await gateway.ask(close("0520", debits=[900, 500])))["39"] == "95"
    answer = await gateway.ask(close("0520", debits=[900, 500], voids=[500]))
    assert answer["39"] == "00"


async def test_the_host_refuses_an_item_by_mistake(rail: Sandbox, gateway: Gateway) -> None:
    """`upload_refuses`: 25 for what it knows, repeats included; a new 0320 is taken."""
    rail.faults.set("upload_refuses", "1")
    sale = payment(amount=900)
    await gateway.ask(sale)
    await gateway.ask(close())
    refused = item(sale)

    assert (await gateway.ask(refused))["39"] == "25"
    assert (await gateway.ask(close("0520", debits=[900])))["39"] == "95"
    assert (await gateway.ask(refused | {"t": "0321"}))["39"] == "25"
    assert (await gateway.ask(item(sale)))["39"] == "00"


async def test_new_totals_out_of_balance_begin_the_upload_anew(
    rail: Sandbox, gateway: Gateway
) -> None:
    """What an earlier upload brought is waited for again; repeats of it get their old answer."""
    sale, other = payment(amount=900), payment(amount=500)
    await gateway.ask(sale)
    await gateway.ask(other)
    first = item(sale)
    await gateway.ask(close())
    assert (await gateway.ask(first))["39"] == "00"
    assert (await gateway.ask(close("0520", debits=[900, 500])))["39"] == "95"

    assert (await gateway.ask(close()))["39"] == "95"
    assert rail.batch()["state"] == "uploading"
    assert (await gateway.ask(first | {"t": "0321"}))["39"] == "00"
    assert (await gateway.ask(close("0520", debits=[900])))["39"] == "95"
    codes = [(await gateway.ask(item(each)))["39"] for each in (sale, other, other)]
    assert codes == ["00", "00", "94"]
    assert (await gateway.ask(close("0520", debits=[900, 500])))["39"] == "00"
    assert (await gateway.ask(close(debits=[900, 500])))["39"] == "94"
