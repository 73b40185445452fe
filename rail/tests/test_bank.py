"""
What the merchants' bank books, when, and what its statements say.
"""

from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest

from .conftest import Gateway, Sandbox, Start, close, payment, refund
from .reading import Entry, Statement, read_bai2, read_camt, read_statements

REFERENCE = "CF261125000001"
NET_MINOR = 4090  # A visa sale of 4200 costs 110.


def wednesday() -> datetime:
    """The clock of these tests: the day before Thanksgiving 2026."""
    return datetime(2026, 11, 25, 18, 0, tzinfo=UTC)


@pytest.fixture
async def rail(start: Start) -> AsyncIterator[Sandbox]:
    """A rail whose first business day is that Wednesday, with statements in both forms."""
    async with start(clock=wednesday, statements="both") as sandbox:
        yield sandbox


async def _sold(rail: Sandbox, gateway: Gateway, *, days: int = 3, number: str = "000001") -> None:
    """Sell, close, and advance: Thursday is a holiday, the value date is Friday."""
    await gateway.ask(payment(amount=4200, f60=number))
    await gateway.ask(close(debits=[4200], f60=number))
    for _ in range(days):
        rail.days.advance()


def _statements(rail: Sandbox) -> dict[str, Statement]:
    """The camt.053 statements by day; the BAI2 ones must say the same."""
    both = rail.files()
    camt = {
        name.split("-")[1][:8]: read_camt(text)
        for name, text in both.items()
        if name.endswith(".xml")
    }
    bai2 = {
        name.split("-")[1][:8]: read_bai2(text)
        for name, text in both.items()
        if name.endswith(".bai2")
    }
    assert camt == bai2
    return camt


async def test_a_deposit_is_booked_on_the_next_banking_day(rail: Sandbox, gateway: Gateway) -> None:
    """Not on Thanksgiving; a statement for every banking day, also without entries."""
    await _sold(rail, gateway, days=8)

    statements = _statements(rail)
    days = ["20261125", "20261127", "20261130", "20261201", "20261202"]
    assert list(statements) == days
    friday = statements["20261127"]
    assert friday.account == "MERCHANT0000001USD"
    assert friday.entries == [Entry(NET_MINOR, REFERENCE, is_return=False)]
    assert [statement.closing_minor for statement in statements.values()] == [0, *[NET_MINOR] * 4]


async def test_a_statement_is_whole(rail: Sandbox, gateway: Gateway) -> None:
    """The files as they are, byte for byte where it matters."""
    await _sold(rail, gateway)

    files = rail.files()
    camt = files["MERCHANT0000001USD-20261127.camt053.xml"]
    assert camt.startswith("<?xml version='1.0' encoding='UTF-8'?>\n<Document xmlns=")
    for piece in (
        '<Amt Ccy="USD">40.90</Amt>',
        "<ElctrncSeqNb>2</ElctrncSeqNb>",
        "<AcctSvcrRef>BK261127000001</AcctSvcrRef>",
        f"<EndToEndId>{REFERENCE}</EndToEndId>",
        f"<Ustrd>COUNTERFOIL SETTLEMENT {REFERENCE}</Ustrd>",
    ):
        assert piece in camt
    assert files["MERCHANT0000001USD-20261127.bai2"].splitlines() == [
        "01,SANDBOXBANK,MERCHANT0000001,261125,1800,2,80,,2/",
        "02,MERCHANT0000001,SANDBOXBANK,1,261127,,USD,2/",
        "03,MERCHANT0000001USD,USD,010,0,,,015,4090,,/",
        f"16,142,4090,,BK261127000001,{REFERENCE},COUNTERFOIL SETTLEMENT {REFERENCE}",
        "49,8180,3/",
        "98,8180,1,5/",
        "99,8180,1,7/",
    ]


async def test_a_long_bai2_record_goes_on_in_another(rail: Sandbox, gateway: Gateway) -> None:
    """80 characters at most; the text follows in an 88 record."""
    await gateway.ask(payment(amount=4_200_000))
    await gateway.ask(close(debits=[4_200_000]))
    for _ in range(3):
        rail.days.advance()

    lines = rail.files("*27.bai2")["MERCHANT0000001USD-20261127.bai2"].splitlines()
    assert lines[3:6] == [
        f"16,142,4110100,,BK261127000001,{REFERENCE},/",
        f"88,COUNTERFOIL SETTLEMENT {REFERENCE}",
        "49,8220200,4/",
    ]


async def test_a_negative_net_is_a_debit(rail: Sandbox, gateway: Gateway) -> None:
    """More refunds than sales: taken from the account, state `debited`."""
    sale = payment(amount=4200)
    await gateway.ask(sale)
    await gateway.ask(close(debits=[4200]))
    await gateway.ask(refund(sale, f60="000002"))
    rail.days.advance()
    await gateway.ask(close(credits=[4200], f60="000002"))
    for _ in range(2):
        rail.days.advance()

    assert [(one["net"], one["state"]) for one in rail.deposits()] == [
        (NET_MINOR, "paid"),
        (-4200, "debited"),
    ]
    entries = _statements(rail)["20261127"].entries
    assert [entry.amount_minor for entry in entries] == [NET_MINOR, -4200]
    assert _statements(rail)["20261127"].closing_minor == -110


async def test_a_credit_comes_in_two_parts(rail: Sandbox, gateway: Gateway) -> None:
    """`deposit_split`: two entries of one reference, which make the whole."""
    rail.faults.set("deposit_split", "1")
    await _sold(rail, gateway)

    entries = _statements(rail)["20261127"].entries
    assert entries == [Entry(NET_MINOR // 2, REFERENCE, is_return=False)] * 2


async def test_a_credit_is_short(rail: Sandbox, gateway: Gateway) -> None:
    """`deposit_short`: one minor unit less than the report says."""
    rail.faults.set("deposit_short", "1")
    await _sold(rail, gateway)

    assert _statements(rail)["20261127"].entries[0].amount_minor == NET_MINOR - 1


async def test_a_credit_is_returned(rail: Sandbox, gateway: Gateway) -> None:
    """`deposit_returned`: a debit with its reference on the next banking day; `returned`."""
    rail.faults.set("deposit_returned", "1")
    await _sold(rail, gateway)
    assert rail.deposits()[0]["state"] == "paid"
    for _ in range(3):
        rail.days.advance()

    statements = _statements(rail)
    assert statements["20261130"].entries == [Entry(-NET_MINOR, REFERENCE, is_return=True)]
    assert statements["20261130"].closing_minor == 0
    assert rail.deposits()[0]["state"] == "returned"
    assert "<Cd>AC04</Cd>" in rail.files()["MERCHANT0000001USD-20261130.camt053.xml"]


async def test_a_closing_balance_is_wrong(rail: Sandbox, gateway: Gateway) -> None:
    """`statement_bad_balance`: off by one, and right again in the next."""
    await _sold(rail, gateway, days=2)
    rail.faults.set("statement_bad_balance", "1")
    for _ in range(4):
        rail.days.advance()

    statements = _statements(rail)
    assert statements["20261127"].closing_minor == NET_MINOR + 1
    assert statements["20261130"].opening_minor == NET_MINOR


async def test_a_statement_comes_twice(rail: Sandbox, gateway: Gateway) -> None:
    """`statement_twice`: the same bytes under another name."""
    rail.faults.set("statement_twice", "1")
    await _sold(rail, gateway, days=1)

    files = rail.files()
    assert len(files) == 5
    for suffix in ("camt053.xml", "bai2"):
        name = "MERCHANT0000001USD-20261125"
        assert files[f"{name}.{suffix}"] == files[f"{name}-2.{suffix}"]


async def test_mistakes_wait_for_something_to_befall(rail: Sandbox, gateway: Gateway) -> None:
    """Armed on a day without a deposit, they strike on the first that has one."""
    for name in ("deposit_returned", "report_missing_line", "statement_twice"):
        rail.faults.set(name, "1")
    rail.faults.set("chargeback", "300")
    rail.days.advance()

    armed = rail.faults.armed()
    assert (armed["deposit_returned"], armed["report_missing_line"]) == ("1", "1")
    assert (armed["statement_twice"], armed["chargeback"]) == ("1", "300")


async def test_the_form_of_statements_is_kept(start: Start) -> None:
    """`--statements` holds until it is given again, also for advances of a stopped rail."""
    async with start(clock=wednesday, statements="bai2") as rail, rail.link() as gateway:
        await _sold(rail, gateway, days=1)
    async with start(clock=wednesday) as rail:
        for _ in range(2):
            rail.days.advance()

        names = [name for name in rail.files() if not name.endswith(".csv")]
        assert names == ["MERCHANT0000001USD-20261125.bai2", "MERCHANT0000001USD-20261127.bai2"]
        assert len(read_statements(rail.files())) == 2

    with pytest.raises(ValueError, match="statements are camt053, bai2, both"):
        async with start(statements="mt940"):
            pass


@pytest.mark.parametrize(("currency", "amount"), [("392", "4111"), ("048", "4.111")])
async def test_amounts_have_the_digits_of_their_currency(
    rail: Sandbox, gateway: Gateway, currency: str, amount: str
) -> None:
    """None for yen, three for dinars."""
    await gateway.ask(payment(amount=4221, f49=currency))
    await gateway.ask(close(debits=[4221], f50=currency))
    for _ in range(3):
        rail.days.advance()

    (entry,) = _statements(rail)["20261127"].entries
    assert entry.amount_minor == 4111
    (camt,) = rail.files("*27.camt053.xml").values()
    assert f">{amount}</Amt>" in camt
