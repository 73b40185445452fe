"""
What moves money without asking the issuer: forced captures and credits.
"""

import pytest

from .conftest import (
    Gateway,
    Sandbox,
    close,
    credit,
    follow_up,
    forced,
    item,
    payment,
    refund,
)
from .reading import read_report

NO_CARD = "4111111111111112"
NO_ISSUER = "9999999999999995"


async def test_a_forced_capture_is_a_debit(rail: Sandbox, gateway: Gateway) -> None:
    """A 0220 without an original books what the issuer approved by voice."""
    taken = forced(amount=900)

    answer = await gateway.ask(taken)

    assert (answer["t"], answer["39"], answer["38"]) == ("0230", "00", "H7K2P9")
    assert "90" not in answer
    charge = rail.charge(taken)
    assert (charge["kind"], charge["state"], charge["captured_minor"]) == (
        "forced",
        "captured",
        900,
    )
    assert (charge["approval_code"], charge["batch"]) == ("H7K2P9", "000001")
    assert rail.totals()["debits_minor"] == 900
    assert rail.movements(taken) == [("forced", "open")]
    assert rail.account() == {"held_minor": 0, "spent_minor": 900}


async def test_a_voice_code_may_be_shorter_than_its_field(rail: Sandbox, gateway: Gateway) -> None:
    """DE 38 is filled with blanks on the way, and kept without them."""
    taken = forced(f38="A1    ")

    answer = await gateway.ask(taken)

    assert (answer["39"], answer["38"]) == ("00", "A1    ")
    assert rail.charge(taken)["approval_code"] == "A1"


async def test_a_forced_capture_needs_the_code_and_the_expiry(
    rail: Sandbox, gateway: Gateway
) -> None:
    """Without DE 38 or DE 14: 30. A refund still needs DE 90."""
    codes = [
        (await gateway.ask(message))["39"]
        for message in (forced(f38=""), forced(f14=""), refund(payment(), f90=""))
    ]

    assert codes == ["30", "30", "30"]
    assert rail.charges() == []


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"f2": "4000000000000002"}, "00"),
        ({"f2": NO_CARD}, "14"),
        ({"f2": NO_ISSUER}, "15"),
        ({"f14": "2001"}, "54"),
        ({"amount": 900005}, "05"),
        ({"amount": 900010}, "00"),
        ({"amount": 0}, "13"),
        ({"f3": "010000"}, "40"),
        ({"f2": "4000000000001000", "amount": 10_001}, "51"),
    ],
)
async def test_the_issuer_is_not_asked_for_a_forced_capture(
    gateway: Gateway, changes: dict[str, str], code: str
) -> None:
    """Only a number that is none, an expiry that is past and the cents speak against it."""
    assert (await gateway.ask(forced(**changes)))["39"] == code  # type: ignore[arg-type]


async def test_a_forced_capture_is_reversed_by_its_own_message(
    rail: Sandbox, gateway: Gateway
) -> None:
    """DE 90 with MTI 0220 and no 0100 behind it: a debit reversal, once."""
    taken = forced(amount=900)
    await gateway.ask(taken)

    codes = [(await gateway.ask(follow_up(taken, "0420")))["39"] for _ in range(2)]

    assert codes == ["00", "79"]
    charge = rail.charge(taken)
    assert (charge["state"], charge["released_minor"]) == ("reversed", 900)
    assert rail.totals()["debits_reversal_minor"] == 900
    assert rail.account() == {"held_minor": 0, "spent_minor": 0}


@pytest.mark.parametrize("make", [forced, credit])
async def test_a_posting_whose_reversal_came_first_is_refused(
    rail: Sandbox, gateway: Gateway, make: type[dict[str, str]]
) -> None:
    """The tombstone holds for them too: 96, and nothing is booked."""
    late = make()

    first = await gateway.ask(follow_up(late, "0420", f3=late["3"]))
    answer = await gateway.ask(late)

    assert (first["39"], answer["39"]) == ("00", "96")
    assert rail.charges() == []


async def test_a_forced_capture_can_be_refunded(rail: Sandbox, gateway: Gateway) -> None:
    """As a sale can."""
    taken = forced(amount=900)
    await gateway.ask(taken)

    codes = [(await gateway.ask(refund(taken, amount=amount)))["39"] for amount in (400, 600)]

    assert codes == ["00", "61"]
    assert rail.charge(taken)["refunded_minor"] == 400
    assert (await gateway.ask(follow_up(taken, "0220", amount=100)))["39"] == "25"


async def test_a_credit_gives_what_was_never_taken(rail: Sandbox, gateway: Gateway) -> None:
    """A credit in the batch; the cardholder may have more than before."""
    giving = credit(amount=900)

    answer = await gateway.ask(giving)

    assert (answer["t"], answer["39"]) == ("0210", "00")
    assert answer["38"].isdigit()
    charge = rail.charge(giving)
    assert (charge["kind"], charge["state"], charge["credited_minor"]) == (
        "credit",
        "credited",
        900,
    )
    assert (charge["authorized_minor"], charge["captured_minor"]) == (0, 0)
    assert rail.totals()["credits_minor"] == 900
    assert rail.movements(giving) == [("credit", "open")]
    assert rail.account() == {"held_minor": 0, "spent_minor": -900}


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"f2": "4000000000000002"}, "00"),
        ({"f2": NO_CARD}, "14"),
        ({"f14": "2001"}, "00"),
        ({"amount": 900051}, "51"),
        ({"amount": 900010}, "00"),
        ({"amount": 0}, "13"),
        ({"f90": "0200" + "000001" + "1123101500" + "0" * 22}, "40"),
    ],
)
async def test_a_credit_is_refused_only_where_nobody_could_get_it(
    gateway: Gateway, changes: dict[str, str], code: str
) -> None:
    """A number that is none, and the cents. With an original it would be a refund: 40."""
    assert (await gateway.ask(credit(**changes)))["39"] == code  # type: ignore[arg-type]


async def test_cents_68_are_silent_for_postings_too(rail: Sandbox, gateway: Gateway) -> None:
    """No answer, nothing booked."""
    gateway.send(forced(amount=900068), credit(amount=900068))

    assert await gateway.is_silent()
    assert rail.charges() == []


async def test_a_credit_is_reversed(rail: Sandbox, gateway: Gateway) -> None:
    """A credit reversal beside it, once; never in part (40)."""
    giving = credit(amount=900)
    await gateway.ask(giving)
    in_part = follow_up(giving, "0420", f3="200000", f95="000000000100".ljust(42, "0"))

    codes = [
        (await gateway.ask(message))["39"]
        for message in (in_part, *(follow_up(giving, "0420", f3="200000") for _ in range(2)))
    ]

    assert codes == ["40", "00", "79"]
    assert rail.charge(giving)["state"] == "reversed"
    assert rail.totals()["credits_reversal_minor"] == 900
    assert rail.account() == {"held_minor": 0, "spent_minor": 0}


async def test_a_credit_that_was_spent_cannot_be_reversed(gateway: Gateway) -> None:
    """The account no longer bears it: 51."""
    card = "4000000000001000"
    giving = credit(amount=900, f2=card)
    await gateway.ask(giving)
    await gateway.ask(payment(card=card, amount=10_500))

    answer = await gateway.ask(follow_up(giving, "0420", f3="200000"))

    assert answer["39"] == "51"


async def test_postings_are_closed_and_settled(rail: Sandbox, gateway: Gateway) -> None:
    """In the report a forced capture is a SALE with its voice code, a credit a REFUND."""
    taken, giving = forced(amount=900), credit(amount=200)
    for message in (taken, giving):
        await gateway.ask(message)

    answer = await gateway.ask(close(debits=[900], credits=[200]))
    rail.days.advance()

    assert answer["39"] == "00"
    report = read_report(rail.report())
    assert [(row[4], row[5], row[6], row[10]) for row in report.items] == [
        ("SALE", taken["37"], "H7K2P9", "900"),
        ("REFUND", giving["37"], "", "-200"),
    ]
    assert (rail.movements(taken), rail.movements(giving)) == (
        [("forced", "paid")],
        [("credit", "paid")],
    )


async def test_postings_are_uploaded_or_go_back(rail: Sandbox, gateway: Gateway) -> None:
    """0320 takes them; what is left out is given back and taken back."""
    taken, giving = forced(amount=900), credit(amount=200)
    lost_taken, lost_giving = forced(amount=70), credit(amount=30)
    for message in (taken, giving, lost_taken, lost_giving):
        await gateway.ask(message)
    await gateway.ask(close(debits=[900], credits=[200]))

    codes = [(await gateway.ask(item(message)))["39"] for message in (taken, giving)]
    closed = await gateway.ask(close("0520", debits=[900], credits=[200]))

    assert (*codes, closed["39"]) == ("00", "00", "00")
    assert rail.charge(lost_taken)["state"] == rail.charge(lost_giving)["state"] == "reversed"
    assert rail.account() == {"held_minor": 0, "spent_minor": 700}
