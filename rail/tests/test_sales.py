"""
What happens to a 0200 and a 0100.
"""

import pytest

from .conftest import Gateway, Sandbox, payment


async def test_an_approved_sale_is_captured_into_its_batch(rail: Sandbox, gateway: Gateway) -> None:
    """The answer echoes and approves; the books hold one captured charge in the open batch."""
    sale = payment(amount=4200)

    answer = await gateway.ask(sale)

    echoed = ("2", "3", "4", "7", "11", "12", "13", "32", "33", "37", "41", "42", "49")
    assert {number: answer[number] for number in echoed} == {n: sale[n] for n in echoed}
    assert (answer["t"], answer["39"], answer["44"]) == ("0210", "00", "YM")
    assert len(answer["38"]) == 6
    assert len(answer["15"]) == 4
    assert answer["48"][:4] == "2015"
    assert len(answer["48"]) == 4 + 15
    charge = rail.charge(sale)
    expected = {
        "kind": "sale",
        "state": "captured",
        "amount_minor": 4200,
        "captured_minor": 4200,
        "currency": "USD",
        "batch": "000001",
        "terminal_id": "TERM0001",
        "stan": sale["11"],
        "brand": "visa",
        "bin": "411111",
        "last4": "1111",
        "response_code": "00",
    }
    assert expected.items() <= charge.items()
    assert rail.totals()["debits_number"] == 1
    assert rail.totals()["debits_minor"] == 4200
    assert rail.account() == {"held_minor": 0, "spent_minor": 4200}


async def test_an_authorization_holds_and_enters_no_batch(rail: Sandbox, gateway: Gateway) -> None:
    """A hold is on the account and only counted in the batch."""
    hold = payment("0100", amount=900)

    answer = await gateway.ask(hold)

    assert (answer["t"], answer["39"]) == ("0110", "00")
    charge = rail.charge(hold)
    assert (charge["state"], charge["held_minor"], charge["batch"]) == ("held", 900, None)
    assert rail.totals()["debits_number"] == 0
    assert rail.totals()["authorizations_number"] == 1
    assert rail.account() == {"held_minor": 900, "spent_minor": 0}


@pytest.mark.parametrize(
    ("card", "code"),
    [
        ("4242424242424242", "00"),
        ("5555555555554444", "00"),
        ("2223003122003222", "00"),
        ("378282246310005", "00"),
        ("6011111111111117", "00"),
        ("4000000000010001", "00"),
        ("4000000000000002", "05"),
        ("4000000000009995", "51"),
        ("4000000000000069", "54"),
        ("4000000000000127", "82"),
        ("4000000000009987", "41"),
        ("4000000000009979", "43"),
        ("4000000000000119", "96"),
        ("4111111111111112", "14"),
        ("9111111111111110", "15"),
    ],
)
async def test_a_card_gets_its_response_code(
    rail: Sandbox, gateway: Gateway, card: str, code: str
) -> None:
    """Well-known cards always behave the same; a decline is in the books too."""
    sale = payment(card=card)

    answer = await gateway.ask(sale)

    assert answer["39"] == code
    assert ("38" in answer) == (code == "00")
    assert rail.charge(sale)["state"] == ("captured" if code == "00" else "declined")


@pytest.mark.parametrize(
    ("amount", "code"),
    [
        (900000, "00"),
        (900005, "05"),
        (900051, "51"),
        (900091, "91"),
        (909954, "54"),
        (910005, "00"),
    ],
)
async def test_the_cents_decide_between_9000_and_9100(
    gateway: Gateway, amount: int, code: str
) -> None:
    """Amounts of 9000.00 to 9099.99 get their cents as the response code when it is one."""
    answer = await gateway.ask(payment(amount=amount))

    assert answer["39"] == code


async def test_cents_68_are_never_answered_nor_booked(rail: Sandbox, gateway: Gateway) -> None:
    """The issuer stays silent: no answer, no charge."""
    gateway.send(payment(amount=900068))

    assert await gateway.is_silent()
    assert rail.charges() == []


async def test_an_expired_card_is_declined(gateway: Gateway) -> None:
    """An expiry before this month: 54."""
    answer = await gateway.ask(payment(f14="2001"))

    assert answer["39"] == "54"


async def test_a_small_balance_runs_out_and_comes_back(gateway: Gateway) -> None:
    """Holds and sales share one balance; beyond it: 51."""
    card = "4000000000001000"

    first = await gateway.ask(payment("0100", card=card, amount=6000))
    second = await gateway.ask(payment(card=card, amount=5000))
    third = await gateway.ask(payment(card=card, amount=4000))

    assert [answer["39"] for answer in (first, second, third)] == ["00", "51", "00"]


@pytest.mark.parametrize(
    ("private", "letters"),
    [
        ("", "UP"),
        ("0203123", "UM"),
        ("0203999", "UN"),
        ("080562704" + "090510 Ma", "YP"),
        ("080562709" + "090510 Ma", "AP"),
        ("080562704" + "090590 Ma", "ZP"),
        ("080562709" + "090590 Ma", "NP"),
        ("080562704", "ZP"),
        ("090510 Ma", "AP"),
        ("080597288" + "090510 Ma", "UP"),
        ("080597277" + "090510 Ma", "RP"),
        ("0203888", "UU"),
        ("0203777", "UP"),
        ("0203666", "US"),
        ("02049999", "UN"),
        ("02048888", "UU"),
        ("0203899", "UM"),
    ],
)
async def test_address_and_cvv_results_follow_the_rule(
    gateway: Gateway, private: str, letters: str
) -> None:
    """DE 44 is the AVS letter and the CVV letter."""
    answer = await gateway.ask(payment(f48=private))

    assert answer["44"] == letters


async def test_a_verification_moves_nothing(rail: Sandbox, gateway: Gateway) -> None:
    """Amount 0 with processing code 33 is answered 85 and is no charge."""
    good = await gateway.ask(payment("0100", amount=0, f3="330000"))
    bad = await gateway.ask(payment("0100", amount=0, f3="330000", card="4000000000000002"))

    assert (good["39"], bad["39"]) == ("85", "05")
    assert rail.charges() == []


@pytest.mark.parametrize(
    ("changes", "code"),
    [({"f3": "010000"}, "40"), ({"amount": 0}, "13"), ({"f3": "330000"}, "40")],
)
async def test_what_the_host_does_not_do_is_refused(
    rail: Sandbox, gateway: Gateway, changes: dict[str, str], code: str
) -> None:
    """Cash, nothing, and a verification as a sale are refused and not booked."""
    answer = await gateway.ask(payment(**changes))  # type: ignore[arg-type]

    assert answer["39"] == code
    assert rail.charges() == []


async def test_currencies_have_batches_and_accounts_of_their_own(
    rail: Sandbox, gateway: Gateway
) -> None:
    """Nothing of different currencies is added up."""
    await gateway.ask(payment(amount=100))
    yen = payment(amount=500, f49="392", f60="000009")

    await gateway.ask(yen)

    assert rail.charge(yen)["currency"] == "JPY"
    assert rail.totals("000001")["debits_minor"] == 100
    assert rail.totals("000009")["debits_minor"] == 500
